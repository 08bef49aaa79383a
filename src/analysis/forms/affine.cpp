// The affine form: a request takes a + b N, naive c N. Constants: a/c and b/c.
#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "analysis/forms/form.h"

namespace kvcast::analysis {
namespace {

/// Relative least squares, Σ ((q - α - βN)/q)² with q = N/S_obs.
std::optional<Constants> fit(const std::vector<LogPoint>& points) {
  if (points.size() < 2) return std::nullopt;
  std::vector<double> times;  // N/S: of the scheme, in naive candidates
  double weights = 0, middle_n = 0, middle_time = 0;
  for (const LogPoint& point : points) {
    times.push_back(point.candidates * std::exp(-point.log_speedup));
    const double weight = 1 / (times.back() * times.back());
    weights += weight;
    middle_n += weight * point.candidates;
    middle_time += weight * times.back();
  }
  middle_n /= weights;
  middle_time /= weights;
  double squares = 0, products = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double weight = 1 / (times[i] * times[i]), from_middle = points[i].candidates - middle_n;
    squares += weight * from_middle * from_middle;
    products += weight * from_middle * (times[i] - middle_time);
  }
  const double slope = products / squares;
  return Constants{middle_time - slope * middle_n, slope};
}

/// Neither below 0.
std::optional<Constants> bounded(const std::vector<LogPoint>& points) {
  const std::optional<Constants> free = fit(points);
  if (!free || ((*free)[0] >= 0 && (*free)[1] >= 0)) return free;
  // Two unknowns: the constrained minimum has one of them at zero. What each adds is positive, so the other is too.
  const auto alone = [&](const std::function<double(double)>& of_n) {
    double sum = 0, squares = 0;
    for (const LogPoint& point : points) {
      const double relative = of_n(point.candidates) * std::exp(point.log_speedup) / point.candidates;
      sum += relative;
      squares += relative * relative;
    }
    return std::pair{sum / squares, -sum * sum / squares};  // value, squares left but for a constant
  };
  const auto [history, history_error] = alone([](double) { return 1.0; });
  const auto [candidate, candidate_error] = alone([](double n) { return n; });
  return history_error < candidate_error ? Constants{history, 0} : Constants{0, candidate};
}

double residual(const Constants& constants, const LogPoint& point) {
  return 1 - point.candidates / (constants[0] + constants[1] * point.candidates) / std::exp(point.log_speedup);
}

// Beyond the data the line of a part of the rounds may fall below 0; a time does not.
double time(const Constants& constants, double candidates) {
  return std::max(constants[0], 0.0) + std::max(constants[1], 0.0) * candidates;
}

double slope(const Constants& constants) { return constants[1]; }

/// Time of one candidate less that of naive.
double beyond_law(const Constants& constants) { return constants[0] + constants[1] - 1; }

}  // namespace

const CostForm& affine_form() {
  static const CostForm form = {.name = "affine",
                                .phrase = "the affine model",
                                .formula = "c*N/(a+b*N)",
                                .limit = "c/b",
                                .for_90 = "9*a/b",
                                .parameters = {{"prefill_s", "a", "s", true}, {"candidate_s", "b", "s", true}},
                                .free_constants = 2,
                                .least = 2,
                                .reported_from = 3,
                                .one_says_nothing = false,
                                .fit = fit,
                                .bounded = bounded,
                                .residual = residual,
                                .time = time,
                                .slope = slope,
                                .beyond_law = beyond_law};
  return form;
}

}  // namespace kvcast::analysis
