#include "traffic/replay/store.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <utility>

namespace kvcast::traffic {

SlotPool::SlotPool(const Service* service, std::int64_t granule, std::int64_t longest)
    : service_(service), granule_(granule) {
  const double step = std::pow(2.0, 0.25);
  std::int64_t capacity = granule;
  while (true) {
    capacities_.push_back(capacity);
    if (capacity >= longest) break;
    capacity = granule * static_cast<std::int64_t>(
                             std::ceil(step * static_cast<double>(capacity) / static_cast<double>(granule)));
  }
  // No history outgrows the longest.
  if (capacities_.size() > 1) {
    capacities_.back() = (longest + granule - 1) / granule * granule;
  }
  made_.resize(capacities_.size());
  free_.resize(capacities_.size());
}

std::size_t SlotPool::class_of(std::int64_t tokens) const noexcept {
  const auto found = std::lower_bound(capacities_.begin(), capacities_.end(), tokens);
  assert(found != capacities_.end());
  return static_cast<std::size_t>(found - capacities_.begin());
}

std::unique_ptr<Slot> SlotPool::make(std::size_t size_class) {
  auto slot = std::make_unique<Slot>();
  slot->size_class = size_class;
  if (service_ != nullptr) slot->kv = service_->make_kv(capacities_[size_class]);
  ++made_[size_class];
  return slot;
}

std::unique_ptr<Slot> SlotPool::take(std::int64_t tokens) {
  std::unique_ptr<Slot> slot = take_free(tokens);
  return slot ? std::move(slot) : make(class_of(tokens));
}

std::unique_ptr<Slot> SlotPool::take_free(std::int64_t tokens) noexcept {
  for (std::size_t c = class_of(tokens); c < free_.size(); ++c) {
    if (free_[c].empty()) continue;
    std::unique_ptr<Slot> slot = std::move(free_[c].back());
    free_[c].pop_back();
    return slot;
  }
  return nullptr;
}

void SlotPool::give(std::unique_ptr<Slot> slot) {
  const std::size_t c = slot->size_class;
  free_[c].push_back(std::move(slot));
}

void SlotPool::stock(const std::vector<std::int64_t>& counts) {
  for (std::size_t c = 0; c < counts.size(); ++c) {
    for (std::int64_t i = 0; i < counts[c]; ++i) free_[c].push_back(make(c));
  }
}

Store::Store(const UserCacheOptions& options, double bytes_per_token, std::int64_t max_history, SlotPool& pool)
    : policy_(options, bytes_per_token, max_history), pool_(pool) {
  policy_.on_drop([this](std::uint64_t user) {
    const auto found = held_.find(user);
    if (found == held_.end()) return;
    if (found->second.slot) release(std::move(found->second.slot));
    held_.erase(found);
  });
}

void Store::release(std::unique_ptr<Slot> slot) {
  if (slot->readers > 0) {
    dropped_.push_back(std::move(slot));
  } else {
    pool_.give(std::move(slot));
  }
}

void Store::stop_reading(Slot* slot) {
  if (--slot->readers > 0) return;
  const auto dropped = std::find_if(dropped_.begin(), dropped_.end(),
                                    [&](const std::unique_ptr<Slot>& one) { return one.get() == slot; });
  if (dropped == dropped_.end()) return;
  pool_.give(std::move(*dropped));
  dropped_.erase(dropped);
}

Visit Store::begin(const Request& request, double now) {
  Visit visit;
  visit.lookup = policy_.find(request, now);
  Lookup& lookup = visit.lookup;
  if (const auto found = held_.find(request.user); lookup.known > 0) {
    assert(found != held_.end());
    Held& held = found->second;
    if (lookup.found == Found::part && held.slot && held.slot->readers == 0) {
      held.written = held.slot.get();
      visit.slot = std::move(held.slot);
    } else {
      visit.shared = held.slot ? held.slot.get() : held.written;
      visit.busy = lookup.found == Found::part;
      if (visit.busy) lookup.known -= lookup.known % pool_.granule();
      // An earlier request may have left without handing back what a later one is to replace.
      if (lookup.known == 0 || visit.shared == nullptr) {
        lookup = {Found::nothing, 0, lookup.length};
        visit.shared = nullptr;
      }
    }
    if (visit.shared != nullptr) ++visit.shared->readers;
  }
  // What is needed is out of reach now of what the policy drops to make room.
  if (policy_.keep(request, std::numeric_limits<double>::infinity())) held_[request.user].history = request.history;
  if (lookup.known > 0 && lookup.found == Found::all) return visit;
  if (visit.slot && pool_.capacity(*visit.slot) < lookup.length) visit.outgrown = std::move(visit.slot);
  if (!visit.slot) visit.slot = pool_.take(lookup.length);
  return visit;
}

void Store::end(const Request& request, double now, Visit visit) {
  if (visit.shared != nullptr) stop_reading(visit.shared);
  if (!visit.slot) return;
  if (visit.slot->kv) visit.slot->kv->hold(visit.lookup.length);
  const Slot* const before = visit.outgrown ? visit.outgrown.get() : visit.slot.get();
  const auto held = held_.find(request.user);
  if (held != held_.end() && held->second.written == before) held->second.written = nullptr;
  if (visit.outgrown) release(std::move(visit.outgrown));
  const bool latest = held != held_.end() && held->second.history == request.history;
  if (!latest || !policy_.keep(request, now)) return release(std::move(visit.slot));
  Held& own = held_[request.user];
  own.history = request.history;
  if (own.slot) release(std::move(own.slot));
  own.slot = std::move(visit.slot);
}

void Store::clear() {
  assert(dropped_.empty());
  for (auto& [user, held] : held_) {
    if (held.slot) pool_.give(std::move(held.slot));
  }
  held_.clear();
}

}  // namespace kvcast::traffic
