// Whether the times of a replay are those of the program.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "measure/machine.h"
#include "traffic/replay/replay.h"

namespace kvcast::app {

/// "No usable result: other processes used 83% of the CPUs"; empty where the times are the program's. By the rule of
/// runs (analysis::interference), its windows in the place of their rounds. Pure.
///
/// Workers wait for arrivals, so what they ask for is the time of their services: what others took of it is at most
/// that less the CPU time of this process, and at most what others had at all.
///
/// window_ratios: times of the services of each window over those that were expected. threads: of a worker. from, to:
/// around the replay.
std::string interference(const traffic::ReplayResult& result, const std::vector<double>& window_ratios,
                         std::int64_t threads, const measure::CpuTimes& from, const measure::CpuTimes& to);

}  // namespace kvcast::app
