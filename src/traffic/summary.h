// Statistics of any number of requests in memory that does not grow with it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "kvcast/traffic.h"
#include "traffic/request.h"

namespace kvcast::traffic {

/// Counts of whole numbers from 0 on: exact below 512, in buckets of 1/256 of their value above.
class ValueHistogram {
 public:
  void add(std::int64_t value) noexcept;
  std::int64_t count() const noexcept { return count_; }
  double mean() const noexcept { return count_ > 0 ? sum_ / static_cast<double>(count_) : 0; }
  std::int64_t max() const noexcept { return max_; }
  /// The smallest value that is not below a share of the values, to 0.2%; 0 of none. 0 < share <= 1.
  double quantile(double share) const noexcept;
  /// All of it in `scale` of the unit of the values.
  WorkloadColumn column(const std::string& name, const std::string& unit, double scale) const;

 private:
  static constexpr int kBits = 8;
  static std::size_t bucket(std::int64_t value) noexcept;

  std::vector<std::int64_t> counts_ = std::vector<std::int64_t>((64 - kBits) << kBits);
  std::int64_t count_ = 0, max_ = 0;
  double sum_ = 0;
};

/// Requests of each user: of all users up to a bound, of a random sample of the users beyond it.
/// Source: adaptive sampling (Flajolet, "On adaptive sampling", Computing 43, 1990).
class UserCounts {
 public:
  static constexpr std::size_t kMaxUsers = std::size_t{1} << 21;
  /// most: users kept, a power of two.
  explicit UserCounts(std::size_t most = kMaxUsers);

  void add(std::uint64_t user);
  /// Exact up to the bound; beyond it estimated, with a relative standard error of about 1.2/sqrt(most).
  std::int64_t users() const noexcept;
  bool exact() const noexcept { return depth_ == 0; }
  std::size_t kept() const noexcept { return size_; }
  /// Requests per user, of those kept.
  ValueHistogram requests_per_user() const;

 private:
  struct Slot {
    std::uint64_t user = 0;
    std::int64_t requests = 0;  // 0: free
  };
  bool sampled(std::uint64_t hash) const noexcept { return depth_ == 0 || hash >> (64 - depth_) == 0; }
  Slot& slot(std::uint64_t user, std::uint64_t hash) noexcept;
  void rebuild(std::size_t slots);

  std::vector<Slot> slots_;
  std::size_t size_ = 0, most_;
  int depth_ = 0;  // users whose hash begins with that many zero bits are kept
};

}  // namespace kvcast::traffic
