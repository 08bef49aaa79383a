// A run on an engine of the caller's choice: what kvcast::run and kvcast::resume do with the engine of kvcast itself.
#pragma once

#include <functional>
#include <optional>

#include "engine/engine.h"
#include "kvcast/kvcast.h"
#include "measure/machine.h"

namespace kvcast::app {

/// What a run sees of the machine while it measures.
struct Surroundings {
  std::function<double()> now;                ///< seconds, of budgets and deadlines
  std::function<double(int threads)> canary;  ///< speed of a short FMA burst, GFLOP/s
  std::function<std::optional<measure::CpuTimes>()> cpu_times;
};
const Surroundings& real_surroundings();

RunResult run_on(const Engine& engine, const Surroundings& surroundings, const Config& config,
                 const MachineInfo& machine, const Plan& plan, const RunOptions& options, const Observer& observer);
RunResult resume_on(const Engine& engine, const Surroundings& surroundings, const Unfinished& unfinished,
                    const MachineInfo& machine, const Observer& observer);

}  // namespace kvcast::app
