// Requests for tests: a list as a source, and draws.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/random.h"
#include "traffic/request.h"

namespace kvcast::testing {

class ListedRequests : public traffic::RequestSource {
 public:
  explicit ListedRequests(std::vector<traffic::Request> requests) : requests_(std::move(requests)) {}
  std::size_t next(std::span<traffic::Request> block) override {
    const std::size_t count = std::min(block.size(), requests_.size() - at_);
    std::copy_n(requests_.begin() + static_cast<std::ptrdiff_t>(at_), count, block.begin());
    at_ += count;
    return count;
  }

 private:
  std::vector<traffic::Request> requests_;
  std::size_t at_ = 0;
};

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : stream_(seed, 0x6361636865ULL) {}
  /// [0, 1)
  double uniform() { return static_cast<double>(stream_.bits(at_++) >> 11) * 0x1p-53; }
  /// [0, n)
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(uniform() * static_cast<double>(n)); }
  /// [first, last]
  std::int64_t between(std::int64_t first, std::int64_t last) { return first + below(last - first + 1); }

 private:
  RandomStream stream_;
  std::uint64_t at_ = 0;
};

/// Shares of users 0, 1, ... in proportion to 1/(k+1)^exponent.
inline std::vector<double> zipf(std::size_t users, double exponent) {
  std::vector<double> shares;
  double sum = 0;
  for (std::size_t k = 0; k < users; ++k) {
    shares.push_back(std::pow(static_cast<double>(k + 1), -exponent));
    sum += shares.back();
  }
  for (double& share : shares) share /= sum;
  return shares;
}

/// Users drawn independently by `shares`, one request a second; user k has histories[k % size] tokens.
inline std::vector<traffic::Request> independent(const std::vector<double>& shares,
                                                 const std::vector<std::int64_t>& histories, std::size_t requests,
                                                 std::uint64_t seed) {
  std::vector<double> upto;
  double sum = 0;
  for (const double share : shares) upto.push_back(sum += share);
  Draw draw(seed);
  std::vector<traffic::Request> all;
  for (std::size_t i = 0; i < requests; ++i) {
    const auto at = std::upper_bound(upto.begin(), upto.end() - 1, draw.uniform() * sum) - upto.begin();
    const auto user = static_cast<std::uint64_t>(at);
    all.push_back({static_cast<double>(i), user, histories[user % histories.size()], 1});
  }
  return all;
}

}  // namespace kvcast::testing
