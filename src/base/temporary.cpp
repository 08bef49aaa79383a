#include "base/temporary.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace kvcast {
namespace {

// A signal handler can reach neither a lock nor memory that is being allocated. A report has some ten files.
constexpr std::size_t kMost = 256;
std::array<std::atomic<char*>, kMost> g_paths{};
static_assert(std::atomic<char*>::is_always_lock_free);

}  // namespace

Temporary::Temporary(const std::string& path) : path_(::strdup(path.c_str())) {
  for (std::atomic<char*>& slot : g_paths) {
    char* empty = nullptr;
    if (path_ != nullptr && slot.compare_exchange_strong(empty, path_)) return;
  }
  std::free(std::exchange(path_, nullptr));
}

Temporary::~Temporary() {
  if (path_ == nullptr) return;
  for (std::atomic<char*>& slot : g_paths) {
    char* own = path_;
    if (slot.compare_exchange_strong(own, nullptr)) break;
  }
  std::free(path_);
}

Temporary::Temporary(Temporary&& other) noexcept : path_(std::exchange(other.path_, nullptr)) {}
Temporary& Temporary::operator=(Temporary&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

void Temporary::remove_all() noexcept {
  // A folder goes once what was in it has gone, whichever comes first in the list.
  for (bool removed = true; removed;) {
    removed = false;
    for (const std::atomic<char*>& slot : g_paths) {
      const char* const path = slot.load();
      if (path == nullptr) continue;
      removed = ::unlink(path) == 0 || ::rmdir(path) == 0 || removed;
    }
  }
}

}  // namespace kvcast
