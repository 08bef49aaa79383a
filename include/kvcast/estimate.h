// A number and how well it is known.
#pragma once

#include <optional>

namespace kvcast {

struct Interval {
  double lo = 0, hi = 0;
};
/// A value with its 95% interval where one could be formed.
struct Estimate {
  double value = 0;
  std::optional<Interval> ci95;
};

}  // namespace kvcast
