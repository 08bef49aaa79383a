// A report with one point of naive and shared, for tests to bend.
#pragma once

#include <string>

#include "kvcast/report.h"

namespace kvcast::report {

inline SchemePoint small_point(const std::string& scheme, double seconds) {
  SchemePoint point;
  point.scheme = scheme;
  point.seconds = SecondsSummary{seconds, Interval{seconds * 0.99, seconds * 1.01}, 5};
  point.measured_candidates = 50;
  point.requests_per_s = 1 / seconds;
  point.candidates_per_s = 50 / seconds;
  point.time_over_minimum = 1.25;
  return point;
}

inline Report small_report() {
  Report report;
  report.tool.version = "0.1.0";
  report.machine.emplace().threads = 2;
  report.config.emplace().model.kv_heads = 4;
  report.config->run.threads = 2;
  report.config->run.cpus = 2;
  report.config->run.kv_dtype = "fp32";
  report.config->measure.max_memory_bytes = 1 << 30;
  Case one;
  one.shape = CaseShape{{256, 256, 4, 4, 4}, "fp32", "fp32", 2, "causal", true};
  SchemePoint shared = small_point("shared", 0.0625);
  shared.time_over_minimum = 1.75;
  shared.speedup = Estimate{32, Interval{31.5, 32.5}};
  shared.improvement = 1 - 1.0 / 32;
  shared.predicted_speedup = 31.75;
  one.points = {{50, {small_point("naive", 2), shared}}};
  report.cases = {one};
  return report;
}

inline SchemePoint& small_naive(Report& report) { return report.cases[0].points[0].schemes[0]; }
inline SchemePoint& small_shared(Report& report) { return report.cases[0].points[0].schemes[1]; }

}  // namespace kvcast::report
