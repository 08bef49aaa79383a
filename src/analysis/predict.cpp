#include "analysis/predict.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "analysis/composition.h"
#include "base/text.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// Leave-one-out errors of the model in use, as fractions, ascending N; empty when unknown.
std::vector<double> left_out_errors(const FittedModel* model) {
  std::vector<double> errors;
  if (model == nullptr || !model->loo_error_pct) return errors;
  for (const ModelResidual& residual : model->residuals) errors.push_back(*residual.loo_pct / 100);
  return errors;
}

/// A prediction whose interval spans more than this factor is none.
constexpr double kMaxSpan = 16;

/// known_to of the fit; any N when asked to extrapolate, and something is known beyond the measured N at all.
std::int64_t reach_of(const Fit& fit, bool extrapolate) {
  const std::int64_t known = fit.known_to.value_or(0);
  const bool beyond = !fit.observed.empty() && known > fit.observed.back().candidates;
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
    : fit_(std::make_shared<const Fit>(fit)),
      levels_(load_levels(samples, fit.scheme).levels),
      model_(fit_->in_use()),
      uncertainty_(levels_),
      errors_(left_out_errors(model_)),
      reach_(reach_of(fit, extrapolate)) {
  std::vector<Curve::Anchor> anchors;
  for (const Level& level : levels_) {
    counts_.push_back(level.candidates);
    anchors.push_back({level.candidates, static_cast<double>(level.candidates) / observed_speedup(level).value});
  }
  std::function<double(double)> time;  // of the model in use, in naive candidates
  if (model_ != nullptr) {
    form_ = find_form(model_->name);
    time = [form = form_, constants = constants_of(*form_, *model_)](double n) { return form->time(constants, n); };
  }
  relative_ = {std::move(anchors), model_ != nullptr, time};
  const TimingTable table = tabulate(samples);
  const double naive_s = naive_candidate_seconds(levels_);
  naive_ = time_curve(table.at(kBaseline), [](double n) { return n; });
  scheme_ = time_curve(table.at(fit.scheme), [time, naive_s](double n) { return naive_s * (time ? time(n) : 1); });
}

Prediction Predictor::at(std::int64_t candidates) const {
  assert(candidates >= 1);
  Prediction prediction;
  prediction.candidates = candidates;
  const bool inside = counts_.front() < candidates && candidates < counts_.back();
  prediction.source = inside ? Source::interpolated : Source::extrapolated;
  if (const Level* level = level_of(candidates)) {
    prediction.source = Source::measured;
    prediction.by = "timings";
    prediction.speedup = observed_speedup(*level);
  } else if (candidates > reach_) {
    prediction.reason = beyond();
    return prediction;
  } else {
    prediction.by = model_ == nullptr ? "interpolation" : model_->name;
    if (model_ != nullptr) prediction.held_out_error_pct = model_->loo_error_pct;
    Estimate speedup{static_cast<double>(candidates) / relative_(candidates), std::nullopt};
    speedup.ci95 = model_ != nullptr ? by_form(candidates, speedup.value) : between(candidates);
    if (model_ != nullptr && speedup.ci95 && speedup.ci95->hi > kMaxSpan * speedup.ci95->lo) {
      prediction.reason =
          "uncertain by more than a factor of " + format_significant(kMaxSpan, 2) + ": measure N nearby";
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
  const std::optional<StandardError> error =
      uncertainty_.of(*form_, [&](const Constants& constants) { return std::log(form_->speedup(constants, n)); });
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
