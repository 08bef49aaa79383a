#include "traffic/user_cache.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "traffic/policies/policy.h"
#include "traffic/user_index.h"

namespace kvcast::traffic {
namespace {

constexpr std::int64_t kMaxBytes = std::numeric_limits<std::int64_t>::max();

std::int64_t bytes_of_page(std::int64_t page_tokens, double bytes_per_token) {
  const double bytes = std::ceil(static_cast<double>(page_tokens) * bytes_per_token);
  return bytes < static_cast<double>(kMaxBytes) ? static_cast<std::int64_t>(bytes) : kMaxBytes;
}

// One entry, and its place in the list of all: `older` and `newer` lead to its neighbours. Entry 0 closes the ring.
struct Entry {
  std::uint64_t user = 0;
  std::int64_t history = 0;  // before any limit
  std::int64_t before = 0;   // the history whose keys and values are usable until `ready`; 0: none
  double ready = 0;
  double used = 0;  // last asked for
  std::uint32_t older = 0, newer = 0;
};

constexpr std::uint32_t kRing = 0;

}  // namespace

std::int64_t page_bytes(std::int64_t tokens, std::int64_t page_tokens, double bytes_per_token) {
  return checked_mul(pages_of(tokens, page_tokens), bytes_of_page(page_tokens, bytes_per_token)).value_or(kMaxBytes);
}

struct UserCache::Impl {
  Impl(const UserCacheOptions& options, double bytes_per_token, std::int64_t longest)
      : page_tokens(options.page_tokens),
        bytes_per_page(bytes_of_page(options.page_tokens, bytes_per_token)),
        max_history(longest),
        ttl(options.ttl_s.value_or(std::numeric_limits<double>::infinity())),
        present(options.bytes > 0),
        policy(find_policy(options.policy)->make()) {
    assert(options.page_tokens >= 1 && options.bytes >= 0 && longest >= 0 && bytes_per_token >= 0 && ttl >= 0);
    if (present) capacity = bytes_per_page > 0 ? options.bytes / bytes_per_page : kMaxBytes;
  }

  std::int64_t pages(std::int64_t history) const noexcept {
    return pages_of(limited(history, max_history), page_tokens);
  }
  bool expired(const Entry& entry) const noexcept { return now - entry.used > ttl; }
  std::uint32_t locate(std::uint64_t user, std::uint32_t tag) const noexcept {
    return index.find(tag, [&](std::uint32_t at) { return entries[at].user == user; });
  }

  void unlink(std::uint32_t at) noexcept {
    const Entry& entry = entries[at];
    if (at == oldest_live) oldest_live = entry.newer;
    entries[entry.older].newer = entry.newer;
    entries[entry.newer].older = entry.older;
  }
  void make_newest(std::uint32_t at) noexcept {
    Entry& entry = entries[at];
    entry.newer = kRing;
    entry.older = entries[kRing].older;
    entries[entry.older].newer = at;
    entries[kRing].older = at;
    entry.used = now;
    if (oldest_live == kRing) oldest_live = at;
  }
  void touch(std::uint32_t at, const Request& request) {
    policy->use(at, request);
    if (entries[kRing].older == at) {
      entries[at].used = now;
      return;
    }
    unlink(at);
    make_newest(at);
  }
  void count_bytes() noexcept {
    counts.bytes = live_pages * bytes_per_page;
    counts.max_bytes = std::max(counts.max_bytes, counts.bytes);
  }
  // Since `now` never falls, what has expired are the oldest: their bytes are given back as the mark passes them.
  void expire() noexcept {
    while (oldest_live != kRing && expired(entries[oldest_live])) {
      live_pages -= pages(entries[oldest_live].history);
      --counts.entries;
      oldest_live = entries[oldest_live].newer;
      count_bytes();
    }
  }
  void drop(std::uint32_t at) noexcept {
    const Entry& entry = entries[at];
    const std::int64_t room = pages(entry.history);
    held_pages -= room;
    if (!expired(entry)) {
      live_pages -= room;
      --counts.entries;
      count_bytes();
    }
    index.erase(UserIndex::tag(entry.user), at);
    release(at);
    if (hear) hear(entries[at].user);
  }
  void release(std::uint32_t at) noexcept {
    policy->drop(at);
    unlink(at);
    entries[at].older = unused;
    unused = at;
  }
  // Evicts until the entry has `more` pages; false when it is itself the one to go.
  bool make_room(std::uint32_t at, std::int64_t more) noexcept {
    while (held_pages > capacity - more) {
      const std::uint32_t oldest = entries[kRing].newer;
      // The room of what has expired comes first.
      const std::uint32_t victim = expired(entries[oldest]) ? oldest : policy->victim(oldest);
      if (victim == at) return false;
      if (!expired(entries[victim])) ++counts.evictions;
      drop(victim);
    }
    return true;
  }
  std::uint32_t take_entry() {
    if (unused != kRing) {
      const std::uint32_t at = unused;
      unused = entries[at].older;
      return at;
    }
    if (entries.size() > UserIndex::kMost) throw std::length_error("more than 2^31 users in the cache");
    entries.emplace_back();
    return static_cast<std::uint32_t>(entries.size() - 1);
  }

  std::int64_t page_tokens, bytes_per_page, max_history, capacity = 0;  // capacity: pages
  double ttl;
  bool present;  // a cache of 0 bytes does not exist, so it counts no refusals
  std::unique_ptr<EvictionPolicy> policy;
  double now = 0;
  std::int64_t held_pages = 0, live_pages = 0;  // held: with what has expired, whose room is not needed yet
  std::vector<Entry, HugePages<Entry>> entries = std::vector<Entry, HugePages<Entry>>(1);
  std::uint32_t oldest_live = kRing, unused = kRing;
  UserIndex index;
  CacheCounts counts;
  std::function<void(std::uint64_t)> hear;
  // Where the last find ended: keep follows it.
  std::uint64_t last_user = 0;
  std::uint32_t last_at = UserIndex::kNone;
  bool last_known = false;
};

UserCache::UserCache(const UserCacheOptions& options, double bytes_per_token, std::int64_t max_history)
    : impl_(std::make_unique<Impl>(options, bytes_per_token, max_history)) {}
UserCache::UserCache(UserCache&&) noexcept = default;
UserCache& UserCache::operator=(UserCache&&) noexcept = default;
UserCache::~UserCache() = default;

Lookup UserCache::find(const Request& request, double now) noexcept {
  Impl& m = *impl_;
  assert(now >= m.now && request.history >= 0);
  m.now = now;
  Lookup lookup;
  lookup.length = limited(request.history, m.max_history);
  ++m.counts.requests;
  m.counts.tokens += lookup.length;
  if (!m.present) return lookup;
  m.expire();

  const std::uint32_t at = m.locate(request.user, UserIndex::tag(request.user));
  m.last_user = request.user;
  m.last_at = at;
  m.last_known = true;
  if (at == UserIndex::kNone) return lookup;
  const Entry& entry = m.entries[at];
  if (m.expired(entry) || !still_the_beginning(entry.history, request.history, m.max_history)) {
    lookup.found = m.expired(entry) ? Found::expired : Found::changed;
    ++(lookup.found == Found::expired ? m.counts.expired : m.counts.changed);
    m.drop(at);
    m.last_at = UserIndex::kNone;
    return lookup;
  }
  m.touch(at, request);
  const std::int64_t usable = entry.ready <= now ? entry.history : entry.before;
  if (usable == 0) return lookup;
  lookup.found = usable == request.history ? Found::all : Found::part;
  ++(lookup.found == Found::all ? m.counts.found_all : m.counts.found_part);
  lookup.known = limited(usable, m.max_history);
  m.counts.known_tokens += lookup.known;
  return lookup;
}

bool UserCache::keep(const Request& request, double ready) {
  Impl& m = *impl_;
  if (!m.present) return false;
  const std::uint32_t tag = UserIndex::tag(request.user);
  std::uint32_t at = m.last_known && m.last_user == request.user ? m.last_at : m.locate(request.user, tag);
  m.last_known = false;

  const bool fits = m.pages(request.history) <= m.capacity;
  if (at != UserIndex::kNone && (!fits || m.expired(m.entries[at]) ||
                                 !still_the_beginning(m.entries[at].history, request.history, m.max_history))) {
    m.drop(at);
    at = UserIndex::kNone;
  }
  if (!fits) ++m.counts.refused;
  if (!fits || request.history == 0) return false;

  if (at != UserIndex::kNone) {
    m.touch(at, request);
    Entry& entry = m.entries[at];
    if (entry.history == request.history) {
      entry.ready = std::min(entry.ready, ready);
      return true;
    }
    const std::int64_t more = m.pages(request.history) - m.pages(entry.history);
    if (!m.make_room(at, more)) {
      ++m.counts.evictions;
      m.drop(at);
      return false;
    }
    if (entry.ready <= m.now) entry.before = entry.history;
    entry.history = request.history;
    entry.ready = ready;
    m.held_pages += more;
    m.live_pages += more;
    m.count_bytes();
    return true;
  }
  const std::int64_t room = m.pages(request.history);
  at = m.take_entry();
  Entry& entry = m.entries[at];
  entry.user = request.user;
  entry.history = request.history;
  entry.before = 0;
  entry.ready = ready;
  m.make_newest(at);
  m.policy->use(at, request);
  if (!m.make_room(at, room)) {
    m.release(at);
    return false;
  }
  m.index.insert(tag, at);
  m.held_pages += room;
  m.live_pages += room;
  ++m.counts.entries;
  m.count_bytes();
  return true;
}

void UserCache::on_drop(std::function<void(std::uint64_t)> hear) { impl_->hear = std::move(hear); }

const CacheCounts& UserCache::counts() const noexcept { return impl_->counts; }

void UserCache::reset_counts() noexcept {
  CacheCounts& counts = impl_->counts;
  const std::int64_t bytes = counts.bytes, entries = counts.entries;
  counts = {};
  counts.bytes = counts.max_bytes = bytes;
  counts.entries = entries;
}

void UserCache::prefetch_slot(std::uint64_t user) const noexcept { impl_->index.prefetch(UserIndex::tag(user)); }

void UserCache::prefetch_entry(std::uint64_t user) const noexcept {
  const std::uint32_t at = impl_->index.guess(UserIndex::tag(user));
  if (at != UserIndex::kNone) __builtin_prefetch(&impl_->entries[at]);
}

}  // namespace kvcast::traffic
