#include "analysis/service_model.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <map>
#include <utility>

#include "analysis/composition.h"
#include "analysis/forms.h"
#include "analysis/predict.h"
#include "analysis/statistics.h"
#include "kvcast/cost_model.h"

namespace kvcast::analysis {
namespace {

/// 1 to 10^6, each about a quarter above the one before.
std::vector<std::int64_t> counts_to_predict() {
  std::vector<std::int64_t> counts;
  for (double n = 1; n < 1.2e6; n = std::max(n + 1, 1.25 * n)) counts.push_back(static_cast<std::int64_t>(n));
  return counts;
}

/// Half-widths that do not fall with N. A wider queue is never called better known than a narrower one, so that what is
/// safe does not jump.
Steps not_falling(const std::vector<std::int64_t>& counts, const std::vector<double>& halves) {
  Steps steps;
  double widest = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    steps.candidates.push_back(counts[i]);
    steps.values.push_back(widest = std::max(widest, halves[i]));
  }
  return steps;
}

Steps speedup_half(const std::vector<Prediction>& predictions) {
  std::vector<std::int64_t> counts;
  std::vector<double> halves;
  for (const Prediction& prediction : predictions) {
    if (!prediction.speedup.ci95) return {};
    counts.push_back(prediction.candidates);
    halves.push_back(std::log(prediction.speedup.ci95->hi / prediction.speedup.value));
  }
  return not_falling(counts, halves);
}

using Points = std::map<std::int64_t, PointTimings>;

/// The time of each N, as a line is fitted to it: bounded_line() takes ln(N/T) for a speed-up and gives T's line.
std::vector<LogPoint> time_points(const Points& points) {
  std::vector<LogPoint> times;
  for (const auto& [candidates, point] : points) {
    std::vector<double> logs;
    for (const Timing& timing : prevailing(point)) logs.push_back(std::log(timing.seconds));
    const auto n = static_cast<double>(candidates);
    times.push_back({n, std::log(n) - trimmed_mean(std::move(logs)).mean, 0});
  }
  return times;
}

double line_seconds(const Line& line, double candidates) { return line.history + line.candidate * candidates; }

/// ln(line/time) at every N, by the line without that N.
std::vector<double> left_out_errors(const std::vector<LogPoint>& times) {
  std::vector<double> errors;
  for (std::size_t i = 0; i < times.size(); ++i) {
    std::vector<LogPoint> others = times;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    const double seconds = line_seconds(bounded_line(others), times[i].candidates);
    errors.push_back(std::log(seconds / times[i].candidates) + times[i].log_speedup);
  }
  return errors;
}

/// Half-width of ln(time) that the rounds of this run leave for the next one; nullopt below two rounds.
std::optional<double> run_half(const Points& points, const Line& line) {
  std::map<std::int64_t, std::vector<double>> rounds;
  for (const auto& [candidates, point] : points) {
    for (const Timing& timing : prevailing(point)) {
      rounds[timing.round].push_back(std::log(timing.seconds / line_seconds(line, static_cast<double>(candidates))));
    }
  }
  std::vector<double> ratios;
  for (const auto& [round, logs] : rounds) ratios.push_back(std::exp(mean(logs)));
  const Estimate estimate = ratio_of_run(std::move(ratios));
  return estimate.ci95 ? std::optional(std::log(estimate.ci95->hi / estimate.value)) : std::nullopt;
}

/// Fewest N that fit a line and say how far it is off.
constexpr std::size_t kLineCounts = 3;

Steps time_half(const Points& points, const std::vector<LogPoint>& times, const Line& line) {
  const auto of_run = run_half(points, line);
  // With three N each error is that of a line through two.
  if (times.size() <= kLineCounts || !of_run) return {};
  const std::vector<double> errors = left_out_errors(times);
  std::vector<std::int64_t> measured;
  for (const auto& [candidates, point] : points) measured.push_back(candidates);
  const std::vector<std::int64_t> counts = counts_to_predict();
  std::vector<double> halves;
  for (const std::int64_t n : counts) halves.push_back(std::hypot(*held_out_half_width(measured, errors, n), *of_run));
  return not_falling(counts, halves);
}

std::vector<double> residuals_of(const Points& points, const std::function<double(std::int64_t)>& seconds) {
  std::vector<double> residuals;
  for (const auto& [candidates, point] : points) {
    for (const Timing& timing : prevailing(point)) residuals.push_back(timing.seconds / seconds(candidates));
  }
  std::sort(residuals.begin(), residuals.end());
  return residuals;
}

ScalableInput input(const char* name, const char* unit, Estimate value, const char* source,
                    std::function<void(SizingProblem&, double)> scale) {
  ScalableInput made;
  made.shown.name = name;
  made.shown.unit = unit;
  made.shown.value = value.value;
  made.shown.ci95 = value.ci95;
  made.shown.source = source;
  made.scale = std::move(scale);
  return made;
}

using Scale = std::function<void(SizingProblem&, double)>;
const Scale kUser = [](SizingProblem& problem, double factor) { scale_times(problem, factor, 1, 1); };
const Scale kCandidates = [](SizingProblem& problem, double factor) { scale_times(problem, 1, factor, 1); };
const Scale kNaive = [](SizingProblem& problem, double factor) { scale_times(problem, 1, 1, factor); };
const Scale kAll = [](SizingProblem& problem, double factor) { scale_times(problem, factor, factor, factor); };

/// The one-parameter form, with its inputs. c: in seconds or 1.
ServiceFit one_parameter(const Estimate& r, double c, bool timed, const char* source) {
  ServiceFit fit;
  set_line(fit.service, c * (1 - r.value), c * r.value);
  fit.naive_s = per_candidate(c);
  fit.speedup = [r = r.value](std::int64_t n) { return speedup(static_cast<double>(n), r); };
  fit.speedup_line = {1 - r.value, r.value};
  if (r.value > 0) fit.limit = 1 / r.value;
  fit.inputs.push_back(input("r", "ratio", r, source, [value = r.value](SizingProblem& problem, double factor) {
    const double to = std::min(1.0, value * factor);
    if (value < 1 && value > 0) scale_times(problem, (1 - to) / (1 - value), to / value, 1);
  }));
  if (timed) fit.inputs.push_back(input("naive_candidate_s", "s", {c, {}}, source, kAll));
  return fit;
}

/// `value` with the relative interval of another estimate.
Estimate with_interval_of(double value, const std::optional<Estimate>& other) {
  Estimate estimate{value, {}};
  if (other && other->ci95 && other->value > 0) {
    estimate.ci95 = Interval{value * other->ci95->lo / other->value, value * other->ci95->hi / other->value};
  }
  return estimate;
}

/// Gives `service` its line and its cost per block where they are what its candidates take. Not so for copies of a
/// cache that only together leave the CPU's cache.
void find_line(ServiceModel& service, std::int64_t block) {
  const auto seconds = service.candidates_s;
  const double one = seconds(1);
  const double candidate = block > 1 ? (seconds(block) - one) / static_cast<double>(block - 1) : one;
  ServiceModel line = service;
  set_line(line, service.user_s, candidate, block > 1 ? std::max(0.0, one - candidate) : 0, block);
  // Within a block, across blocks, and far beyond them.
  for (const std::int64_t n : {std::int64_t{2}, (block + 1) / 2, block, block + 1, 5 * block + 3, kMostCandidates}) {
    if (n > kMostCandidates) continue;
    if (!(std::abs(line.candidates_s(n) - seconds(n)) <= 1e-9 * seconds(n))) return;
  }
  service = line;
}

}  // namespace

std::optional<ServiceFit> service_of_fit(const std::vector<Sample>& samples, const Fit& fit) {
  const auto predictions = predict(samples, fit.scheme, fit, counts_to_predict());
  if (predictions.empty()) return std::nullopt;
  const double c = *predictions.front().naive_seconds / static_cast<double>(predictions.front().candidates);
  const TimingTable table = tabulate(samples);
  const Points &scheme = table.at(fit.scheme), &naive = table.at(kBaseline);
  ServiceFit model = one_parameter(*fit.r, c, true, "fitted");
  if (predictions.front().by == "affine") {
    const AffineFit affine = *fit.affine;
    model.speedup = [affine](std::int64_t n) {
      const auto count = static_cast<double>(n);
      return affine.naive_candidate_s * count / (affine.user_s + affine.candidate_s * count);
    };
    model.speedup_line = {affine.user_s / affine.naive_candidate_s, affine.candidate_s / affine.naive_candidate_s};
    model.limit.reset();
    if (affine.candidate_s > 0) model.limit = affine.naive_candidate_s / affine.candidate_s;
  }
  model.speedup_half = speedup_half(predictions);
  if (scheme.size() >= kLineCounts) {
    const std::vector<LogPoint> times = time_points(scheme);
    const Line line = bounded_line(times);
    set_line(model.service, line.history, line.candidate);
    if (model.speedup_half) model.service.half = time_half(scheme, times, line);
    const bool affine = predictions.front().by == "affine" && fit.marginal_r.has_value();
    model.inputs = {input("user_s", "s", {line.history, {}}, "fitted", kUser),
                    input("candidate_s", "s", with_interval_of(line.candidate, affine ? fit.marginal_r : fit.r),
                          "fitted", kCandidates),
                    input("naive_candidate_s", "s", {c, {}}, "fitted", kNaive)};
  }
  if (naive.size() >= kLineCounts) {
    const Line line = bounded_line(time_points(naive));
    model.naive_s = [line](std::int64_t n) { return line_seconds(line, static_cast<double>(n)); };
  }
  model.service.residuals = residuals_of(scheme, [&](std::int64_t n) { return model.service.seconds(n); });
  model.naive_residuals = residuals_of(naive, model.naive_s);
  for (const Level& level : load_levels(samples, fit.scheme).levels) model.measured.push_back(level.candidates);
  model.least_measured = model.measured.front();
  model.most_measured = model.measured.back();
  return model;
}

std::vector<double> lognormal_residuals(double tail) {
  if (tail <= 1) return {1};
  // P99 over mean of a lognormal is exp(z sigma - sigma²/2); the smaller of the two sigma that give it.
  const boost::math::normal normal;
  const double z = boost::math::quantile(normal, 0.99);
  const double sigma = z - std::sqrt(std::max(0.0, z * z - 2 * std::log(tail)));
  constexpr int kPoints = 1000;
  std::vector<double> residuals;
  double sum = 0;
  for (int i = 0; i < kPoints; ++i) {
    residuals.push_back(std::exp(sigma * boost::math::quantile(normal, (i + 0.5) / kPoints)));
    sum += residuals.back();
  }
  for (double& value : residuals) value *= kPoints / sum;
  return residuals;
}

ServiceFit service_of_r(double r, std::optional<double> naive_candidate_s, double tail) {
  ServiceFit fit = one_parameter({r, {}}, naive_candidate_s.value_or(1), naive_candidate_s.has_value(), "assumed");
  fit.service.residuals = fit.naive_residuals = lognormal_residuals(tail);
  return fit;
}

ServiceFit service_of_surface(const Surface& surface, const SurfaceFamily& family, std::int64_t history_length,
                              std::int64_t layers, std::vector<double> residuals, std::vector<double> naive_residuals) {
  const auto at = [surface, family, history_length, layers](std::int64_t candidates) {
    return request_seconds(surface, family, history_length, layers, candidates);
  };
  ServiceFit fit;
  fit.service.user_s = at(1).user_s;
  fit.service.candidates_s = [at](std::int64_t n) { return at(n).candidates_s; };
  find_line(fit.service, family.scheme.block == 0 ? kMostCandidates : family.scheme.block);
  fit.naive_s = [at](std::int64_t n) { return at(n).naive_s; };
  fit.speedup = [at](std::int64_t n) {
    const RequestSeconds seconds = at(n);
    return seconds.naive_s / (seconds.user_s + seconds.candidates_s);
  };
  const RequestSeconds most = at(kMostCandidates);
  fit.limit = most.naive_s / (most.user_s + most.candidates_s);
  if (surface.speedup_log_error) {
    // As predict_surface().
    const double half = student_t_factor(0.95, surface.shapes - 1) * *surface.speedup_log_error;
    fit.speedup_half = fit.service.half = Steps{{1}, {half}};
  }
  fit.service.residuals = std::move(residuals);
  fit.naive_residuals = std::move(naive_residuals);
  fit.least_measured = surface.least_candidates;
  fit.most_measured = surface.most_candidates;
  fit.inputs.push_back(input("user_s", "s", {fit.service.user_s, {}}, "fitted", kUser));
  fit.inputs.push_back(
      input("candidate_s", "s",
            {fit.limit && *fit.limit > 0 ? fit.naive_s(kMostCandidates) / *fit.limit / kMostCandidates : 0, {}},
            "fitted", kCandidates));
  fit.inputs.push_back(
      input("naive_candidate_s", "s", {fit.naive_s(kMostCandidates) / kMostCandidates, {}}, "fitted", kNaive));
  return fit;
}

}  // namespace kvcast::analysis
