#include "base/parallel.h"

#include <omp.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/random.h"
#include "catch.h"

using namespace kvcast;

TEST_CASE("every task runs once, by threads within range", "[base][parallel]") {
  for (const int threads : {1, 2, 3, 7}) {
    std::vector<std::atomic<int>> runs(101);
    std::atomic<bool> in_range = true;
    parallel_for(threads, 101, [&](std::int64_t task, int thread) {
      ++runs[static_cast<std::size_t>(task)];
      if (thread < 0 || thread >= threads) in_range = false;
    });
    for (const auto& count : runs) CHECK(count == 1);
    CHECK(in_range);
  }
}

TEST_CASE("each thread's part is done even when the team is smaller, and libraries see one thread",
          "[base][parallel]") {
  const int limit = omp_get_max_threads();
  for (const int threads : {1, 2, 5}) {
    std::vector<std::atomic<int>> runs(static_cast<std::size_t>(threads));
    std::atomic<bool> alone = true;
    on_each_thread(threads, [&](int thread) {
      ++runs[static_cast<std::size_t>(thread)];
      if (omp_get_max_threads() != 1) alone = false;
    });
    for (const auto& count : runs) CHECK(count == 1);
    CHECK(alone);
    // Inside another region the team is one thread: all parts fall to it.
    std::vector<std::atomic<int>> nested(static_cast<std::size_t>(threads));
    on_each_thread(1, [&](int) { on_each_thread(threads, [&](int t) { ++nested[static_cast<std::size_t>(t)]; }); });
    for (const auto& count : nested) CHECK(count == 1);
  }
  CHECK(omp_get_max_threads() == limit);
}

TEST_CASE("an exception in a task reaches the caller", "[base][parallel]") {
  for (const int threads : {1, 3}) {
    CHECK_THROWS_AS(parallel_for(threads, 50,
                                 [](std::int64_t task, int) {
                                   if (task == 17) throw std::runtime_error("task");
                                 }),
                    std::runtime_error);
  }
  CHECK_THROWS_AS(on_each_thread(2, [](int) { throw std::runtime_error("thread"); }), std::runtime_error);
}

TEST_CASE("buffers are aligned, zero and movable", "[base]") {
  for (const std::int64_t size : {1, 15, 1000, 1 << 19}) {
    Buffer<float> buffer(size);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % (size >= (1 << 18) ? (2 << 20) : 64) == 0);
    for (const float value : buffer.span()) REQUIRE(value == 0.0f);
    buffer[size - 1] = 3;
    const Buffer<float> moved = std::move(buffer);
    CHECK(moved[size - 1] == 3);
    CHECK(buffer.size() == 0);
  }
  CHECK(Buffer<float>(0).data() == nullptr);
}

TEST_CASE("random streams are uniform, bounded and independent of order", "[base]") {
  const RandomStream a(1, 2), b(1, 3);
  double mean = 0, square = 0, cross = 0;
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) {
    const double x = a.unit(static_cast<std::uint64_t>(i)), y = b.unit(static_cast<std::uint64_t>(i));
    REQUIRE(std::abs(x) <= 1.7320509);
    mean += x;
    square += x * x;
    cross += x * y;
  }
  // Five standard errors of a uniform with variance 1.
  CHECK(std::abs(mean / kCount) < 5 / std::sqrt(kCount));
  CHECK(std::abs(square / kCount - 1) < 5 * std::sqrt(0.8 / kCount));
  CHECK(std::abs(cross / kCount) < 5 / std::sqrt(kCount));
  CHECK(a.unit(7) == RandomStream(1, 2).unit(7));
}

TEST_CASE("threads are tried with the stack that OMP_STACKSIZE asks for", "[base][parallel]") {
  const char* const was = std::getenv("OMP_STACKSIZE");
  const std::string saved = was == nullptr ? "" : was;
  const auto problem = [](const char* size) {
    CAPTURE(size);
    setenv("OMP_STACKSIZE", size, 1);
    return team_problem(2);
  };
  // More than there are addresses, in each unit.
  for (const char* size : {"209715200000", "209715200000K", " 204800000 M ", "200000g", "214748364800000B"}) {
    CHECK_THAT(problem(size), Catch::EndsWith("for thread 2 with a stack of 209715200000 KiB"));
  }
  // What is no size, or none that can be counted, leaves the system's.
  for (const char* size : {"", " ", "x", "99999999999999999999", "18014398509481984K", "512", "1M"}) {
    CHECK(problem(size).empty());
  }
  was == nullptr ? unsetenv("OMP_STACKSIZE") : setenv("OMP_STACKSIZE", saved.c_str(), 1);
}

TEST_CASE("a team is whole though OpenMP was told to nest none", "[base][parallel]") {
  const int levels = omp_get_max_active_levels();
  omp_set_max_active_levels(0);
  CHECK(team_problem(2).empty());
  omp_set_max_active_levels(0);
  // Neither returns before the other has come, or a while has passed.
  std::atomic<int> come = 0, met = 0;
  on_each_thread(2, [&](int) {
    ++come;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (come < 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    met += come == 2 ? 1 : 0;
  });
  CHECK(met == 2);
  // For libraries on the same runtime, too, which open teams of their own.
  omp_set_max_active_levels(0);
  const LibraryThreads team(2);
  CHECK(omp_get_max_active_levels() >= 1);
  omp_set_max_active_levels(levels);
}

TEST_CASE("a request to stop empties loops, and is forgotten with its scope", "[base][parallel]") {
  std::atomic<int> done = 0;
  std::atomic<bool> asked = false;
  const auto count = [&](int threads) {
    done = 0;
    parallel_for(threads, 100, [&](std::int64_t, int) {
      if (++done == 10) asked = true;
    });
    return done.load();
  };
  {
    const std::function<bool()> requested = [&] { return asked.load(); };
    const StopScope scope(requested);
    CHECK_FALSE(stopping());
    CHECK(count(1) == 10);
    CHECK(stopping());
    CHECK(count(1) == 0);
    CHECK(count(2) == 0);
    asked = false;
    CHECK(count(2) < 100);
  }
  CHECK(asked);
  CHECK_FALSE(stopping());
  CHECK(count(2) == 100);
  const StopScope nobody{std::function<bool()>()};
  CHECK(count(1) == 100);
}
