// Laws of the user cache and of what bounds it, against plain implementations and exhaustive search.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "catch.h"
#include "traffic/hit_rates.h"
#include "traffic/user_cache.h"
#include "unit/traffic/listed_requests.h"

using kvcast::HitRatePoint;
using kvcast::UserCacheOptions;
using kvcast::testing::Draw;
using kvcast::testing::independent;
using kvcast::testing::ListedRequests;
using kvcast::testing::zipf;
using namespace kvcast::traffic;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

// The rules of user_cache.h in the plainest words: a list, newest first, searched from the front.
class PlainCache {
 public:
  PlainCache(const UserCacheOptions& options, std::int64_t token_bytes, std::int64_t max_history)
      : options_(options), token_bytes_(token_bytes), max_history_(max_history) {}

  Lookup find(const Request& request, double now) {
    now_ = now;
    Lookup lookup;
    lookup.length = max_history_ > 0 ? std::min(request.history, max_history_) : request.history;
    ++counts.requests;
    counts.tokens += lookup.length;
    recount();
    const auto at = locate(request.user);
    if (at == list_.end()) return lookup;
    if (expired(*at)) {
      lookup.found = Found::expired;
      ++counts.expired;
      list_.erase(at);
    } else if (changed(*at, request)) {
      lookup.found = Found::changed;
      ++counts.changed;
      list_.erase(at);
    } else {
      at->used = now;
      list_.splice(list_.begin(), list_, at);
      const std::int64_t usable = at->ready <= now ? at->history : at->before;
      if (usable == request.history) {
        lookup.found = Found::all;
        lookup.known = lookup.length;
        ++counts.found_all;
      } else if (usable > 0) {
        lookup.found = Found::part;
        lookup.known = usable;
        ++counts.found_part;
      }
      counts.known_tokens += lookup.known;
    }
    recount();
    return lookup;
  }

  void keep(const Request& request, double ready) {
    if (options_.bytes == 0) return;
    Kept kept{request.user, request.history, 0, ready, now_};
    const auto at = locate(request.user);
    if (at != list_.end()) {
      if (!expired(*at) && !changed(*at, request)) {
        if (at->history == request.history) {
          kept.before = at->before;
          kept.ready = std::min(at->ready, ready);
        } else {
          kept.before = at->ready <= now_ ? at->history : at->before;
        }
      }
      list_.erase(at);
    }
    if (bytes(kept) > options_.bytes) {
      ++counts.refused;
    } else if (request.history > 0) {
      for (;;) {
        std::int64_t sum = bytes(kept);
        for (const Kept& other : list_) sum += bytes(other);
        if (sum <= options_.bytes) break;
        if (!expired(list_.back())) ++counts.evictions;
        list_.pop_back();
      }
      list_.push_front(kept);
    }
    recount();
  }

  CacheCounts counts;

 private:
  struct Kept {
    std::uint64_t user;
    std::int64_t history, before;
    double ready, used;
  };
  std::list<Kept>::iterator locate(std::uint64_t user) {
    return std::find_if(list_.begin(), list_.end(), [&](const Kept& kept) { return kept.user == user; });
  }
  bool expired(const Kept& kept) const { return options_.ttl_s && now_ - kept.used > *options_.ttl_s; }
  bool changed(const Kept& kept, const Request& request) const {
    if (request.history < kept.history) return true;
    return request.history > kept.history && max_history_ > 0 && request.history > max_history_;
  }
  std::int64_t bytes(const Kept& kept) const {
    std::int64_t pages = 0;
    for (std::int64_t left = max_history_ > 0 ? std::min(kept.history, max_history_) : kept.history; left > 0;
         left -= options_.page_tokens) {
      ++pages;
    }
    return pages * options_.page_tokens * token_bytes_;
  }
  void recount() {
    counts.bytes = counts.entries = 0;
    for (const Kept& kept : list_) {
      if (expired(kept)) continue;
      counts.bytes += bytes(kept);
      ++counts.entries;
    }
    counts.max_bytes = std::max(counts.max_bytes, counts.bytes);
  }

  UserCacheOptions options_;
  std::int64_t token_bytes_, max_history_;
  double now_ = 0;
  std::list<Kept> list_;
};

std::vector<std::int64_t> listed(const CacheCounts& counts) {
  return {counts.requests, counts.found_all, counts.found_part,   counts.changed, counts.expired,   counts.evictions,
          counts.refused,  counts.tokens,    counts.known_tokens, counts.bytes,   counts.max_bytes, counts.entries};
}

// Histories that mostly grow, sometimes shrink or vanish; arrivals that sometimes coincide.
std::vector<Request> drawn_requests(Draw& draw, std::int64_t users, std::int64_t longest, int count) {
  std::vector<Request> requests;
  std::vector<std::int64_t> history(static_cast<std::size_t>(users));
  for (auto& tokens : history) tokens = draw.between(0, longest);
  double now = 0;
  for (int i = 0; i < count; ++i) {
    if (draw.uniform() < 0.8) now += draw.uniform();
    const auto user = static_cast<std::size_t>(std::min(draw.below(users), draw.below(users)));
    const double kind = draw.uniform();
    if (kind < 0.4) history[user] += draw.between(0, 5);
    if (kind > 0.95) history[user] = draw.between(0, longest);
    requests.push_back({now, user, history[user], 1});
  }
  return requests;
}

std::vector<HitRatePoint> curve(const std::vector<Request>& requests, const std::vector<std::int64_t>& sizes,
                                const UserCacheOptions& options, std::int64_t max_history = 0, int threads = 1) {
  ListedRequests source(requests);
  return hit_rate_curve(source, sizes, options, 1, max_history, threads);
}

UserCacheOptions paged(std::int64_t page_tokens) {
  UserCacheOptions options;
  options.page_tokens = page_tokens;
  return options;
}

// Most hits of any policy: after each request any of the users held, and the one of the request, may be kept.
double exhaustive(const std::vector<Request>& requests, std::int64_t capacity, const UserCacheOptions& options,
                  std::int64_t max_history) {
  std::map<std::uint64_t, std::int64_t> best{{0, 0}};  // users held as bits: hits
  std::map<std::uint64_t, Request> last;
  for (const Request& request : requests) {
    const std::uint64_t bit = std::uint64_t{1} << request.user;
    bool usable = false;
    if (const auto before = last.find(request.user); before != last.end()) {
      const std::int64_t had = before->second.history;
      const bool same =
          request.history == had || (request.history > had && (max_history == 0 || request.history <= max_history));
      usable = same && had > 0 && !(options.ttl_s && request.arrival_s - before->second.arrival_s > *options.ttl_s);
    }
    last[request.user] = request;
    std::map<std::uint64_t, std::int64_t> after;
    for (const auto& [held, hits] : best) {
      const std::int64_t now = hits + (usable && (held & bit) != 0 ? 1 : 0);
      const std::uint64_t may = held | bit;
      for (std::uint64_t kept = may;; kept = (kept - 1) & may) {
        std::int64_t bytes = 0;
        for (const auto& [user, entry] : last) {
          if ((kept >> user & 1) != 0) {
            bytes += page_bytes(max_history > 0 ? std::min(entry.history, max_history) : entry.history,
                                options.page_tokens, 1);
          }
        }
        if (bytes <= capacity) {
          auto& most = after[kept];
          most = std::max(most, now);
        }
        if (kept == 0) break;
      }
    }
    best = after;
  }
  std::int64_t most = 0;
  for (const auto& [held, hits] : best) most = std::max(most, hits);
  return static_cast<double>(most) / static_cast<double>(requests.size());
}

}  // namespace

TEST_CASE("the cache answers and counts as a plain list does", "[traffic][cache][property]") {
  Draw draw(1);
  for (int stream = 0; stream < 400; ++stream) {
    UserCacheOptions options;
    options.page_tokens = draw.between(1, 9);
    options.bytes = draw.uniform() < 0.05 ? 0 : draw.between(1, 600);
    if (draw.uniform() < 0.5) options.ttl_s = 0.5 + 12 * draw.uniform();
    const std::int64_t max_history = draw.uniform() < 0.5 ? 0 : draw.between(1, 40);
    const std::int64_t token_bytes = draw.between(1, 3);
    const bool delayed = draw.uniform() < 0.5;
    UserCache cache(options, static_cast<double>(token_bytes), max_history);
    PlainCache plain(options, token_bytes, max_history);
    std::vector<std::pair<Request, double>> late;  // found, but not kept before others are found
    int step = 0;
    for (const Request& request : drawn_requests(draw, draw.between(1, 20), 30, 300)) {
      CAPTURE(stream, step++, request.user, request.history, max_history, options.bytes, options.page_tokens);
      const Lookup found = cache.find(request, request.arrival_s), expected = plain.find(request, request.arrival_s);
      REQUIRE(found.found == expected.found);
      REQUIRE(found.known == expected.known);
      REQUIRE(found.length == expected.length);
      REQUIRE(listed(cache.counts()) == listed(plain.counts));
      late.emplace_back(request, request.arrival_s + (delayed ? 3 * draw.uniform() : 0));
      if (delayed && draw.uniform() < 0.3) continue;
      if (delayed && draw.uniform() < 0.1) late.clear();  // never kept
      for (const auto& [kept, ready] : late) {
        cache.keep(kept, ready);
        plain.keep(kept, ready);
        REQUIRE(listed(cache.counts()) == listed(plain.counts));
        REQUIRE(cache.counts().bytes <= options.bytes);
      }
      late.clear();
    }
    const CacheCounts& counts = cache.counts();
    REQUIRE(counts.found_all + counts.found_part + counts.changed + counts.expired <= counts.requests);
    REQUIRE(counts.known_tokens <= counts.tokens);
  }
}

TEST_CASE("a cache that evicts many times over answers as a plain list does", "[traffic][cache][property]") {
  // More users than the first hash table and the first block of entries hold.
  Draw draw(2);
  UserCacheOptions options;
  options.page_tokens = 4;
  options.bytes = 6000;
  UserCache cache(options, 1, 0);
  PlainCache plain(options, 1, 0);
  for (const Request& request : drawn_requests(draw, 1500, 30, 8000)) {
    const Found found = cache.find(request, request.arrival_s).found;
    REQUIRE(found == plain.find(request, request.arrival_s).found);
    cache.keep(request, request.arrival_s);
    plain.keep(request, request.arrival_s);
    REQUIRE(cache.counts().entries == plain.counts.entries);
  }
  CHECK(cache.counts().evictions > 1000);
  CHECK(listed(cache.counts()) == listed(plain.counts));
}

TEST_CASE("the curve has the hits of one cache per size, whatever the threads", "[traffic][cache][property]") {
  Draw draw(3);
  for (int stream = 0; stream < 20; ++stream) {
    auto options = paged(draw.between(1, 8));
    if (draw.uniform() < 0.5) options.ttl_s = 20 * draw.uniform();
    const std::int64_t max_history = draw.uniform() < 0.5 ? 0 : 25;
    const auto requests = drawn_requests(draw, 40, 30, stream == 0 ? 20000 : 500);  // the first in several blocks
    const std::vector<std::int64_t> sizes{300, 0, 50, 1, 5000};
    const auto points = curve(requests, sizes, options, max_history);
    const auto shared = curve(requests, sizes, options, max_history, 3);
    REQUIRE(points.size() == sizes.size());
    for (std::size_t k = 0; k < sizes.size(); ++k) {
      auto sized = options;
      sized.bytes = sizes[k];
      PlainCache plain(sized, 1, max_history);
      for (const Request& request : requests) {
        plain.find(request, request.arrival_s);
        plain.keep(request, request.arrival_s);
      }
      const auto& counts = plain.counts;
      CHECK(points[k].cache_bytes == sizes[k]);
      CHECK(points[k].lru ==
            static_cast<double>(counts.found_all + counts.found_part) / static_cast<double>(counts.requests));
      CHECK(points[k].lru_tokens == static_cast<double>(counts.known_tokens) / static_cast<double>(counts.tokens));
      CHECK(points[k].lru == shared[k].lru);
      CHECK(points[k].lru_tokens == shared[k].lru_tokens);
      CHECK(points[k].belady == shared[k].belady);
      CHECK(points[k].bound == shared[k].bound);
      CHECK(points[k].che == shared[k].che);
    }
  }
}

TEST_CASE("users of the same bytes: a larger cache never hits less, and holds what a smaller one does",
          "[traffic][cache][property]") {
  const auto requests = independent(zipf(60, 0.8), {7}, 4000, 4);
  std::vector<std::int64_t> sizes;
  for (std::int64_t users = 0; users <= 61; ++users) sizes.push_back(8 * users);
  const auto points = curve(requests, sizes, paged(8));
  for (std::size_t k = 1; k < points.size(); ++k) {
    CHECK(points[k].lru >= points[k - 1].lru);
    CHECK(points[k].belady.value() >= points[k - 1].belady.value());
    CHECK(points[k].bound.value() >= points[k - 1].bound.value());
    CHECK(points[k].che.value() >= points[k - 1].che.value() - 1e-12);
  }
  // Request by request, not only in sum.
  for (std::int64_t users = 1; users < 60; users += 7) {
    auto less = paged(8), more = paged(8);
    less.bytes = 8 * users;
    more.bytes = 8 * (users + 1);
    UserCache small(less, 1, 0), large(more, 1, 0);
    for (const Request& request : requests) {
      const bool in_small = small.find(request, request.arrival_s).found == Found::all;
      const bool in_large = large.find(request, request.arrival_s).found == Found::all;
      REQUIRE((in_large || !in_small));
      small.keep(request, request.arrival_s);
      large.keep(request, request.arrival_s);
    }
  }
}

TEST_CASE("Belady has the most hits where users take the same bytes", "[traffic][cache][property]") {
  Draw draw(5);
  for (int stream = 0; stream < 150; ++stream) {
    auto options = paged(10);
    if (draw.uniform() < 0.5) options.ttl_s = 6 * draw.uniform();
    // Changes without a change of pages: histories of 1 to 9 tokens, limits among them.
    const std::int64_t max_history = draw.uniform() < 0.5 ? 0 : 6;
    std::vector<Request> requests;
    double now = 0;
    for (int i = 0; i < 24; ++i) {
      now += draw.uniform();
      requests.push_back({now, static_cast<std::uint64_t>(draw.below(6)), 1 + draw.below(3) + i / 5, 1});
    }
    for (std::int64_t users = 0; users <= 6; ++users) {
      CAPTURE(stream, users, max_history, options.ttl_s.value_or(-1));
      const HitRatePoint point = curve(requests, {10 * users + 3}, options, max_history)[0];
      CHECK(point.belady.value() == exhaustive(requests, 10 * users + 3, options, max_history));
      CHECK(point.lru <= point.belady.value());
      CHECK(point.bound.value() >= point.belady.value());
    }
  }
}

TEST_CASE("no policy has more hits than the bound, whatever the bytes", "[traffic][cache][property]") {
  Draw draw(6);
  int below_all = 0;
  for (int stream = 0; stream < 150; ++stream) {
    auto options = paged(draw.between(1, 4));
    if (draw.uniform() < 0.4) options.ttl_s = 8 * draw.uniform();
    const std::int64_t max_history = draw.uniform() < 0.5 ? 0 : 20;
    const auto requests = drawn_requests(draw, 5, 25, 26);
    const double all = curve(requests, {1000000}, options, max_history)[0].lru;
    for (const std::int64_t bytes : {0, 5, 12, 20, 35, 60, 100, 200}) {
      CAPTURE(stream, bytes);
      const HitRatePoint point = curve(requests, {bytes}, options, max_history)[0];
      const double most = exhaustive(requests, bytes - bytes % options.page_tokens, options, max_history);
      CHECK(point.bound.value() >= most);
      CHECK(point.bound.value() <= all);
      CHECK(point.belady.value() <= most);
      CHECK(point.lru <= most);
      below_all += point.bound.value() < all ? 1 : 0;
    }
  }
  CHECK(below_all > 100);  // or it would bound nothing
}

TEST_CASE("users in turns: LRU has no hit, Belady and the bound what fits", "[traffic][cache][property]") {
  // k users in turns, n requests: holding one from a request to its next takes k of the budget of users (n - 1), so the
  // bound is floor(users (n - 1) / k). Who holds `users` of them for ever hits them in all turns but the first.
  constexpr std::int64_t kUsers = 12, kRequests = 1200;
  std::vector<Request> requests;
  for (std::int64_t i = 0; i < kRequests; ++i) {
    requests.push_back({static_cast<double>(i), static_cast<std::uint64_t>(i % kUsers), 5, 1});
  }
  for (std::int64_t users = 1; users <= kUsers; ++users) {
    CAPTURE(users);
    const HitRatePoint point = curve(requests, {8 * users}, paged(8))[0];
    CHECK(point.lru == (users < kUsers ? 0 : (kRequests - kUsers) / static_cast<double>(kRequests)));
    const auto bound = std::min(users * (kRequests - 1) / kUsers, kRequests - kUsers);
    CHECK_THAT(point.bound.value() * kRequests, WithinAbs(static_cast<double>(bound), 1e-6));
    CHECK(point.belady.value() * kRequests >= static_cast<double>(users * (kRequests / kUsers - 1)) - 1e-6);
  }
}

TEST_CASE("a cache of everything hits all but the first request of each user", "[traffic][cache][property]") {
  const auto requests = independent(zipf(300, 1), {5, 90, 17}, 3000, 7);
  std::map<std::uint64_t, int> users;
  for (const Request& request : requests) ++users[request.user];
  const double expected = 1 - static_cast<double>(users.size()) / static_cast<double>(requests.size());
  for (const auto& point : curve(requests, {1 << 20, 1 << 30}, paged(16))) {
    CHECK_THAT(point.lru, WithinAbs(expected, 1e-12));
    CHECK_THAT(point.belady.value(), WithinAbs(expected, 1e-12));
    CHECK_THAT(point.bound.value(), WithinAbs(expected, 1e-12));
    CHECK_THAT(point.che.value(), WithinAbs(expected, 1e-9));
  }
}

TEST_CASE("who does not fit alone is never hit, whatever the others leave", "[traffic][cache]") {
  std::vector<Request> requests;
  for (int i = 0; i < 20; ++i)
    requests.push_back({static_cast<double>(i), static_cast<std::uint64_t>(i % 2), i % 2 == 0 ? 10 : 3, 1});
  const HitRatePoint point = curve(requests, {9}, paged(1))[0];
  CHECK(point.lru == 9 / 20.0);
  CHECK(point.belady.value() == 9 / 20.0);
  CHECK(point.bound.value() == 9 / 20.0);
  CHECK_THAT(point.che.value(), WithinAbs(9 / 20.0, 1e-9));
}

TEST_CASE("beyond its length the curve has LRU alone", "[traffic][cache]") {
  const auto requests = independent(zipf(30, 1), {5}, 1000, 8);
  ListedRequests all(requests), more(requests);
  const auto told = hit_rate_curve(all, {50}, paged(1), 1, 0, 1, 1000)[0];
  const auto not_told = hit_rate_curve(more, {50}, paged(1), 1, 0, 1, 999)[0];
  CHECK(told.che.has_value());
  CHECK(told.belady.has_value());
  CHECK(told.bound.has_value());
  CHECK_FALSE(not_told.che.has_value());
  CHECK_FALSE(not_told.belady.has_value());
  CHECK_FALSE(not_told.bound.has_value());
  CHECK(told.lru == not_told.lru);
  ListedRequests none({});
  CHECK(hit_rate_curve(none, {50}, paged(1), 1, 0)[0].lru == 0);
}

TEST_CASE("sizes go from the median user to all of them", "[traffic][cache]") {
  // Users 0..9 take 1..10 pages of 40 bytes at most, and fewer before.
  std::vector<Request> requests;
  for (std::uint64_t user = 0; user < 10; ++user) {
    requests.push_back({0, user, 1, 1});
    requests.push_back({0, user, 4 * static_cast<std::int64_t>(user) + 3, 1});
  }
  ListedRequests source(requests), few(requests), none({{0, 1, 0, 1}});
  const auto sizes = cache_sizes(source, paged(4), 10, 0);
  REQUIRE(sizes.size() == 12);
  CHECK(sizes.front() == 6 * 40);
  CHECK(sizes.back() == 55 * 40);
  for (std::size_t k = 1; k < sizes.size(); ++k) {
    CHECK(sizes[k] > sizes[k - 1]);
    CHECK(sizes[k] % 40 == 0);
    // Evenly in the logarithm, but for rounding to pages.
    const double even = 240 * std::pow(55.0 / 6.0, static_cast<double>(k) / 11);
    CHECK_THAT(static_cast<double>(sizes[k]), WithinAbs(even, 20.001));
  }
  CHECK(cache_sizes(few, paged(4), 10, 4).back() == 10 * 40);  // a page each, so all sizes but the last few are one
  CHECK(cache_sizes(none, paged(4), 10, 0).empty());
}

TEST_CASE("sizes of more users than are looked at are near", "[traffic][cache]") {
  // Users of 1 to 3 pages, 3 million of them, of which a quarter is looked at: the total is estimated from m = 750000
  // of them (binomial), with a relative standard deviation below sqrt((1 + cv²) 3 / (4 m)), cv² = 1/6: 5 of them.
  class Many : public RequestSource {
   public:
    std::size_t next(std::span<Request> block) override {
      std::size_t count = 0;
      for (; count < block.size() && at_ < 3000000; ++count, ++at_) {
        block[count] = {0, at_, static_cast<std::int64_t>(1 + at_ % 3), 1};
      }
      return count;
    }

   private:
    std::uint64_t at_ = 0;
  } source;
  const auto sizes = cache_sizes(source, paged(1), 1, 0);
  CHECK(sizes.front() == 2);
  CHECK_THAT(static_cast<double>(sizes.back()), WithinRel(6e6, 5 * std::sqrt(7.0 / 6 * 3 / (4 * 750000.0))));
}

namespace {

// Che's hit rate of LRU in an endless stream whose users ask at these rates and take these bytes: T is what fills the
// cache, sum bytes (1 - exp(-rate T)) = capacity.
double endless_hit_rate(const std::vector<double>& rates, const std::vector<double>& bytes, double capacity) {
  const auto sum = [&](double t, const std::vector<double>& of) {
    double total = 0;
    for (std::size_t u = 0; u < rates.size(); ++u) total -= of[u] * std::expm1(-rates[u] * t);
    return total;
  };
  // After 50 mean gaps of the rarest user all are held as far as a double tells.
  double low = 0, high = 50 / *std::min_element(rates.begin(), rates.end());
  if (sum(high, bytes) <= capacity) return 1;
  for (int i = 0; i < 100; ++i) (sum((low + high) / 2, bytes) <= capacity ? low : high) = (low + high) / 2;
  return sum(low, rates) / std::accumulate(rates.begin(), rates.end(), 0.0);
}

}  // namespace

TEST_CASE("Belady's policy finds what his bound says", "[traffic][cache][property]") {
  for (const std::optional<double> ttl : {std::optional<double>{}, std::optional<double>{300}}) {
    const auto requests = independent(zipf(200, 0.9), {3, 17, 8, 40}, 5000, 11);
    for (const std::int64_t bytes : {100, 400, 1500}) {
      UserCacheOptions options = paged(1);
      options.ttl_s = ttl;
      options.bytes = bytes;
      ListedRequests all(requests), ahead(requests);
      const double bound = hit_rate_curve(all, {bytes}, options, 1, 0)[0].belady.value();
      options.policy = "belady";
      const auto source = foreseen(std::make_unique<ListedRequests>(requests), ahead, options, 0);
      UserCache cache(options, 1, 0);
      for_each_block(*source, [&](std::span<const Request> block) {
        for (const Request& request : block) {
          cache.find(request, request.arrival_s);
          cache.keep(request, request.arrival_s);
        }
      });
      const CacheCounts& counts = cache.counts();
      CHECK(counts.max_bytes <= bytes);
      CHECK_THAT(static_cast<double>(counts.found_all + counts.found_part) / 5000, WithinAbs(bound, 1e-12));
    }
  }
}

TEST_CASE("a time to live ends what a cache of everything would hit", "[traffic][cache]") {
  // Within half of the stream another of the three requests comes with probability 1 - 1/2^3.
  CHECK_THAT(che_hits({{3, 2, 1}}, 10, 0.5), WithinAbs(2 * 0.875, 1e-12));
  CHECK_THAT(che_hits({{3, 2, 1}}, 10), WithinAbs(2, 1e-12));
  CHECK(che_hits({{3, 2, 11}}, 10) == 0);
}

TEST_CASE("a long stream comes to the endless one", "[traffic][cache]") {
  const auto shares = zipf(50, 0.9);
  std::vector<double> bytes;
  std::vector<UserRequests> users;
  double requests = 0;
  for (std::size_t u = 0; u < shares.size(); ++u) {
    bytes.push_back(static_cast<double>(1 + u % 4));
    const auto count = static_cast<std::int64_t>(std::round(1e9 * shares[u]));
    users.push_back({count, count - 1, bytes.back()});
    requests += static_cast<double>(count);
  }
  for (const double capacity : {4.0, 20.0, 60.0, 120.0}) {
    // (1 - x)^n against exp(-n x) differs by n x²/2: x is below 50 / (least n), so by less than 1e-3 / 1e7 in all.
    CHECK_THAT(che_hits(users, capacity) / requests, WithinAbs(endless_hit_rate(shares, bytes, capacity), 1e-5));
  }
}

TEST_CASE("Che's approximation is near LRU where users are drawn independently", "[traffic][cache][property]") {
  // What it leaves out is that the characteristic time T varies. With m(T) the mean pages asked for within T, of
  // variance V = sum b² q (1 - q) at q = 1 - exp(-p T), T has a variance of about V / m'(T)², and a mean off by -m''/(2
  // m') of that. For the hit rate h(T) that makes (|h''| + h' |m''|/m') V / (2 m'²), taken twice for the terms behind
  // it. To that comes the error of the mean over the streams, 4 standard errors, and an entry's worth of pages that LRU
  // leaves free, at most the largest entry: h'/m' of it.
  for (const double exponent : {0.6, 1.0}) {
    for (const bool alike : {true, false}) {
      constexpr std::size_t kUsers = 1000, kRequests = 20000;
      constexpr int kStreams = 12;
      const auto p = zipf(kUsers, exponent);
      const std::vector<std::int64_t> histories =
          alike ? std::vector<std::int64_t>{10} : std::vector<std::int64_t>{3, 17, 8, 40};
      const std::vector<std::int64_t> sizes{1000, 2000, 5000};
      std::vector<std::vector<double>> off(sizes.size());
      for (int stream = 0; stream < kStreams; ++stream) {
        const auto requests = independent(p, histories, kRequests, 100 + static_cast<std::uint64_t>(stream));
        const auto points = curve(requests, sizes, paged(1), 0);
        for (std::size_t k = 0; k < sizes.size(); ++k) off[k].push_back(points[k].che.value() - points[k].lru);
      }
      for (std::size_t k = 0; k < sizes.size(); ++k) {
        double low = 0, high = 1e7;
        const auto moments = [&](double t) {
          std::vector<double> m(6);  // m, m', m'', V, h', h''
          for (std::size_t u = 0; u < kUsers; ++u) {
            const auto b = static_cast<double>(histories[u % histories.size()]);
            const double left = std::exp(-p[u] * t);
            m[0] += b * (1 - left);
            m[1] += b * p[u] * left;
            m[2] -= b * p[u] * p[u] * left;
            m[3] += b * b * left * (1 - left);
            m[4] += p[u] * p[u] * left;
            m[5] -= p[u] * p[u] * p[u] * left;
          }
          return m;
        };
        for (int i = 0; i < 200; ++i) {
          const double middle = (low + high) / 2;
          (moments(middle)[0] < static_cast<double>(sizes[k]) ? low : high) = middle;
        }
        const auto m = moments(low);
        const double varies = (std::abs(m[5]) + m[4] * std::abs(m[2]) / m[1]) * m[3] / (2 * m[1] * m[1]);
        const double free =
            alike ? 0 : m[4] / m[1] * static_cast<double>(*std::max_element(histories.begin(), histories.end()));
        double mean = 0, square = 0;
        for (const double value : off[k]) mean += value / kStreams;
        for (const double value : off[k]) square += (value - mean) * (value - mean) / (kStreams - 1);
        const double tolerance = 2 * varies + free + 4 * std::sqrt(square / kStreams);
        CAPTURE(exponent, alike, sizes[k], varies, free, square);
        CHECK_THAT(mean, WithinAbs(0, tolerance));
        CHECK(tolerance < 0.02);
      }
    }
  }
}

TEST_CASE("Che's approximation of a finite stream is exact where only time limits", "[traffic][cache][property]") {
  // All fit, so that the time to live alone decides: expected hits are sum (n - 1)(1 - (1 - x)^n) by the spacings of n
  // uniform points. Mean over streams within 4 standard errors.
  constexpr std::size_t kRequests = 4000;
  constexpr int kStreams = 40;
  auto options = paged(1);
  options.ttl_s = 300;
  double mean = 0, square = 0;
  std::vector<double> off;
  for (int stream = 0; stream < kStreams; ++stream) {
    const auto requests = independent(zipf(800, 0.7), {4}, kRequests, 500 + static_cast<std::uint64_t>(stream));
    const auto point = curve(requests, {1 << 20}, options)[0];
    off.push_back(point.che.value() - point.lru);
    mean += off.back() / kStreams;
  }
  for (const double value : off) square += (value - mean) * (value - mean) / (kStreams - 1);
  // Arrivals are whole seconds: a gap of 300 still hits, which is half a second of 4000 more than of points spread
  // evenly, at a density of gaps below sum (n - 1) n / 4000 per 4000 requests.
  CHECK_THAT(mean, WithinAbs(0, 4 * std::sqrt(square / kStreams) + 0.5 * 0.01));
  CHECK(4 * std::sqrt(square / kStreams) < 0.01);
}
