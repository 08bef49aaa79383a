// What is judged behind the timing: rows of the passes that were timed, and nothing that they left out.
#include "equality/after_timing.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "app/prepared_case.h"
#include "engine/builtin/model/weights.h"
#include "faulty/faults.h"
#include "unit/engine/builtin/schemes/harness.h"

using namespace kvcast;
using namespace kvcast::testing;
using equality::AfterTiming;

namespace {

// Output of candidate i: dim times i.
std::vector<float> outputs_of(std::int64_t count, std::int64_t dim) {
  std::vector<float> rows;
  for (std::int64_t i = 0; i < count; ++i)
    rows.insert(rows.end(), static_cast<std::size_t>(dim), static_cast<float>(i));
  return rows;
}

void expect_all(AfterTiming& after, std::int64_t user = 0) {
  const std::vector<float> rows = outputs_of(after.candidates().back() + 1, 3);
  for (const std::int64_t i : after.candidates()) after.expect(user, i, rows.data() + 3 * i, "naive");
}

bool holds(const std::vector<std::int64_t>& values, std::int64_t value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

TEST_CASE("judged candidates are spread over every N, first and last among them", "[equality][after_timing]") {
  const AfterTiming after({1, 5, 1000, 10, 5}, 3);
  for (const std::int64_t n : {1, 5, 10, 1000}) {
    const std::vector<std::int64_t> picked = after.candidates_of(n);
    CHECK(picked.front() == 0);
    CHECK(picked.back() == n - 1);
    CHECK(picked.size() <= 12);
    for (const std::int64_t i : picked) CHECK(holds(after.candidates(), i));
  }
  // Over the largest, no tenth is left out but where the smaller N have theirs.
  const std::vector<std::int64_t> picked = after.candidates_of(1000);
  for (std::size_t i = 1; i < picked.size(); ++i) CHECK(picked[i] - picked[i - 1] <= 200);
  CHECK(std::count_if(picked.begin(), picked.end(), [](std::int64_t i) { return i >= 128; }) >= 5);
  // Ten thousand N are still few candidates.
  std::vector<std::int64_t> many;
  for (std::int64_t n = 1; n <= 10000; ++n) many.push_back(n);
  CHECK(AfterTiming(many, 3).candidates().size() <= 60);
  CHECK(AfterTiming({1}, 3).candidates() == std::vector<std::int64_t>{0});
}

TEST_CASE("rows that a pass leaves out are not a number and do not agree", "[equality][after_timing]") {
  AfterTiming after({1, 10}, 3);
  expect_all(after);
  std::vector<float> rows = outputs_of(10, 3);
  after.keep("shared", 10, 0, rows.data());
  CHECK(after.judge_outputs(1e-3).front().agrees);
  after.spoil(rows.data(), 10, 3);
  CHECK(std::isnan(rows[0]));
  CHECK(std::isnan(rows[29]));
  // The pass writes all but the last.
  const std::vector<float> fresh = outputs_of(10, 3);
  std::copy(fresh.begin(), fresh.end() - 3, rows.begin());
  after.keep("shared", 10, 0, rows.data());
  const auto judged = after.judge_outputs(1e-3);
  REQUIRE(judged.size() == 1);  // the later pass stands for the earlier one
  CHECK_FALSE(judged[0].agrees);
  CHECK(std::isnan(judged[0].max_abs));
  CHECK(judged[0].worst == 9);
  CHECK(judged[0].candidates == 10);
  CHECK(judged[0].judged == static_cast<std::int64_t>(after.candidates_of(10).size()));
  CHECK(equality::wrong_after_timing(judged) ==
        "'shared' at N=10: the output of candidate 9 was off by NaN from naive when it was timed (allowed 0.001)");
}

TEST_CASE("an error is named with its candidate, its user and who computed the truth", "[equality][after_timing]") {
  AfterTiming after({1, 200}, 3);
  expect_all(after, 2);
  std::vector<float> rows = outputs_of(200, 3);
  after.keep("packed", 200, 2, rows.data());
  after.keep("packed", 1, 1, rows.data());  // nobody said what this user's are
  auto judged = after.judge_outputs(0.5);
  REQUIRE(judged.size() == 1);
  CHECK(judged[0].agrees);
  CHECK(judged[0].max_abs == 0);
  CHECK(equality::wrong_after_timing(judged).empty());
  rows[3 * 199 + 2] += 0.5f;
  rows[1] -= 0.25f;
  after.keep("packed", 200, 2, rows.data());
  CHECK(after.judge_outputs(0.5)[0].agrees);  // as much as is allowed
  judged = after.judge_outputs(0.4);
  CHECK_FALSE(judged[0].agrees);
  CHECK(judged[0].max_abs == 0.5);
  CHECK(judged[0].worst == 199);
  after.expect(2, 0, rows.data(), "shared");
  CHECK(after.judge_outputs(0.4)[0].against == "naive, shared");
  judged.push_back(judged[0]);
  CHECK(
      equality::wrong_after_timing(judged) ==
      "'packed' at N=200 for user 2: the output of candidate 199 was off by 0.5 from naive when it was timed (allowed "
      "0.4); so was 1 more timing");
}

// ---- the engine

namespace {

// What a run has behind its last timing: each workload once at every N of the plan, as measure runs it.
std::vector<TimedOutputs> timed(app::PreparedCase& prepared, const Plan& plan, double tolerance) {
  for (measure::Workload& load : prepared.workloads()) {
    for (const PlannedPoint& point : plan.points) {
      if (point.scheme != load.id) continue;
      if (load.next_user) load.next_user();
      if (load.has_prefill) load.session->spoil_history(load.id);
      load.spoil_outputs(point.candidates);
      measure::prefill(load);
      measure::score(load, point.candidates);
      load.keep_outputs(point.candidates);
    }
  }
  return prepared.after_timing(tolerance, [] { return false; });
}

struct Judged {
  Equivalence equivalence;
  std::vector<TimedOutputs> rows;
};
Judged judge(const Config& config) {
  MachineInfo machine;
  machine.threads = 2;
  machine.peak_gflops = 100;
  machine.read_gb_per_s = 10;
  const Plan plan = make_plan(config, machine, {});
  app::PreparedCase prepared(builtin_engine(), config, plan, 0, {});
  const auto go_on = [] { return false; };
  prepared.tune(go_on);
  Judged result;
  result.equivalence = *prepared.check(machine, 1, go_on);
  prepared.expect(machine, 1, go_on);
  result.rows = timed(prepared, plan, *result.equivalence.tolerance_naive);
  return result;
}

Config all_schemes(std::int64_t length) {
  Config config = small_config(length, 32, 2, 3);
  config.run.candidates = {1, 5, 40, 140};
  config.run.schemes = {"naive", "shared", "shared-copy", "packed", "cached", "append"};
  config.run.append = length / 3 + 1;
  config.run.threads = 2;
  return config;
}

}  // namespace

TEST_CASE("sound engines agree behind the timing: every scheme, type, kind of history, user and head",
          "[equality][after_timing]") {
  std::vector<Config> configs;
  for (const std::int64_t length : {1, 63, 130}) {
    for (const char* dtype : {"fp32", "bf16"}) {
      Config config = all_schemes(length);
      config.run.dtype = dtype;
      config.run.kv_dtype = dtype;
      configs.push_back(config);
    }
  }
  configs.push_back(all_schemes(70));
  configs.back().model.query_tokens = 9;
  configs.push_back(all_schemes(70));
  configs.back().model.candidate_from_layer = 1;
  configs.push_back(all_schemes(70));
  configs.back().measure.cold = true;
  configs.push_back(all_schemes(70));
  configs.back().model.head_width = 48;
  configs.push_back(all_schemes(70));
  configs.back().run.schemes = {"naive"};
  configs.push_back(all_schemes(70));
  configs.back().run.schemes = {"packed"};
  for (const Config& config : configs) {
    INFO(config_to_json(config));
    const Judged judged = judge(config);
    CHECK(judged.equivalence.agrees);
    CHECK(equality::wrong_after_timing(judged.rows).empty());
    std::set<std::string> schemes;
    for (const TimedOutputs& row : judged.rows) {
      CHECK(row.judged >= std::min<std::int64_t>(2, row.candidates));
      schemes.insert(row.scheme);
    }
    for (const std::string& scheme : config.run.schemes) CHECK(schemes.contains(scheme));
    CHECK(schemes.contains("shared+head") == (config.model.head_width > 0));
    CHECK(schemes.contains("head") == (config.model.head_width > 0));
    if (config.measure.cold) {
      CHECK(std::any_of(judged.rows.begin(), judged.rows.end(), [](const TimedOutputs& r) { return r.user > 0; }));
    }
  }
}

namespace {

const SchemeEntry* g_sound = nullptr;
Fault g_fault;
std::unique_ptr<Scheme> make_faulty(const SchemeContext& context) {
  return std::make_unique<Faulty>(*g_sound, context, g_fault);
}

// The last timing of a scheme that was called before as a run calls it, at N = 140.
std::vector<TimedOutputs> last_timing(const SchemeEntry& sound, const Fault& fault, bool cold) {
  constexpr std::int64_t kCount = 140;
  const Config config = all_schemes(40);
  const EngineProblem problem(config, kCount);
  std::vector<float> other(problem.history().begin(), problem.history().end());
  std::reverse(other.begin(), other.end());
  const auto naive = problem.make(baseline(), kCount);
  naive->prepare(std::vector<std::int64_t>{kCount});
  if (cold) naive->take_history(other);
  std::vector<float> outputs(static_cast<std::size_t>(kCount * problem.shape().dim));
  naive->candidate_pass(problem.candidates().data(), kCount, outputs.data());
  AfterTiming after({1, kCount}, problem.shape().dim);
  for (const std::int64_t i : after.candidates()) {
    after.expect(0, i, outputs.data() + i * problem.shape().dim, "naive");
  }
  g_sound = &sound;
  g_fault = fault;
  SchemeEntry entry = sound;
  entry.make = make_faulty;
  SchemeInstance instance = instance_of(sound.name, config);
  instance.entry = &entry;
  const auto scheme = problem.make(instance, kCount);
  scheme->prepare(std::vector<std::int64_t>{kCount});
  if (cold) scheme->take_history(other);
  for (int call = 0; call < 6; ++call) {
    scheme->spoil_history();
    after.spoil(outputs.data(), kCount, problem.shape().dim);
    scheme->prefill();
    scheme->candidate_pass(problem.candidates().data(), kCount, outputs.data());
  }
  after.keep(sound.name, kCount, 0, outputs.data());
  return after.judge_outputs(1e-4);
}

}  // namespace

TEST_CASE("every fault of the timing is seen in the last one, in every scheme", "[equality][after_timing]") {
  for (const SchemeEntry& entry : scheme_list()) {
    for (const bool cold : {false, true}) {
      CAPTURE(entry.name, cold);
      CHECK(last_timing(entry, {"none"}, cold)[0].agrees);
      for (const Fault& fault : timed_faults_of(entry, cold)) {
        CAPTURE(fault.name);
        // What is copied is right: its time alone tells.
        CHECK(last_timing(entry, fault, cold)[0].agrees == fault.copied_user_pass);
      }
    }
  }
}

TEST_CASE("what a spoilt history leaves is no number for any candidate, until the history runs again",
          "[equality][after_timing]") {
  for (const std::int64_t length : {1, 2, 63, 65, 200}) {
    for (const char* kv : {"fp32", "bf16"}) {
      for (const std::int64_t query_tokens : {0, 5}) {
        Config config = all_schemes(length);
        config.run.kv_dtype = kv;
        config.model.query_tokens = query_tokens;
        const EngineProblem problem(config, 7);
        for (const SchemeInstance& instance : all_instances(config)) {
          if (!instance.entry->has_prefill) continue;
          CAPTURE(length, kv, query_tokens, instance.label);
          const auto scheme = problem.make(instance, 7);
          const std::vector<float> before = run_scheme(*scheme, problem, 7);
          scheme->spoil_history();
          std::vector<float> outputs(before.size());
          // Its own copies are made from the spoilt ones.
          scheme->candidate_pass(problem.candidates().data(), 7, outputs.data());
          CHECK(std::all_of(outputs.begin(), outputs.end(), [](float value) { return std::isnan(value); }));
          CHECK(run_scheme(*scheme, problem, 7) == before);
        }
      }
    }
  }
}

TEST_CASE("a ranking head that is off is seen, a sound one is not", "[equality][after_timing]") {
  for (const kernels::Element element : {kernels::Element::f32, kernels::Element::bf16}) {
    for (const std::int64_t width : {8, 100, 700}) {
      for (const std::int64_t layers : {1, 2, 4}) {
        CAPTURE(width, layers);
        const RankingHeadShape shape{40, width, layers, element};
        AfterTiming after({300}, shape.dim);
        const std::int64_t count = 300;
        Buffer<float> x(count * shape.dim), scores(count);
        seeded_candidates(3, 0, count, shape.dim, x.span());
        RankingHead head(shape, 5, 2, count);
        head.prepare(std::vector<std::int64_t>{count});
        head.run(x.data(), count, scores.data());
        after.keep_scores("head", count, x.data(), scores.data());
        const auto sound = after.judge_scores(shape, 5, 2);
        REQUIRE(sound.size() == 1);
        CHECK(sound[0].agrees);
        CHECK(sound[0].judged == 2);
        CHECK(sound[0].what == "scores");
        CHECK(sound[0].against == "float64");
        // Scores of another candidate, none at all, or with other weights.
        Buffer<float> wrong(count);
        std::copy_n(scores.data(), count, wrong.data());
        wrong.data()[count - 1] = scores.data()[count - 2];
        after.keep_scores("head", count, x.data(), wrong.data());
        const auto swapped = after.judge_scores(shape, 5, 2);
        // Behind four layers of eight units little is left of a candidate, and bf16 rounds that away.
        if (element == kernels::Element::f32 || width > 8) {
          CHECK_FALSE(swapped[0].agrees);
          CHECK(swapped[0].worst == count - 1);
          CHECK(equality::wrong_after_timing(swapped).find("'head' at N=300: the score of candidate 299 was off by ") ==
                0);
        }
        after.spoil(wrong.data(), count, 1);
        after.keep_scores("head", count, x.data(), wrong.data());
        CHECK_FALSE(after.judge_scores(shape, 5, 2)[0].agrees);
        after.keep_scores("head", count, x.data(), scores.data());
        CHECK_FALSE(after.judge_scores(shape, 6, 2)[0].agrees);
      }
    }
  }
}
