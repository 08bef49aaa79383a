#include "app/known_waits.h"

#include <algorithm>
#include <cmath>

#include "kvcast/error.h"
#include "traffic/user_cache.h"

namespace kvcast::app {
namespace {

// The resolution of timestamp_ms: no log that fine is refused.
constexpr double kFinestS = 1e-3;
// Share of a service time: a shorter tick moves no percentile that matters.
constexpr double kNear = 0.5;

double mean_of(const traffic::WorkloadSummary& summary, const char* name) {
  for (const WorkloadColumn& column : summary.columns) {
    if (column.name == name) return column.mean;
  }
  return 0;
}

}  // namespace

void require_known_waits(traffic::WorkloadSummary& summary, const WorkloadOptions& options,
                         const traffic::ServiceTable& table, bool cached) {
  const traffic::Ticks& ticks = summary.ticks;
  if (ticks.text.empty() || !options.spread.empty()) return;
  const auto tokens = traffic::limited(std::llround(mean_of(summary, "history_length")), options.max_history);
  const double service_s = table.seconds(tokens, cached ? tokens : 0, std::llround(mean_of(summary, "candidates")));
  if (ticks.seconds > std::max(service_s, kFinestS)) {
    throw ConfigError(
        summary.log_file, ticks.text,
        "--spread-timestamps random spreads them at random within it, even evenly, none keeps them as they "
        "are");
  }
  if (ticks.seconds > kNear * service_s) {
    summary.reading.push_back("timestamps come in steps of " + traffic::span_text(ticks.seconds) +
                              ", and a request takes " + traffic::span_text(service_s) +
                              ": waits are known to within " + traffic::span_text(ticks.seconds));
  }
}

}  // namespace kvcast::app
