#include "report/conclusion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/text.h"
#include "kvcast/kvcast.h"
#include "kvcast/words.h"
#include "report/format.h"
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

/// With no more digits than the interval of the cost behind the ceiling supports; and whether that cost two.
std::pair<double, bool> supported(const Fit& fit, double value) {
  const FittedModel* model = fit.in_use();
  const std::optional<Estimate> cost = model != nullptr ? model->marginal_r : fit.r;
  const bool wide = cost && cost->ci95 && cost->ci95->hi - cost->ci95->lo > 2 * kWideInterval * cost->value;
  if (!wide || !(value >= 10)) return {value, wide};
  const double step = std::pow(10.0, std::floor(std::log10(value)) - 1);
  return {step * std::round(value / step), wide};
}

/// The ceiling and the N with 90% of it.
std::string ceiling_of(const Fit& fit) {
  if (!fit.candidates_for_90) return "ceiling " + ceiling(fit) + ", extrapolated";
  return "90% of the ceiling of " + ceiling(fit) +
         " at N = " + whole(supported(fit, static_cast<double>(*fit.candidates_for_90)).first);
}

/// Of a run that was to fit something, and did not.
std::string without_fit(const Report& report) {
  for (const Case& one : report.cases) {
    for (const Fit& fit : one.fits) {
      if (report.conditions && !fit.verdict.empty()) {
        return "No speed-up: " + one_line(fit.verdict) + (fit.next.empty() ? "" : "; " + one_line(fit.next)) + ".";
      }
    }
  }
  return "";
}

}  // namespace

std::string ceiling(const Fit& fit) {
  if (!fit.asymptote) return "-";
  const auto [value, wide] = supported(fit, *fit.asymptote);
  return factor(value, wide && value >= 10 ? 0 : 1);
}

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
  if (const std::string question = doubt(report); !question.empty()) {
    return (report.sizing ? sizing_answer(*report.sizing) : question) + ".";
  }
  const Case* one = main_case(report);
  if (one == nullptr) return without_fit(report);
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
  if (fit.asymptote) {
    text += "; " + ceiling_of(fit);
  } else if (fit.preferred == kNoModel) {
    text += "; no model describes these timings, so nothing is known beyond it";
  } else if (fit.known_to == candidates && !slower) {
    text += "; nothing is known beyond it";
  }
  if (report.sizing && !report.sizing->budgets.empty()) text += "; " + sizing_answer(*report.sizing);
  return text + ".";
}

std::string judged_after_timing(const std::vector<TimedOutputs>& rows) {
  if (rows.empty()) return "not judged after the timing";
  std::int64_t agree = 0, most = 0;
  const TimedOutputs* worst = nullptr;
  // A NaN is the worst of all.
  const auto share = [](const TimedOutputs& row) {
    const double part = row.max_abs / row.allowed;
    return std::isnan(part) ? std::numeric_limits<double>::infinity() : part;
  };
  const auto size = [](double value) { return std::isfinite(value) ? fmt::format("{:.1e}", value) : "NaN"; };
  for (const TimedOutputs& row : rows) {
    agree += row.agrees ? 1 : 0;
    most = std::max(most, row.judged);
    if (worst == nullptr || share(row) > share(*worst)) worst = &row;
  }
  const auto all = static_cast<std::int64_t>(rows.size());
  return "after the timing " +
         (agree == all ? counted(all, "timing") + " agree"
                       : integer(all - agree) + " of " + counted(all, "timing") + " DISAGREE") +
         ", by up to " + counted(most, "candidate") + " each; the worst is off by " + size(worst->max_abs) + " of " +
         size(worst->allowed) + " allowed (" + one_line(worst->scheme) + ", N = " + integer(worst->candidates) + ")";
}

}  // namespace kvcast::report
