// A request to stop empties the loops of a pass: one that takes minutes ends at once, and its outputs are worth
// nothing.
#pragma once

#include <functional>

namespace kvcast {

/// While it lives, stopping() asks `requested`, which must outlive it, may be called by any thread, and once true stays
/// so. Empty: nobody stops anything. One at a time in a process.
class StopScope {
 public:
  explicit StopScope(const std::function<bool()>& requested);
  ~StopScope();
  StopScope(const StopScope&) = delete;
  StopScope& operator=(const StopScope&) = delete;
};

/// Whether loops may skip what is left of their work. Who uses their results asks afterwards.
bool stopping() noexcept;

}  // namespace kvcast
