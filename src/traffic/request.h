// One request, and where requests come from. What a trace, a synthetic workload, a simulator and a replay share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kvcast::traffic {

struct Request {
  double arrival_s = 0;      ///< since the first request; never falls
  std::uint64_t user = 0;    ///< any number
  std::int64_t history = 0;  ///< tokens that the user has, before any limit
  std::int64_t candidates = 0;
};

/// Requests in order of arrival, from the first on. Takes memory that does not grow with their number.
class RequestSource {
 public:
  virtual ~RequestSource() = default;
  /// Fills `block` from the front; returns how many, fewer than its size only at the end. Errors: ConfigError, IoError.
  virtual std::size_t next(std::span<Request> block) = 0;
};

}  // namespace kvcast::traffic
