// The value that just meets a latency, over simulations that are each asked once. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "kvcast/traffic.h"

namespace kvcast::traffic {

/// The result of a simulation at one value.
struct Probe {
  std::optional<Estimate> p99_s;  ///< nullopt: saturated, or too few requests; neither meets a limit
};

struct Search {
  FindTarget what = FindTarget::qps;
  std::string unit;
  bool largest = true;           ///< or the smallest
  double start = 1;              ///< where to look first
  double least = 0, most = 1e9;  ///< bounds of the search, both reachable exactly
  double step = 0;               ///< values are whole multiples of it, except least and most; 0: any
  double tolerance = 0;          ///< stop when the value and fails_at differ by this share of the larger, or by a step
};

/// Doubles or halves from `start` until one value meets limit_s and one does not, then bisects. A value meets it when
/// its expected p99 is within the limit; the interval goes into the answer. Both the value and `fails_at` have been
/// simulated, so they hold even where noise makes p99 non-monotonic, which is rare with the same random numbers at
/// every value (see simulate_once). If no value meets it: value nullopt, fails_at the easiest value, p99_s the one
/// there. If every value meets it: the value is the bound and fails_at nullopt.
TrafficFind find_limit(const Search& search, double limit_s, const std::function<Probe(double value)>& probe);

}  // namespace kvcast::traffic
