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

/// Signs of other load during timings.
struct Interference {
  double foreign_pct = 0, steal_pct = 0;  ///< of all CPUs' time: by other processes, by the hypervisor
  double missing = 0;                     ///< share of the CPU time that the threads needed and did not get
  double slow = 0;                        ///< share of the timings beside a slow canary
  double spread = 0;  ///< how far repeats of the same disagree: their 90th over their 10th percentile; 0: unknown
  bool check_failed = false;
};

/// Who disturbed the timings so much that they are useless: "other processes used 83% of the CPUs"; empty where the
/// figures hold. Pure.
///
/// The question is whether ratios hold: a busy machine slows both schemes of a round equally as long as their requests
/// are long against the time slices of its scheduler, and short requests unequally. The figures are discarded when
/// there is interference and rounds disagree:
///  - interference: the threads missed 15% of the CPU time they needed (taken by other processes and the hypervisor,
///  less
///    what the threads leave idle), or a fifth of the timings ran while the canary was slow;
///  - disagreement: at the middle point the 90th percentile of the ratios over naive (without naive: of the times) is
///    2.5 times the 10th, or a composition or a scheme under two names failed its check.
/// Fewer than three rounds cannot show disagreement: then half of the CPU time missing is enough. Four fifths always
/// are.
std::string interference(const Report& report);
/// The same rule for timings other than those of a run.
std::string interference(const Interference& seen);

}  // namespace kvcast::analysis
