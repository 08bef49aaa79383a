// Whether a log's clock is fine enough to know waits, for simulate and replay.
#pragma once

#include "traffic/service.h"
#include "traffic/workload.h"

namespace kvcast::app {

/// Requests with the same coarse timestamp seem to arrive together and to wait for each other, so waits are known only
/// to within a tick. Adds a note to summary.reading where a tick is close to the time of a mean request (one that hits,
/// with a cache). Errors: ConfigError where it is longer, enough requests share their timestamp, and options.spread is
/// not set.
void require_known_waits(traffic::WorkloadSummary& summary, const WorkloadOptions& options,
                         const traffic::ServiceTable& table, bool cached);

}  // namespace kvcast::app
