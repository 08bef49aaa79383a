// The clock of every timing.
#pragma once

#include <chrono>

namespace kvcast {

/// Seconds on a clock that only goes forward.
inline double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace kvcast
