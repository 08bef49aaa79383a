// What a budget of a sizing is: how it is asked for and told, and what N candidates take of it. THE list of them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "analysis/sizing.h"
#include "kvcast/sizing.h"

namespace kvcast::analysis {

/// Between two measured N what it limits only gets worse with N: the largest N is searched for by that.
struct Budget {
  BudgetInfo info;
  /// What N candidates take of it, in its unit; of a floor what there would be. conservative: at the slow end of the
  /// 95% interval of the time.
  double (*used)(const SizingProblem& problem, std::int64_t candidates, bool conservative);
  /// Whether that is within the limit, where used() is found by a search and so a little off; nullptr: used() tells.
  bool (*within)(const SizingProblem& problem, double limit, std::int64_t candidates, bool conservative) = nullptr;

  /// nullopt where it is not stated.
  std::optional<double> limit(const SizingProblem& problem) const { return problem.*info.limit; }
  /// Of one that is stated.
  bool meets(const SizingProblem& problem, std::int64_t candidates, bool conservative) const;
};

/// A new one is a file, a line here and a member of SizingLimits.
const std::vector<Budget>& budget_list();

/// 99% of the requests of N candidates take no longer, in seconds, waiting included where there is a rate; infinite
/// without a steady state. At every N a point tells it, stated or not.
double p99_seconds(const SizingProblem& problem, std::int64_t candidates, bool conservative = false);

}  // namespace kvcast::analysis
