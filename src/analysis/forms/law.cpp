// The one-parameter law: Speedup(N) = N/(1+(N-1) r).
#include <algorithm>
#include <boost/math/tools/toms748_solve.hpp>
#include <cmath>
#include <limits>
#include <utility>

#include "analysis/forms/form.h"

namespace kvcast::analysis {
namespace {

/// Smallest r reported. One candidate against a million cached tokens is about 1e-6. Above 1 one more candidate costs
/// more with sharing than without.
constexpr double kMinR = 1e-12;

double bounded_r(const Constants& constants) { return std::max(constants.front(), kMinR); }

/// The r that minimises Σ w (log S_obs - log S(N; r))² over N > 1; nullopt without one.
///
/// Worked in θ = log(1+(M-1) r), M the largest N: the log time at M in units of one naive candidate. Any θ is an r
/// above -1/(M-1), for which every form is finite. With g = log N - log S_obs the residual log(1+(N-1) r) - g rises
/// with θ, so the minimum lies between the smallest and the largest of the θ that single N imply. Between them the sum
/// may have more than one hollow when the N contradict each other, hence the scan for roots of the derivative and the
/// choice among them.
std::optional<double> solve_r(const std::vector<LogPoint>& points, double tau_squared) {
  struct Term {
    double others, target, weight;  // N-1, g, w
  };
  std::vector<Term> terms;
  for (const LogPoint& point : points) {
    if (point.candidates <= 1) continue;
    terms.push_back(
        {point.candidates - 1, std::log(point.candidates) - point.log_speedup, 1 / (point.variance + tau_squared)});
  }
  if (terms.empty()) return std::nullopt;
  const double largest = terms.back().others;
  double lo = std::numeric_limits<double>::infinity(), hi = -lo;
  for (const Term& term : terms) {
    // An N that looks more than N times faster asks for less than any r can give the largest N.
    constexpr double kLeast = -1 + 1e-6;
    const double theta = std::log1p(std::max(largest * (std::expm1(term.target) / term.others), kLeast));
    lo = std::min(lo, theta);
    hi = std::max(hi, theta);
  }

  const auto objective = [&](double theta) {
    const double r = std::expm1(theta) / largest;
    double sum = 0;
    for (const Term& term : terms) {
      const double residual = std::log1p(term.others * r) - term.target;
      sum += term.weight * residual * residual;
    }
    return sum;
  };
  const auto half_derivative = [&](double theta) {
    const double r = std::expm1(theta) / largest;
    double sum = 0;
    for (const Term& term : terms) {
      const double time = term.others * r;
      sum += term.weight * (std::log1p(time) - term.target) * term.others / (1 + time);
    }
    return sum;
  };

  double best = lo, least = objective(lo);
  const auto consider = [&](double theta) {
    if (const double value = objective(theta); value < least) {
      least = value;
      best = theta;
    }
  };
  constexpr int kCells = 32;
  double left = lo, slope_left = half_derivative(lo);
  for (int cell = 1; cell <= kCells; ++cell) {
    const double right = cell == kCells ? hi : lo + (hi - lo) / kCells * cell;
    const double slope_right = half_derivative(right);
    if (slope_left < 0 && slope_right >= 0) {
      // The root of the derivative is good to all digits; a minimiser on values would stop at half of them.
      std::uintmax_t iterations = 100;
      const auto [below, above] =
          boost::math::tools::toms748_solve(half_derivative, left, right, slope_left, slope_right,
                                            boost::math::tools::eps_tolerance<double>(), iterations);
      consider(below + (above - below) / 2);
    }
    left = right;
    slope_left = slope_right;
  }
  consider(hi);
  return std::expm1(best) / largest;
}

double residual_at(const Constants& constants, const LogPoint& point) {
  return point.log_speedup - std::log(point.candidates) + std::log1p((point.candidates - 1) * constants.front());
}

/// τ² by Paule and Mandel, and the r that goes with it. Newton's steps: the function falls and is convex, so they reach
/// its root from below, and from above pass it once.
std::pair<double, double> solve_tau(const std::vector<LogPoint>& points, double r) {
  const double degrees = static_cast<double>(points.size()) - 1;
  double squares = 0, largest = 0;
  for (const LogPoint& point : points) {
    squares += std::pow(residual_at({r}, point), 2);
    largest = std::max(largest, point.variance);
  }
  double tau_squared = std::max(squares / degrees - largest, 0.0);
  constexpr int kMaxSteps = 60;
  for (int step = 0; step < kMaxSteps; ++step) {
    if (tau_squared > 0) r = *solve_r(points, tau_squared);
    double excess = -degrees, slope = 0;
    for (const LogPoint& point : points) {
      const double weight = 1 / (point.variance + tau_squared), residual = residual_at({r}, point);
      excess += weight * residual * residual;
      slope += weight * weight * residual * residual;
    }
    if (std::abs(excess) <= 1e-9 * degrees || (excess < 0 && tau_squared == 0)) break;
    tau_squared = std::max(tau_squared + excess / slope, 0.0);
    if (tau_squared == 0) r = *solve_r(points, 0);
  }
  return {tau_squared, r};
}

/// r minimises Σ w_N (log S_obs - log S(N; r))² over N > 1 with w_N = 1/(se_N² + τ²). τ² is what the law misses: the N
/// are taken as drawn about it with that variance (random effects), and τ² is the one for which the weighted squares of
/// all N, N = 1 too, come to their degrees of freedom. So the weights are those of the noise when the law holds and
/// equal when it does not, and do not jump with the luck of a noise estimate.
/// Constants: r above -1/(N-1) of the largest N; τ of log S where there are two N.
/// Source: Paule and Mandel, "Consensus values and weighting factors", J. Res. NBS 87 (1982); iteration of DerSimonian
/// and Kacker, "Random-effects model for meta-analysis of clinical trials", Contemp. Clin. Trials 28 (2007).
std::optional<Constants> fit(const std::vector<LogPoint>& points) {
  const std::optional<double> equal = solve_r(points, 0);
  if (!equal) return std::nullopt;
  if (points.size() < 2) return Constants{*equal};
  const auto [tau_squared, r] = solve_tau(points, *equal);
  return Constants{r, std::sqrt(tau_squared)};
}

std::optional<Constants> bounded(const std::vector<LogPoint>& points) {
  std::optional<Constants> constants = fit(points);
  if (constants) constants->front() = bounded_r(*constants);
  return constants;
}

double time(const Constants& constants, double candidates) { return 1 + (candidates - 1) * bounded_r(constants); }

double slope(const Constants& constants) { return constants.front(); }

}  // namespace

const CostForm& law_form() {
  static const CostForm form = {.name = "one-parameter",
                                .phrase = "the one-parameter law",
                                .formula = "N/(1+(N-1)*r)",
                                .limit = "1/r",
                                .for_90 = "9*(1/r-1)",
                                .parameters = {{"r", "r", "ratio", false}},
                                .free_constants = 1,
                                .least = 1,
                                .reported_from = 1,
                                .one_says_nothing = true,
                                .fit = fit,
                                .bounded = bounded,
                                .residual = residual_at,
                                .time = time,
                                .slope = slope,
                                .beyond_law = nullptr};
  return form;
}

}  // namespace kvcast::analysis
