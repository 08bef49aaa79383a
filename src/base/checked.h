// Size arithmetic that says when it does not fit 64 bits.
#pragma once

#include <cstdint>
#include <optional>

namespace kvcast {

/// A product or sum that may not exist. Arguments may themselves be results, so expressions nest.
using Checked = std::optional<std::int64_t>;

/// Product of two or more sizes; nullopt when it (or an argument) does not fit int64.
constexpr Checked checked_mul(Checked a, Checked b) {
  std::int64_t result = 0;
  if (!a || !b || __builtin_mul_overflow(*a, *b, &result)) return std::nullopt;
  return result;
}
template <typename... Rest>
constexpr Checked checked_mul(Checked a, Checked b, Checked c, Rest... rest) {
  return checked_mul(checked_mul(a, b), c, rest...);
}

/// Sum of two or more sizes; nullopt when it (or an argument) does not fit int64.
constexpr Checked checked_add(Checked a, Checked b) {
  std::int64_t result = 0;
  if (!a || !b || __builtin_add_overflow(*a, *b, &result)) return std::nullopt;
  return result;
}
template <typename... Rest>
constexpr Checked checked_add(Checked a, Checked b, Checked c, Rest... rest) {
  return checked_add(checked_add(a, b), c, rest...);
}

}  // namespace kvcast
