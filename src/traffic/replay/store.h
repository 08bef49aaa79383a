// The users' keys and values in real memory: UserCache decides who is kept, a pool of caches has the room.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "traffic/user_cache.h"

namespace kvcast::traffic {

/// Room for one user's history.
struct Slot {
  std::size_t size_class = 0;
  std::unique_ptr<UserKv> kv;  ///< null in a dry run
  std::int64_t readers = 0;    ///< requests that are served from it as it is
};

/// Slots of a ladder of capacities, each 2^(1/4) of the one below: a history that grows is copied once in a fifth of
/// its length, and no slot is more than that fifth, or a granule, larger than what it is taken for.
class SlotPool {
 public:
  /// For histories of up to `longest` tokens in multiples of `granule`. service null: a dry run, whose slots have no
  /// memory.
  SlotPool(const Service* service, std::int64_t granule, std::int64_t longest);

  /// A slot with room for this many tokens: a free one, of a larger class where there is none of its own, else a new
  /// one. Errors: std::bad_alloc.
  std::unique_ptr<Slot> take(std::int64_t tokens);
  /// A free one; null when there is none.
  std::unique_ptr<Slot> take_free(std::int64_t tokens) noexcept;
  void give(std::unique_ptr<Slot> slot);
  /// Makes so many free slots of each class. Errors: std::bad_alloc.
  void stock(const std::vector<std::int64_t>& counts);

  const std::vector<std::int64_t>& capacities() const noexcept { return capacities_; }  ///< tokens, by class
  const std::vector<std::int64_t>& made() const noexcept { return made_; }              ///< slots, by class
  std::size_t class_of(std::int64_t tokens) const noexcept;
  std::int64_t granule() const noexcept { return granule_; }
  std::int64_t capacity(const Slot& slot) const noexcept { return capacities_[slot.size_class]; }

 private:
  std::unique_ptr<Slot> make(std::size_t size_class);

  const Service* service_;
  std::int64_t granule_;
  std::vector<std::int64_t> capacities_, made_;
  std::vector<std::vector<std::unique_ptr<Slot>>> free_;
};

/// What a request holds while it is served.
struct Visit {
  Lookup lookup;
  /// The policy found a part in use by another request, which writes behind it or reads where this one has to write.
  /// Its whole granules, which nobody writes to, are copied, or nothing if it is gone already; `lookup` reflects that,
  /// the policy's counts do not.
  bool busy = false;
  std::unique_ptr<Slot> slot;      ///< with room for the history; null when all is found
  std::unique_ptr<Slot> outgrown;  ///< the slot before, with too little room
  Slot* shared = nullptr;          ///< owned by another: all of the history, or when busy the part to copy

  UserKv& kv() const noexcept { return slot ? *slot->kv : *shared->kv; }
  /// Where the first lookup.known tokens are to be copied from; null when they are there.
  const Slot* copied_from() const noexcept {
    if (outgrown) return outgrown.get();
    return slot ? shared : nullptr;
  }
};

/// Not thread-safe: its caller locks.
class Store {
 public:
  Store(const UserCacheOptions& options, double bytes_per_token, std::int64_t max_history, SlotPool& pool);

  /// A request is served from `now` on. Until end() its history is kept but not ready, as in the simulator.
  Visit begin(const Request& request, double now);
  /// The request is answered, its slot holds the whole history. Of two histories of a user that were made at once the
  /// one of the later request stays.
  void end(const Request& request, double now, Visit visit);

  void reset_counts() noexcept { policy_.reset_counts(); }
  const CacheCounts& counts() const noexcept { return policy_.counts(); }
  /// Gives every slot back. Nothing is being served.
  void clear();

 private:
  struct Held {
    std::unique_ptr<Slot> slot;  ///< null until its first request is answered, and while one writes to it
    Slot* written = nullptr;     ///< the slot meanwhile: what was there before stays
    std::int64_t history = 0;    ///< of the latest request, before any limit
  };
  /// Back to the pool, or when its last reader is done.
  void release(std::unique_ptr<Slot> slot);
  void stop_reading(Slot* slot);

  UserCache policy_;
  SlotPool& pool_;
  std::unordered_map<std::uint64_t, Held> held_;
  std::vector<std::unique_ptr<Slot>> dropped_;  ///< no longer kept, but read
};

}  // namespace kvcast::traffic
