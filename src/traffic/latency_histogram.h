// Times counted in buckets whose width is a fixed share of the time, so that memory does not grow with their number.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace kvcast::traffic {

/// Buckets from 2^-30 s (0.93 ns) to 2^20 s (12 days), 2^kBits in each octave: none is wider than 2^-kBits of its times
/// (0.4% with 8). Shorter times are counted as 0, longer ones in the last bucket. A bucket is what the first bits of
/// the double are, so that adding takes no logarithm. Source: the idea of HdrHistogram (Tene, 2012).
template <int kBits, typename Count>
class Histogram {
 public:
  Histogram() : counts_(kBuckets) {}

  void add(double seconds) noexcept {
    ++counts_[index(seconds)];
    ++count_;
    least_ = std::min(least_, seconds);
    most_ = std::max(most_, seconds);
  }
  void add(const Histogram& other) noexcept {
    for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    least_ = std::min(least_, other.least_);
    most_ = std::max(most_, other.most_);
  }
  std::int64_t count() const noexcept { return count_; }
  /// Time that a share `probability` in [0,1] of the times does not exceed (nearest rank), between the ends of its
  /// bucket by rank. Needs at least one time.
  double quantile(double probability) const noexcept {
    const double rank = std::max(1.0, probability * static_cast<double>(count_));
    double below = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      const auto here = static_cast<double>(counts_[i]);
      if (below + here >= rank) {
        if (i == 0) return least_ > 0 ? least_ : 0;
        const double from = floor_of(i), to = floor_of(i + 1);
        return std::clamp(from + (rank - below) / here * (to - from), least_, most_);
      }
      below += here;
    }
    return most_;
  }
  double most() const noexcept { return most_; }

 private:
  static constexpr double kLeast = 0x1p-30, kMost = 0x1p20;
  static constexpr std::uint64_t bits(double seconds) noexcept {
    return std::bit_cast<std::uint64_t>(seconds) >> (52 - kBits);
  }
  static constexpr std::uint64_t kFirst = bits(kLeast) - 1;
  static constexpr std::size_t kBuckets = bits(kMost) - kFirst + 1;

  static std::size_t index(double seconds) noexcept {
    return seconds < kLeast ? 0 : static_cast<std::size_t>(bits(std::min(seconds, kMost)) - kFirst);
  }
  static double floor_of(std::size_t bucket) noexcept {
    return std::bit_cast<double>((kFirst + bucket) << (52 - kBits));
  }

  std::vector<Count> counts_;  ///< the first: 0
  std::int64_t count_ = 0;
  double least_ = std::numeric_limits<double>::infinity(), most_ = 0;
};

/// 102 kB.
using LatencyHistogram = Histogram<8, std::uint64_t>;
/// 6 kB, to 3%: of a window of the timeline.
using WindowHistogram = Histogram<5, std::uint32_t>;

}  // namespace kvcast::traffic
