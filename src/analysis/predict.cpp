#include "analysis/predict.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <utility>

#include "analysis/composition.h"
#include "base/text.h"
#include "kvcast/cost_model.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// Leave-one-out errors of the form in use, as fractions, ascending N; empty when unknown.
std::vector<double> left_out_errors(const Fit& fit, bool affine) {
  std::vector<double> errors;
  if (!(affine ? fit.affine_loo_error_pct : fit.loo_error_pct)) return errors;
  for (const Residual& residual : fit.residuals) {
    errors.push_back(*(affine ? residual.affine_loo_pct : residual.loo_pct) / 100);
  }
  return errors;
}

/// A prediction whose interval spans more than this factor is none.
constexpr double kMostSpan = 16;

bool in_use(const Fit& fit, const char* form) { return fit.preferred == form; }

/// The form in use as a line in N, in naive candidates; nullopt where none holds.
std::optional<Line> line_of(const Fit& fit) {
  if (in_use(fit, "neither")) return std::nullopt;
  if (in_use(fit, "affine")) {
    const AffineFit& affine = *fit.affine;
    return Line{affine.user_s / affine.naive_candidate_s, affine.candidate_s / affine.naive_candidate_s};
  }
  return Line{1 - fit.r->value, fit.r->value};
}

/// known_to of the fit; any N when asked to extrapolate, and something is known beyond the measured N at all.
std::int64_t reach_of(const Fit& fit, bool extrapolate) {
  const std::int64_t known = fit.known_to.value_or(0);
  const bool beyond = !fit.residuals.empty() && known > fit.residuals.back().candidates;
  return extrapolate && beyond ? std::numeric_limits<std::int64_t>::max() : known;
}

}  // namespace

std::optional<double> held_out_half_width(const std::vector<std::int64_t>& counts, const std::vector<double>& errors,
                                          std::int64_t candidates) {
  if (errors.empty()) return std::nullopt;
  double squares = 0;
  for (const double error : errors) squares += error * error;
  double rms = std::sqrt(squares / static_cast<double>(errors.size())), growth = 1;
  const auto beyond = [&](std::size_t edge, std::size_t beside) {
    const auto log_n = [&](std::size_t i) { return std::log(static_cast<double>(counts[i])); };
    rms = std::max(rms, std::abs(errors[edge]));
    growth += std::abs((std::log(static_cast<double>(candidates)) - log_n(edge)) / (log_n(edge) - log_n(beside)));
  };
  const std::size_t last = counts.size() - 1;
  if (candidates > counts[last]) beyond(last, last - 1);
  if (candidates < counts[0]) beyond(0, 1);
  return student_t_factor(0.95, static_cast<double>(errors.size())) * rms * growth;
}

Predictor::Predictor(const std::vector<Sample>& samples, const Fit& fit, bool extrapolate)
    : fit_(fit),
      levels_(load_levels(samples, fit.scheme).levels),
      affine_(in_use(fit, "affine")),
      line_(line_of(fit)),
      uncertainty_(levels_),
      errors_(left_out_errors(fit, affine_)),
      reach_(reach_of(fit, extrapolate)) {
  std::vector<Curve::Anchor> anchors;
  for (const Level& level : levels_) {
    counts_.push_back(level.candidates);
    anchors.push_back({level.candidates, static_cast<double>(level.candidates) / observed_speedup(level).value});
  }
  relative_ = {std::move(anchors), line_.has_value(), line_};
  const TimingTable table = tabulate(samples);
  const double naive_s = naive_candidate_seconds(levels_);
  const Line form = line_.value_or(Line{1, 0});
  naive_ = time_curve(table.at(kBaseline), {0, naive_s});
  scheme_ = time_curve(table.at(fit.scheme), {naive_s * form.history, naive_s * form.candidate});
}

Prediction Predictor::at(std::int64_t candidates) const {
  assert(candidates >= 1);
  Prediction prediction;
  prediction.candidates = candidates;
  const bool inside = counts_.front() < candidates && candidates < counts_.back();
  prediction.source = inside ? "interpolated" : "extrapolated";
  if (const Level* level = level_of(candidates)) {
    prediction.source = "measured";
    prediction.by = "timings";
    prediction.speedup = observed_speedup(*level);
  } else if (candidates > reach_) {
    prediction.reason = beyond();
    return prediction;
  } else {
    prediction.by = !line_ ? "interpolation" : affine_ ? "affine" : "one-parameter";
    if (line_) prediction.held_out_error_pct = affine_ ? fit_.affine_loo_error_pct : fit_.loo_error_pct;
    Estimate speedup{static_cast<double>(candidates) / relative_(candidates), std::nullopt};
    speedup.ci95 = line_ ? by_form(candidates, speedup.value) : between(candidates);
    if (line_ && speedup.ci95 && speedup.ci95->hi > kMostSpan * speedup.ci95->lo) {
      prediction.reason = "not known to a factor of " + format_significant(kMostSpan, 2) + ": measure N nearby";
      return prediction;
    }
    prediction.speedup = speedup;
  }
  prediction.naive_seconds = naive_(candidates);
  prediction.scheme_seconds = scheme_(candidates);
  return prediction;
}

const Level* Predictor::level_of(std::int64_t candidates) const {
  const auto found = std::find_if(levels_.begin(), levels_.end(),
                                  [candidates](const Level& level) { return level.candidates == candidates; });
  return found == levels_.end() ? nullptr : &*found;
}

std::string Predictor::beyond() const {
  const std::string largest = "the largest measured N=" + std::to_string(counts_.back()) + ": measure larger N";
  return reach_ == counts_.back() ? "nothing is known beyond " + largest
                                  : "beyond 4 times " + largest + ", or --extrapolate";
}

std::optional<Interval> Predictor::by_form(std::int64_t candidates, double value) const {
  const auto n = static_cast<double>(candidates);
  std::optional<StandardError> error;
  if (affine_) {
    // Beyond the data the line of a part of the rounds may fall below 0; a time does not.
    error = uncertainty_.of_line([n](const Forms& forms) {
      return -std::log(std::max(forms.line->history, 0.0) / n + std::max(forms.line->candidate, 0.0));
    });
  } else {
    error = uncertainty_.of_r([n](const Forms& forms) { return std::log(speedup(n, bounded_r(*forms.r))); });
  }
  const std::optional<double> held_out = held_out_half_width(counts_, errors_, candidates);
  if (!error || !held_out) return std::nullopt;
  const double half = std::hypot(error->half_width(), *held_out);
  Interval interval{value * std::exp(-half), value * std::exp(half)};
  if (candidates > counts_.back()) {
    const Estimate last = observed_speedup(levels_.back());
    const double most = n / static_cast<double>(counts_.back()) * (last.ci95 ? last.ci95->hi : last.value);
    interval.hi = std::max(value, std::min(interval.hi, most));
  }
  return interval;
}

/// From the lower to the upper end of the two measured N around it, in naive candidates.
std::optional<Interval> Predictor::between(std::int64_t candidates) const {
  const auto above = std::find_if(levels_.begin(), levels_.end(),
                                  [candidates](const Level& level) { return level.candidates > candidates; });
  if (above == levels_.begin() || above == levels_.end()) return std::nullopt;
  double lo = std::numeric_limits<double>::infinity(), hi = 0;
  for (const Level& level : {*std::prev(above), *above}) {
    const Estimate observed = observed_speedup(level);
    if (!observed.ci95) return std::nullopt;
    const auto n = static_cast<double>(level.candidates);
    lo = std::min(lo, n / observed.ci95->hi);
    hi = std::max(hi, n / observed.ci95->lo);
  }
  return Interval{static_cast<double>(candidates) / hi, static_cast<double>(candidates) / lo};
}

std::vector<Prediction> predict(const std::vector<Sample>& samples, const Fit& fit,
                                const std::vector<std::int64_t>& candidates, bool extrapolate) {
  std::vector<Prediction> predictions;
  if (candidates.empty() || !fit.r) return predictions;
  const Predictor predictor(samples, fit, extrapolate);
  for (const std::int64_t count : candidates) predictions.push_back(predictor.at(count));
  return predictions;
}

}  // namespace kvcast::analysis
