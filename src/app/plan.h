// What the points of a run cost, by their work: what a plan is made of before an engine is there to be asked.
#pragma once

#include <vector>

#include "engine/engine.h"
#include "kvcast/kvcast.h"
#include "plan/plan.h"

namespace kvcast::app {

/// Of every case of the grid, or of a shard's, on an engine that can do this. Errors: as of make_plan.
std::vector<plan::Costs> costs_of(const Engine& engine, const Config& config, const MachineInfo& machine,
                                  const RunOptions& options);
/// make_plan for any engine.
Plan plan_for(const Engine& engine, const Config& config, const MachineInfo& machine, const RunOptions& options);

}  // namespace kvcast::app
