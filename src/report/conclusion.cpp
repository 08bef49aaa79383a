#include "report/conclusion.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.h"
#include "kvcast/kvcast.h"
#include "kvcast/words.h"
#include "report/layout.h"

namespace kvcast::report {
namespace {

/// The speed-up of a scheme at the largest N that has one.
const SchemePoint* last_speedup(const Case& one, const std::string& scheme, std::int64_t& candidates) {
  for (auto point = one.points.rbegin(); point != one.points.rend(); ++point) {
    for (const SchemePoint& row : point->schemes) {
      if (row.scheme != scheme || !row.speedup) continue;
      candidates = point->candidates;
      return &row;
    }
  }
  return nullptr;
}

}  // namespace

const Fit* main_fit(const Case& one) {
  const Fit* found = nullptr;
  for (const Fit& fit : one.fits) {
    if (!fit.r) continue;
    if (fit.scheme == "shared") return &fit;
    if (found == nullptr) found = &fit;
  }
  return found;
}

const Case* main_case(const Report& report) {
  const Case* found = nullptr;
  const auto size = [](const Case& one) {
    return one.shape ? std::pair(one.shape->layers, one.shape->history_length)
                     : std::pair<std::int64_t, std::int64_t>();
  };
  for (const Case& one : report.cases) {
    if (main_fit(one) != nullptr && (found == nullptr || size(one) >= size(*found))) found = &one;
  }
  return found;
}

std::string conclusion(const Report& report) {
  if (const std::string none = no_result(report); !none.empty()) return none + ".";
  const Case* one = main_case(report);
  if (one == nullptr) return "";
  const Fit& fit = *main_fit(*one);
  std::int64_t candidates = 0;
  const SchemePoint* row = last_speedup(*one, fit.scheme, candidates);
  if (row == nullptr) return "";
  const int decimals = estimate_decimals(*row->speedup, 3);
  // Slower beyond doubt.
  const bool slower = row->speedup->ci95 ? row->speedup->ci95->hi < 1 : row->speedup->value < 1;
  std::string text = (fit.scheme == "shared" ? "Sharing" : one_line(fit.scheme)) +
                     (slower ? " is slower than naive: " : " gives ") + factor(row->speedup->value, decimals) +
                     " at N = " + integer(candidates);
  if (row->speedup->ci95) text += " (95% " + interval(*row->speedup, decimals) + ")";
  if (one->shape && report.cases.size() > 1) {
    text += " at L=" + integer(one->shape->history_length) + ", layers=" + integer(one->shape->layers);
  }
  if (fit.asymptote && fit.candidates_for_90) {
    text += "; 90% of the ceiling of " + factor(*fit.asymptote, 1) + " at N = " + integer(*fit.candidates_for_90);
  } else if (fit.asymptote) {
    text += "; ceiling " + factor(*fit.asymptote, 1) + ", extrapolated";
  } else if (fit.preferred == "neither") {
    text += "; no model describes these timings, so nothing is known beyond it";
  } else if (fit.known_to == candidates && !slower) {
    text += "; nothing is known beyond it";
  }
  if (report.sizing && !report.sizing->budgets.empty()) text += "; " + sizing_answer(*report.sizing);
  return text + ".";
}

}  // namespace kvcast::report
