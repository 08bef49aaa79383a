// Times counted in buckets whose width is a fixed share of the time, so that memory does not grow with their number.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace kvcast::traffic {

/// Buckets from 2^-30 s (0.93 ns) to 2^20 s (12 days), 2^kBits in each octave: none is wider than 2^-kBits of its
/// times. Shorter times are in the first bucket, with 0, longer ones in the last. A bucket is what the first bits of
/// the double are, so that it takes no logarithm. Source: the idea of HdrHistogram (Tene, 2012).
template <int kBits>
struct TimeBuckets {
  static constexpr double kLeast = 0x1p-30, kMost = 0x1p20;
  static constexpr std::uint64_t bits(double seconds) noexcept {
    return std::bit_cast<std::uint64_t>(seconds) >> (52 - kBits);
  }
  static constexpr std::uint64_t kFirst = bits(kLeast) - 1;
  static constexpr std::size_t kCount = bits(kMost) - kFirst + 1;

  static std::size_t index(double seconds) noexcept {
    return seconds < kLeast ? 0 : static_cast<std::size_t>(bits(std::min(seconds, kMost)) - kFirst);
  }
  static double floor_of(std::size_t bucket) noexcept {
    return bucket == 0 ? 0 : std::bit_cast<double>((kFirst + bucket) << (52 - kBits));
  }
};

/// Each bucket knows its ends, and how many are at the lower one, so that a time that many requests take is exact to
/// the last bit: that of a constant service, to which waits only add.
template <int kBits, typename Count>
class Histogram {
 public:
  Histogram() : buckets_(Buckets::kCount) {}
  /// The same times in wider buckets.
  template <int kFiner, typename Finer>
  explicit Histogram(const Histogram<kFiner, Finer>& finer) : Histogram() {
    static_assert(kFiner >= kBits);
    for (const auto& bucket : finer.buckets_) {
      if (bucket.count == 0) continue;
      buckets_[Buckets::index(bucket.least)].add(
          {static_cast<Count>(bucket.count), static_cast<Count>(bucket.at_least), bucket.least, bucket.most});
    }
    count_ = finer.count();
  }

  void add(double seconds) noexcept { buckets_[Buckets::index(seconds)].add({1, 1, seconds, seconds}), ++count_; }
  void add(const Histogram& other) noexcept {
    for (std::size_t i = 0; i < Buckets::kCount; ++i) buckets_[i].add(other.buckets_[i]);
    count_ += other.count_;
  }
  std::int64_t count() const noexcept { return count_; }
  /// Time that a share `probability` in [0,1] of the times does not exceed (nearest rank), between the ends of its
  /// bucket by rank. Needs at least one time.
  double quantile(double probability) const noexcept {
    // A little less, for a share times a count is above a whole number by a rounding error.
    const double rank = std::max(1.0, probability * static_cast<double>(count_) * (1 - 1e-12));
    double below = 0;
    for (const Bucket& bucket : buckets_) {
      const auto here = static_cast<double>(bucket.count);
      if (here > 0 && below + here >= rank) {
        const auto same = static_cast<double>(bucket.at_least);
        if (rank <= below + same) return bucket.least;
        return bucket.least + (rank - below - same) / (here - same) * (bucket.most - bucket.least);
      }
      below += here;
    }
    return most();
  }
  /// Share of the times that are longer; of a bucket that it divides as if they were spread evenly. Needs at least one.
  double share_beyond(double seconds) const noexcept {
    const std::size_t at = Buckets::index(seconds);
    double beyond = 0;
    for (std::size_t i = at + 1; i < Buckets::kCount; ++i) beyond += static_cast<double>(buckets_[i].count);
    const Bucket& bucket = buckets_[at];
    if (bucket.count > 0 && seconds < bucket.least) {
      beyond += static_cast<double>(bucket.count);
    } else if (seconds < bucket.most) {
      beyond +=
          static_cast<double>(bucket.count - bucket.at_least) * (bucket.most - seconds) / (bucket.most - bucket.least);
    }
    return beyond / static_cast<double>(count_);
  }
  double least() const noexcept {
    const auto first = std::find_if(buckets_.begin(), buckets_.end(), [](const Bucket& one) { return one.count > 0; });
    return first == buckets_.end() ? 0 : first->least;
  }
  double most() const noexcept {
    const auto last = std::find_if(buckets_.rbegin(), buckets_.rend(), [](const Bucket& one) { return one.count > 0; });
    return last == buckets_.rend() ? 0 : last->most;
  }

 private:
  template <int, typename>
  friend class Histogram;
  using Buckets = TimeBuckets<kBits>;
  struct Bucket {
    Count count = 0, at_least = 0;  ///< at the least time, but for rounding
    double least = std::numeric_limits<double>::infinity(), most = 0;

    void add(const Bucket& other) noexcept {
      constexpr double kSame = 1 + 1e-9;
      if (other.least > least * kSame) {
        // No more at it.
      } else if (least > other.least * kSame) {
        at_least = other.at_least;
      } else {
        at_least += other.at_least;
      }
      count += other.count;
      least = std::min(least, other.least);
      most = std::max(most, other.most);
    }
  };

  std::vector<Bucket> buckets_;
  std::int64_t count_ = 0;
};

/// 409 kB, to 0.4%.
using LatencyHistogram = Histogram<8, std::uint64_t>;
/// 38 kB, to 3%: of a window of the timeline, and of a replication.
using WindowHistogram = Histogram<5, std::uint32_t>;

}  // namespace kvcast::traffic
