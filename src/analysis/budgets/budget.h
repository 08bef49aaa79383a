// A budget of a sizing: how it is given and shown, and how much of it N candidates use. THE list of them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "analysis/sizing.h"
#include "kvcast/sizing.h"

namespace kvcast::analysis {

/// Between two measured N its quantity only gets worse with N, which the search for the largest N relies on.
struct Budget {
  BudgetInfo info;
  /// How much of it N candidates use, in its unit; for a floor, how much there would be. conservative: at the slow end
  /// of the 95% interval of the time.
  double (*used)(const SizingProblem& problem, std::int64_t candidates, bool conservative);
  /// Whether N meets the limit, where used() comes from a search and is inexact; nullptr: compare used().
  bool (*within)(const SizingProblem& problem, double limit, std::int64_t candidates, bool conservative) = nullptr;

  /// nullopt where it is not stated.
  std::optional<double> limit(const SizingProblem& problem) const { return problem.*info.limit; }
  /// For a stated budget.
  bool meets(const SizingProblem& problem, std::int64_t candidates, bool conservative) const;
};

/// A new one is a file, a line here and a member of SizingLimits.
const std::vector<Budget>& budget_list();

/// P99 latency of requests of N candidates, in seconds, queueing included where there is a rate; infinite without a
/// steady state. Reported at every N, even without a P99 budget.
double p99_seconds(const SizingProblem& problem, std::int64_t candidates, bool conservative = false);
/// Whether it is at most problem.p99_s, which must be stated; much cheaper.
bool meets_p99(const SizingProblem& problem, std::int64_t candidates);

}  // namespace kvcast::analysis
