// Counter-based random numbers: element i of stream s is a pure function of (seed, s, i), so that any part of any
// tensor can be made again, in any order, by any thread.
#pragma once

#include <cstdint>

namespace kvcast {

/// SplitMix64's output function. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

class RandomStream {
 public:
  constexpr RandomStream(std::uint64_t seed, std::uint64_t stream) noexcept : key_(mix64(seed ^ mix64(stream))) {}

  constexpr std::uint64_t bits(std::uint64_t i) const noexcept { return mix64(key_ + i * 0xd1342543de82ef95ULL); }

  /// Uniform with mean 0 and standard deviation 1: 24 random bits over [-sqrt 3, sqrt 3).
  constexpr float unit(std::uint64_t i) const noexcept {
    constexpr float kScale = 3.4641016151377544f / 16777216.0f;
    return static_cast<float>(static_cast<std::int64_t>(bits(i) >> 40) - 8388608) * kScale;
  }

 private:
  std::uint64_t key_;
};

}  // namespace kvcast
