// A request to stop cuts the loops of a pass short: even a long pass ends at once, with worthless outputs.
#pragma once

#include <functional>

namespace kvcast {

/// While it lives, stopping() returns `requested()`, which must outlive it, be callable from any thread, and stay true
/// once true. Empty: never stops. One at a time in a process.
class StopScope {
 public:
  explicit StopScope(const std::function<bool()>& requested);
  ~StopScope();
  StopScope(const StopScope&) = delete;
  StopScope& operator=(const StopScope&) = delete;
};

/// Whether loops may skip the rest of their work. Check it again before using their results.
bool stopping() noexcept;

}  // namespace kvcast
