// Two runs against each other: what became slower, and whether that is more than chance.
#pragma once

#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::analysis {

/// A case of A beside one of B; null: that report has none.
struct CasePair {
  const Case *a = nullptr, *b = nullptr;
  std::string in_a{}, in_b{};  ///< what differs between them, in words; empty: like with like
};
/// Every case of both beside that of the same shape: A's in their order, then those that only B has. any_machine:
/// shapes that differ in threads alone are the same.
std::vector<CasePair> same_shapes(const Report& a, const Report& b, bool any_machine);

/// Facts of the machines of two reports that differ, in words ("CPU: 'x' in A, 'y' in B"), each once over the pairs
/// that have both cases: CPU, SIMD target, instruction set of the dense library, CPUs, memory. What one side does not
/// know is no difference.
std::vector<std::string> machine_differences(const Report& a, const Report& b, const std::vector<CasePair>& pairs);

/// The points of every pair by (N, scheme), in the order of A's points; what only B has at the end of its pair. Points
/// without a time are left out. `differences` and `across` stay empty. Pure.
///
/// The runs are independent, so each ratio is the difference of two trimmed means of logs with its interval by Yuen's
/// test: squared standard errors add up, degrees of freedom by Welch and Satterthwaite. No interval where a side has a
/// single round.
///   time_ratio: seconds of B over A, by rounds (prevailing).
///   normalised_ratio: each time multiplied by the FMA peak of its own run first; nullopt where a peak is unknown, and
///     without one_clock: a peak over other threads is no clock.
///   speedup_ratio: the speed-ups over naive (pair_rounds), B over A.
/// regression: normalised_ratio (time_ratio where that is unknown) above 1 + threshold with its interval above 1, or
/// speedup_ratio below 1/(1 + threshold) with its interval below 1. improvement: the mirror image, at a point that is
/// no regression. Neither in a pair across a field.
/// Source: Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61 (1974).
Comparison compare(const Report& a, const Report& b, const std::vector<CasePair>& pairs, double threshold,
                   bool one_clock = true);

/// As compare(), for every scheme of A's cases against every other of B's; once if both have both. naive only where
/// there is nothing else, since the speed-up already compares with it. Within one report (&a == &b) paired by round.
Comparison compare_schemes(const Report& a, const Report& b, const std::vector<CasePair>& pairs);

}  // namespace kvcast::analysis
