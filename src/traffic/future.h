// What the requests of a stream leave to those behind them, once all are known: for policies that foresee.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kvcast/traffic.h"
#include "traffic/request.h"
#include "traffic/user_index.h"

namespace kvcast::traffic {

/// A user of a finite stream.
struct UserRequests {
  std::int64_t requests = 0;  ///< all, at least 1
  std::int64_t reuses = 0;    ///< that a cache without a limit of bytes or time would hit: requests - 1 or fewer
  double bytes = 0;           ///< mean
};

/// Request i takes pages[i], and hits if its user was held since request before[i]; kNone when no cache could have it.
/// Records at most `most` requests; beyond that it is incomplete.
class Recording {
 public:
  static constexpr std::uint32_t kNone = UserIndex::kNone;

  Recording(const UserCacheOptions& options, std::int64_t max_history, std::int64_t most);
  void add(const Request& request);

  bool complete() const { return complete_; }
  std::size_t size() const { return pages_.size(); }
  const std::vector<std::int64_t>& pages() const { return pages_; }
  const std::vector<std::uint32_t>& before() const { return before_; }
  /// next[i]: the request that would hit what request i leaves; kNone when none does.
  std::vector<std::uint32_t> next() const;
  double duration_s() const { return last_s_ - first_s_; }
  std::vector<UserRequests> users() const;

 private:
  struct User {
    std::uint64_t user = 0;
    std::int64_t history = 0;
    double asked = 0;
    std::int64_t requests = 0, reuses = 0;
    double pages = 0;        // sum over requests
    std::uint32_t last = 0;  // request
  };

  UserCacheOptions options_;
  std::int64_t max_history_, most_;
  bool complete_ = true;
  std::vector<std::int64_t> pages_;
  std::vector<std::uint32_t> before_;
  std::vector<User> users_;
  UserIndex index_;
  double first_s_ = 0, last_s_ = 0;
};

/// Longest stream that is recorded: 12 bytes per request and some 80 per user, and 20 more per request during the
/// evaluation.
inline constexpr std::int64_t kMaxOffline = std::int64_t{1} << 22;

/// `requests` with their next_use under these pages and this time to live. same: the same requests, read at once; at
/// most kMaxOffline.
std::unique_ptr<RequestSource> foreseen(std::unique_ptr<RequestSource> requests, RequestSource& same,
                                        const UserCacheOptions& options, std::int64_t max_history);

}  // namespace kvcast::traffic
