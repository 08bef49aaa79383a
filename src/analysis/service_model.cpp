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

namespace kvcast::analysis {
namespace {

/// 1 to 10^6, each about a quarter above the one before.
std::vector<std::int64_t> counts_to_predict() {
  std::vector<std::int64_t> counts;
  for (double n = 1; n < 1.2e6; n = std::max(n + 1, 1.25 * n)) counts.push_back(static_cast<std::int64_t>(n));
  return counts;
}

/// Half-width of ln S at any N: the largest of the predictions up to the first that is not below N. A wider queue is
/// never called better known than a narrower one, and the safe N does not jump.
std::function<double(std::int64_t)> half_widths(const std::vector<Prediction>& predictions) {
  std::map<std::int64_t, double> halves;
  double widest = 0;
  for (const Prediction& prediction : predictions) {
    if (!prediction.speedup.ci95) return {};
    widest = std::max(widest, std::log(prediction.speedup.ci95->hi / prediction.speedup.value));
    halves[prediction.candidates] = widest;
  }
  return [halves](std::int64_t candidates) {
    const auto found = halves.lower_bound(candidates);
    return found == halves.end() ? halves.rbegin()->second : found->second;
  };
}

/// Half-width of the log of naive's time of a candidate: of the rounds of this run, for the next one.
double naive_half(const std::vector<Level>& levels) {
  std::map<std::int64_t, std::vector<double>> rounds;
  for (const Level& level : levels) {
    for (const TimingPair& pair : level.pairs) {
      rounds[pair.round].push_back(std::log(pair.numerator_s / static_cast<double>(level.candidates)));
    }
  }
  std::vector<double> times;
  for (const auto& [round, logs] : rounds) times.push_back(std::exp(mean(logs)));
  const Estimate estimate = ratio_of_run(std::move(times));
  return estimate.ci95 ? std::log(estimate.ci95->hi / estimate.value) : 0;
}

std::vector<double> residuals_of(const std::map<std::int64_t, PointTimings>& points,
                                 const std::function<double(std::int64_t)>& seconds) {
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

void scale_user(SizingProblem& problem, double factor) { problem.service.user_s *= factor; }
void scale_candidates(SizingProblem& problem, double factor) {
  problem.service.candidates_s = [old = problem.service.candidates_s, factor](std::int64_t n) {
    return factor * old(n);
  };
}
void scale_naive(SizingProblem& problem, double factor) {
  problem.naive_s = [old = problem.naive_s, factor](std::int64_t n) { return factor * old(n); };
}

/// The one-parameter form, with its inputs. c: in seconds or 1.
ServiceFit one_parameter(const Estimate& r, double c, bool timed, const char* source) {
  ServiceFit fit;
  fit.service.user_s = c * (1 - r.value);
  fit.service.candidates_s = per_candidate(c * r.value);
  fit.naive_s = per_candidate(c);
  if (r.value > 0) fit.limit = 1 / r.value;
  fit.inputs.push_back(input("r", "ratio", r, source, [value = r.value, c](SizingProblem& p, double factor) {
    const double to = std::min(1.0, value * factor);
    p.service.user_s = c * (1 - to);
    p.service.candidates_s = per_candidate(c * to);
  }));
  if (timed) {
    fit.inputs.push_back(input("naive_candidate_s", "s", {c, {}}, source, [](SizingProblem& p, double factor) {
      scale_user(p, factor);
      scale_candidates(p, factor);
      scale_naive(p, factor);
    }));
  }
  return fit;
}

}  // namespace

std::optional<ServiceFit> service_of_fit(const std::vector<Sample>& samples, const Fit& fit) {
  const auto predictions = predict(samples, fit.scheme, fit, counts_to_predict());
  if (predictions.empty()) return std::nullopt;
  const double c = *predictions.front().naive_seconds / static_cast<double>(predictions.front().candidates);
  ServiceFit model;
  if (predictions.front().by == "affine") {
    const AffineFit& affine = *fit.affine;
    model.service.user_s = affine.user_s;
    model.service.candidates_s = per_candidate(affine.candidate_s);
    model.naive_s = per_candidate(affine.naive_candidate_s);
    if (affine.candidate_s > 0) model.limit = affine.naive_candidate_s / affine.candidate_s;
    Estimate candidate{affine.candidate_s, {}};
    if (fit.marginal_r && fit.marginal_r->ci95) {
      candidate.ci95 = Interval{c * fit.marginal_r->ci95->lo, c * fit.marginal_r->ci95->hi};
    }
    model.inputs.push_back(input("user_s", "s", {affine.user_s, {}}, "fitted", scale_user));
    model.inputs.push_back(input("candidate_s", "s", candidate, "fitted", scale_candidates));
    model.inputs.push_back(input("naive_candidate_s", "s", {c, {}}, "fitted", scale_naive));
  } else {
    model = one_parameter(*fit.r, c, true, "fitted");
  }
  model.service.speedup_half = half_widths(predictions);
  const std::vector<Level> levels = load_levels(samples, fit.scheme).levels;
  model.service.time_half = naive_half(levels);
  const TimingTable table = tabulate(samples);
  const auto at_count = [&](std::int64_t n) { return model.service.seconds(n); };
  model.service.residuals = residuals_of(table.at(fit.scheme), at_count);
  model.naive_residuals = residuals_of(table.at(kBaseline), model.naive_s);
  for (const Level& level : levels) model.measured.push_back(level.candidates);
  model.least_measured = model.measured.front();
  model.most_measured = model.measured.back();
  return model;
}

ServiceFit service_of_r(double r, std::optional<double> naive_candidate_s, double tail) {
  ServiceFit fit = one_parameter({r, {}}, naive_candidate_s.value_or(1), naive_candidate_s.has_value(), "assumed");
  if (tail <= 1) return fit;
  // P99 over mean of a lognormal is exp(z sigma - sigma²/2); the smaller of the two sigma that give it.
  const boost::math::normal normal;
  const double z = boost::math::quantile(normal, 0.99);
  const double sigma = z - std::sqrt(std::max(0.0, z * z - 2 * std::log(tail)));
  constexpr int kPoints = 1000;
  std::vector<double>& residuals = fit.service.residuals;
  residuals.clear();
  double sum = 0;
  for (int i = 0; i < kPoints; ++i) {
    residuals.push_back(std::exp(sigma * boost::math::quantile(normal, (i + 0.5) / kPoints)));
    sum += residuals.back();
  }
  for (double& value : residuals) value *= kPoints / sum;
  fit.naive_residuals = residuals;
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
  fit.naive_s = [at](std::int64_t n) { return at(n).naive_s; };
  const RequestSeconds most = at(kMostCandidates);
  fit.limit = most.naive_s / (most.user_s + most.candidates_s);
  if (surface.speedup_log_error) {
    // As predict_surface().
    const double half = student_t_factor(0.95, surface.shapes - 1) * *surface.speedup_log_error;
    fit.service.speedup_half = [half](std::int64_t) { return half; };
  }
  fit.service.residuals = std::move(residuals);
  fit.naive_residuals = std::move(naive_residuals);
  const bool inside = surface.least_history <= history_length && history_length <= surface.most_history &&
                      surface.least_layers <= layers && layers <= surface.most_layers;
  if (inside) {
    fit.least_measured = surface.least_candidates;
    fit.most_measured = surface.most_candidates;
  }
  fit.inputs.push_back(input("user_s", "s", {fit.service.user_s, {}}, "fitted", scale_user));
  fit.inputs.push_back(input("candidate_s", "s",
                             {fit.limit && *fit.limit > 0 ? fit.naive_s(kMostCandidates) / *fit.limit / kMostCandidates : 0, {}},
                             "fitted", scale_candidates));
  fit.inputs.push_back(input("naive_candidate_s", "s", {fit.naive_s(kMostCandidates) / kMostCandidates, {}}, "fitted",
                             scale_naive));
  return fit;
}

void scale_times(SizingProblem& problem, double user, double candidates, double naive) {
  scale_user(problem, user);
  scale_candidates(problem, candidates);
  scale_naive(problem, naive);
}

}  // namespace kvcast::analysis
