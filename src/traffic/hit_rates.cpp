#include "traffic/hit_rates.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "traffic/future.h"
#include "traffic/user_cache.h"
#include "traffic/user_index.h"

namespace kvcast::traffic {
namespace {

// ---- Belady

// Whole numbers below n, of which the largest is asked for: a bit each, and a bit for every word that is not empty.
class LargestOf {
 public:
  explicit LargestOf(std::size_t n) {
    do {
      n = (n + 63) / 64;
      levels_.emplace_back(n, 0);
    } while (n > 1);
  }
  bool has(std::size_t i) const { return (levels_[0][i / 64] >> (i % 64) & 1) != 0; }
  void add(std::size_t i) {
    for (auto& level : levels_) {
      level[i / 64] |= std::uint64_t{1} << (i % 64);
      i /= 64;
    }
  }
  void remove(std::size_t i) {
    for (auto& level : levels_) {
      if ((level[i / 64] &= ~(std::uint64_t{1} << (i % 64))) != 0) return;
      i /= 64;
    }
  }
  /// There is one.
  std::size_t largest() const {
    std::size_t i = 0;
    for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
      i = 64 * i + 63 - static_cast<std::size_t>(__builtin_clzll((*level)[i]));
    }
    return i;
  }

 private:
  std::vector<std::vector<std::uint64_t>> levels_;
};

// next[i]: the request that would hit what request i leaves; UserIndex::kNone when none does. An entry is known by that
// number, which is also when it is needed.
std::int64_t belady_hits(const Recording& recording, const std::vector<std::uint32_t>& next, std::int64_t capacity) {
  const auto& pages = recording.pages();
  LargestOf held(recording.size());
  std::int64_t used = 0, hits = 0;
  for (std::size_t i = 0; i < recording.size(); ++i) {
    if (recording.before()[i] != UserIndex::kNone && held.has(i)) {
      ++hits;
      held.remove(i);
      used -= pages[recording.before()[i]];
    }
    if (next[i] == UserIndex::kNone || pages[i] > capacity) continue;
    held.add(next[i]);
    used += pages[i];
    while (used > capacity) {
      const std::size_t last = held.largest();
      held.remove(last);
      used -= pages[recording.before()[last]];
    }
  }
  return hits;
}

// ---- PFOO-L

struct Holding {
  double cost = 0;  // pages x requests
  std::int64_t pages = 0;
};

// Ascending cost.
std::vector<Holding> holdings(const Recording& recording) {
  std::vector<Holding> all;
  for (std::size_t i = 0; i < recording.size(); ++i) {
    const std::uint32_t before = recording.before()[i];
    if (before == UserIndex::kNone) continue;
    const std::int64_t pages = recording.pages()[before];
    all.push_back({static_cast<double>(pages) * static_cast<double>(i - before), pages});
  }
  std::sort(all.begin(), all.end(), [](const Holding& a, const Holding& b) { return a.cost < b.cost; });
  return all;
}

std::int64_t max_hits(const std::vector<Holding>& holdings, std::size_t requests, std::int64_t capacity) {
  // Rounding may let one too many in, never keep one out: the sum is exact below 2^53 and the slack covers it above.
  const double budget = static_cast<double>(capacity) * (static_cast<double>(requests) - 1) * (1 + 1e-9);
  double spent = 0;
  std::int64_t hits = 0;
  for (const Holding& holding : holdings) {
    if (holding.pages > capacity) continue;  // never held
    spent += holding.cost;
    if (spent > budget) break;
    ++hits;
  }
  return hits;
}

// ---- Che

// Largest x in [0, most] with bytes(x) <= capacity; bytes does not fall.
template <typename Bytes>
double fill(const Bytes& bytes, double capacity, double most) {
  if (bytes(most) <= capacity) return most;
  double low = 0, high = most;
  for (;;) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return low;
    (bytes(middle) <= capacity ? low : high) = middle;
    if (high - low <= 1e-12 * high) return low;
  }
}

// ---- sizes

// The most pages that each user takes, of users whose draw is below `below`, which is halved when they become too many.
class Footprint {
 public:
  void add(const Request& request, std::int64_t pages) {
    if (draw(request.user) >= below_ || pages == 0) return;
    const std::uint32_t tag = UserIndex::tag(request.user);
    const std::uint32_t at = index_.find(tag, [&](std::uint32_t u) { return users_[u].first == request.user; });
    if (at != UserIndex::kNone) {
      users_[at].second = std::max(users_[at].second, pages);
      return;
    }
    index_.insert(tag, static_cast<std::uint32_t>(users_.size()));
    users_.emplace_back(request.user, pages);
    if (users_.size() > kMost) halve();
  }
  std::int64_t median() {
    const auto middle = users_.begin() + static_cast<std::ptrdiff_t>(users_.size() / 2);
    std::nth_element(users_.begin(), middle, users_.end(),
                     [](const auto& a, const auto& b) { return a.second < b.second; });
    return middle->second;
  }
  double total() const {
    double sum = 0;
    for (const auto& user : users_) sum += static_cast<double>(user.second);
    return sum * (0x1p32 / static_cast<double>(below_));
  }
  bool empty() const { return users_.empty(); }

 private:
  static constexpr std::size_t kMost = std::size_t{1} << 20;
  // Other bits than those of the tag, by which the index spreads users: a sample by tag would crowd one end of it.
  static std::uint32_t draw(std::uint64_t user) { return static_cast<std::uint32_t>(mix64(user)); }
  void halve() {
    below_ /= 2;
    std::erase_if(users_, [&](const auto& user) { return draw(user.first) >= below_; });
    index_ = {};
    for (std::size_t u = 0; u < users_.size(); ++u) {
      index_.insert(UserIndex::tag(users_[u].first), static_cast<std::uint32_t>(u));
    }
  }

  std::uint64_t below_ = std::uint64_t{1} << 32;
  std::vector<std::pair<std::uint64_t, std::int64_t>> users_;
  UserIndex index_;
};

}  // namespace

std::vector<std::int64_t> cache_sizes(RequestSource& requests, const UserCacheOptions& options, double bytes_per_token,
                                      std::int64_t max_history, std::int64_t points) {
  assert(points >= 2);
  Footprint footprint;
  for_each_block(requests, [&](std::span<const Request> block) {
    for (const Request& request : block) {
      footprint.add(request, pages_of(limited(request.history, max_history), options.page_tokens));
    }
  });
  const double page = static_cast<double>(page_bytes(1, options.page_tokens, bytes_per_token));
  std::vector<std::int64_t> sizes;
  if (footprint.empty() || page == 0) return sizes;
  const double most = static_cast<double>(std::numeric_limits<std::int64_t>::max()) / 2;
  const double min_pages = static_cast<double>(footprint.median());
  const double ratio = footprint.total() / min_pages;
  for (std::int64_t k = 0; k < points; ++k) {
    const double share = static_cast<double>(k) / static_cast<double>(points - 1);
    const double pages = k + 1 < points ? std::round(min_pages * std::pow(ratio, share)) : footprint.total();
    sizes.push_back(static_cast<std::int64_t>(std::min(std::ceil(pages) * page, most)));
  }
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

std::vector<HitRatePoint> hit_rate_curve(RequestSource& requests, const std::vector<std::int64_t>& cache_bytes,
                                         const UserCacheOptions& options, double bytes_per_token,
                                         std::int64_t max_history, int threads, std::int64_t max_offline) {
  std::vector<UserCache> caches;
  for (const std::int64_t bytes : cache_bytes) {
    UserCacheOptions sized = options;
    sized.bytes = bytes;
    sized.policy = "lru";
    caches.emplace_back(sized, bytes_per_token, max_history);
  }
  const auto sizes = static_cast<std::int64_t>(caches.size());
  Recording recording(options, max_history, max_offline);
  for_each_block(requests, [&](std::span<const Request> block) {
    // The recording is one task more, the first because it takes longest.
    parallel_for(threads, sizes + 1, [&](std::int64_t task, int) {
      if (task == 0) {
        for (const Request& request : block) recording.add(request);
        return;
      }
      UserCache& cache = caches[static_cast<std::size_t>(task - 1)];
      for (std::size_t i = 0; i < block.size(); ++i) {
        const auto ahead = [&](std::size_t by) { return i + by < block.size() ? &block[i + by] : nullptr; };
        if (const Request* later = ahead(UserCache::kSlotAhead)) cache.prefetch_slot(later->user);
        if (const Request* later = ahead(UserCache::kEntryAhead)) cache.prefetch_entry(later->user);
        cache.find(block[i], block[i].arrival_s);
        cache.keep(block[i], block[i].arrival_s);
      }
    });
  });

  std::vector<HitRatePoint> points(caches.size());
  for (std::size_t k = 0; k < caches.size(); ++k) {
    const CacheCounts& counts = caches[k].counts();
    points[k].cache_bytes = cache_bytes[k];
    if (counts.requests > 0) {
      points[k].lru = static_cast<double>(counts.found_all + counts.found_part) / static_cast<double>(counts.requests);
    }
    if (counts.tokens > 0) {
      points[k].lru_tokens = static_cast<double>(counts.known_tokens) / static_cast<double>(counts.tokens);
    }
  }
  caches.clear();
  if (!recording.complete() || recording.size() == 0) return points;

  const std::vector<std::uint32_t> next = recording.next();
  const std::vector<Holding> by_cost = holdings(recording);
  const std::vector<UserRequests> users = recording.users();
  std::optional<double> ttl;
  if (options.ttl_s && recording.duration_s() > 0) ttl = *options.ttl_s / recording.duration_s();
  const std::int64_t page = page_bytes(1, options.page_tokens, bytes_per_token);
  const auto all = static_cast<double>(recording.size());
  parallel_for(threads, sizes, [&](std::int64_t task, int) {
    HitRatePoint& point = points[static_cast<std::size_t>(task)];
    // Histories that take no bytes need a cache all the same.
    const std::int64_t capacity = page > 0 || point.cache_bytes == 0
                                      ? point.cache_bytes / std::max<std::int64_t>(page, 1)
                                      : std::numeric_limits<std::int64_t>::max() / 2;
    point.belady = static_cast<double>(belady_hits(recording, next, capacity)) / all;
    point.bound = static_cast<double>(max_hits(by_cost, recording.size(), capacity)) / all;
    point.che = che_hits(users, static_cast<double>(capacity), ttl) / all;
  });
  return points;
}

double che_hits(const std::vector<UserRequests>& users, double capacity, std::optional<double> ttl) {
  // Users of the same count are alike but for their bytes and reuses, of which only the sums matter.
  struct Group {
    double requests = 0, bytes = 0, reuses = 0;
  };
  std::vector<std::uint32_t> order;
  for (std::size_t u = 0; u < users.size(); ++u) {
    if (users[u].bytes <= capacity) order.push_back(static_cast<std::uint32_t>(u));
  }
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return users[a].requests < users[b].requests; });
  std::vector<Group> groups;
  for (const std::uint32_t u : order) {
    const auto requests = static_cast<double>(users[u].requests);
    if (groups.empty() || groups.back().requests != requests) groups.push_back({requests, 0, 0});
    groups.back().bytes += users[u].bytes;
    groups.back().reuses += static_cast<double>(users[u].reuses);
  }
  const auto sum = [&](double x, double Group::*of) {
    double total = 0;
    for (const Group& group : groups) total -= group.*of * std::expm1(group.requests * std::log1p(-x));
    return total;
  };
  const double x = fill([&](double at) { return sum(at, &Group::bytes); }, capacity, 1);
  return sum(std::min(x, ttl.value_or(x)), &Group::reuses);
}

}  // namespace kvcast::traffic
