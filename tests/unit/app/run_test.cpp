// A run from end to end on an engine without a model: plan, rounds, budget, composition, precision, interruption,
// resuming, a session that fails.
#include "app/run.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <stdexcept>

#include "app/plan.h"
#include "catch.h"
#include "journal/journal.h"
#include "kvcast/kvcast.h"
#include "mock_engine.h"
#include "unit/files.h"

using namespace kvcast;
using testing::MockEngine;
using testing::MockWorld;

namespace {

/// naive takes 10 ms a candidate; shared 9 ms for the history and 1 ms a candidate, so r = 0.1 and S(N) is known.
struct World : MockWorld {
  World() {
    times["naive"].score = [](std::int64_t n) { return 0.010 * static_cast<double>(n); };
    times["shared"].prefill = [] { return 0.009; };
    times["shared"].score = [](std::int64_t n) { return 0.001 * static_cast<double>(n); };
    times["head"].score = [](std::int64_t n) { return 0.002 * static_cast<double>(n); };
    times["naive+head"].score = [](std::int64_t n) { return 0.012 * static_cast<double>(n); };
    times["shared+head"].prefill = times["shared"].prefill;
    times["shared+head"].score = [](std::int64_t n) { return 0.003 * static_cast<double>(n); };
    times["naive/again"] = times["naive"];
    times["shared/again"] = times["shared"];
  }
  app::Surroundings surroundings() {
    return {[this] { return time; }, [this](int) { return canary_speed; }, [] { return std::nullopt; }};
  }
  RunResult run(const Config& config, const RunOptions& options = {}, const Observer& observer = {}) {
    return app::run_on(engine, surroundings(), config, machine, app::plan_for(engine, config, machine, options),
                       options, observer);
  }
  MockEngine engine{*this};
  MachineInfo machine = [] {
    MachineInfo info;
    info.threads = 2;
    info.peak_gflops = 100;
    info.read_gb_per_s = 10;
    return info;
  }();
};

Config config_of(const std::string& run, const std::string& measure, const std::string& model = "") {
  return parse_config(R"({"model": {"history_length": 32, "dim": 32, "heads": 2, "layers": 2)" + model +
                          R"(}, "run": {"threads": 2, )" + run + R"(}, "measure": {)" + measure + "}}",
                      "test", {}, {2, std::int64_t{8} << 30});
}

const Fit& fit_of(const RunResult& result) {
  REQUIRE(result.report.cases.size() == 1);
  REQUIRE(result.report.cases[0].fits.size() == 1);
  return result.report.cases[0].fits[0];
}

std::int64_t count(const std::vector<std::string>& log, const std::string& what) {
  return std::count(log.begin(), log.end(), what);
}

}  // namespace

TEST_CASE("a run on an engine that takes what the law says finds the law's r", "[app][run]") {
  World world;
  const RunResult result = world.run(config_of(R"("candidates": [1, 5, 10, 50])", R"("budget": "60s")"));
  CHECK(result.checks_passed);
  CHECK_FALSE(result.interrupted);
  CHECK(result.report.conditions->stopped_by == StoppedBy::precision);
  CHECK(result.report.conditions->rounds >= 3);
  CHECK(fit_of(result).r->value == Approx(0.1).epsilon(1e-6));
  for (const Point& point : result.report.cases[0].points) {
    const auto n = static_cast<double>(point.candidates);
    for (const SchemePoint& row : point.schemes) {
      if (row.scheme == "shared") CHECK(row.speedup->value == Approx(n / (1 + (n - 1) * 0.1)).epsilon(1e-6));
    }
  }
  CHECK(world.time < 60);
  // An engine without outputs is timed all the same, and that nothing judged it is said.
  CHECK_FALSE(result.report.cases[0].equivalence);
  CHECK(std::any_of(result.report.warnings.begin(), result.report.warnings.end(),
                    [](const Warning& warning) { return warning.code == "equality-unjudged"; }));
}

TEST_CASE("the rounds are planned by what the engine takes, not by FLOPs", "[app][run]") {
  // By FLOPs all points run whole within milliseconds; on this engine naive(1000) alone takes ten seconds.
  const Config config = config_of(R"("candidates": [1, 10, 1000])", R"("budget": "20s")");
  World world;
  const Plan by_flops = make_plan(config, world.machine, {});
  for (const PlannedPoint& point : by_flops.points) CHECK(point.status == Status::measured);
  const RunResult result = world.run(config);
  CHECK(result.checks_passed);
  CHECK(count(world.log, "naive 1000") <= 1);
  CHECK(result.report.conditions->rounds >= 3);
  CHECK(world.time <= 20);
  CHECK(fit_of(result).r->value == Approx(0.1).epsilon(1e-3));
  // On one that is as fast as its FLOPs they do run whole.
  World fast;
  for (auto& [name, times] : fast.times) {
    times.score = [own = times.score](std::int64_t n) { return 1e-4 * own(n); };
    if (times.prefill) times.prefill = [] { return 9e-7; };
  }
  fast.run(config);
  CHECK(count(fast.log, "naive 1000") >= 3);
}

TEST_CASE("asking what passes take leaves the budget to the rounds, however many shapes there are", "[app][run]") {
  World world;
  Config config = config_of(R"("candidates": [1, 10])", R"("budget": "20s")");
  for (std::int64_t length = 8; length <= 64; length += 8) config.sweep.history_length.push_back(length);
  Observer observer;
  double asked_until = 0;
  observer.on_stage = [&](const std::string& stage) {
    if (stage == "warming up") asked_until = world.time;
  };
  for (const double slower : {1.0, 30.0}) {
    world.time = asked_until = 0;
    for (auto& [name, times] : world.times) {
      times.score = [own = times.score, slower](std::int64_t n) { return slower * own(n); };
    }
    const RunResult result = world.run(config, {}, observer);
    CHECK(result.report.cases.size() == 8);
    // A twentieth of the budget, and the pass that was being asked.
    CHECK(asked_until > 0.1);
    CHECK(asked_until <= 1 + 0.010 * slower);
    if (slower == 1) CHECK(result.report.conditions->rounds >= 3);
  }
}

TEST_CASE("a budget ends a run that is not precise, and a stop keeps its rounds", "[app][run]") {
  World world;
  int pass = 0;
  for (auto& [name, times] : world.times) {
    times.score = [own = times.score, &pass](std::int64_t n) { return own(n) * (++pass % 3 == 0 ? 1.3 : 1.0); };
  }
  const Config config = config_of(R"("candidates": [1, 5, 10])", R"("budget": "8s")");
  const RunResult result = world.run(config);
  CHECK(result.report.conditions->stopped_by == StoppedBy::budget);
  CHECK(world.time <= 8);
  World stopped;
  Observer observer;
  observer.stop_requested = [&] { return stopped.log.size() > 60; };
  const RunResult partly = stopped.run(config, {}, observer);
  CHECK(partly.interrupted);
  CHECK(partly.report.conditions->stopped_by == StoppedBy::interrupt);
  CHECK_FALSE(partly.report.cases[0].samples.empty());
}

TEST_CASE("parts that do not add up to a whole request fail the run", "[app][run]") {
  // Behind a prefill a scoring pass takes as long again: alone it meets hot caches.
  World world;
  bool behind_prefill = false;
  world.times["shared"].prefill = [&] {
    behind_prefill = true;
    return 0.009;
  };
  world.times["shared"].score = [&](std::int64_t n) {
    const double seconds = (behind_prefill ? 0.004 : 0.002) * static_cast<double>(n);
    behind_prefill = false;
    return seconds;
  };
  const RunResult result = world.run(config_of(R"("candidates": [1, 5, 10, 20, 50, 100])", R"("budget": "6s")"));
  CHECK_FALSE(result.checks_passed);
  CAPTURE(result.failure);
  CHECK(result.failure.starts_with("shared at N="));
  CHECK(result.failure.find(": a whole run takes 1.") != std::string::npos);
  CHECK(result.failure.ends_with(" times the sum of its parts"));
}

TEST_CASE("the head is timed alone and behind every scheme, and a self-check times each scheme twice", "[app][run]") {
  World world;
  const Config config = config_of(R"("candidates": [1, 10])", R"("budget": "30s")", R"(, "head_width": 16)");
  const RunResult result = world.run(config);
  REQUIRE(result.report.degradation.size() >= 1);
  for (const char* what : {"head 10", "naive+head 10", "shared+head 10"}) CHECK(count(world.log, what) >= 3);
  World twice;
  RunOptions options;
  options.self_check = true;
  const RunResult checked = twice.run(config_of(R"("candidates": [1, 10])", R"("budget": "30s")"), options);
  CHECK(count(twice.log, "naive/again 10") == count(twice.log, "naive 10"));
  CHECK_FALSE(checked.report.cases[0].self_check.empty());
  CHECK(checked.checks_passed);
}

TEST_CASE("contention is the time beside other workers over the time alone, and throughput that of all workers",
          "[app][run][workers]") {
  World world;
  // Beside each other a candidate of naive takes twice as long, a scoring pass three times, a prefill as long as alone.
  for (const char* const name : {"naive", "shared"}) world.times[name + std::string("/alone")] = world.times[name];
  world.times["naive"].score = [](std::int64_t n) { return 0.020 * static_cast<double>(n); };
  world.times["shared"].score = [](std::int64_t n) { return 0.003 * static_cast<double>(n); };
  Config config = config_of(R"("candidates": [1, 10])", R"("budget": "60s")");
  config.run.workers = 2;
  config.run.threads = 1;
  const RunResult result = world.run(config);
  CAPTURE(result.failure);
  REQUIRE(result.checks_passed);
  REQUIRE(result.report.cases.size() == 1);
  CHECK(result.report.cases[0].shape->workers == 2);
  const Point& ten = result.report.cases[0].points.at(1);
  const SchemePoint &naive = ten.schemes.at(0), &shared = ten.schemes.at(1);
  REQUIRE(naive.contention);
  REQUIRE(shared.contention);
  CHECK(naive.contention->value == Approx(2));
  CHECK(shared.contention->value == Approx(0.039 / 0.019));
  CHECK(*naive.requests_per_s == Approx(2 / 0.2));
  CHECK(*naive.candidates_per_s == Approx(10 * 2 / 0.2));
  CHECK(*shared.candidates_per_s == Approx(10 * 2 / 0.039));
  CHECK(shared.speedup->value == Approx(0.2 / 0.039));
}

TEST_CASE("layouts are an axis of the grid, as far as there are CPUs", "[app][run][workers]") {
  World world;
  for (const char* const name : {"naive", "shared"}) world.times[name + std::string("/alone")] = world.times[name];
  Config config = config_of(R"("candidates": [1, 10])", R"("budget": "60s")");
  config.sweep.workers = {1, 2};
  config.sweep.threads = {1, 2};
  config.run.cpus = 2;
  const RunResult result = world.run(config);
  std::vector<std::pair<std::int64_t, std::int64_t>> layouts;
  for (const Case& one : result.report.cases) {
    layouts.emplace_back(one.shape->workers, one.shape->threads);
    for (const SchemePoint& row : one.points.at(1).schemes) {
      CHECK(row.contention.has_value() == (one.shape->workers > 1));
      if (row.contention) CHECK(row.contention->value == Approx(1));
    }
  }
  CHECK(layouts == std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {1, 2}, {2, 1}});
  CHECK(busy_cpus(config) == 2);
}

TEST_CASE("a session that fails ends the run with its words, and what it measured can be taken up again",
          "[app][run]") {
  const testing::TemporaryFolder folder;
  const Config config = config_of(R"("candidates": [1, 5, 10])", R"("budget": "60s")");
  RunOptions options;
  options.journal_folder = folder.path().string();
  World world;
  std::size_t passes = 0;
  world.on_pass = [&] {
    if (++passes == 40) throw std::runtime_error("the engine is gone");
  };
  CHECK_THROWS_WITH(world.run(config, options), "the engine is gone");
  const journal::JournalContents kept = journal::read_journal(journal::journal_path(folder.path().string()));
  REQUIRE_FALSE(kept.rounds.empty());
  World again;
  const Unfinished unfinished = read_unfinished(folder.path().string());
  const RunResult result = app::resume_on(again.engine, again.surroundings(), unfinished, again.machine, {});
  CHECK(result.checks_passed);
  CHECK(result.report.conditions->resumed == static_cast<std::int64_t>(kept.rounds.size()));
  CHECK(result.report.conditions->rounds > result.report.conditions->resumed);
  CHECK(fit_of(result).r->value == Approx(0.1).epsilon(1e-6));
  // One that fails before its first round leaves nothing behind.
  const testing::TemporaryFolder empty;
  options.journal_folder = empty.path().string();
  World early;
  early.on_pass = [] { throw std::runtime_error("the engine is gone"); };
  CHECK_THROWS_WITH(early.run(config, options), "the engine is gone");
  CHECK(std::filesystem::is_empty(empty.path()));
}

TEST_CASE("what an engine cannot do is skipped with its reason", "[app][run]") {
  World world;
  world.engine.capabilities_.schemes = {"naive", "shared"};
  const Config config =
      config_of(R"("candidates": [1, 10], "schemes": ["naive", "shared", "packed"])", R"("budget": "30s")");
  const RunResult result = world.run(config);
  REQUIRE(result.report.cases[0].fits.front().scheme == "shared");
  CHECK(result.report.cases[0].fits.front().r->value == Approx(0.1).epsilon(1e-6));
  std::size_t skipped = 0;
  for (const Point& point : result.report.cases[0].points) {
    for (const SchemePoint& row : point.schemes) {
      if (row.scheme != "packed") continue;
      CHECK(row.reason == "mock runs naive, shared only");
      ++skipped;
    }
  }
  CHECK(skipped == 2);
  // One that cannot time its phases apart runs every request whole.
  World whole;
  whole.engine.capabilities_.phases_apart = false;
  const RunResult requests = whole.run(config_of(R"("candidates": [1, 10, 100])", R"("budget": "20s")"));
  for (const Sample& sample : requests.report.cases[0].samples) CHECK(sample.status != Status::assembled);
}
