// Statistics of small samples: free functions of plain values. Arguments are taken by value and sorted, so a result
// does not depend on the order of the rows it came from, to the last bit.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::analysis {

/// Arithmetic mean, in the values' unit. Needs at least one value.
double mean(std::vector<double> values);

/// Sample variance (denominator n-1), in the unit squared; nullopt below two values.
std::optional<double> sample_variance(std::vector<double> values);

/// Quantile at `probability` in [0,1], linear between order statistics at (n-1)·p. Needs at least one value.
/// Source: Hyndman and Fan, "Sample quantiles in statistical packages" (1996), type 7.
double quantile(std::vector<double> values, double probability);

/// quantile(values, 0.5).
double median(std::vector<double> values);

/// exp of the mean log: the mean of ratios that treats 2x and 1/2x alike. Needs at least one value, all positive.
double geometric_mean(std::vector<double> values);

/// Two-sided Student factor: a t variable of `degrees` >= 1 lies within ± this with probability `confidence` in (0,1).
double student_t_factor(double confidence, std::int64_t degrees);

/// Student-t interval of the mean, mean ± t·s/√n; nullopt below two values.
/// Why t and not a bootstrap: at the 3-5 rounds a run has, percentile bootstrap covers 75-82% (docs/design.md §9).
std::optional<Interval> mean_interval(std::vector<double> values, double confidence = 0.95);

/// The interval of mean_interval formed on logs and taken back: of the geometric mean. Values positive (ratios, times);
/// nullopt below two values.
std::optional<Interval> geometric_mean_interval(std::vector<double> values, double confidence = 0.95);

}  // namespace kvcast::analysis
