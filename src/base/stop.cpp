#include "base/stop.h"

#include <atomic>

namespace kvcast {
namespace {

std::atomic<const std::function<bool()>*> g_requested{nullptr};

}  // namespace

StopScope::StopScope(const std::function<bool()>& requested) { g_requested.store(requested ? &requested : nullptr); }
StopScope::~StopScope() { g_requested.store(nullptr); }

bool stopping() noexcept {
  const std::function<bool()>* const requested = g_requested.load(std::memory_order_acquire);
  return requested != nullptr && (*requested)();
}

}  // namespace kvcast
