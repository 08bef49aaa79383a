// Two runs against each other: what became slower, and whether that is more than chance.
#pragma once

#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::analysis {

/// Facts of the machines of two reports that differ, in words ("CPU: 'x' in A, 'y' in B"), each once over the cases
/// that both have: CPU, SIMD target, instruction set of the dense library, CPUs, memory. What one side does not know is
/// no difference.
std::vector<std::string> machine_differences(const Report& a, const Report& b);

/// The points of both, paired by (shape, N, scheme): those of A's cases in the order of their points, what only B has
/// at the end of its case. Points without a time are left out. any_machine: shapes that differ in threads alone are the
/// same. `differences` stays empty. Pure.
///
/// The runs are independent, so each ratio is the difference of two trimmed means of logs with its interval by Yuen's
/// test: squared standard errors add up, degrees of freedom by Welch and Satterthwaite. No interval where a side has a
/// single round.
///   time_ratio: seconds of B over A, by rounds (prevailing).
///   normalised_ratio: each time multiplied by the FMA peak of its own run first; nullopt where a peak is unknown.
///   speedup_ratio: the speed-ups over naive (pair_rounds), B over A.
/// regression: normalised_ratio (time_ratio where that is unknown) above 1 + threshold with its interval above 1, or
/// speedup_ratio below 1/(1 + threshold) with its interval below 1. improvement: the mirror image, at a point that is
/// no regression.
/// Source: Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61 (1974).
Comparison compare(const Report& a, const Report& b, double threshold, bool any_machine);

}  // namespace kvcast::analysis
