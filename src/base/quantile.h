// The quantile that everything here means: of the two values beside it, by distance.
#pragma once

#include <cassert>
#include <cstddef>
#include <vector>

namespace kvcast {

/// Of ascending values, at least one; probability in [0, 1].
/// Source: Hyndman and Fan, "Sample quantiles in statistical packages" (1996), type 7.
inline double sorted_quantile(const std::vector<double>& ascending, double probability) {
  assert(!ascending.empty() && probability >= 0 && probability <= 1);
  const double position = probability * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  if (below + 1 >= ascending.size()) return ascending.back();
  return ascending[below] + (position - static_cast<double>(below)) * (ascending[below + 1] - ascending[below]);
}

}  // namespace kvcast
