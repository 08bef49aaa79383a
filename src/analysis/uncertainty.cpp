#include "analysis/uncertainty.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// Rounds from which consecutive ones are joined into blocks, and how many blocks there are at most.
constexpr std::size_t kMinBlockRounds = 16, kMaxBlocks = 10;

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

std::vector<std::optional<Constants>> fit_forms(const std::vector<LogPoint>& points) {
  std::vector<std::optional<Constants>> fits;
  for (const CostForm& form : cost_forms()) fits.push_back(form.fit(points));
  return fits;
}

}  // namespace

double StandardError::half_width() const { return student_t_factor(0.95, degrees) * value; }

Uncertainty::Uncertainty(const std::vector<Level>& levels) {
  const std::vector<PseudoLevel> pseudo = pseudo_levels(levels);
  const std::vector<LogPoint> points = log_points(levels);
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
      without_block_.push_back(fit_forms(log_points(pseudo, rounds[first], rounds[last])));
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
  for (std::size_t i = 0; i < full_.size(); ++i) {
    const CostForm& form = cost_forms()[i];
    Scatter scatter;
    double squares = 0;
    for (const LogPoint& point : points) {
      // Where N = 1 fits whatever the constants are it is no evidence of noise.
      if (full_[i] && (point.candidates > 1 || !form.one_says_nothing)) {
        squares += std::pow(form.residual(*full_[i], point), 2);
      }
    }
    const std::size_t telling = form.one_says_nothing ? above_one : points.size();
    scatter.degrees = static_cast<double>(telling) - static_cast<double>(form.free_constants);
    if (scatter.degrees >= 1) scatter.value = std::sqrt(squares / scatter.degrees);
    scatter_.push_back(scatter);
  }
}

std::optional<StandardError> Uncertainty::of(const CostForm& of_list, const Function& function) const {
  const std::size_t form = place(of_list);
  if (!full_[form]) return std::nullopt;
  switch (design_) {
    case Design::none:
      return std::nullopt;
    case Design::rounds:
      return over_rounds(form, function);
    case Design::strata:
    case Design::scatter:
      return over_levels(form, function);
  }
  return std::nullopt;
}

std::optional<StandardError> Uncertainty::over_rounds(std::size_t form, const Function& function) const {
  const std::size_t blocks = without_block_.size();
  if (blocks < 2) return std::nullopt;
  double rounds = 0;
  for (const double size : block_rounds_) rounds += size;
  const double full = function(*full_[form]);
  std::vector<double> pseudo, factors;
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::optional<Constants>& constants = without_block_[i][form];
    if (!constants) return std::nullopt;
    const double factor = rounds / block_rounds_[i];
    factors.push_back(factor);
    pseudo.push_back(factor * full - (factor - 1) * function(*constants));
  }
  // The jackknife's own estimate: each block by the share of the data that it leaves.
  double centre = 0;
  for (std::size_t i = 0; i < blocks; ++i) centre += pseudo[i] / factors[i];
  double variance = 0;
  for (std::size_t i = 0; i < blocks; ++i) variance += (pseudo[i] - centre) * (pseudo[i] - centre) / (factors[i] - 1);
  variance *= inflation_ * run_inflation(rounds) / static_cast<double>(blocks);
  const double degrees = perturbed_.empty() ? static_cast<double>(blocks) - 1 : round_degrees(form, function);
  return StandardError{std::sqrt(variance), degrees};
}

/// Degrees of freedom of a jackknife over single rounds. Trimming leaves one N with fewer independent values than it
/// has rounds: what was cut stands where the nearest value stands. Where the N cut different rounds the sum over N has
/// more. With C the covariance of the rounds' contributions for noise that is alike and independent in rounds and N,
/// tr(C)²/tr(C²): R-1 without trimming.
double Uncertainty::round_degrees(std::size_t form, const Function& function) const {
  std::vector<double> covariance(alike_.front().size(), 0.0);
  for (std::size_t level = 0; level < alike_.size(); ++level) {
    const double change = function(*perturbed_[level].up[form]) - function(*perturbed_[level].down[form]);
    for (std::size_t i = 0; i < covariance.size(); ++i) covariance[i] += change * change * alike_[level][i];
  }
  const auto rounds = static_cast<std::size_t>(std::llround(std::sqrt(static_cast<double>(covariance.size()))));
  double trace = 0, squares = 0;
  for (std::size_t i = 0; i < rounds; ++i) trace += covariance[i * rounds + i];
  for (const double value : covariance) squares += value * value;
  // A function that no N moves has no error either; any degrees will do.
  return squares > 0 ? std::max(trace * trace / squares, 1.0) : 1.0;
}

std::optional<StandardError> Uncertainty::over_levels(std::size_t form, const Function& function) const {
  const bool scatter = design_ == Design::scatter;
  if (scatter && scatter_[form].degrees < 1) return std::nullopt;
  double variance = 0, satterthwaite = 0;
  for (const Perturbed& level : perturbed_) {
    double change = (function(*level.up[form]) - function(*level.down[form])) / 2;
    if (scatter) change *= scatter_[form].value / level.step;
    variance += change * change;
    if (!scatter && change != 0) satterthwaite += std::pow(change, 4) / level.degrees;
  }
  double degrees = satterthwaite > 0 ? variance * variance / satterthwaite : 1;
  if (scatter) degrees = scatter_[form].degrees;
  return StandardError{std::sqrt(variance), degrees};
}

}  // namespace kvcast::analysis
