#include "report/conclusion.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.h"
#include "kvcast/cost_model.h"
#include "kvcast/kvcast.h"
#include "report/layout.h"

namespace kvcast::report {
namespace {

constexpr double kShare = 0.9;

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

std::optional<Ceiling> ceiling(const Fit& fit) {
  if (!fit.r) return std::nullopt;
  if (fit.preferred == "affine" && fit.affine) {
    const AffineFit& affine = *fit.affine;
    if (!(affine.candidate_s > 0)) return std::nullopt;
    return Ceiling{affine.naive_candidate_s / affine.candidate_s,
                   kShare / (1 - kShare) * affine.user_s / affine.candidate_s};
  }
  if (!(fit.r->value > 0)) return std::nullopt;
  return Ceiling{asymptote(fit.r->value), candidates_for_fraction(kShare, fit.r->value)};
}

std::string conclusion(const Report& report) {
  const Case* one = main_case(report);
  if (one == nullptr) return "";
  const Fit& fit = *main_fit(*one);
  std::int64_t candidates = 0;
  const SchemePoint* row = last_speedup(*one, fit.scheme, candidates);
  if (row == nullptr) return "";
  const int decimals = estimate_decimals(*row->speedup, 3);
  std::string text = (fit.scheme == "shared" ? "Sharing" : one_line(fit.scheme)) + " gives " +
                     factor(row->speedup->value, decimals) + " at N = " + integer(candidates);
  if (row->speedup->ci95) text += " (95% " + interval(*row->speedup, decimals) + ")";
  if (one->shape && report.cases.size() > 1) {
    text += " at L=" + integer(one->shape->history_length) + ", layers=" + integer(one->shape->layers);
  }
  if (const auto most = ceiling(fit)) {
    text += "; 90% of the ceiling of " + factor(most->speedup, 1) +
            " at N = " + whole(std::ceil(most->candidates_for_90 * (1 - 1e-9)));
  }
  if (report.sizing && !report.sizing->budgets.empty()) text += "; " + sizing_answer(*report.sizing);
  return text + ".";
}

}  // namespace kvcast::report
