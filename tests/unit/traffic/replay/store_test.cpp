// Who has real memory between requests: what the policy keeps, no more and no less.
#include "traffic/replay/store.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "catch.h"

using namespace kvcast;
using namespace kvcast::traffic;

namespace {

Request draw(const RandomStream& random, std::uint64_t i, double now) {
  const std::uint64_t user = random.bits(3 * i) % 20;
  return {now, user, static_cast<std::int64_t>(20 * user + random.bits(3 * i + 1) % 30), 1};
}

}  // namespace

TEST_CASE("the policy says who is kept and who is dropped", "[replay]") {
  for (const std::optional<double> ttl : {std::optional<double>(), std::optional<double>(5.0)}) {
    UserCache cache({2000, 16, ttl}, 1, 300);
    std::set<std::uint64_t> held;
    cache.on_drop([&](std::uint64_t user) {
      CAPTURE(user);
      CHECK(held.erase(user) == 1);
    });
    const RandomStream random(5, 1);
    for (std::uint64_t i = 0; i < 3000; ++i) {
      const double now = 0.3 * static_cast<double>(i);
      const Request request = draw(random, i, now);
      const Lookup lookup = cache.find(request, now);
      if (lookup.known > 0) REQUIRE(held.count(request.user) == 1);
      if (cache.keep(request, now)) held.insert(request.user);
      // What has expired is held until its room is needed.
      if (!ttl) REQUIRE(static_cast<std::int64_t>(held.size()) == cache.counts().entries);
      REQUIRE(static_cast<std::int64_t>(held.size()) >= cache.counts().entries);
    }
    CHECK(cache.counts().evictions > 100);
  }
}

TEST_CASE("the pool hands out room, and makes no more than it must", "[replay]") {
  SlotPool pool(nullptr, 64, 1000);
  const std::vector<std::int64_t>& capacities = pool.capacities();
  CHECK(capacities.back() == 1024);
  for (std::int64_t tokens = 0; tokens <= 1000; ++tokens) {
    const std::int64_t capacity = capacities[pool.class_of(tokens)];
    REQUIRE(capacity >= tokens);
    // A panel, or a fifth and the panel that it is rounded up to.
    REQUIRE(capacity <=
            std::max<std::int64_t>(64, static_cast<std::int64_t>(1.19 * static_cast<double>(tokens)) + 128));
  }
  std::unique_ptr<Slot> large = pool.take(1000);
  pool.give(std::move(large));
  const std::unique_ptr<Slot> small = pool.take(10);  // the free one, though too large
  CHECK(pool.capacity(*small) == 1024);
  const std::unique_ptr<Slot> other = pool.take(10);
  CHECK(pool.capacity(*other) == 64);
  CHECK(std::count(pool.made().begin(), pool.made().end(), 1) == 2);
}

// Requests that overlap as those of several workers do, on slots that say whose tokens they hold.
TEST_CASE("no slot is written while it is read, and all come back", "[replay]") {
  SlotPool pool(nullptr, 64, 500);
  const RandomStream random(7, 2);
  struct Content {
    std::uint64_t user = 0;
    std::int64_t history = 0;
  };
  std::map<const Slot*, Content> contents;
  std::set<const Slot*> written;
  std::map<const Slot*, int> read;
  std::int64_t shared = 0, busy = 0, lost = 0, parts = 0, grown = 0;
  {
    Store store({3000, 16, std::nullopt}, 1, 450, pool);
    std::vector<std::pair<Request, Visit>> open;
    const auto close = [&](std::size_t at, double now) {
      auto [request, visit] = std::move(open[at]);
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(at));
      if (visit.shared != nullptr) --read[visit.shared];
      if (visit.slot) {
        contents[visit.slot.get()] = {request.user, request.history};
        written.erase(visit.slot.get());
        if (visit.outgrown) written.erase(visit.outgrown.get());
      }
      store.end(request, now, std::move(visit));
    };
    for (std::uint64_t i = 0; i < 20000; ++i) {
      const double now = static_cast<double>(i);
      Request request = draw(random, i, now);
      request.history = 20 * static_cast<std::int64_t>(request.user) + static_cast<std::int64_t>(i / 8) % 200;
      Visit visit = store.begin(request, now);
      const std::int64_t known = visit.lookup.known;
      busy += visit.busy && known > 0 ? 1 : 0;
      if (visit.busy && known > 0) REQUIRE(visit.copied_from() != nullptr);
      lost += visit.busy && known == 0 ? 1 : 0;
      if (visit.shared != nullptr) {
        // What is read is there: all of it, or whole panels before what is being written.
        const Content& content = contents[visit.shared];
        REQUIRE(content.user == request.user);
        if (!visit.slot) {
          ++shared;
          REQUIRE(written.count(visit.shared) == 0);
          REQUIRE(content.history == request.history);
        } else {
          REQUIRE(visit.busy);
          REQUIRE(known % 64 == 0);
          REQUIRE(std::min<std::int64_t>(content.history, 450) >= known);
        }
        ++read[visit.shared];
      }
      if (visit.slot) {
        const Slot* from = visit.outgrown ? visit.outgrown.get() : visit.slot.get();
        if (known > 0 && !visit.busy) {
          ++parts;
          REQUIRE(contents[from].user == request.user);
          REQUIRE(std::min<std::int64_t>(contents[from].history, 450) == known);
        }
        grown += visit.outgrown ? 1 : 0;
        REQUIRE(pool.capacity(*visit.slot) >= visit.lookup.length);
        // Nobody else has it while it is taken; later ones may read what was there before.
        for (const Slot* slot : {from, static_cast<const Slot*>(visit.slot.get())}) REQUIRE(read[slot] == 0);
        REQUIRE(written.insert(visit.slot.get()).second);
        if (visit.outgrown) REQUIRE(written.insert(visit.outgrown.get()).second);
      }
      open.emplace_back(request, std::move(visit));
      while (open.size() > 5) close(random.bits(3 * i + 2) % open.size(), now);
    }
    while (!open.empty()) close(0, 20000);
    store.clear();
  }
  // Each of these has been seen.
  CHECK(shared > 100);
  CHECK(busy > 10);
  CHECK(lost > 10);
  CHECK(parts > 100);
  CHECK(grown > 0);
  // Nothing is lost: all that was made can be taken.
  std::int64_t made = 0;
  for (const std::int64_t count : pool.made()) made += count;
  std::vector<std::unique_ptr<Slot>> taken;
  for (std::int64_t i = 0; i < made; ++i) taken.push_back(pool.take(0));
  std::int64_t now_made = 0;
  for (const std::int64_t count : pool.made()) now_made += count;
  CHECK(now_made == made);
}
