#include "analysis/forms.h"

#include <algorithm>
#include <boost/math/tools/toms748_solve.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "analysis/fit.h"
#include "kvcast/cost_model.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// Smallest spread of log ratios of a pair that a weight believes in.
constexpr double kRelativeFloor = 0.005;
/// What the median of the variances over N counts for beside an N's own, in degrees of freedom.
constexpr double kTypicalDegrees = 20;
/// Smallest r reported. One candidate against a million cached tokens is about 1e-6.
constexpr double kMinR = 1e-12;
/// Rounds from which consecutive ones are joined into blocks, and how many blocks there are at most.
constexpr std::size_t kMinBlockRounds = 16, kMaxBlocks = 10;

/// A level as its trimmed mean sees it.
struct Pseudo {
  double candidates = 0;
  std::vector<std::int64_t> rounds;
  std::vector<double> values;
};

std::vector<Pseudo> pseudo_levels(const std::vector<Level>& levels) {
  std::vector<Pseudo> result;
  for (const Level& level : levels) {
    Pseudo pseudo{static_cast<double>(level.candidates), {}, trimmed_pseudo_values(log_ratios(level))};
    for (const TimingPair& pair : level.pairs) pseudo.rounds.push_back(pair.round);
    result.push_back(std::move(pseudo));
  }
  return result;
}

/// Points of the levels without the rounds in [first, last]; all rounds when first > last.
std::vector<LogPoint> points_of(const std::vector<Pseudo>& levels, std::int64_t first, std::int64_t last) {
  std::vector<LogPoint> points;
  std::vector<std::optional<double>> variances;
  std::vector<double> known, counts;
  for (const Pseudo& level : levels) {
    std::vector<double> kept;
    for (std::size_t i = 0; i < level.values.size(); ++i) {
      if (level.rounds[i] < first || level.rounds[i] > last) kept.push_back(level.values[i]);
    }
    if (kept.empty()) continue;
    counts.push_back(static_cast<double>(kept.size()));
    variances.push_back(sample_variance(kept));
    if (variances.back()) known.push_back(*variances.back());
    points.push_back({level.candidates, mean(std::move(kept)), 0});
  }
  const double typical = std::max(known.empty() ? 0 : median(known), kRelativeFloor * kRelativeFloor);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double own = counts[i] - 1;
    const double variance = (own * variances[i].value_or(0) + kTypicalDegrees * typical) / (own + kTypicalDegrees);
    points[i].variance = std::max(variance, typical) / counts[i];
  }
  return points;
}

constexpr std::int64_t kNoRound = 0;
std::vector<LogPoint> points_of(const std::vector<Pseudo>& levels) { return points_of(levels, kNoRound + 1, kNoRound); }

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

double residual_of(const LogPoint& point, double r) {
  return point.log_speedup - std::log(point.candidates) + std::log1p((point.candidates - 1) * r);
}

/// τ² by Paule and Mandel, and the r that goes with it. Newton's steps: the function falls and is convex, so they reach
/// its root from below, and from above pass it once.
std::pair<double, double> solve_tau(const std::vector<LogPoint>& points, double r) {
  const double degrees = static_cast<double>(points.size()) - 1;
  double squares = 0, largest = 0;
  for (const LogPoint& point : points) {
    squares += std::pow(residual_of(point, r), 2);
    largest = std::max(largest, point.variance);
  }
  double tau_squared = std::max(squares / degrees - largest, 0.0);
  constexpr int kMaxSteps = 60;
  for (int step = 0; step < kMaxSteps; ++step) {
    if (tau_squared > 0) r = *solve_r(points, tau_squared);
    double excess = -degrees, slope = 0;
    for (const LogPoint& point : points) {
      const double weight = 1 / (point.variance + tau_squared), residual = residual_of(point, r);
      excess += weight * residual * residual;
      slope += weight * weight * residual * residual;
    }
    if (std::abs(excess) <= 1e-9 * degrees || (excess < 0 && tau_squared == 0)) break;
    tau_squared = std::max(tau_squared + excess / slope, 0.0);
    if (tau_squared == 0) r = *solve_r(points, 0);
  }
  return {tau_squared, r};
}

Line solve_line(const std::vector<LogPoint>& points) {
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
  return {middle_time - slope * middle_n, slope};
}

std::size_t block_count(std::size_t rounds) {
  return rounds < kMinBlockRounds ? rounds : std::min(rounds / 2, kMaxBlocks);
}

/// For the trimmed mean of `values`: which two of `rounds` move it by the same value, centred. What was cut moves it by
/// the nearest value kept, so cut rounds are alike.
std::vector<double> alike(const Level& level, const std::vector<std::int64_t>& rounds) {
  const std::vector<double> values = log_ratios(level);
  const std::size_t count = values.size(), cut = trimmed_from_each_end(count);
  std::vector<std::size_t> order(count), stands_for(count);
  for (std::size_t i = 0; i < count; ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return std::pair(values[a], a) < std::pair(values[b], b); });
  for (std::size_t rank = 0; rank < count; ++rank) {
    stands_for[order[rank]] = order[std::clamp(rank, cut, count - 1 - cut)];
  }
  const std::size_t total = rounds.size();
  std::vector<double> matrix(total * total, 0.0);
  std::vector<std::size_t> place;  // `total` for a round of N = 1 alone
  for (const TimingPair& pair : level.pairs) {
    const auto at = std::lower_bound(rounds.begin(), rounds.end(), pair.round);
    const bool found = at != rounds.end() && *at == pair.round;
    place.push_back(found ? static_cast<std::size_t>(at - rounds.begin()) : total);
  }
  std::vector<double> row_mean(count, 0.0);
  double mean_of_all = 0;
  const auto n = static_cast<double>(count);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < count; ++j) row_mean[i] += stands_for[i] == stands_for[j] ? 1 / n : 0;
    mean_of_all += row_mean[i] / n;
  }
  const double kept = static_cast<double>(count - 2 * cut);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < count; ++j) {
      if (place[i] == total || place[j] == total) continue;
      const double same = stands_for[i] == stands_for[j] ? 1 : 0;
      matrix[place[i] * total + place[j]] = (same - row_mean[i] - row_mean[j] + mean_of_all) / (kept * kept);
    }
  }
  return matrix;
}

}  // namespace

Levels load_levels(const std::vector<Sample>& samples, const std::string& scheme) {
  Levels data;
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

std::vector<double> log_ratios(const Level& level) {
  std::vector<double> logs;
  for (const TimingPair& pair : level.pairs) logs.push_back(std::log(pair.ratio()));
  return logs;
}

Estimate observed_speedup(const Level& level) {
  std::vector<double> ratios;
  for (const TimingPair& pair : level.pairs) ratios.push_back(pair.ratio());
  return ratio_of_run(std::move(ratios));
}

double naive_candidate_seconds(const std::vector<Level>& levels) {
  std::vector<double> centres;
  for (const Level& level : levels) {
    std::vector<double> logs;
    for (const TimingPair& pair : level.pairs) {
      logs.push_back(std::log(pair.numerator_s / static_cast<double>(level.candidates)));
    }
    centres.push_back(trimmed_mean(std::move(logs)).mean);
  }
  return std::exp(mean(std::move(centres)));
}

std::vector<LogPoint> log_points(const std::vector<Level>& levels) { return points_of(pseudo_levels(levels)); }

Forms fit_forms(const std::vector<LogPoint>& points) {
  Forms forms;
  forms.r = solve_r(points, 0);
  if (points.size() < 2) return forms;
  if (forms.r) {
    const auto [tau_squared, r] = solve_tau(points, *forms.r);
    forms.r = r;
    forms.tau = std::sqrt(tau_squared);
  }
  forms.line = solve_line(points);
  return forms;
}

double bounded_r(double r) { return std::max(r, kMinR); }

Line bounded_line(const std::vector<LogPoint>& points) {
  const Line free = solve_line(points);
  if (free.history >= 0 && free.candidate >= 0) return free;
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
  return history_error < candidate_error ? Line{history, 0} : Line{0, candidate};
}

double StandardError::half_width() const { return student_t_factor(0.95, degrees) * value; }

Uncertainty::Uncertainty(const std::vector<Level>& levels) {
  const std::vector<Pseudo> pseudo = pseudo_levels(levels);
  const std::vector<LogPoint> points = points_of(pseudo);
  full_ = fit_forms(points);

  // Rounds that say something about r, and how many N > 1 each holds.
  std::map<std::int64_t, int> held;
  std::size_t above_one = 0;
  bool repeated = false;
  for (const Level& level : levels) {
    if (level.candidates <= 1) continue;
    ++above_one;
    repeated = repeated || level.pairs.size() > 1;
    for (const TimingPair& pair : level.pairs) ++held[pair.round];
  }
  if (above_one == 0) return;
  const bool shared_rounds =
      above_one == 1 || std::any_of(held.begin(), held.end(), [](auto& h) { return h.second > 1; });
  if (!repeated) {
    design_ = Design::scatter;
  } else if (shared_rounds) {
    design_ = Design::rounds;
  } else {
    design_ = Design::strata;
  }

  std::vector<std::int64_t> rounds;
  for (const auto& [round, count] : held) rounds.push_back(round);
  if (design_ == Design::rounds) {
    const std::size_t blocks = block_count(rounds.size());
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::size_t first = block * rounds.size() / blocks, last = (block + 1) * rounds.size() / blocks - 1;
      without_block_.push_back(fit_forms(points_of(pseudo, rounds[first], rounds[last])));
      block_rounds_.push_back(static_cast<double>(last - first + 1));
    }
    if (rounds.size() < 2) return;
    inflation_ = trimmed_inflation(rounds.size());
    if (blocks < rounds.size()) return;
    for (const Level& level : levels) alike_.push_back(alike(level, rounds));
  }

  // Derivatives by N, from steps of about the size of the noise.
  double pooled = 0, pooled_degrees = 0;
  for (const Level& level : levels) {
    const TrimmedMean centre = trimmed_mean(log_ratios(level));
    if (!centre.standard_error) continue;
    pooled +=
        centre.degrees * *centre.standard_error * *centre.standard_error * static_cast<double>(level.pairs.size());
    pooled_degrees += centre.degrees;
  }
  if (pooled_degrees > 0) pooled /= pooled_degrees;
  for (std::size_t i = 0; i < points.size(); ++i) {
    Perturbed perturbed;
    const TrimmedMean centre = trimmed_mean(log_ratios(levels[i]));
    if (design_ == Design::strata) {
      perturbed.step = centre.standard_error.value_or(std::sqrt(pooled));
      perturbed.degrees = centre.standard_error ? centre.degrees : pooled_degrees;
    } else {
      perturbed.step = std::sqrt(points[i].variance);
    }
    std::vector<LogPoint> moved = points;
    moved[i].log_speedup = points[i].log_speedup + perturbed.step;
    perturbed.up = fit_forms(moved);
    moved[i].log_speedup = points[i].log_speedup - perturbed.step;
    perturbed.down = fit_forms(moved);
    perturbed_.push_back(perturbed);
  }
  if (design_ != Design::scatter) return;
  // N = 1 fits the one-parameter form whatever r is, so it is no evidence of noise about r.
  double squares_r = 0, squares_line = 0;
  for (const LogPoint& point : points) {
    if (point.candidates > 1) squares_r += std::pow(residual_of(point, *full_.r), 2);
    if (full_.line)
      squares_line += std::pow(1 - full_.line->speedup(point.candidates) / std::exp(point.log_speedup), 2);
  }
  scatter_r_degrees_ = static_cast<double>(above_one) - 1;
  scatter_line_degrees_ = static_cast<double>(points.size()) - 2;
  if (scatter_r_degrees_ >= 1) scatter_r_ = std::sqrt(squares_r / scatter_r_degrees_);
  if (scatter_line_degrees_ >= 1) scatter_line_ = std::sqrt(squares_line / scatter_line_degrees_);
}

std::optional<StandardError> Uncertainty::of_r(const Function& function) const { return evaluate(function, false); }

std::optional<StandardError> Uncertainty::of_line(const Function& function) const { return evaluate(function, true); }

std::optional<StandardError> Uncertainty::evaluate(const Function& function, bool line) const {
  if (!(line ? full_.line.has_value() : full_.r.has_value())) return std::nullopt;
  switch (design_) {
    case Design::none:
      return std::nullopt;
    case Design::rounds:
      return over_rounds(function, line);
    case Design::strata:
    case Design::scatter:
      return over_levels(function, line);
  }
  return std::nullopt;
}

std::optional<StandardError> Uncertainty::over_rounds(const Function& function, bool line) const {
  const std::size_t blocks = without_block_.size();
  if (blocks < 2) return std::nullopt;
  double rounds = 0;
  for (const double size : block_rounds_) rounds += size;
  const double full = function(full_);
  std::vector<double> pseudo, factors;
  for (std::size_t i = 0; i < blocks; ++i) {
    const Forms& forms = without_block_[i];
    if (!(line ? forms.line.has_value() : forms.r.has_value())) return std::nullopt;
    const double factor = rounds / block_rounds_[i];
    factors.push_back(factor);
    pseudo.push_back(factor * full - (factor - 1) * function(forms));
  }
  // The jackknife's own estimate: each block by the share of the data that it leaves.
  double centre = 0;
  for (std::size_t i = 0; i < blocks; ++i) centre += pseudo[i] / factors[i];
  double variance = 0;
  for (std::size_t i = 0; i < blocks; ++i) variance += (pseudo[i] - centre) * (pseudo[i] - centre) / (factors[i] - 1);
  variance *= inflation_ * run_inflation(rounds) / static_cast<double>(blocks);
  const double degrees = perturbed_.empty() ? static_cast<double>(blocks) - 1 : round_degrees(function);
  return StandardError{std::sqrt(variance), degrees};
}

/// Degrees of freedom of a jackknife over single rounds. Trimming leaves one N with fewer independent values than it
/// has rounds: what was cut stands where the nearest value stands. Where the N cut different rounds the sum over N has
/// more. With C the covariance of the rounds' contributions for noise that is alike and independent in rounds and N,
/// tr(C)²/tr(C²): R-1 without trimming.
double Uncertainty::round_degrees(const Function& function) const {
  std::vector<double> covariance(alike_.front().size(), 0.0);
  for (std::size_t level = 0; level < alike_.size(); ++level) {
    const double change = function(perturbed_[level].up) - function(perturbed_[level].down);
    for (std::size_t i = 0; i < covariance.size(); ++i) covariance[i] += change * change * alike_[level][i];
  }
  const auto rounds = static_cast<std::size_t>(std::llround(std::sqrt(static_cast<double>(covariance.size()))));
  double trace = 0, squares = 0;
  for (std::size_t i = 0; i < rounds; ++i) trace += covariance[i * rounds + i];
  for (const double value : covariance) squares += value * value;
  // A function that no N moves has no error either; any degrees will do.
  return squares > 0 ? std::max(trace * trace / squares, 1.0) : 1.0;
}

std::optional<StandardError> Uncertainty::over_levels(const Function& function, bool line) const {
  const bool scatter = design_ == Design::scatter;
  const double spread = line ? scatter_line_ : scatter_r_,
               spread_degrees = line ? scatter_line_degrees_ : scatter_r_degrees_;
  if (scatter && spread_degrees < 1) return std::nullopt;
  double variance = 0, satterthwaite = 0;
  for (const Perturbed& level : perturbed_) {
    double change = (function(level.up) - function(level.down)) / 2;
    if (scatter) change *= spread / level.step;
    variance += change * change;
    if (!scatter && change != 0) satterthwaite += std::pow(change, 4) / level.degrees;
  }
  double degrees = spread_degrees;
  if (!scatter) degrees = satterthwaite > 0 ? variance * variance / satterthwaite : 1;
  return StandardError{std::sqrt(variance), degrees};
}

}  // namespace kvcast::analysis
