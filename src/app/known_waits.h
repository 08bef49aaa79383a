// What a log whose clock ticks tells of waits, for simulate and replay.
#pragma once

#include "traffic/service.h"
#include "traffic/workload.h"

namespace kvcast::app {

/// Requests that a coarse clock stamps alike seem to come at once, so that each waits for the others: a wait is known
/// to a tick. Says so in summary.reading where a tick is near the time of a mean request, which is one that is found
/// where histories are cached. Errors: ConfigError where it is longer, enough requests share their timestamp, and
/// options.spread does not say what to do.
void require_known_waits(traffic::WorkloadSummary& summary, const WorkloadOptions& options,
                         const traffic::ServiceTable& table, bool cached);

}  // namespace kvcast::app
