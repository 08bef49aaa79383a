// The design note's advice and throughput drops, against a speed-up as a function of N. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/sizing.h"
#include "kvcast/cost_model.h"
#include "kvcast/sizing.h"

namespace kvcast::analysis {

/// Word for an improvement 1 - 1/S: "none" (the design note's "not applicable"), "little" (below its least effective
/// queue), "medium", "strong" ("strongly recommended"), "best". Thresholds 60%, 80% and 84.5% give each of its bands
/// its word at r = 0.15 (N = 5-10: 68-76%, 50-100: 83-84%, 200: 84.6%).
std::string grade(double improvement);

/// The bands, then the scenarios. limit: largest speed-up; nullopt: not known, or none where every N is known.
std::vector<SizingAdvice> advice(const SizingProblem& problem, std::optional<double> limit);

/// Speed-up that brings a drop of `naive_drop` down to `target_drop`: the ratio of their cost ratios. Both in (0,1).
/// Source: docs/model.md §3.
double speedup_needed(double naive_drop, double target_drop);
/// N with a speed-up of `needed` at r: needed (1-r)/(1 - needed r); nullopt: its ceiling 1/r is not above it.
std::optional<std::int64_t> candidates_for_speedup(double needed, double r);

/// expected: largest N of the sizing; nullopt: no limit.
DropTarget drop_target(const std::string& name, double naive_drop, double target_drop, const SizingProblem& problem,
                       std::optional<std::int64_t> expected, const Source& source);
/// At some r up to the design note's.
std::vector<DropReach> drop_reach(const DropTarget& target);

}  // namespace kvcast::analysis
