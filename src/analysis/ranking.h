// Agreement of two scorings of the same candidates: what a ranker's user would notice of a numerical difference.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace kvcast::analysis {

/// Share of the k best candidates by `scores_a` that are also among the k best by `scores_b`, in [0,1]. Shapes: both
/// [N]; k is cut to N. Equal scores rank by index in both, NaN ranks last. nullopt when k or N is 0.
std::optional<double> top_k_overlap(std::span<const double> scores_a, std::span<const double> scores_b, std::int64_t k);

/// Kendall's tau-b in [-1,1]: concordant minus discordant pairs, corrected for ties. Shapes: both [N]; O(N log N).
/// nullopt where it is undefined: fewer than two candidates, a scoring that is constant, or a NaN.
/// Source: Knight, "A computer method for calculating Kendall's tau with ungrouped data", JASA 61 (1966).
std::optional<double> kendall_tau(std::span<const double> scores_a, std::span<const double> scores_b);

}  // namespace kvcast::analysis
