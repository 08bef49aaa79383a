// Laws of queues over drawn ones: when they are called saturated, Little's law, more workers wait less, and the search
// for a limit against trying every value.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catch.h"
#include "traffic/find.h"
#include "traffic/saturation.h"
#include "unit/traffic/drawn_source.h"

namespace kvcast::traffic {
namespace {

/// Times with squared variation of about 5: a tenth of the requests take long.
std::vector<double> heavy() {
  return stratified(1000, [](double p) { return p < 0.9 ? 0.5 : 0.5 - 5 * std::log1p(-(p - 0.9) / 0.1); });
}

Saturation saturation(double load, std::int64_t workers, const ServiceTable& table, std::int64_t requests,
                      std::uint64_t seed) {
  DrawnSource source([&](double) { return load * static_cast<double>(workers) / table.mean_residual(); }, requests,
                     seed);
  SimulatorOptions options;
  options.server.workers = workers;
  return simulate_once(source, table, options, requests / 10, seed).saturation;
}

TEST_CASE("saturated above capacity, and only there") {
  const ServiceTable exponential_times = seconds_times(exponential()), heavy_times = seconds_times(heavy());
  for (const ServiceTable* table : {&exponential_times, &heavy_times}) {
    for (const std::int64_t workers : {1, 5}) {
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        for (const double load : {0.5, 0.8, 0.9, 0.95}) {
          const Saturation answer = saturation(load, workers, *table, 60'000, seed);
          CAPTURE(workers, seed, load, answer.text);
          CHECK_FALSE(answer.saturated);
          // Of heavy times 60'000 at 0.95 are six standard errors: the least that is to be clear.
          CHECK_FALSE(answer.unclear);
          CHECK(answer.text.empty());
          CHECK(answer.offered_load == Approx(load).epsilon(0.04));
        }
        for (const double load : {1.02, 1.1, 2.0}) {
          // Heavy times hide 2% among 60'000 requests in one of eighty.
          const std::int64_t requests = load < 1.05 ? 150'000 : 30'000;
          const Saturation answer = saturation(load, workers, *table, requests, seed);
          CAPTURE(workers, seed, load);
          CHECK(answer.saturated);
          CHECK_FALSE(answer.text.empty());
        }
      }
    }
  }
}

TEST_CASE("a burst that drains is no saturation; one that the trace ends in is, and a rising load is not") {
  const ServiceTable table = seconds_times(exponential());
  const auto judged = [&](const std::function<double(double)>& load, std::uint64_t seed) {
    DrawnSource source([&](double share) { return 4 * load(share); }, 60'000, seed);
    SimulatorOptions options;
    options.server.workers = 4;
    return simulate_once(source, table, options, 0, seed).saturation;
  };
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    CAPTURE(seed);
    CHECK_FALSE(judged([](double share) { return share > 0.4 && share < 0.6 ? 1.5 : 0.5; }, seed).saturated);
    CHECK_FALSE(judged([](double share) { return share > 0.6 && share < 0.75 ? 1.5 : 0.5; }, seed).saturated);
    CHECK_FALSE(judged([](double share) { return 0.2 + 0.7 * share; }, seed).saturated);
    CHECK_FALSE(judged([](double share) { return 0.5 + 0.4 * std::sin(20 * share); }, seed).saturated);
    const Saturation behind = judged([](double share) { return share > 0.8 ? 1.5 : 0.5; }, seed);
    CHECK(behind.saturated);
    CHECK(behind.offered_load < 0.9);
    CHECK(behind.text.find("completions fall behind") != std::string::npos);
  }
}

/// A run of `windows` windows with 100 requests each, the number in the system by window.
Load planted(std::size_t windows, const std::function<double(double)>& in_system, double load) {
  Load run;
  run.seconds = static_cast<double>(windows);
  run.arrivals = static_cast<std::int64_t>(100 * windows);
  run.service_s = load / 100;
  for (std::size_t i = 0; i < windows; ++i) {
    run.windows.push_back({1, 100, run.service_s, in_system(static_cast<double>(i))});
  }
  run.waiting = 60;
  return run;
}

TEST_CASE("each sign of saturation alone, planted") {
  const auto noise = [](double i) { return 5 * std::sin(7.3 * i * i); };
  Load run = planted(40, noise, 0.9);
  CHECK(judge(run).text.empty());
  CHECK(judge(run).offered_load == Approx(0.9));

  // The number in the system rises throughout, the load is full in the last quarter only.
  const auto rising = [&](double i) { return 2 * i + noise(i); };
  run = planted(40, rising, 0.9);
  CHECK_FALSE(judge(run).saturated);
  for (std::size_t i = 30; i < 40; ++i) run.windows[i].service_s = 0.0101;
  CHECK(judge(run).saturated);
  CHECK(judge(run).text.find("latency rises: each of 40 windows has ") == 0);
  run.waiting = 0;
  CHECK_FALSE(judge(run).saturated);
  run = planted(40, noise, 0.9);
  for (std::size_t i = 30; i < 40; ++i) run.windows[i].service_s = 0.0101;
  CHECK_FALSE(judge(run).saturated);

  // 3 sqrt(4000 (1 + 1)) = 268.3.
  run = planted(40, noise, 0.9);
  run.waiting = 268;
  CHECK_FALSE(judge(run).saturated);
  run.waiting = 269;
  CHECK(judge(run).text.find("completions fall behind: the last arrival leaves 269") == 0);
  run.waiting_first = 1;
  CHECK_FALSE(judge(run).saturated);
  run = planted(40, noise, 0.9);
  run.waiting = 300;
  run.workers = 10;
  run.service_s *= 10;
  run.batch_max = 30;
  CHECK_FALSE(judge(run).saturated);

  CHECK_FALSE(judge(planted(40, noise, 0.9985)).saturated);
  CHECK(judge(planted(40, noise, 0.9995)).text.find("requests bring") == 0);
  CHECK(judge(planted(7, noise, 0.5)).unclear);

  // Loads of 0.8 and 1: 0.9 with a standard error of 0.1/sqrt(39).
  run = planted(40, noise, 0.9);
  for (std::size_t i = 0; i < 40; ++i) run.windows[i].service_s = i % 2 == 0 ? 0.008 : 0.010;
  CHECK(judge(run).offered_error.value() == Approx(0.1 / std::sqrt(39)));
  CHECK_FALSE(judge(run).unclear);
  for (std::size_t i = 0; i < 40; ++i) run.windows[i].service_s = i % 2 == 0 ? 0.006 : 0.012;
  CHECK(judge(run).unclear);
  CHECK_FALSE(judge(run).saturated);
  // Eight such runs know it well enough.
  CHECK_FALSE(judge(std::vector<Saturation>(8, judge(run))).unclear);
}

TEST_CASE("replications together: one given up, most saturated, or loaded to the full") {
  const Saturation fine{false, false, "", 0.5, 0.01, false}, full{true, false, "full", 1.2, 0.01, false};
  Saturation stopped = full;
  stopped.stopped = true;
  CHECK_FALSE(judge({fine, fine, fine, fine, full}).saturated);
  CHECK(judge({fine, fine, full, full, full}).text == "full (3 of 5 replications)");
  CHECK(judge({fine, fine, fine, fine, stopped}).saturated);
  Saturation nearly = fine;
  nearly.offered_load = 0.995;
  CHECK_FALSE(judge({nearly, nearly}).saturated);
  CHECK(judge({nearly, nearly, full}).saturated);
}

TEST_CASE("Little's law holds under every order, batch and load") {
  const ServiceTable table = seconds_times(heavy());
  std::uint64_t seed = 0;
  for (const ServeOrder order : {ServeOrder::fifo, ServeOrder::shortest}) {
    for (const std::int64_t workers : {1, 4, 40}) {
      for (const std::int64_t most : {1, 3}) {
        for (const double load : {0.1, 0.9, 3.0}) {
          DrawnSource source([&](double) { return load * static_cast<double>(workers); }, 4000, ++seed);
          SimulatorOptions options;
          options.server = {workers, order, 0.5, most};
          const Replication replication = simulate_once(source, table, options, 100, seed);
          CHECK(std::abs(replication.littles_ratio - 1) < 4 * 4000 * 2.3e-16);
          CHECK(replication.counted == 3900);
        }
      }
    }
  }
}

TEST_CASE("with the same luck, another worker makes nobody wait longer on average") {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    double before = 0;
    for (std::int64_t workers = 4; workers >= 1; --workers) {
      DrawnSource source([](double) { return 0.8; }, 3000, seed);
      SimulatorOptions options;
      options.server.workers = workers;
      const double wait = simulate_once(source, seconds_times(heavy()), options, 0, seed).wait_s;
      CHECK(wait >= before);
      before = wait;
    }
  }
}

/// p99 that is `value` with a limit of 1 where it meets it.
Probe answer(double p99) { return {Estimate{p99, std::nullopt}}; }

TEST_CASE("the limit that is found is the one that trying every value finds") {
  for (const bool largest : {true, false}) {
    for (std::int64_t limit = 0; limit <= 41; ++limit) {
      for (const double start : {1.0, 7.0, 40.0}) {
        std::map<double, int> asked;
        const auto meets = [&](double value) { return largest ? value <= double(limit) : value >= double(limit); };
        const Search search{FindTarget::candidates, "", largest, start, 1, 40, 1, 0};
        const TrafficFind find = find_limit(search, 1, [&](double value) {
          ++asked[value];
          return meets(value) ? answer(0.5) : value < 30 ? answer(2) : Probe{};
        });
        CAPTURE(largest, limit, start);
        std::optional<double> expected;
        for (int value = 1; value <= 40; ++value) {
          if (meets(value) && (largest || !expected)) expected = value;
        }
        CHECK(find.value == expected);
        if (find.fails_at) CHECK_FALSE(meets(*find.fails_at));
        if (expected && find.fails_at) CHECK(*find.fails_at == *expected + (largest ? 1 : -1));
        // Without an answer, the easiest value and what it takes there.
        if (!expected) CHECK(find.fails_at == (largest ? 1.0 : 40.0));
        if (!find.fails_at) CHECK(find.value == (largest ? 40.0 : 1.0));
        if (expected) CHECK(find.p99_s->value == 0.5);
        for (const auto& [value, times] : asked) CHECK(times == 1);
        CHECK(asked.size() <= 14);
      }
    }
  }
}

TEST_CASE(
    "a rate to one in a hundred, a cache to a page; noise leaves a value that meets it beside one that does not") {
  for (const double limit : {0.3, 17.0, 2.5e4}) {
    const TrafficFind find = find_limit({FindTarget::qps, "1/s", true, 100, 1e-3, 1e6, 0, 0.01}, 1,
                                        [&](double value) { return answer(value / limit); });
    REQUIRE(find.value);
    CHECK(*find.value <= limit);
    CHECK(*find.fails_at > limit);
    CHECK(*find.fails_at <= *find.value * 1.0102);
  }
  constexpr double kPage = 4096;
  for (const double pages : {0.0, 1.0, 2.0, 3.0, 1000.0, 77'777.0}) {
    const TrafficFind find = find_limit({FindTarget::cache, "B", false, 1e6, 0, 1e10, kPage, 0.02}, 1,
                                        [&](double value) { return answer(value >= pages * kPage ? 0.9 : 1.1); });
    CAPTURE(pages);
    REQUIRE(find.value);
    CHECK(std::fmod(*find.value, kPage) == 0);
    CHECK(*find.value >= pages * kPage);
    CHECK(find.fails_at.has_value() == (pages > 0));
    if (find.fails_at) CHECK(*find.value - *find.fails_at <= std::max(kPage, 0.02 * *find.value));
  }
  const auto noisy = [](double value) { return answer(value / 500 + 0.2 * std::sin(value * 12.9898)); };
  const TrafficFind find = find_limit({FindTarget::candidates, "", true, 1, 1, 1e6, 1, 0}, 1, noisy);
  REQUIRE(find.value);
  CHECK(noisy(*find.value).p99_s->value <= 1);
  CHECK(noisy(*find.value + 1).p99_s->value > 1);
  CHECK(find.fails_at == *find.value + 1);
}

TEST_CASE("workers found by simulation: one fewer does not do") {
  SimulatorOptions options;
  options.replications = 4;
  const ServiceTable table = seconds_times(exponential());
  const auto probe = [&](double workers) {
    options.server.workers = static_cast<std::int64_t>(workers);
    return Probe{p99_of(simulate(poisson(10, 20'000, 3, 2000), table, options))};
  };
  const TrafficFind find = find_limit({FindTarget::workers, "", false, 1, 1, 1000, 1, 0}, 6, probe);
  REQUIRE(find.value);
  CHECK(*find.fails_at == *find.value - 1);
  CHECK(*find.value > 10);
  CHECK(*find.value < 14);
  // A service alone takes longer than this in one of a hundred: no number of workers will do.
  const TrafficFind none = find_limit({FindTarget::workers, "", false, 1, 1, 64, 1, 0}, 4, probe);
  CHECK_FALSE(none.value);
  CHECK(none.fails_at == 64);
  CHECK(none.p99_s->value == Approx(std::log(100)).epsilon(0.1));
}

}  // namespace
}  // namespace kvcast::traffic
