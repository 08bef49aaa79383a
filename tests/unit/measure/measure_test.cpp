#include "measure/measure.h"

#include <algorithm>
#include <map>
#include <set>

#include "catch.h"
#include "measure/machine.h"
#include "plan/plan.h"

using namespace kvcast;
using namespace kvcast::measure;

namespace {

// A clock that moves only when work is done, so that every outcome is known beforehand.
struct World {
  double time = 0;
  double canary_speed = 100;
  std::vector<std::string> log;

  Environment environment() {
    return {[this] { return time; },
            [this] {
              time += 1e-4;
              return canary_speed;
            }};
  }
  Workload naive() {
    return {"naive", false, {}, [this](std::int64_t n) {
              log.push_back("naive " + std::to_string(n));
              time += 0.010 * static_cast<double>(n);
            }};
  }
  Workload shared() {
    return {"shared", true,
            [this] {
              log.push_back("history");
              time += 0.009;
            },
            [this](std::int64_t n) {
              log.push_back("shared " + std::to_string(n));
              time += 0.001 * static_cast<double>(n);
            }};
  }
};

PlannedPoint point(const std::string& scheme, std::int64_t n, Status status, std::int64_t measured) {
  PlannedPoint p;
  p.scheme = scheme;
  p.candidates = n;
  p.status = status;
  p.measured_candidates = measured;
  return p;
}

Plan whole_plan() {
  Plan plan;
  plan.max_rounds = 4;
  for (const std::int64_t n : {1, 5, 10}) {
    for (const char* scheme : {"naive", "shared"}) plan.points.push_back(point(scheme, n, Status::measured, n));
  }
  return plan;
}

Plan composed_plan() {
  Plan plan;
  plan.max_rounds = 4;
  plan.cases.emplace_back().whole_check_candidates = 5;
  plan.whole_check_rounds = 3;
  for (const std::int64_t n : {1, 2, 5, 100}) {
    plan.points.push_back(point("naive", n, n > 2 ? Status::scaled : Status::measured, std::min<std::int64_t>(n, 2)));
    plan.points.push_back(point("shared", n, Status::composed, n));
  }
  return plan;
}

Options options_until(double deadline) {
  Options options;
  options.deadline = deadline;
  return options;
}

}  // namespace

TEST_CASE("whole rounds time every point once a round, schemes side by side", "[measure]") {
  World world;
  const Result result =
      run_rounds(whole_plan(), {world.naive(), world.shared()}, world.environment(), options_until(1e9));
  CHECK(result.rounds == 4);
  CHECK(result.stopped_by == "rounds");
  CHECK_FALSE(result.interrupted);
  CHECK(result.samples.size() == 4 * 6);
  std::set<std::tuple<std::int64_t, std::string, std::int64_t>> seen;
  for (std::size_t i = 0; i < result.samples.size(); ++i) {
    const Sample& s = result.samples[i];
    CHECK(seen.insert({s.round, s.scheme, s.candidates}).second);
    const auto n = static_cast<double>(s.candidates);
    CHECK(s.measured_seconds == Approx(s.scheme == "naive" ? 0.010 * n : 0.009 + 0.001 * n));
    CHECK(s.user_seconds.has_value() == (s.scheme == "shared"));
    if (s.scheme == "shared") CHECK(*s.fusion_seconds == Approx(0.001 * n));
    CHECK(s.canary_ratio == Approx(1));
    // Rows come in pairs of one N: nothing else runs between the two schemes of a ratio.
    CHECK(result.samples[i ^ 1].candidates == s.candidates);
  }
}

TEST_CASE("the order of a round is drawn from the seed", "[measure]") {
  const auto order = [](std::uint64_t seed) {
    World world;
    Options options = options_until(1e9);
    options.seed = seed;
    run_rounds(whole_plan(), {world.naive(), world.shared()}, world.environment(), options);
    return world.log;
  };
  CHECK(order(1) == order(1));
  CHECK(order(1) != order(2));
}

TEST_CASE("tight rounds share one history pass and one naive timing, and check some whole", "[measure]") {
  World world;
  const Result result =
      run_rounds(composed_plan(), {world.naive(), world.shared()}, world.environment(), options_until(1e9));
  // Per round: one history pass for the compositions, one for the whole check while it lasts.
  CHECK(std::count(world.log.begin(), world.log.end(), "history") == 4 + 3);
  CHECK(std::count(world.log.begin(), world.log.end(), "naive 2") == 4);
  CHECK(std::count(world.log.begin(), world.log.end(), "naive 5") == 3);
  CHECK(std::count(world.log.begin(), world.log.end(), "naive 100") == 0);
  std::map<std::pair<std::string, Status>, int> rows;
  for (const Sample& s : result.samples) {
    ++rows[{s.scheme, s.status}];
    const auto n = static_cast<double>(s.candidates);
    if (s.status == Status::composed) CHECK(s.measured_seconds == Approx(0.009 + 0.001 * n));
    if (s.status == Status::scaled) {
      CHECK(s.measured_candidates == 2);
      CHECK(s.measured_seconds == Approx(0.020));
    }
  }
  CHECK(rows[{"naive", Status::measured}] == 4 * 2 + 3);
  CHECK(rows[{"naive", Status::scaled}] == 4 * 2);
  CHECK(rows[{"shared", Status::composed}] == 4 * 4);
  CHECK(rows[{"shared", Status::measured}] == 3);
}

TEST_CASE("a round that the deadline would cut is not started", "[measure]") {
  World world;
  Plan plan = whole_plan();
  plan.max_rounds = 100;
  plan.min_rounds = 1;
  // A round takes 0.16 + 3 * 0.009 + 0.016 s and its canaries.
  const Result result = run_rounds(plan, {world.naive(), world.shared()}, world.environment(), options_until(1.0));
  CHECK(result.stopped_by == "budget");
  CHECK(world.time <= 1.0);
  CHECK(result.rounds == 4);
  CHECK(result.samples.size() == 4 * 6);
}

TEST_CASE("a budget shorter than a round keeps what was timed", "[measure]") {
  World world;
  const Result result =
      run_rounds(whole_plan(), {world.naive(), world.shared()}, world.environment(), options_until(0.05));
  CHECK(result.rounds == 0);
  CHECK(result.stopped_by == "budget");
  CHECK(result.samples.size() < 6);
  CHECK_FALSE(result.samples.empty());
}

TEST_CASE("precision ends a run, but not before the least number of rounds", "[measure]") {
  World world;
  Plan plan = whole_plan();
  plan.max_rounds = 100;
  plan.min_rounds = 3;
  Options options = options_until(1e9);
  options.precise_enough = [](const std::vector<Sample>&) { return true; };
  const Result result = run_rounds(plan, {world.naive(), world.shared()}, world.environment(), options);
  CHECK(result.rounds == 3);
  CHECK(result.stopped_by == "precision");
}

TEST_CASE("a stop request ends between timings and keeps them", "[measure]") {
  World world;
  Options options = options_until(1e9);
  options.stop_requested = [&world] { return world.log.size() >= 4; };
  const Result result = run_rounds(whole_plan(), {world.naive(), world.shared()}, world.environment(), options);
  CHECK(result.interrupted);
  CHECK(result.stopped_by == "interrupt");
  CHECK(world.log.size() <= 5);
  CHECK_FALSE(result.samples.empty());
}

TEST_CASE("a slow canary marks the timings beside it and no others", "[measure]") {
  World world;
  Plan plan = whole_plan();
  plan.max_rounds = 10;
  Environment environment = world.environment();
  int calls = 0;
  environment.canary = [&] {
    world.time += 1e-4;
    return ++calls == 12 ? 50.0 : 100.0;
  };
  const Result result = run_rounds(plan, {world.naive(), world.shared()}, environment, options_until(1e9));
  const auto slow = std::count_if(result.samples.begin(), result.samples.end(),
                                  [](const Sample& s) { return s.canary_ratio < 0.95; });
  CHECK(slow == 2);  // the timing before it and the one after it
}

TEST_CASE("short timings are repeated and averaged", "[measure]") {
  World world;
  Plan plan;
  plan.max_rounds = 1;
  plan.points.push_back(point("tiny", 1, Status::measured, 1));
  int calls = 0;
  const Workload tiny{"tiny", false, {}, [&](std::int64_t) {
                        ++calls;
                        world.time += 1e-4;
                      }};
  const Result result = run_rounds(plan, {tiny}, world.environment(), options_until(1e9));
  REQUIRE(result.samples.size() == 1);
  CHECK(result.samples[0].measured_seconds == Approx(1e-4));
  CHECK(calls >= 20);
}

TEST_CASE("the machine's facts are those of this machine", "[measure]") {
  const HostLimits limits = probe_limits();
  CHECK(limits.cpus >= 1);
  CHECK(limits.available_memory_bytes > 0);
  const MachineInfo plain = probe_machine(0);
  CHECK_FALSE(plain.peak_gflops.has_value());
  CHECK(plain.threads == limits.cpus);
  const MachineInfo rated = probe_machine(1);
  REQUIRE(rated.peak_gflops.has_value());
  CHECK(*rated.peak_gflops > 0);
  CHECK(*rated.read_gb_per_s > 0);
}

TEST_CASE("the fastest form is the one with the best time, whatever the first one cost", "[measure]") {
  double time = 0;
  std::vector<std::size_t> order;
  // Form 1 is slow the first time, as something not yet in the cache is, and fastest after.
  const auto run = [&](std::size_t form) {
    time += form == 1 ? (order.size() < 3 ? 9.0 : 1.0) : 2.0;
    order.push_back(form);
  };
  CHECK(fastest_form(
            3, [&] { return time; }, run) == 1);
  CHECK(order == std::vector<std::size_t>{0, 1, 2, 0, 1, 2});
  order.clear();
  CHECK(fastest_form(
            1, [&] { return time; }, run) == 0);
  CHECK(order.empty());  // nothing to choose, nothing to time
}
