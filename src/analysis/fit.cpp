#include "analysis/fit.h"

#include <Eigen/QR>
#include <algorithm>
#include <boost/math/tools/toms748_solve.hpp>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "analysis/composition.h"
#include "analysis/statistics.h"
#include "kvcast/cost_model.h"

namespace kvcast::analysis {
namespace {

/// Smallest spread of log ratios a weight believes in: a timer does not repeat to better than half a percent.
constexpr double kRelativeFloor = 0.005;
/// Smallest r considered. One candidate against a million cached tokens is about 1e-6.
constexpr double kMinR = 1e-12;
/// How much smaller the affine form's leave-one-out error must be to be preferred.
constexpr double kClearlySmaller = 0.8;
/// Errors below this, in percent, are rounding: two forms that both fit exactly are not told apart by it.
constexpr double kExactPct = 1e-6;
/// Distinct N > 1 from which the form can be tested, and distinct N from which three affine constants can be.
constexpr std::size_t kMinTestedN = 3, kMinAffineN = 3;

/// The pairs of one N.
struct Level {
  std::int64_t candidates = 0;
  std::vector<TimingPair> pairs;  ///< naive over scheme
};

struct Data {
  std::vector<Level> levels;  ///< ascending N, each with at least one pair
  std::int64_t excluded = 0;
};

Data load(const std::vector<Sample>& samples, const std::string& scheme) {
  Data data;
  const TimingTable table = tabulate(samples);
  const auto naive = table.find(kBaseline), shared = table.find(scheme);
  if (naive == table.end() || shared == table.end()) return data;
  for (const auto& [candidates, point] : shared->second) {
    const auto baseline = naive->second.find(candidates);
    if (baseline == naive->second.end()) continue;
    TimingPairs paired = pair_rounds(prevailing(baseline->second), prevailing(point));
    data.excluded += paired.excluded;
    if (!paired.pairs.empty()) data.levels.push_back({candidates, std::move(paired.pairs)});
  }
  return data;
}

std::vector<Level> without_candidates(const std::vector<Level>& levels, std::int64_t candidates) {
  std::vector<Level> rest;
  for (const Level& level : levels) {
    if (level.candidates != candidates) rest.push_back(level);
  }
  return rest;
}

std::vector<Level> without_round(const std::vector<Level>& levels, std::int64_t round) {
  std::vector<Level> rest;
  for (const Level& level : levels) {
    Level kept{level.candidates, {}};
    for (const TimingPair& pair : level.pairs) {
      if (pair.round != round) kept.pairs.push_back(pair);
    }
    if (!kept.pairs.empty()) rest.push_back(std::move(kept));
  }
  return rest;
}

std::vector<double> log_ratios(const Level& level) {
  std::vector<double> logs;
  for (const TimingPair& pair : level.pairs) logs.push_back(std::log(pair.ratio()));
  return logs;
}

/// Mean log speed-up of one N, with its weight.
struct LogPoint {
  double candidates = 0, log_speedup = 0, weight = 0;
};

std::vector<LogPoint> log_points(const std::vector<Level>& levels) {
  std::vector<std::optional<double>> variances;
  std::vector<double> known;
  for (const Level& level : levels) {
    variances.push_back(sample_variance(log_ratios(level)));
    if (variances.back()) known.push_back(*variances.back());
  }
  // A variance of three rounds is itself a guess: without a floor the N whose rounds happen to coincide takes all the
  // weight. Simulated at 3 rounds and equal noise at five N, the median as floor narrows the interval of r by a third;
  // it keeps what weights are for, since N noisier than most still count less.
  const double floor = std::max(known.empty() ? 0 : median(known), kRelativeFloor * kRelativeFloor);
  std::vector<LogPoint> points;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const double variance = std::max(variances[i].value_or(0), floor);
    points.push_back({static_cast<double>(levels[i].candidates), mean(log_ratios(levels[i])), 1 / variance});
  }
  return points;
}

/// The r of the one-parameter form; nullopt without an N > 1.
///
/// Worked in x = log r. With g = log N - log S_obs the residual is log(1+(N-1)e^x) - g, increasing in x, so the minimum
/// lies between the smallest and the largest of the r that single N imply. Between them the sum may have more than one
/// hollow when the N contradict each other, hence the scan for roots of the derivative and the choice among them.
std::optional<double> fit_r(const std::vector<LogPoint>& points) {
  struct Term {
    double others, target, weight;  // N-1, g, w
  };
  std::vector<Term> terms;
  double lo = 0, hi = std::log(kMinR);
  for (const LogPoint& point : points) {
    if (point.candidates <= 1) continue;
    terms.push_back({point.candidates - 1, std::log(point.candidates) - point.log_speedup, point.weight});
    const double implied = r_from_speedup(point.candidates, std::exp(point.log_speedup));
    const double x = std::log(std::clamp(implied, kMinR, 1.0));
    lo = std::min(lo, x);
    hi = std::max(hi, x);
  }
  if (terms.empty()) return std::nullopt;

  const auto objective = [&](double x) {
    double sum = 0;
    for (const Term& term : terms) {
      const double residual = std::log1p(term.others * std::exp(x)) - term.target;
      sum += term.weight * residual * residual;
    }
    return sum;
  };
  const auto half_derivative = [&](double x) {
    double sum = 0;
    for (const Term& term : terms) {
      const double added = term.others * std::exp(x);
      sum += term.weight * (std::log1p(added) - term.target) * added / (1 + added);
    }
    return sum;
  };

  double best = lo, least = objective(lo);
  const auto consider = [&](double x) {
    if (const double value = objective(x); value < least) {
      least = value;
      best = x;
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
  consider(hi);  // the minimum where r is cut to 1
  return std::exp(best);
}

/// Rounds that say something about r.
std::set<std::int64_t> rounds_above_one(const std::vector<Level>& levels) {
  std::set<std::int64_t> rounds;
  for (const Level& level : levels) {
    if (level.candidates <= 1) continue;
    for (const TimingPair& pair : level.pairs) rounds.insert(pair.round);
  }
  return rounds;
}

/// 95% interval of r by the delete-one-round jackknife on log r.
std::optional<Interval> jackknife_interval(const std::vector<Level>& levels, double r) {
  const std::set<std::int64_t> rounds = rounds_above_one(levels);
  if (rounds.size() < 2) return std::nullopt;
  std::vector<double> logs;
  for (const std::int64_t round : rounds) {
    const std::optional<double> without = fit_r(log_points(without_round(levels, round)));
    if (!without) return std::nullopt;
    logs.push_back(std::log(*without));
  }
  // (R-1)/R Σ (θ_i - mean)² = (R-1)²/R · sample variance.
  const auto count = static_cast<double>(rounds.size());
  const double error = (count - 1) * std::sqrt(*sample_variance(logs) / count);
  const double half = student_t_factor(0.95, static_cast<std::int64_t>(rounds.size()) - 1) * error;
  return Interval{r * std::exp(-half), std::min(r * std::exp(half), 1.0)};
}

/// a, b >= 0 that minimise Σ ((T - a - bN)/T)², and c. nullopt below two distinct N.
std::optional<AffineFit> fit_affine(const std::vector<Level>& levels) {
  const auto count = static_cast<Eigen::Index>(levels.size());
  if (count < 2) return std::nullopt;
  Eigen::MatrixX2d relative(count, 2);  // columns: what one unit of a, of b, adds to T/T_obs
  std::vector<double> naive_candidate_s;
  for (Eigen::Index i = 0; i < count; ++i) {
    const Level& level = levels[static_cast<std::size_t>(i)];
    const auto candidates = static_cast<double>(level.candidates);
    std::vector<double> scheme_s;
    for (const TimingPair& pair : level.pairs) {
      scheme_s.push_back(pair.denominator_s);
      naive_candidate_s.push_back(pair.numerator_s / candidates);
    }
    const double seconds = median(std::move(scheme_s));
    relative(i, 0) = 1 / seconds;
    relative(i, 1) = candidates / seconds;
  }
  const Eigen::VectorXd ones = Eigen::VectorXd::Ones(count);
  const Eigen::Vector2d free = relative.colPivHouseholderQr().solve(ones);
  AffineFit fit;
  fit.naive_candidate_s = geometric_mean(std::move(naive_candidate_s));
  if (free(0) >= 0 && free(1) >= 0) {
    fit.user_s = free(0);
    fit.candidate_s = free(1);
    return fit;
  }
  // Two unknowns: the constrained minimum has one of them at zero. The columns are positive, so the other is too.
  const auto alone = [&](Eigen::Index column) {
    const double value = relative.col(column).sum() / relative.col(column).squaredNorm();
    return std::pair{value, (relative.col(column) * value - ones).squaredNorm()};
  };
  const auto [user_s, user_error] = alone(0);
  const auto [candidate_s, candidate_error] = alone(1);
  (user_error < candidate_error ? fit.user_s : fit.candidate_s) = user_error < candidate_error ? user_s : candidate_s;
  return fit;
}

double affine_speedup(const AffineFit& fit, double candidates) {
  return fit.naive_candidate_s * candidates / (fit.user_s + fit.candidate_s * candidates);
}

/// Speed-up at each N predicted from the other N.
struct LeftOut {
  std::map<std::int64_t, double> one_parameter, affine;
};

LeftOut leave_one_out(const std::vector<Level>& levels) {
  LeftOut predictions;
  for (const Level& level : levels) {
    const std::vector<Level> rest = without_candidates(levels, level.candidates);
    const auto candidates = static_cast<double>(level.candidates);
    if (const auto r = fit_r(log_points(rest))) predictions.one_parameter[level.candidates] = speedup(candidates, *r);
    if (const auto affine = fit_affine(rest)) {
      predictions.affine[level.candidates] = affine_speedup(*affine, candidates);
    }
  }
  return predictions;
}

double observed_speedup(const Level& level) { return std::exp(mean(log_ratios(level))); }

std::size_t distinct_above_one(const std::vector<Level>& levels) {
  return static_cast<std::size_t>(
      std::count_if(levels.begin(), levels.end(), [](const Level& level) { return level.candidates > 1; }));
}

/// RMS of the percentage errors of `predictions`; every level must have one.
double rms_error_pct(const std::vector<Level>& levels, const std::map<std::int64_t, double>& predictions) {
  double squares = 0;
  for (const Level& level : levels) {
    const double error = predictions.at(level.candidates) / observed_speedup(level) - 1;
    squares += error * error;
  }
  return 100 * std::sqrt(squares / static_cast<double>(levels.size()));
}

/// Largest |S_obs/S_fit - 1| in percent.
template <typename Form>
double max_residual_pct(const std::vector<Level>& levels, const Form& form) {
  double largest = 0;
  for (const Level& level : levels) {
    const double fitted = form(static_cast<double>(level.candidates));
    largest = std::max(largest, std::abs(observed_speedup(level) / fitted - 1));
  }
  return 100 * largest;
}

/// Weighted share of the variance of log S over N that the form explains; nullopt when S does not vary.
std::optional<double> r_squared(const std::vector<LogPoint>& points, double r) {
  double weights = 0, centre = 0, residual = 0, total = 0;
  for (const LogPoint& point : points) {
    weights += point.weight;
    centre += point.weight * point.log_speedup;
  }
  centre /= weights;
  for (const LogPoint& point : points) {
    const double error = point.log_speedup - std::log(speedup(point.candidates, r));
    residual += point.weight * error * error;
    total += point.weight * (point.log_speedup - centre) * (point.log_speedup - centre);
  }
  if (points.size() < 2 || total <= 0) return std::nullopt;
  return 1 - residual / total;
}

/// Which form, and the errors it was chosen by.
struct Judgement {
  std::optional<double> one_parameter_pct, affine_pct;
  std::string preferred = "untested";
};

Judgement judge(const std::vector<Level>& levels, const LeftOut& left_out) {
  Judgement judgement;
  // With a single N > 1 nothing is left to predict it from.
  if (distinct_above_one(levels) < 2) return judgement;
  judgement.one_parameter_pct = rms_error_pct(levels, left_out.one_parameter);
  if (levels.size() >= kMinAffineN) judgement.affine_pct = rms_error_pct(levels, left_out.affine);
  if (distinct_above_one(levels) < kMinTestedN) return judgement;
  const bool affine = *judgement.one_parameter_pct > kExactPct &&
                      *judgement.affine_pct < kClearlySmaller * *judgement.one_parameter_pct;
  judgement.preferred = affine ? "affine" : "one-parameter";
  return judgement;
}

}  // namespace

Fit fit_scheme(const std::vector<Sample>& samples, const std::string& scheme, double work_r) {
  const Data data = load(samples, scheme);
  const std::vector<Level>& levels = data.levels;
  Fit fit;
  fit.scheme = scheme;
  fit.excluded_pairs = data.excluded;
  if (std::isfinite(work_r)) fit.r_flops = work_r;

  std::set<std::int64_t> rounds;
  for (const Level& level : levels) {
    for (const TimingPair& pair : level.pairs) rounds.insert(pair.round);
  }
  fit.rounds = static_cast<std::int64_t>(rounds.size());

  const std::vector<LogPoint> points = log_points(levels);
  if (const std::optional<double> r = fit_r(points)) {
    fit.r = Estimate{*r, jackknife_interval(levels, *r)};
    if (*r < 1) fit.rho = *r / (1 - *r);
    fit.asymptote = asymptote(*r);
    fit.r_squared = r_squared(points, *r);
    fit.max_residual_pct = max_residual_pct(levels, [&](double candidates) { return speedup(candidates, *r); });
  }
  if (levels.size() >= kMinAffineN) {
    fit.affine = fit_affine(levels);
    fit.affine_max_residual_pct =
        max_residual_pct(levels, [&](double candidates) { return affine_speedup(*fit.affine, candidates); });
  }
  const Judgement judgement = judge(levels, leave_one_out(levels));
  fit.loo_error_pct = judgement.one_parameter_pct;
  fit.affine_loo_error_pct = judgement.affine_pct;
  fit.preferred = judgement.preferred;
  return fit;
}

std::map<std::int64_t, double> loo_predictions(const std::vector<Sample>& samples, const std::string& scheme) {
  const std::vector<Level> levels = load(samples, scheme).levels;
  LeftOut left_out = leave_one_out(levels);
  const bool affine = judge(levels, left_out).preferred == "affine";
  return std::move(affine ? left_out.affine : left_out.one_parameter);
}

}  // namespace kvcast::analysis
