// The table of service times for a simulation, from a report or from fixed times.
#pragma once

#include <cstdint>

#include "kvcast/kvcast.h"

namespace kvcast::app {

/// Times of histories up to `max_history` tokens. By the surface where the report has one; else by the scheme's own
/// timings at the lengths that were measured, and by FLOPs from the nearest of them at others. Pure but for reading.
/// Errors: those of fit(); ConfigError naming the flag when neither a report nor fixed times suffice.
ServiceCosts service_costs(const TrafficOptions& options, std::int64_t max_history, std::int64_t max_candidates);

/// History lengths of the table: 0, 1, and on to `most`, close enough that a line between two of them is within a
/// thousandth of a parabola.
std::vector<std::int64_t> breakpoint_lengths(std::int64_t most);

}  // namespace kvcast::app
