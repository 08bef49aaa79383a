// The users' keys and values kept between requests: by a policy (policies/), with a time to live, in whole pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "kvcast/traffic.h"
#include "traffic/request.h"

namespace kvcast::traffic {

/// Why a request found nothing, or how much it found.
enum class Found {
  nothing,  ///< never seen, evicted, still being made, or a request without a history
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
inline bool is_hit(const Lookup& lookup) noexcept { return lookup.found == Found::part || lookup.found == Found::all; }

/// requests = found_all + found_part + changed + expired + those that found nothing. A request without a history needs
/// no pass and no cache: it is no hit.
struct CacheCounts {
  std::int64_t requests = 0, found_all = 0, found_part = 0, changed = 0, expired = 0;
  std::int64_t evictions = 0, refused = 0;             ///< refused: alone larger than the cache
  std::int64_t tokens = 0, known_tokens = 0;           ///< of all requests; of them served from the cache
  std::int64_t bytes = 0, max_bytes = 0, entries = 0;  ///< held now; at most; users now. Without what has expired
};

/// Tokens of a history that are looked at: its newest max_history; 0: no limit.
constexpr std::int64_t limited(std::int64_t history, std::int64_t max_history) noexcept {
  return max_history > 0 && history > max_history ? max_history : history;
}
/// Whether keys and values made of a history of `before` tokens are the beginning of what they are for `history` tokens
/// of the same user, both before any limit. One that only grew is, until a limit cuts tokens off in front: those behind
/// have seen them.
constexpr bool still_the_beginning(std::int64_t before, std::int64_t history, std::int64_t max_history) noexcept {
  return before == history || (before < history && limited(history, max_history) == history);
}

/// Pages that `tokens` >= 0 take.
constexpr std::int64_t pages_of(std::int64_t tokens, std::int64_t page_tokens) noexcept {
  return tokens / page_tokens + (tokens % page_tokens != 0 ? 1 : 0);
}
/// Bytes that a history takes: whole pages, each of whole bytes. As many as int64 holds when it is more.
std::int64_t page_bytes(std::int64_t tokens, std::int64_t page_tokens, double bytes_per_token);

/// O(1) per call plus the policy's time; memory in proportion to the users held (48 bytes, 16 to 32 of the hash table,
/// and the policy's).
class UserCache {
 public:
  /// max_history 0: no limit. options.policy is one of the list.
  UserCache(const UserCacheOptions& options, double bytes_per_token, std::int64_t max_history);
  UserCache(UserCache&&) noexcept;
  UserCache& operator=(UserCache&&) noexcept;
  ~UserCache();

  /// Looks up a request served from `now` on; counts it and makes its user the newest. For an entry that is not ready
  /// yet (see keep) it finds the previous content. Drops what has expired or changed. `now` never falls. The time to
  /// live runs from the last find; expired entries are evicted first, and until then their users count as expired.
  Lookup find(const Request& request, double now) noexcept;
  /// Keeps the history of this request, evicting by the policy until it fits; usable from `ready` on, or earlier when
  /// the same history was already due to be ready. False when it is not kept: larger than the whole cache, itself the
  /// first to evict, or empty. Errors: std::length_error beyond 2^31 users.
  bool keep(const Request& request, double ready);
  const CacheCounts& counts() const noexcept;
  /// Resets the counts, not the contents.
  void reset_counts() noexcept;
  /// Sets a callback for every user whose history is dropped, called from within find and keep, to free real memory.
  void on_drop(std::function<void(std::uint64_t user)> hear);

  /// Prefetches what find() will read for this user: first the hash-table slot, then the entry, this many requests
  /// ahead. One fetch from memory takes as long as several requests.
  static constexpr std::size_t kSlotAhead = 16, kEntryAhead = 8;
  void prefetch_slot(std::uint64_t user) const noexcept;
  void prefetch_entry(std::uint64_t user) const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvcast::traffic
