#include "app/interference.h"

#include <algorithm>

#include "analysis/composition.h"
#include "analysis/conditions.h"
#include "statistics/statistics.h"

namespace kvcast::app {
namespace {

// Fewer windows do not tell whether they agree.
constexpr std::size_t kFewestWindows = 3;

}  // namespace

std::string interference(const traffic::ReplayResult& result, const std::vector<double>& window_ratios,
                         std::int64_t threads, const measure::CpuTimes& from, const measure::CpuTimes& to) {
  analysis::Interference seen;
  const double total = to.total_s - from.total_s, own = to.own_s - from.own_s;
  double asked = 0;
  for (const traffic::ReplayedRequest& served : result.requests) asked += served.end_s - served.start_s;
  asked *= static_cast<double>(threads);
  if (total > 0 && asked > 0) {
    const double foreign = std::max(0.0, to.busy_s - from.busy_s - own), stolen = to.stolen_s - from.stolen_s;
    seen.foreign_pct = 100 * foreign / total;
    seen.steal_pct = 100 * stolen / total;
    seen.missing = std::clamp(std::min(asked - own, foreign + stolen) / asked, 0.0, 1.0);
  }
  double slow = 0, known = 0;
  for (const traffic::ReplayWindow& window : result.windows) {
    if (!window.canary_ratio) continue;
    ++known;
    slow += *window.canary_ratio < analysis::kCanaryFloor ? 1 : 0;
  }
  if (known > 0) seen.slow = slow / known;
  if (window_ratios.size() >= kFewestWindows) {
    seen.spread = quantile(window_ratios, 0.9) / quantile(window_ratios, 0.1);
  }
  const std::string who = analysis::interference(seen);
  return who.empty() ? "" : "No usable result: " + who;
}

}  // namespace kvcast::app
