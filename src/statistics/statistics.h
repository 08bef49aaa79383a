// Statistics of small samples: free functions of plain values. Arguments are taken by value and sorted, so a result
// does not depend on the order of the rows it came from, to the last bit.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "kvcast/estimate.h"

namespace kvcast {

/// Arithmetic mean, in the values' unit. Needs at least one value.
double mean(std::vector<double> values);

/// Sample variance (denominator n-1), in the unit squared; nullopt below two values.
std::optional<double> sample_variance(std::vector<double> values);

/// Standard error of the mean, in the values' unit; nullopt below two values.
std::optional<double> standard_error(std::vector<double> values);

/// Quantile at `probability` in [0,1], linear between order statistics at (n-1)·p. Needs at least one value.
/// Source: Hyndman and Fan, "Sample quantiles in statistical packages" (1996), type 7.
double quantile(std::vector<double> values, double probability);

/// The same of values that are in ascending order already.
double sorted_quantile(const std::vector<double>& ascending, double probability);

/// quantile(values, 0.5).
double median(std::vector<double> values);

/// Quantile of the standard normal distribution, probability in (0,1). For one near 1 ask for -normal_quantile(1 - p),
/// which is the same and keeps the digits of 1 - p.
double normal_quantile(double probability);

/// Two-sided Student factor: a t variable of `degrees` > 0 lies within ± this with probability `confidence` in (0,1).
/// Fractions of a degree come from variances that are put together (Satterthwaite).
double student_t_factor(double confidence, double degrees);
template <std::integral Count>
double student_t_factor(double confidence, Count degrees) {
  return student_t_factor(confidence, static_cast<double>(degrees));
}

/// Student-t interval of the mean, mean ± t·s/√n; nullopt below two values.
/// Why t and not a bootstrap: at the 3-5 rounds a run has, percentile bootstrap covers 75-82% (docs/design.md §9).
std::optional<Interval> mean_interval(std::vector<double> values, double confidence = 0.95);

/// Values that trimming cuts from each end of `count`: a fifth, none below five values.
constexpr std::size_t trimmed_from_each_end(std::size_t count) { return count / 5; }

/// The mean of the middle 60%, a median that wastes less: it ignores a fifth of the values at either end, yet needs
/// 1.15 times the values of the mean where no value is wild, the median 1.57 times. Plain mean below five values, of
/// which nothing can be spared. In the values' unit.
struct TrimmedMean {
  double mean = 0;
  std::optional<double> standard_error;  ///< from the winsorised variance; nullopt below two values
  double degrees = 0;                    ///< of Student's t for it: values that were kept, less 1
};
/// Needs at least one value. Source: Tukey and McLaughlin, "Less vulnerable confidence and significance procedures for
/// location based on a single sample", Sankhya A 25 (1963); Yuen, "The two-sample trimmed t for unequal population
/// variances", Biometrika 61 (1974).
TrimmedMean trimmed_mean(std::vector<double> values);

/// Pseudo-values of the trimmed mean, in the order of `values`: their plain mean is the trimmed mean, and each says how
/// far its value moves it. m + (w_i - w)·n/h, with w_i the winsorised value (what was cut takes the nearest value that
/// was kept), w their mean, h of n values kept. Below five values: the values. The squared standard error of
/// trimmed_mean is trimmed_inflation(n) times that of a plain mean of these.
std::vector<double> trimmed_pseudo_values(const std::vector<double>& values);

/// h(n-1)/(n(h-1)): what winsorising takes from a variance beyond its n-1 degrees. 1 below five values; needs two.
double trimmed_inflation(std::size_t count);

/// exp of the trimmed mean of the logs of ratios, with the interval formed on logs: a ratio and its inverse are treated
/// alike, and a timing that lost its CPU does not count. Needs at least one value, all positive.
Estimate trimmed_ratio(std::vector<double> ratios, double confidence = 0.95);

/// Variance between runs over variance between the rounds of a run. A run is drawn under one state of the machine
/// (memory placement, neighbours, clock) that all its rounds have in common, so none can show it.
/// Seen in ten runs of preset `default` on a shared virtual machine: speed-ups differ between runs by 0.9% beyond what
/// their rounds explain, where rounds spread by 3%: 0.09; for log r it is 0.13, for b/c 0.06. Without it 40 of 45 pairs
/// of those runs overlapped in r, and an r lay in the other's interval in 48 of 90 cases; with it 45 and 73.
/// In proportion to the spread of rounds, so that a quiet machine does not pay for a noisy one, and exact data keep
/// exact intervals.
inline constexpr double kRunVariance = 0.1;

/// Factor of the squared standard error of `rounds` rounds of one run, 1 + rounds·kRunVariance: however many it has, a
/// run is worth no more than ten independent rounds. Source: the design effect of Kish, "Survey Sampling" (1965), with
/// runs as clusters.
double run_inflation(double rounds);

/// trimmed_ratio of the rounds of one run, with the interval of the next run's: its log half-width times
/// √run_inflation. Before, two of ten runs of preset `default` overlapped in S(5) in 36 and in S(10) in 33 of 45 pairs;
/// with it in 44 or all of 45 at every N.
Estimate ratio_of_run(std::vector<double> ratios);

}  // namespace kvcast
