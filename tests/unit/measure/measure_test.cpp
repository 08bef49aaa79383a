#include "measure/measure.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "catch.h"
#include "measure/machine.h"
#include "mock_engine.h"
#include "plan/plan.h"

using namespace kvcast;
using namespace kvcast::measure;

namespace {

using testing::MockSession;
using testing::MockWorld;

struct World : MockWorld {
  World() {
    times["naive"].score = [](std::int64_t n) { return 0.010 * static_cast<double>(n); };
    times["shared"].prefill = [] { return 0.009; };
    times["shared"].score = [](std::int64_t n) { return 0.001 * static_cast<double>(n); };
    times["shared+head"] = times["shared"];
  }
  Environment environment() {
    return {[this] { return time; },
            [this] {
              time += 1e-4;
              return canary_speed;
            }};
  }
  Workload load(const TimingId& id) { return {id, &session, times[id.text()].prefill != nullptr}; }
  Workload naive() { return load("naive"); }
  Workload shared() { return load("shared"); }
  MockSession session{*this};
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
  plan.cases.emplace_back();
  for (const std::int64_t n : {1, 5, 10}) {
    for (const char* scheme : {"naive", "shared"}) plan.points.push_back(point(scheme, n, Status::measured, n));
  }
  return plan;
}

/// The N that also runs whole in the first rounds.
void check_whole(Plan& plan, std::int64_t candidates) {
  for (PlannedPoint& point : plan.points) {
    point.whole_s = point.candidates == candidates ? (point.scheme == "naive" ? 0.010 : 0.001) * double(candidates) : 0;
  }
}

Plan assembled_plan() {
  Plan plan;
  plan.max_rounds = 4;
  plan.cases.emplace_back();
  plan.whole_check_rounds = 3;
  for (const std::int64_t n : {1, 2, 5, 100}) {
    plan.points.push_back(
        point("naive", n, n > 2 ? Status::extrapolated : Status::measured, std::min<std::int64_t>(n, 2)));
    plan.points.push_back(point("shared", n, Status::assembled, n));
  }
  check_whole(plan, 5);
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
  CHECK(result.stopped_by == StoppedBy::rounds);
  CHECK_FALSE(result.interrupted);
  CHECK(result.samples.size() == 4 * 6);
  std::set<std::tuple<std::int64_t, std::string, std::int64_t>> seen;
  for (std::size_t i = 0; i < result.samples.size(); ++i) {
    const CaseSample& s = result.samples[i];
    CHECK(seen.insert({s.round, s.scheme.text(), s.candidates}).second);
    const auto n = static_cast<double>(s.candidates);
    CHECK(s.measured_seconds == Approx(s.scheme == "naive" ? 0.010 * n : 0.009 + 0.001 * n));
    CHECK(s.prefill_s.has_value() == (s.scheme == "shared"));
    if (s.scheme == "shared") CHECK(*s.scoring_s == Approx(0.001 * n));
    CHECK(s.canary_gflops == 100.0);
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

TEST_CASE("tight rounds share one prefill and one naive timing, and check some whole", "[measure]") {
  World world;
  const Result result =
      run_rounds(assembled_plan(), {world.naive(), world.shared()}, world.environment(), options_until(1e9));
  // Per round: one prefill for the compositions, one for the whole check while it lasts.
  CHECK(std::count(world.log.begin(), world.log.end(), "history") == 4 + 3);
  CHECK(std::count(world.log.begin(), world.log.end(), "naive 2") == 4);
  CHECK(std::count(world.log.begin(), world.log.end(), "naive 5") == 3);
  CHECK(std::count(world.log.begin(), world.log.end(), "naive 100") == 0);
  std::map<std::pair<std::string, Status>, int> rows;
  for (const Sample& s : result.samples) {
    ++rows[{s.scheme.text(), s.status}];
    const auto n = static_cast<double>(s.candidates);
    if (s.status == Status::assembled) CHECK(s.measured_seconds == Approx(0.009 + 0.001 * n));
    if (s.status == Status::extrapolated) {
      CHECK(s.measured_candidates == 2);
      CHECK(s.measured_seconds == Approx(0.020));
    }
  }
  CHECK(rows[{"naive", Status::measured}] == 4 * 2 + 3);
  CHECK(rows[{"naive", Status::extrapolated}] == 4 * 2);
  CHECK(rows[{"shared", Status::assembled}] == 4 * 4);
  CHECK(rows[{"shared", Status::measured}] == 3);
}

TEST_CASE("what another workload's whole runs check is not run whole itself", "[measure]") {
  World world;
  Plan plan = assembled_plan();
  plan.points.push_back(point("shared+head", 5, Status::assembled, 5));
  Workload with_head = world.load("shared+head");
  with_head.checked_whole = false;
  const Result result =
      run_rounds(plan, {world.naive(), world.shared(), with_head}, world.environment(), options_until(1e9));
  std::map<std::pair<std::string, Status>, int> rows;
  for (const Sample& s : result.samples) ++rows[{s.scheme.text(), s.status}];
  CHECK(rows[{"shared", Status::measured}] == 3);
  CHECK(rows[{"shared+head", Status::assembled}] == 4);
  CHECK(rows[{"shared+head", Status::measured}] == 0);
}

TEST_CASE("a round that the deadline would cut is not started", "[measure]") {
  World world;
  Plan plan = whole_plan();
  plan.max_rounds = 100;
  plan.min_rounds = 1;
  // A round takes 0.16 + 3 * 0.009 + 0.016 s and its canaries.
  const Result result = run_rounds(plan, {world.naive(), world.shared()}, world.environment(), options_until(1.0));
  CHECK(result.stopped_by == StoppedBy::budget);
  CHECK(world.time <= 1.0);
  CHECK(result.rounds == 4);
  CHECK(result.samples.size() == 4 * 6);
}

TEST_CASE("a budget shorter than a round keeps what was timed", "[measure]") {
  World world;
  const Result result =
      run_rounds(whole_plan(), {world.naive(), world.shared()}, world.environment(), options_until(0.05));
  CHECK(result.rounds == 0);
  CHECK(result.stopped_by == StoppedBy::budget);
  CHECK(result.samples.size() < 6);
  CHECK_FALSE(result.samples.empty());
}

TEST_CASE("a whole check that has no time is left out, not the round that it is in", "[measure]") {
  World world;
  Plan plan = assembled_plan();
  check_whole(plan, 100);
  for (PlannedPoint& p : plan.points) {
    p.estimated_s = (p.scheme == "naive" ? 0.010 : 0.001) * static_cast<double>(p.measured_candidates);
  }
  plan.round_s = 0.15;
  plan.rounds = 5;
  const Result result = run_rounds(plan, {world.naive(), world.shared()}, world.environment(), options_until(1.1));
  CHECK(result.rounds == 4);
  CHECK(world.time <= 1.1);
  CHECK(std::find(world.log.begin(), world.log.end(), "naive 100") == world.log.end());
  std::set<std::pair<std::string, std::int64_t>> rows;
  for (const Sample& s : result.samples) rows.insert({s.scheme.text(), s.candidates});
  CHECK(rows.size() == 8);
}

TEST_CASE("of a round that may be the only one, the cheap timings come first", "[measure]") {
  for (std::uint64_t seed = 1; seed < 9; ++seed) {
    World world;
    Plan plan = whole_plan();
    for (PlannedPoint& p : plan.points)
      p.estimated_s = (p.scheme == "naive" ? 0.010 : 0.002) * static_cast<double>(p.candidates);
    plan.rounds = 1;
    Options options = options_until(0.13);
    options.seed = seed;
    const Result result = run_rounds(plan, {world.naive(), world.shared()}, world.environment(), options);
    // All but naive at N = 10, which takes 0.1 s alone.
    CHECK(result.samples.size() == 5);
    CHECK(world.time <= 0.13);
  }
}

TEST_CASE("precision ends a run, but not before the least number of rounds", "[measure]") {
  World world;
  Plan plan = whole_plan();
  plan.max_rounds = 100;
  plan.min_rounds = 3;
  Options options = options_until(1e9);
  options.precise_enough = [](const std::vector<CaseSample>&) { return true; };
  const Result result = run_rounds(plan, {world.naive(), world.shared()}, world.environment(), options);
  CHECK(result.rounds == 3);
  CHECK(result.stopped_by == StoppedBy::precision);
}

TEST_CASE("a stop request ends between timings and keeps them", "[measure]") {
  World world;
  Options options = options_until(1e9);
  options.stop_requested = [&world] { return world.log.size() >= 4; };
  const Result result = run_rounds(whole_plan(), {world.naive(), world.shared()}, world.environment(), options);
  CHECK(result.interrupted);
  CHECK(result.stopped_by == StoppedBy::interrupt);
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
  Result result = run_rounds(plan, {world.naive(), world.shared()}, environment, options_until(1e9));
  CHECK(set_canary_ratios(result.samples) == 100);
  const auto slow = std::count_if(result.samples.begin(), result.samples.end(),
                                  [](const CaseSample& s) { return s.canary_ratio < 0.95; });
  CHECK(slow == 2);  // the timing before it and the one after it
}

TEST_CASE("short timings are repeated and averaged", "[measure]") {
  World world;
  Plan plan;
  plan.max_rounds = 1;
  plan.cases.emplace_back();
  plan.points.push_back(point("tiny", 1, Status::measured, 1));
  int calls = 0;
  world.times["tiny"].score = [&](std::int64_t) {
    ++calls;
    return 1e-4;
  };
  const Result result = run_rounds(plan, {world.load("tiny")}, world.environment(), options_until(1e9));
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

TEST_CASE("the least of the limits of a cgroup and of those above it holds", "[measure]") {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("kvcast_cgroup_" + std::to_string(::getpid()));
  const auto write = [&](const fs::path& file, const std::string& text) {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text;
  };
  const auto left = [&](const std::string& membership) {
    write("self", membership);
    return measure::cgroup_left((root / "sys").string(), (root / "self").string());
  };
  CHECK(left("0::/\n") == -1);
  // v2: no limit at the top, one in the middle, and a larger one below it; inactive files are given back.
  write("sys/a/memory.max", "1000\n");
  write("sys/a/memory.current", "900\n");
  write("sys/a/memory.stat", "anon 400\ninactive_file 300\n");
  write("sys/a/b/memory.max", "max\n");
  write("sys/a/b/memory.current", "100\n");
  write("sys/a/b/c/memory.max", "2000\n");
  write("sys/a/b/c/memory.current", "100\n");
  CHECK(left("0::/\n") == -1);
  CHECK(left("0::/a\n") == 400);
  CHECK(left("0::/a/b\n") == 400);
  CHECK(left("0::/a/b/c\n") == 400);
  CHECK(left("0::/of/the/host\n") == -1);
  // v1: the path of a container is the host's, and its own group is the mount. The largest number is no limit.
  write("sys/memory/memory.limit_in_bytes", "5000\n");
  write("sys/memory/memory.usage_in_bytes", "4900\n");
  write("sys/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 50\n");
  write("sys/memory/x/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/memory/x/memory.usage_in_bytes", "4900\n");
  CHECK(left("9:cpu,cpuacct:/\n4:memory:/docker/1234\n") == 150);
  CHECK(left("4:memory:/x\n") == 150);
  CHECK(left("4:cpu:/x\n0::/a/b/c\n") == 400);
  CHECK(left("4:hugetlb,memory:/\n0::/a\n") == 150);
  CHECK(left("garbage\n:\n") == -1);
  fs::remove_all(root);
}

TEST_CASE("canary ratios are over the upper quartile, and at most 1", "[measure]") {
  std::vector<CaseSample> samples(8);
  CHECK(set_canary_ratios(samples) == 0);  // none known
  CHECK(samples[0].canary_ratio == 1);
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i].canary_gflops = 100 + static_cast<double>(i);
  CHECK(set_canary_ratios(samples) == 105);
  CHECK(samples[0].canary_ratio == Approx(100.0 / 105));
  CHECK(samples[7].canary_ratio == 1);
}

namespace {

Plan two_cases() {
  Plan plan = whole_plan();
  plan.cases.emplace_back();
  for (PlannedPoint p : std::vector<PlannedPoint>(plan.points)) {
    p.case_index = 1;
    plan.points.push_back(p);
  }
  return plan;
}

Workload in_case(Workload load, std::int64_t index) {
  load.case_index = index;
  return load;
}

}  // namespace

TEST_CASE("the cases of a batch are measured in the same rounds, each in one piece", "[measure]") {
  World world;
  const std::vector<Workload> loads = {world.naive(), world.shared(), in_case(world.naive(), 1),
                                       in_case(world.shared(), 1)};
  Plan plan = two_cases();
  plan.max_rounds = 8;
  const Result result = run_rounds(plan, loads, world.environment(), options_until(1e9));
  REQUIRE(result.samples.size() == 8 * 12);
  std::set<std::int64_t> first_of_round;
  for (std::size_t round = 0; round < 8; ++round) {
    for (std::size_t i = 0; i < 12; ++i) {
      const CaseSample& sample = result.samples[12 * round + i];
      CHECK(sample.round == static_cast<std::int64_t>(round));
      CHECK(sample.case_index == result.samples[12 * round + (i < 6 ? 0 : 6)].case_index);
    }
    CHECK(result.samples[12 * round].case_index != result.samples[12 * round + 6].case_index);
    first_of_round.insert(result.samples[12 * round].case_index);
  }
  CHECK(first_of_round.size() == 2);  // the order of the cases is drawn anew
  // A batch leaves the points of the others alone.
  World other;
  CHECK(
      run_rounds(plan, {in_case(other.naive(), 1), in_case(other.shared(), 1)}, other.environment(), options_until(1e9))
          .samples.size() == 8 * 6);
}

TEST_CASE("a warm-up runs every step, is not recorded and ends when times no longer fall", "[measure]") {
  World world;
  Options options = options_until(1e9);
  options.warm_up_s = 100;
  int falling = 30;  // the first passes are slow
  world.times["shared"].prefill = [&] { return 0.009 + 0.01 * std::max(0, --falling); };
  const Result result = run_rounds(whole_plan(), {world.naive(), world.shared()}, world.environment(), options);
  CHECK(result.steady);
  CHECK(result.warm_up_s > 0);
  CHECK(result.samples.size() == 4 * 6);
  for (const CaseSample& sample : result.samples) {
    if (sample.prefill_s) CHECK(*sample.prefill_s == Approx(0.009));
  }
  // Every step before the first round.
  std::erase(world.log, "history");
  const std::set<std::string> first(world.log.begin(), world.log.begin() + 6);
  CHECK(first == std::set<std::string>{"naive 1", "naive 5", "naive 10", "shared 1", "shared 5", "shared 10"});
}

TEST_CASE("a warm-up keeps within its time", "[measure]") {
  World world;
  Options options = options_until(1e9);
  options.warm_up_s = 0.05;
  Plan plan = whole_plan();
  for (PlannedPoint& p : plan.points) p.estimated_s = 0.010 * static_cast<double>(p.candidates);
  int falling = 1000;
  world.times["naive"].score = [&](std::int64_t n) {
    return 0.010 * static_cast<double>(n) + 1e-5 * --falling;  // never steady
  };
  const Result result = run_rounds(plan, {world.naive(), world.shared()}, world.environment(), options);
  CHECK_FALSE(result.steady);
  CHECK(result.warm_up_s < 0.12);
  CHECK(std::count(world.log.begin(), world.log.begin() + 4, "naive 10") == 0);
}

TEST_CASE("cold timings are single passes of another user's behind empty caches", "[measure]") {
  World world;
  Environment environment = world.environment();
  environment.evict = [&] { world.log.push_back("evict"); };
  Plan plan;
  plan.max_rounds = 2;
  plan.cases.emplace_back();
  plan.points.push_back(point("tiny", 1, Status::measured, 1));
  world.times["tiny"].score = [](std::int64_t) { return 1e-5; };
  Workload tiny = world.load("tiny");
  tiny.next_user = [&] { world.log.push_back("user"); };
  run_rounds(plan, {tiny}, environment, options_until(1e9));
  CHECK(world.log == std::vector<std::string>{"user", "evict", "tiny 1", "user", "evict", "tiny 1"});

  // Assembled: the candidates meet what their own prefill left, which is not timed with them.
  World assembled;
  Environment empties = assembled.environment();
  empties.evict = [&] { assembled.log.push_back("evict"); };
  Plan parts = assembled_plan();
  parts.max_rounds = 1;
  parts.whole_check_rounds = 0;
  const Result result = run_rounds(parts, {assembled.naive(), assembled.shared()}, empties, options_until(1e9));
  for (const CaseSample& sample : result.samples) {
    if (sample.scoring_s) {
      CHECK(*sample.scoring_s == Approx(0.001 * static_cast<double>(sample.candidates)));
    }
  }
  for (std::size_t i = 0; i < assembled.log.size(); ++i) {
    if (assembled.log[i].starts_with("shared")) {
      CHECK(assembled.log[i - 1] == "history");
      CHECK(assembled.log[i - 2] == "evict");
    }
  }
}

TEST_CASE("every whole round is handed out once, and an interrupted one is not", "[measure]") {
  World world;
  Options options = options_until(1e9);
  std::vector<std::int64_t> rounds;
  options.on_round = [&](std::int64_t round, const std::vector<CaseSample>& samples) {
    rounds.push_back(round);
    CHECK(samples.size() == 6);
    for (const CaseSample& sample : samples) CHECK(sample.round == round);
  };
  options.stop_requested = [&] { return rounds.size() == 2 && world.log.size() % 3 == 1; };
  const Result result = run_rounds(whole_plan(), {world.naive(), world.shared()}, world.environment(), options);
  CHECK(result.interrupted);
  CHECK(rounds == std::vector<std::int64_t>{0, 1});
  CHECK(result.rounds == 2);
}

TEST_CASE("a run that is taken up again counts the rounds it had", "[measure]") {
  World world;
  std::vector<CaseSample> kept;
  Options options = options_until(1e9);
  options.on_round = [&](std::int64_t, const std::vector<CaseSample>& samples) {
    kept.insert(kept.end(), samples.begin(), samples.end());
  };
  Plan plan = whole_plan();
  plan.max_rounds = 3;
  run_rounds(plan, {world.naive(), world.shared()}, world.environment(), options);
  plan.max_rounds = 5;
  Options again = options_until(1e9);
  again.earlier = kept;
  again.first_round = 3;
  std::size_t seen = 0;
  again.precise_enough = [&](const std::vector<CaseSample>& samples) {
    seen = samples.size();
    return false;
  };
  const Result result = run_rounds(plan, {world.naive(), world.shared()}, world.environment(), again);
  CHECK(result.rounds == 5);
  CHECK(seen == 4 * 6);
  REQUIRE(result.samples.size() == 5 * 6);
  // As if it had never stopped: the same order of every round.
  World whole_world;
  const Result whole =
      run_rounds(plan, {whole_world.naive(), whole_world.shared()}, whole_world.environment(), options_until(1e9));
  for (std::size_t i = 0; i < whole.samples.size(); ++i) {
    CHECK(result.samples[i].scheme == whole.samples[i].scheme);
    CHECK(result.samples[i].candidates == whole.samples[i].candidates);
    CHECK(result.samples[i].round == whole.samples[i].round);
  }
}

TEST_CASE("memory that is touched is resident, and what is freed is not", "[measure]") {
  const std::optional<std::int64_t> before = resident_bytes();
  if (!before) return;  // a system that does not tell
  constexpr std::int64_t kBytes = std::int64_t{12} << 20, kSlack = std::int64_t{1} << 20;
  {
    const Buffer<std::byte> one(kBytes), other(kBytes);
    const std::int64_t grown = *resident_bytes() - *before;
    CHECK(grown >= 2 * kBytes - kSlack);
    CHECK(grown <= 2 * kBytes + 5 * kSlack);  // a buffer stands on whole huge pages
  }
  // Below the allocator's threshold for giving memory back by itself.
  std::vector<Buffer<std::byte>> small;
  for (int i = 0; i < 256; ++i) small.emplace_back(32 << 10);
  small.clear();
#if !defined(KVCAST_SANITIZED)  // they keep what is freed, to see who still uses it
  CHECK(*resident_bytes() - *before <= kSlack);
#endif
}

TEST_CASE("CPU time passes and this process has some of it", "[measure]") {
  const auto before = cpu_times();
  REQUIRE(before.has_value());
  double sink = 0;
  for (int i = 0; i < 100'000'000; ++i) sink = sink * 0.999 + 1;
  CHECK(sink > 0);
  const auto after = cpu_times();
  CHECK(after->own_s > before->own_s);
  CHECK(after->total_s >= before->total_s);
  CHECK(after->busy_s + after->stolen_s <= after->total_s);
}

TEST_CASE("what a timing must make anew is spoilt before it, and kept behind it", "[measure]") {
  World world;
  const auto hooked = [&](Workload load) {
    load.judged = true;
    load.spoil_outputs = [&world](std::int64_t n) { world.log.push_back("spoil " + std::to_string(n)); };
    load.keep_outputs = [&world](std::int64_t n) { world.log.push_back("keep " + std::to_string(n)); };
    return load;
  };
  const auto before = [&](const std::string& what) {
    std::set<std::string> found;
    for (std::size_t i = 0; i < world.log.size(); ++i) {
      if (world.log[i] == what) found.insert(i == 0 ? "" : world.log[i - 1]);
    }
    return found;
  };
  using Words = std::set<std::string>;
  SECTION("whole") {
    run_rounds(whole_plan(), {world.naive(), hooked(world.shared())}, world.environment(), options_until(1e9));
    CHECK(before("history") == Words{"spoil 1", "spoil 5", "spoil 10"});
    CHECK(before("spoil 5") == Words{"spoil history"});
    CHECK(before("keep 5") == Words{"shared 5"});
    CHECK(std::count(world.log.begin(), world.log.end(), "keep 10") == 4);
  }
  SECTION("in parts the keys and values of the history stay until the next") {
    run_rounds(assembled_plan(), {world.naive(), hooked(world.shared())}, world.environment(), options_until(1e9));
    CHECK(before("shared 100") == Words{"spoil 100"});
    CHECK(std::count(world.log.begin(), world.log.end(), "spoil history") == 4 + 3);
    CHECK(std::count(world.log.begin(), world.log.end(), "history") == 4 + 3);
    CHECK(before("keep 100") == Words{"shared 100"});
  }
  SECTION("cold, before the caches are emptied") {
    Environment cold = world.environment();
    cold.evict = [&] { world.log.emplace_back("evict"); };
    run_rounds(assembled_plan(), {world.naive(), hooked(world.shared())}, cold, options_until(1e9));
    CHECK(before("history") == Words{"evict"});
    CHECK(before("shared 100") == Words{"history"});
    CHECK(std::count(world.log.begin(), world.log.end(), "spoil history") ==
          std::count(world.log.begin(), world.log.end(), "history"));
  }
  SECTION("a pass that was told to end is not kept") {
    bool stop = false;
    Workload naive = hooked(world.naive());
    world.times["naive"].score = [&](std::int64_t n) {
      stop = stop || n == 10;
      return 1.0;
    };
    Options options = options_until(1e9);
    options.stop_requested = [&] { return stop; };
    Plan plan;
    plan.max_rounds = 2;
    plan.cases.emplace_back();
    plan.points.push_back(point("naive", 10, Status::measured, 10));
    run_rounds(plan, {naive}, world.environment(), options);
    CHECK(std::count(world.log.begin(), world.log.end(), "spoil 10") == 1);
    CHECK(std::count(world.log.begin(), world.log.end(), "keep 10") == 0);
  }
}
