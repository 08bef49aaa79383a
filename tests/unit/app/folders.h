// Runs of a small grid as they lie on disk, with planted times.
#pragma once

#include <string>

#include "kvcast/kvcast.h"
#include "report/shape.h"
#include "unit/files.h"

namespace kvcast::testing {

inline Config grid_config() {
  return parse_config(R"({"model": {"dim": 64, "heads": 2}, "sweep": {"history_length": [64, 128], "layers": [1, 2]},
                          "run": {"candidates": [1, 10, 50]}})",
                      "test", {}, {2, std::int64_t{1} << 32});
}

/// A case with rounds of naive at 1 ms a candidate and of shared by r, the rounds a little apart.
inline Case planted_case(const Config& config, double r, std::int64_t rounds = 4) {
  Case one;
  one.shape = report::shape_of(config);
  for (const std::int64_t n : config.run.candidates) {
    for (std::int64_t round = 0; round < rounds; ++round) {
      const double wobble = 1 + 1e-3 * static_cast<double>(round % 2);
      Sample sample;
      sample.candidates = sample.measured_candidates = n;
      sample.round = round;
      sample.scheme = "naive";
      sample.measured_seconds = 1e-3 * static_cast<double>(n);
      one.samples.push_back(sample);
      sample.scheme = "shared";
      sample.measured_seconds = 1e-3 * (1 + static_cast<double>(n - 1) * r) * wobble;
      one.samples.push_back(sample);
    }
  }
  return one;
}

/// Part `index` of `count` of the grid, with every count-th case from the index-th on.
inline Report part(std::int64_t index, std::int64_t count, double r = 0.1) {
  Report report;
  report.tool = {"1.0.0", "abc", "GNU", "Release", {}};
  report.machine.emplace();
  report.machine->cpu_model = "CPU";
  report.machine->isa = "AVX2";
  report.machine->threads = 2;
  report.machine->peak_gflops = 100.0 + static_cast<double>(index);
  report.config = grid_config();
  report.shard = Shard{index, count};
  report.conditions.emplace();
  report.conditions->rounds = 4 + index;
  report.conditions->measured_s = 10;
  report.conditions->stopped_by = StoppedBy::precision;
  report.conditions->steal_pct = static_cast<double>(index);
  const std::vector<Config> cases = grid(*report.config);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (static_cast<std::int64_t>(i) % count == index - 1) report.cases.push_back(planted_case(cases[i], r));
  }
  report.warnings = {{"kept", "of the run", ""}};
  return report;
}

}  // namespace kvcast::testing
