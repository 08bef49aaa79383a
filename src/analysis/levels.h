// The speed-ups of a scheme over naive, N by N, as everything that is fitted takes them. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "analysis/forms/form.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// The clean pairs of one N, naive over scheme.
struct Level {
  std::int64_t candidates = 0;
  std::vector<TimingPair> pairs;  ///< ascending by round, at least one
};
struct Levels {
  std::vector<Level> levels;  ///< ascending N
  std::int64_t excluded = 0;  ///< pairs left out for their canary
};

/// Pairs of naive and `scheme` by (round, N), each brought to N candidates; prevailing timings only (composition.h).
Levels load_levels(const TimingTable& table, const std::string& scheme);

/// Logs of naive over scheme time, one per pair.
std::vector<double> log_ratios(const Level& level);

/// ratio_of_run of the pairs: the observed speed-up of one N with its interval, as the point of a report has it.
Estimate observed_speedup(const Level& level);

/// c: naive seconds of one candidate, the geometric mean over N of trimmed means over rounds. Needs a level.
double naive_candidate_seconds(const std::vector<Level>& levels);

/// A level by pseudo-values of its trimmed mean (statistics.h), since trimming jumps when a value is left out.
struct PseudoLevel {
  double candidates = 0;
  std::vector<std::int64_t> rounds;
  std::vector<double> values;
};
std::vector<PseudoLevel> pseudo_levels(const std::vector<Level>& levels);

/// Trimmed mean log speed-ups with their variances. A variance from a few rounds is uncertain, and weights that
/// follow it make the interval of r too narrow: simulated at 5 to 12 rounds and equal noise at five N, it covers
/// 92-93%. The variance of a pair is therefore shrunk towards its median over N, which counts as 20 degrees of freedom,
/// and is never taken below it, nor below 0.5%², since no timer repeats better than that. An N noisier than most still
/// counts less.
std::vector<LogPoint> log_points(const std::vector<Level>& levels);
/// The same without the rounds in [first, last].
std::vector<LogPoint> log_points(const std::vector<PseudoLevel>& levels, std::int64_t first, std::int64_t last);

}  // namespace kvcast::analysis
