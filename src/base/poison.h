// For tests: memory in which nothing may be read before it is written.
#pragma once

namespace kvcast {

/// While one lives, aligned_allocate() fills with 0xFF instead of 0: a NaN in every floating-point type. What comes out
/// the same on such memory depends on no padding.
class PoisonedMemory {
 public:
  PoisonedMemory() noexcept;
  ~PoisonedMemory();
  PoisonedMemory(const PoisonedMemory&) = delete;
  PoisonedMemory& operator=(const PoisonedMemory&) = delete;
};

}  // namespace kvcast
