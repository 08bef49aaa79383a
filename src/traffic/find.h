// The value that just meets a latency, over simulations that are each asked once. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "kvcast/traffic.h"

namespace kvcast::traffic {

/// What a simulation at one value tells.
struct Probe {
  std::optional<Estimate> p99_s;  ///< nullopt: saturated, or too few requests to tell; neither meets a limit
};

struct Search {
  FindTarget what = FindTarget::qps;
  std::string unit;
  bool largest = true;           ///< or the smallest
  double start = 1;              ///< where to look first
  double least = 0, most = 1e9;  ///< nothing is looked for beyond; both are met exactly
  double step = 0;               ///< values are whole multiples of it, but for least and most; 0: any
  double tolerance = 0;          ///< done when the value and what fails are this share of the larger apart, or a step
};

/// Doubles or halves from `start` until one value meets limit_s and one does not, then bisects. A value meets it when
/// its expected p99 is no longer; the interval goes into the answer. The value and `fails_at` have both been asked, so
/// that they hold even where noise keeps p99 from rising steadily; with the same random numbers at every value (see
/// simulate_once) it hardly does. Without a value that meets it: value nullopt, fails_at the easiest value, p99_s what
/// it takes there. Without one that does not: the value is the bound and fails_at nullopt.
TrafficFind find_limit(const Search& search, double limit_s, const std::function<Probe(double value)>& probe);

}  // namespace kvcast::traffic
