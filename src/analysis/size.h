// From a sizing problem to everything that is said about it. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/sizing.h"
#include "kvcast/sizing.h"

namespace kvcast::analysis {

/// A number that the problem rests on, and how to make it `factor` times as large.
struct ScalableInput {
  SizingInput shown;
  std::function<void(SizingProblem& problem, double factor)> scale;
};

/// A speed-up N/(user + candidate·N).
struct SpeedupLine {
  double user = 0, candidate = 0;
};

/// The same budgets under one other circumstance.
struct SizingVariant {
  std::string name, from, to;
  double at = 0;  ///< `to` as a number, where it is one
  SizingProblem problem;
  Source source;
  std::optional<double> drop{};  ///< throughput lost to naive there, where it was measured
};

/// Everything that is known of the service.
struct SizingCase {
  std::string scheme;
  std::optional<std::int64_t> history_length, layers;
  SizingProblem problem;
  bool timed = false;         ///< times are seconds; else naive candidates
  bool tail_assumed = false;  ///< P99 over mean is not that of the timings
  Source source;              ///< of the time model within its data: "fitted" or "assumed"
  std::int64_t min_measured = 1, max_measured = 1;
  std::optional<SpeedupLine> speedup_line;  ///< of problem.speedup beyond the measured N, where it is one
  bool speedup_straight = true;             ///< as ServiceFit
  std::function<std::optional<Interval>(std::int64_t)> speedup_interval;  ///< 95%; none: unknown at any N
  std::vector<std::int64_t> shown;                                        ///< N of points beside the answers
  std::optional<double> limit;                                            ///< largest speed-up
  std::vector<ScalableInput> inputs;  ///< of the time model; those of budgets and memory are added here
  std::vector<double> naive_residuals = {1};
  std::optional<MemoryModel> copies_memory, naive_memory;
  std::vector<SizingMemory> memory;
  std::vector<SizingVariant> lengths, parameters, alternatives;
  std::optional<std::int64_t> threads, cpus;  ///< of a worker, of a machine; nullopt: a worker is a machine
  std::optional<Estimate> drop;               ///< throughput lost to naive
  Source drop_source;
  std::optional<double> target_drop;  ///< to be reached with sharing
  std::optional<double> price_per_hour;
  std::vector<std::string> caveats, notes;
};

Sizing size_case(const SizingCase& given);

}  // namespace kvcast::analysis
