#include "base/buffer.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "base/poison.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace kvcast {
namespace {
constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kHugeFrom = std::size_t{1} << 20;
// Of tests alone. Threads allocate, so it can be no thread's own.
std::atomic<int> g_poisons{0};
}  // namespace

void* aligned_allocate(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugeFrom ? kHugePage : kCacheLine;
  if (bytes > std::numeric_limits<std::size_t>::max() - kHugePage) throw std::bad_alloc();
  // Up to a whole huge page where the rest fills at least half of one; a smaller rest stays on small pages, or the
  // hundreds of matrices of a deep model would waste a megabyte each.
  const std::size_t unit = bytes % kHugePage >= kHugeFrom ? kHugePage : kCacheLine;
  const std::size_t padded = (bytes + unit - 1) / unit * unit;
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, padded) != 0) throw std::bad_alloc();
#ifdef __linux__
  // A refusal only costs speed, so the result does not matter.
  if (alignment == kHugePage) (void)madvise(memory, padded / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  // Touching every page here keeps page faults out of the timed part.
  std::memset(memory, g_poisons.load() > 0 ? 0xFF : 0, padded);
  return memory;
}

PoisonedMemory::PoisonedMemory() noexcept { ++g_poisons; }
PoisonedMemory::~PoisonedMemory() { --g_poisons; }

void aligned_release(void* memory) noexcept { std::free(memory); }

}  // namespace kvcast
