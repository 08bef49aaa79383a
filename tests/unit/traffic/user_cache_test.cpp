#include "traffic/user_cache.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "catch.h"
#include "traffic/user_index.h"
#include "unit/traffic/listed_requests.h"

using kvcast::UserCacheOptions;
using kvcast::testing::Draw;
using kvcast::traffic::Found;
using kvcast::traffic::page_bytes;
using kvcast::traffic::Request;
using kvcast::traffic::UserCache;
using kvcast::traffic::UserIndex;

namespace {

UserCacheOptions sized(std::int64_t bytes, std::int64_t page_tokens = 1) {
  UserCacheOptions options;
  options.bytes = bytes;
  options.page_tokens = page_tokens;
  return options;
}

// A request and its answer at once.
Found serve(UserCache& cache, std::uint64_t user, std::int64_t history, double now) {
  const Request request{now, user, history, 1};
  const Found found = cache.find(request, now).found;
  cache.keep(request, now);
  return found;
}

}  // namespace

TEST_CASE("a history takes whole pages of whole bytes", "[traffic][cache]") {
  CHECK(page_bytes(0, 16, 100) == 0);
  CHECK(page_bytes(1, 16, 100) == 1600);
  CHECK(page_bytes(16, 16, 100) == 1600);
  CHECK(page_bytes(17, 16, 100) == 3200);
  CHECK(page_bytes(5, 1, 0.3) == 5);
  CHECK(page_bytes(7, 3, 0.5) == 3 * 2);
  CHECK(page_bytes(7, 3, 0) == 0);
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  CHECK(page_bytes(kMost, 16, 1e6) == kMost);
  CHECK(page_bytes(kMost, 1, 1) == kMost);
  CHECK(page_bytes(1, kMost, 1e6) == kMost);
}

TEST_CASE("the user that waited longest goes first", "[traffic][cache]") {
  UserCache cache(sized(3), 1, 0);
  for (const std::uint64_t user : {1, 2, 3}) CHECK(serve(cache, user, 1, 0) == Found::nothing);
  CHECK(serve(cache, 1, 1, 1) == Found::all);
  CHECK(serve(cache, 4, 1, 2) == Found::nothing);  // evicts 2
  CHECK(serve(cache, 3, 1, 3) == Found::all);
  CHECK(serve(cache, 1, 1, 4) == Found::all);
  CHECK(serve(cache, 2, 1, 5) == Found::nothing);
  CHECK(cache.counts().evictions == 2);
  CHECK(cache.counts().bytes == 3);
  CHECK(cache.counts().entries == 3);
}

TEST_CASE("a history that grew needs its newest tokens only", "[traffic][cache]") {
  UserCache cache(sized(100, 4), 1, 0);
  serve(cache, 1, 10, 0);
  CHECK(cache.counts().bytes == 12);
  const auto lookup = cache.find({1, 1, 13, 1}, 1);
  CHECK(lookup.found == Found::part);
  CHECK(lookup.known == 10);
  CHECK(lookup.length == 13);
  cache.keep({1, 1, 13, 1}, 1);
  CHECK(cache.counts().bytes == 16);
  CHECK(serve(cache, 1, 13, 2) == Found::all);
  CHECK(cache.counts().known_tokens == 10 + 13);
  CHECK(cache.counts().tokens == 10 + 13 + 13);
}

TEST_CASE("a history that shrank, or lost its oldest tokens to a limit, is another", "[traffic][cache]") {
  UserCache cache(sized(1000), 1, 20);
  serve(cache, 1, 10, 0);
  CHECK(serve(cache, 1, 9, 1) == Found::changed);
  CHECK(serve(cache, 1, 20, 2) == Found::part);
  CHECK(serve(cache, 1, 21, 3) == Found::changed);
  const auto lookup = cache.find({4, 1, 21, 1}, 4);
  CHECK(lookup.found == Found::all);
  CHECK(lookup.known == 20);
  CHECK(lookup.length == 20);
  cache.keep({4, 1, 21, 1}, 4);
  CHECK(serve(cache, 1, 22, 5) == Found::changed);
  CHECK(cache.counts().bytes == 20);
  CHECK(cache.counts().changed == 3);
}

TEST_CASE("what changed is gone, whether or not it is kept anew", "[traffic][cache]") {
  UserCache cache(sized(1000), 1, 0);
  serve(cache, 1, 10, 0);
  CHECK(cache.find({1, 1, 5, 1}, 1).found == Found::changed);
  CHECK(cache.counts().bytes == 0);
  CHECK(cache.find({2, 1, 10, 1}, 2).found == Found::nothing);
}

TEST_CASE("the time to live runs from the last request", "[traffic][cache]") {
  auto options = sized(10);
  options.ttl_s = 5;
  UserCache cache(options, 1, 0);
  serve(cache, 1, 1, 0);
  CHECK(serve(cache, 1, 1, 5) == Found::all);
  CHECK(serve(cache, 1, 1, 10) == Found::all);
  serve(cache, 2, 4, 12);
  CHECK(cache.counts().bytes == 5);
  CHECK(serve(cache, 3, 1, 15.5) == Found::nothing);
  CHECK(cache.counts().bytes == 5);  // 1 has expired
  CHECK(cache.counts().entries == 2);
  CHECK(serve(cache, 1, 1, 16) == Found::expired);
  CHECK(cache.counts().expired == 1);
  // The room of what has expired is no eviction: 2 makes way for 4 in silence.
  serve(cache, 4, 8, 18);
  CHECK(cache.counts().evictions == 0);
  CHECK(serve(cache, 2, 4, 18) == Found::nothing);
}

TEST_CASE("what another worker is still making is not found, what was there before is", "[traffic][cache]") {
  UserCache cache(sized(100), 1, 0);
  cache.find({0, 1, 10, 1}, 0);
  cache.keep({0, 1, 10, 1}, 4);
  CHECK(cache.find({1, 1, 10, 1}, 1).found == Found::nothing);
  cache.keep({1, 1, 10, 1}, 5);  // ready from 4 on all the same
  CHECK(cache.find({4, 1, 12, 1}, 4).known == 10);
  cache.keep({4, 1, 12, 1}, 8);
  auto lookup = cache.find({6, 1, 12, 1}, 6);
  CHECK(lookup.found == Found::part);
  CHECK(lookup.known == 10);
  cache.keep({6, 1, 12, 1}, 7);
  CHECK(cache.find({7, 1, 12, 1}, 7).found == Found::all);
}

TEST_CASE("a user larger than the cache is refused, and nobody makes way", "[traffic][cache]") {
  UserCache cache(sized(10), 1, 0);
  serve(cache, 1, 4, 0);
  serve(cache, 2, 5, 0);
  serve(cache, 3, 11, 1);
  CHECK(cache.counts().refused == 1);
  CHECK(cache.counts().evictions == 0);
  CHECK(serve(cache, 1, 11, 2) == Found::part);  // grew out of the cache
  CHECK(cache.counts().refused == 2);
  CHECK(cache.counts().bytes == 5);
  CHECK(serve(cache, 2, 10, 3) == Found::part);  // grows to all of it, and is not its own victim
  CHECK(serve(cache, 2, 10, 4) == Found::all);
  UserCache less_than_a_page(sized(10, 16), 1, 0);
  serve(less_than_a_page, 1, 1, 0);
  CHECK(less_than_a_page.counts().refused == 1);
}

TEST_CASE("no cache keeps nothing and refuses nobody", "[traffic][cache]") {
  UserCache cache(sized(0), 1, 5);
  serve(cache, 1, 9, 0);
  CHECK(serve(cache, 1, 9, 1) == Found::nothing);
  CHECK(cache.counts().requests == 2);
  CHECK(cache.counts().tokens == 10);
  CHECK(cache.counts().refused == 0);
  CHECK(cache.counts().max_bytes == 0);
}

TEST_CASE("a user without a history is no hit and takes no room", "[traffic][cache]") {
  UserCache cache(sized(4), 1, 0);
  serve(cache, 1, 0, 0);
  CHECK(serve(cache, 1, 0, 1) == Found::nothing);
  CHECK(cache.counts().entries == 0);
  serve(cache, 1, 2, 2);
  CHECK(serve(cache, 1, 0, 3) == Found::changed);
  CHECK(cache.counts().entries == 0);
}

TEST_CASE("tokens without bytes fit any cache", "[traffic][cache]") {
  UserCache cache(sized(1), 0, 0);
  for (std::uint64_t user = 0; user < 1000; ++user) serve(cache, user, 100, 0);
  CHECK(cache.counts().entries == 1000);
  CHECK(cache.counts().bytes == 0);
}

TEST_CASE("counts start anew, contents stay", "[traffic][cache]") {
  UserCache cache(sized(10), 1, 0);
  serve(cache, 1, 3, 0);
  serve(cache, 2, 7, 0);
  serve(cache, 3, 2, 0);  // evicts 1
  cache.reset_counts();
  CHECK(cache.counts().requests == 0);
  CHECK(cache.counts().evictions == 0);
  CHECK(cache.counts().bytes == 9);
  CHECK(cache.counts().max_bytes == 9);
  CHECK(cache.counts().entries == 2);
  CHECK(serve(cache, 2, 7, 1) == Found::all);
}

TEST_CASE("the index keeps what is not erased, whatever collides", "[traffic][cache]") {
  // Tags from the ends of the table, so that clusters run into each other and around its end.
  Draw draw(3);
  UserIndex index;
  std::vector<std::uint32_t> tags;
  std::vector<bool> in;
  for (int step = 0; step < 20000; ++step) {
    if (in.empty() || draw.uniform() < 0.52) {
      const auto near = static_cast<std::uint32_t>(draw.below(40)) << 24;
      tags.push_back(draw.uniform() < 0.5 ? near : 0U - near);
      in.push_back(true);
      index.insert(tags.back(), static_cast<std::uint32_t>(in.size() - 1));
    } else {
      const auto at = static_cast<std::size_t>(draw.below(static_cast<std::int64_t>(in.size())));
      if (in[at]) index.erase(tags[at], static_cast<std::uint32_t>(at));
      in[at] = false;
    }
    if (step % 50 != 0 || in.size() > 400) continue;
    for (std::uint32_t at = 0; at < in.size(); ++at) {
      const auto found = index.find(tags[at], [&](std::uint32_t other) { return other == at; });
      REQUIRE(found == (in[at] ? at : UserIndex::kNone));
    }
    if (in.size() > 300) {
      for (std::uint32_t at = 0; at < in.size(); ++at) {
        if (in[at]) index.erase(tags[at], at);
      }
      in.clear();
      tags.clear();
    }
  }
}
