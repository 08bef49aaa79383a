// What the samples themselves say of the machine while they were taken.
#pragma once

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

}  // namespace kvcast::analysis
