#include "app/prepared_case.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "catch.h"
#include "engine/builtin/builtin.h"
#include "kvcast/kvcast.h"

using namespace kvcast;

namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

Config config_of(const std::string& model, const std::string& run, const std::string& measure = "") {
  return parse_config(
      R"({"model": {)" + model + R"(}, "run": {"threads": 2, )" + run + R"(}, "measure": {)" + measure + "}}", "test",
      {}, {2, std::int64_t{8} << 30});
}

MachineInfo machine() {
  MachineInfo info;
  info.threads = 2;
  info.peak_gflops = 100;
  info.read_gb_per_s = 10;
  return info;
}

const PlannedPoint* find(const Plan& plan, const std::string& scheme, std::int64_t n) {
  const auto point = std::find_if(plan.points.begin(), plan.points.end(),
                                  [&](const PlannedPoint& p) { return p.scheme == scheme && p.candidates == n; });
  return point == plan.points.end() ? nullptr : &*point;
}

}  // namespace

TEST_CASE("the plan has the ranking head alone and behind every scheme, and counts its memory", "[app][head]") {
  const std::string model = R"("history_length": 16, "dim": 32, "heads": 2, "layers": 2)",
                    run = R"("candidates": [1, 10], "schemes": ["naive", "shared"])";
  const Plan bare = make_plan(config_of(model, run), machine(), {});
  const Config config = config_of(model + R"(, "head_width": 4096, "head_layers": 2)", run);
  const Plan plan = make_plan(config, machine(), {});
  CHECK(plan.points.size() == 2 * 5);
  for (const char* scheme : {"head", "naive+head", "shared+head"}) {
    for (const std::int64_t n : {1, 10}) {
      REQUIRE(find(plan, scheme, n));
      CHECK(find(plan, scheme, n)->status == Status::measured);
      CHECK(find(plan, scheme, n)->estimated_s > 0);
      CHECK_FALSE(find(bare, scheme, n));
    }
  }
  const double weights = RankingHead::weight_bytes(head_shape(config));
  CHECK(weights > 64e6);  // 4096 x 4096 floats
  CHECK(static_cast<double>(plan.memory_bytes - bare.memory_bytes) >= weights);
  // Refused before anything is allocated.
  CHECK_THROWS_AS(
      make_plan(config_of(model + R"(, "head_width": 4096)", run, R"("max_memory": "64MiB")"), machine(), {}),
      ConfigError);
  CHECK_NOTHROW(make_plan(config_of(model, run, R"("max_memory": "64MiB")"), machine(), {}));
  // A self-check has its two names, and the head behind one of them.
  RunOptions twice;
  twice.self_check = true;
  const Plan checked = make_plan(config, machine(), twice);
  CHECK(find(checked, "naive/again", 1));
  CHECK_FALSE(find(checked, "naive/again+head", 1));
}

TEST_CASE("behind naive the head is never multiplied up from few candidates", "[app][head]") {
  const std::string run = R"("candidates": [1, 100, 128, 500, 4000])", budget = R"("budget": "3s")";
  const std::string model = R"("history_length": 256, "dim": 128, "heads": 2, "layers": 4, "head_width": 256)";
  const Plan plan = make_plan(config_of(model, run, budget), machine(), {});
  REQUIRE(find(plan, "naive", 4000)->status == Status::extrapolated);
  const std::int64_t unit = find(plan, "naive", 4000)->measured_candidates,
                     with_head = find(plan, "naive+head", 4000)->measured_candidates;
  CHECK(unit < 128);
  CHECK(with_head >= 128);
  CHECK(with_head % unit == 0);
  CHECK(with_head < 128 + unit);
  CHECK(find(plan, "naive+head", 4000)->status == Status::extrapolated);
  CHECK(find(plan, "naive+head", 100)->status == Status::measured);
  CHECK(find(plan, "shared+head", 4000)->status == Status::assembled);
  for (const std::int64_t n : {1, 100, 128, 500, 4000}) CHECK(find(plan, "head", n)->status == Status::measured);
  // Whole micro-batches are, though N is no multiple of what the head needs of them.
  const std::string packed = R"("candidates": [100, 4000], "schemes": ["naive", "packed"], "micro_batch": [10])";
  const Plan batches = make_plan(config_of(model, packed, budget), machine(), {});
  CHECK(find(batches, "packed+head", 4000)->status == Status::extrapolated);
  CHECK(find(batches, "packed+head", 4000)->measured_candidates == 130);
  CHECK(find(batches, "packed+head", 100)->status == Status::measured);
  // Everything that the plan may ask for is prepared: an unprepared size would end the process.
  app::PreparedCase prepared(builtin_engine(), config_of(model, run, budget), plan, 0, {});
  const auto workloads = prepared.workloads();
  const auto run_planned = [&](const std::string& name, std::int64_t n) {
    const auto load =
        std::find_if(workloads.begin(), workloads.end(), [&](const measure::Workload& w) { return w.id == name; });
    REQUIRE(load != workloads.end());
    CHECK((measure::prefill(*load) > 0) == load->has_prefill);
    CHECK(measure::score(*load, n) > 0);
  };
  run_planned("naive+head", with_head);
  run_planned("head", 4000);
  run_planned("shared+head", 4000);
  CHECK(workloads.size() == 5);
  for (const measure::Workload& load : workloads) {
    CHECK(load.checked_whole == (!load.id.with_head || load.id.head_alone()));
    CHECK(load.has_prefill == (load.id.scheme == "shared"));
  }
}

TEST_CASE("what a scheme takes of memory is what its buffers were planned to", "[app][memory]") {
  const Config config = config_of(R"("history_length": 128, "dim": 128, "heads": 2, "layers": 4)",
                                  R"("candidates": [2, 100], "schemes": ["naive", "shared", "shared-copy"])");
  RunOptions twice;
  twice.self_check = true;
  // A system that takes idle pages back while a scheme is made makes it look small: then it is made again.
  constexpr int kTries = 5;
  std::map<std::string, ResidentMemory> rows;
  const auto short_of = [](const ResidentMemory& row) {
    return static_cast<double>(row.planned_bytes) > 1.2 * static_cast<double>(row.resident_bytes) + 4.0 * kMiB;
  };
  for (int left = kTries; left > 0; --left) {
    const app::PreparedCase prepared(builtin_engine(), config, make_plan(config, machine(), twice), 0, twice);
    if (prepared.memory().empty()) return;  // a system that does not tell
    REQUIRE(prepared.memory().size() == 3);
    for (const ResidentMemory& row : prepared.memory()) rows[row.scheme] = row;
    const bool reclaimed = std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return short_of(row.second); });
    if (!reclaimed) break;
  }
  for (const auto& [scheme, row] : rows) {
    CAPTURE(scheme, row.resident_bytes, row.planned_bytes);
    CHECK(row.candidates == 100);
    CHECK(row.kv_bytes <= row.planned_bytes);
    // Either way: small buffers share pages, large ones stand on whole huge pages, and the first of its kind brings
    // the library's code with it.
    CHECK_FALSE(short_of(row));
    CHECK(static_cast<double>(row.resident_bytes) <= 1.2 * static_cast<double>(row.planned_bytes) + 16.0 * kMiB);
  }
  // A copy for each candidate: the shared cache is there beside them, so N of them, near enough N - 1.
  const double kv = static_cast<double>(rows["shared"].kv_bytes);
  CHECK(rows["shared-copy"].kv_bytes == 100 * rows["shared"].kv_bytes);
  const double copies = static_cast<double>(rows["shared-copy"].resident_bytes - rows["shared"].resident_bytes);
  CHECK(copies == Approx(99 * kv).epsilon(0.2));
}
