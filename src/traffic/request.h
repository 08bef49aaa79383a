// One request, and a source of requests, shared by traces, synthetic workloads, simulator and replay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace kvcast::traffic {

struct Request {
  double arrival_s = 0;      ///< since the first request; never falls
  std::uint64_t user = 0;    ///< any number
  std::int64_t history = 0;  ///< tokens that the user has, before any limit
  std::int64_t candidates = 0;
  /// Number, in order of arrival, of the request that would hit what this one leaves in the cache; never when there is
  /// none or it is unknown (see foreseen).
  std::int64_t next_use = kNever;
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
};

/// Requests in order of arrival, from the first on. Memory does not grow with their number.
class RequestSource {
 public:
  virtual ~RequestSource() = default;
  /// Fills `block` from the front; returns how many, fewer than its size only at the end. Errors: ConfigError, IoError.
  virtual std::size_t next(std::span<Request> block) = 0;
};

/// Calls body(block) for all requests of a source, in blocks that fit a cache.
template <typename Body>
void for_each_block(RequestSource& requests, const Body& body) {
  std::vector<Request> block(8192);
  for (std::size_t count = block.size(); count == block.size();) {
    count = requests.next(block);
    body(std::span<const Request>(block.data(), count));
  }
}

}  // namespace kvcast::traffic
