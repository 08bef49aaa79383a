// What the samples themselves say of the machine while they were taken.
#pragma once

#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::analysis {

/// Sets canary_spread_pct, outlier_pct and drift_pct from the samples of all cases; leaves the rest. Pure.
///
/// Spread: 90th over 10th percentile of the canary ratios, less 1. Outliers: share of the ratios over naive (without
/// naive: of the times) that are further than five robust standard deviations (1.4826 times the median absolute
/// deviation, at least half a percent) from the median of their point; points of fewer than five rounds do not count.
/// Drift: the straight line through the mean deviation of each round from its points' medians, over the rounds, from
/// the first to the last; 0 when its slope is not significant at 1% (Student t). Unknown below eight rounds.
void diagnose(Conditions& conditions, const std::vector<Case>& cases);

/// What is seen of others while something was timed.
struct Interference {
  double foreign_pct = 0, steal_pct = 0;  ///< of all CPUs' time: by other processes, by the hypervisor
  double missing = 0;                     ///< of the CPU time that the threads asked for, what was not there
  double slow = 0;                        ///< share of the timings beside a slow canary
  double spread = 0;  ///< how far repeats of the same disagree: their 90th over their 10th percentile; 0: unknown
  bool check_failed = false;
};

/// Who used the CPUs so much that the timings are not the program's: "other processes used 83% of the CPUs"; empty
/// where the figures hold. Pure.
///
/// What decides is whether ratios hold: a machine that is busy slows both schemes of a round alike as long as their
/// requests are long beside the time slices of its scheduler, and short ones not at all alike. So the figures are given
/// up where others are seen to interfere and rounds disagree:
///  - interference: of the CPU time that the run's threads ask for, 15% was not there (other processes and the
///    hypervisor, less what the threads leave over), or a fifth of the timings ran beside a slow canary;
///  - disagreement: at the middle point the 90th percentile of the ratios over naive (without naive: of the times) is
///    2.5 times the 10th, or a composition or a scheme under two names failed its check.
/// With fewer than three rounds nothing tells whether they agree: then half of the CPU time decides, and four fifths
/// always do.
std::string interference(const Report& report);
/// By the same rule, of other timings than those of a run.
std::string interference(const Interference& seen);

}  // namespace kvcast::analysis
