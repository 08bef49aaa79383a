#include "analysis/levels.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// Smallest spread of log ratios of a pair that a weight believes in.
constexpr double kRelativeFloor = 0.005;
/// What the median of the variances over N counts for beside an N's own, in degrees of freedom.
constexpr double kTypicalDegrees = 20;

}  // namespace

Levels load_levels(const TimingTable& table, const std::string& scheme) {
  Levels data;
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

std::vector<PseudoLevel> pseudo_levels(const std::vector<Level>& levels) {
  std::vector<PseudoLevel> result;
  for (const Level& level : levels) {
    PseudoLevel pseudo{static_cast<double>(level.candidates), {}, trimmed_pseudo_values(log_ratios(level))};
    for (const TimingPair& pair : level.pairs) pseudo.rounds.push_back(pair.round);
    result.push_back(std::move(pseudo));
  }
  return result;
}

std::vector<LogPoint> log_points(const std::vector<PseudoLevel>& levels, std::int64_t first, std::int64_t last) {
  std::vector<LogPoint> points;
  std::vector<std::optional<double>> variances;
  std::vector<double> known, counts;
  for (const PseudoLevel& level : levels) {
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

std::vector<LogPoint> log_points(const std::vector<Level>& levels) {
  return log_points(pseudo_levels(levels), 1, 0);  // no round lies there
}

}  // namespace kvcast::analysis
