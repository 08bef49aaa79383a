// Whether a figure meets a budget.
#pragma once

namespace kvcast {

/// value <= limit, but for rounding: 0.1 + 0.2 meets 0.3, and a time that is exactly the limit meets it however it was
/// summed up.
constexpr bool within_budget(double value, double limit) noexcept { return value <= limit + limit * 1e-9; }

}  // namespace kvcast
