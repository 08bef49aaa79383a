// Which users' keys and values are kept between requests: LRU with a time to live, in whole pages.
#pragma once

#include <cstdint>
#include <memory>

#include "kvcast/traffic.h"
#include "traffic/request.h"

namespace kvcast::traffic {

/// Why a request found nothing, or how much it found.
enum class Found {
  nothing,  ///< never seen, or evicted
  expired,  ///< seen, but longer ago than the time to live
  changed,  ///< cached, but no longer the beginning of the history: it shrank, or a limit cut its oldest tokens off
  part,     ///< the beginning; the newest tokens need a pass
  all,      ///< nothing has come since
};
struct Lookup {
  Found found = Found::nothing;
  std::int64_t known = 0;   ///< tokens cached that the request can use
  std::int64_t length = 0;  ///< of the history of the request, cut to max_history
};

struct CacheCounts {
  std::int64_t requests = 0, found_all = 0, found_part = 0, changed = 0, expired = 0;
  std::int64_t evictions = 0, refused = 0;              ///< refused: alone larger than the cache
  std::int64_t tokens = 0, known_tokens = 0;            ///< of all requests; of them served from the cache
  std::int64_t bytes = 0, most_bytes = 0, entries = 0;  ///< held now; at most; users now
};

/// Bytes that a history takes: whole pages.
std::int64_t page_bytes(std::int64_t tokens, std::int64_t page_tokens, double bytes_per_token);

class UserCache {
 public:
  /// max_history 0: no limit.
  UserCache(const UserCacheOptions& options, double bytes_per_token, std::int64_t max_history);
  ~UserCache();

  /// What the cache has for a request that is served from `now` on; counts it and makes its user the newest.
  /// An entry that is not ready yet (see keep) is not found. `now` never falls.
  Lookup find(const Request& request, double now) noexcept;
  /// Keeps the history of this request, evicting the users that waited longest until it fits; usable from `ready` on.
  void keep(const Request& request, double ready);
  const CacheCounts& counts() const noexcept;
  /// Starts the counts anew, not the contents.
  void reset_counts() noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvcast::traffic
