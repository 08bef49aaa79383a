#include "analysis/size.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "analysis/budgets/budget.h"
#include "catch.h"
#include "kvcast/cost_model.h"
#include "kvcast/kvcast.h"

using Catch::Matchers::WithinRel;

namespace kvcast::analysis {
namespace {

/// 10 ms a history and 1 ms a candidate, naive 5 ms a candidate; a timing in four takes twice as long as the others.
SizingCase round_case() {
  SizingCase given;
  given.scheme = "shared";
  given.timed = true;
  given.source = Source::fitted;
  given.max_measured = 40;
  given.shown = {10};
  given.threads = 2;
  given.cpus = 9;
  given.naive_residuals = {1, 3};
  SizingProblem& problem = given.problem;
  problem.service.prefill_s = 0.010;
  problem.service.candidates_s = per_candidate(0.001);
  problem.service.residuals = {1, 1, 1, 2};
  problem.service.half = Steps{{1}, {0.5}};
  problem.naive_s = per_candidate(0.005);
  problem.speedup = [](std::int64_t n) { return 5.0 * static_cast<double>(n) / (10.0 + static_cast<double>(n)); };
  given.limit = 5;
  const auto bytes = [](double base, double each) {
    return [=](std::int64_t n) { return base + each * static_cast<double>(n); };
  };
  problem.memory = MemoryModel{1000, bytes(100, 10), 50};
  given.copies_memory = MemoryModel{1000, bytes(100, 60), 50};
  given.naive_memory = MemoryModel{1000, bytes(20, 1), 50};
  problem.workers = 3;
  problem.users_cached = 2;
  return given;
}

template <typename Row>
const Row& named(const std::vector<Row>& rows, const std::string& name, std::string Row::*member) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return row.*member == name; });
  INFO(name);
  REQUIRE(found != rows.end());
  return *found;
}
const SizingInput& input(const Sizing& sizing, const std::string& name) {
  return named(sizing.inputs, name, &SizingInput::name);
}

const SizingPoint& at(const Sizing& sizing, std::int64_t candidates) {
  const auto found = std::find_if(sizing.points.begin(), sizing.points.end(),
                                  [&](const SizingPoint& point) { return point.candidates == candidates; });
  REQUIRE(found != sizing.points.end());
  return *found;
}

}  // namespace

TEST_CASE("a point holds the times and bytes of its N, and naive's", "[sizing]") {
  SizingCase given = round_case();
  given.shown = {10, 40, 41};
  given.problem.requests_per_s = 1;
  given.problem.workers = 1000;  // so many that nobody waits
  given.drop = Estimate{0.4, {}};
  given.drop_source = Source::assumed;
  const Sizing sizing = size_case(given);
  const SizingPoint& point = at(sizing, 10);
  CHECK_THAT(*point.scheme_s, WithinRel(0.020 * 1.25, 1e-12));
  CHECK_THAT(*point.p99_s, WithinRel(0.020 * 2, 1e-9));
  CHECK_THAT(*point.p99_conservative_s, WithinRel(0.020 * 2 * std::exp(0.5), 1e-9));
  CHECK_THAT(*point.naive_s, WithinRel(0.050 * 2, 1e-12));
  CHECK_THAT(*point.naive_p99_s, WithinRel(0.050 * 3, 1e-9));
  CHECK_THAT(*point.utilisation, WithinRel(0.025 / 1000, 1e-12));
  CHECK_THAT(*point.naive_utilisation, WithinRel(0.1 / 1000, 1e-12));
  CHECK_THAT(point.marginal_speedup, WithinRel(55.0 / 21 - 2.5, 1e-12));
  CHECK_THAT(*point.drop_exact, WithinRel(drop_exact(0.4, 2.5), 1e-12));
  CHECK_THAT(*point.drop_design_note, WithinRel(0.16, 1e-12));
  CHECK(point.memory_bytes == 1000 + 1000 * 200 + 100);
  CHECK(point.copies_memory_bytes == 1000 + 1000 * 700 + 100);
  CHECK(point.naive_memory_bytes == 1000 + 1000 * 30);  // nothing of a user is kept
  CHECK(at(sizing, 40).source == Source::fitted);
  CHECK(at(sizing, 41).source == Source::extrapolated);
  CHECK(sizing.knee_candidates == 10);
}

TEST_CASE("naive's own time changes the speed-up and nothing else", "[sizing]") {
  SizingProblem problem = round_case().problem;
  scale_times(problem, 1, 1, 2);
  CHECK_THAT(problem.speedup(10), WithinRel(5, 1e-12));
  CHECK_THAT(problem.naive_s(10), WithinRel(0.1, 1e-12));
  CHECK_THAT(problem.service.seconds(10), WithinRel(0.02, 1e-12));
}

TEST_CASE("a budget's headroom is what is left of it", "[sizing]") {
  SizingCase given = round_case();
  given.problem.memory_bytes = 1700;  // 1000 + 3 (100 + 10 N) + 2·50: N = 10
  given.problem.requests_per_s = 50;
  const Sizing sizing = size_case(given);
  CHECK(sizing.expected_candidates == 10);
  CHECK(sizing.binding == "memory");
  const SizingBudget& memory = named(sizing.budgets, "memory", &SizingBudget::name);
  CHECK_THAT(*memory.used, WithinRel(1700, 1e-12));
  CHECK(std::abs(*memory.headroom_pct) < 1e-9);
  CHECK(memory.source == Source::computed);
  const SizingBudget& rate = named(sizing.budgets, "qps", &SizingBudget::name);
  CHECK_THAT(*rate.used, WithinRel(0.9 * 3 / 0.025, 1e-12));
  CHECK_THAT(*rate.headroom_pct, WithinRel(116, 1e-9));
  CHECK(rate.source == Source::fitted);
}

TEST_CASE("of a hundred timings a P99 leaves out the slowest one", "[sizing]") {
  SizingProblem problem = round_case().problem;
  problem.service.residuals.clear();
  for (int i = 1; i <= 100; ++i) problem.service.residuals.push_back(i);
  const double p99 = 99 * 0.02;  // at N = 10
  CHECK_THAT(p99_seconds(problem, 10), WithinRel(p99, 1e-12));
  problem.p99_s = p99 * (1 + 1e-9);
  CHECK(solve(problem).expected == 10);
  problem.p99_s = p99 * (1 - 1e-9);
  CHECK(solve(problem).expected == 9);
}

TEST_CASE("of two budgets with the same N the first binds, and the least N may be the largest", "[sizing]") {
  SizingProblem problem = round_case().problem;
  problem.p99_s = 0.0401;       // 2 T(N): N = 10
  problem.memory_bytes = 1700;  // N = 10
  problem.min_improvement = 0.6;
  const Solution solution = solve(problem);
  CHECK(solution.expected == 10);
  REQUIRE(solution.binding != nullptr);
  CHECK(solution.binding->info.limit == &SizingLimits::p99_s);
  CHECK(solution.least == 10);  // S(10) = 2.5
  CHECK(solution.feasible);
}

TEST_CASE("inputs move N by what they are", "[sizing]") {
  SizingCase given = round_case();
  given.problem.p99_s = 0.1;  // 2 T(N): N = 40
  const Sizing timed = size_case(given);
  CHECK(timed.expected_candidates == 40);
  // 1.6 times the mean is P99; 10% more is 2.2 T(N), 10% less 1.8 T(N).
  const SizingInput& tail = input(timed, "p99_over_mean");
  CHECK_THAT(tail.value, WithinRel(1.6, 1e-12));
  CHECK(tail.candidates_less == 45);
  CHECK(tail.candidates_more == 35);
  CHECK(tail.source == Source::measured);
  given.source = Source::extrapolated;  // the times are; the timings were measured
  CHECK(input(size_case(given), "p99_over_mean").source == Source::measured);

  given = round_case();
  given.problem.memory_bytes = 1700;
  const Sizing held = size_case(given);
  CHECK(input(held, "workers").candidates_less == 20);
  CHECK(input(held, "workers").candidates_more == 5);
  CHECK_THAT(input(held, "worker_bytes").value, WithinRel(200, 1e-12));
  CHECK(input(held, "users_cached").candidates_less == 11);
}

TEST_CASE("the line of a model leads on from the last measured N", "[sizing]") {
  SizingCase given = round_case();
  ServiceModel& service = given.problem.service;
  // By a line of constant 10 ms, scaled to meet 36 ms at N=20; a request of 8 ms was measured too, so the prefill is no
  // longer than that.
  service.measured = {1, 20};
  service.prefill_s = 0.008;
  service.candidate_s = 0.001;
  service.candidates_s = [](std::int64_t n) {
    return n == 1 ? 0 : 0.036 * (0.010 + 0.001 * static_cast<double>(n)) / 0.030 - 0.008;
  };
  given.max_measured = 20;
  const auto told = [&] { return size_case(given).models.at(0); };
  CHECK_THAT(told().prefill_s, WithinRel(0.010, 1e-9));
  // At another shape FLOPs scale the prefill and the candidates apart.
  scale_times(given.problem, 3, 2, 1);
  const SizingModel model = told();
  for (const double n : {21.0, 80.0, 1e6}) {
    const auto line = [&](double at) { return model.prefill_s + model.candidate_s * at; };
    CHECK_THAT(model.measured_s.back() * line(n) / line(20),
               WithinRel(given.problem.service.seconds(static_cast<std::int64_t>(n)), 1e-9));
  }
}

TEST_CASE("what is conservative at a longer history is conservative at a shorter one", "[sizing]") {
  SizingCase given = round_case();
  given.problem.p99_s = 0.1;
  const auto at_length = [&](double length, double factor, Steps half) {
    SizingVariant variant{"history_length", "64", "", length, given.problem, Source::fitted, {}};
    scale_times(variant.problem, factor, factor, factor);
    variant.problem.service.half = std::move(half);
    return variant;
  };
  // The sized shape, the second, is known best.
  given.lengths = {at_length(32, 0.9, {{1}, {0.9}}), at_length(64, 1, {{1}, {0.1}}), at_length(128, 2, {{1}, {0.9}})};
  const auto safe = [&](std::size_t i) { return size_case(given).frontiers.at(i).conservative_candidates; };
  CHECK(safe(0) == safe(1));
  CHECK(*safe(2) < *safe(1));
  // Unknown is neither safe nor not.
  given.lengths[0].problem.service.half = {};
  CHECK_FALSE(safe(0));
  // The answer is that of the sized shape, whatever a longer one has.
  given.history_length = 64;
  given.problem.service.half = {{1}, {0.9}};
  given.lengths = {at_length(32, 0.9, {{1}, {1.2}}), at_length(64, 1, {{1}, {0.9}}),
                   at_length(128, 1.01, {{1}, {0.1}})};
  CHECK(safe(1) == size_case(given).conservative_candidates);
  CHECK(*safe(2) > *safe(1));
  CHECK(safe(0) == safe(1));
}

TEST_CASE("alternatives and frontiers beyond the measured N are extrapolated", "[sizing]") {
  SizingCase given = round_case();
  given.problem.p99_s = 0.1;
  given.problem.requests_per_s = 60;
  SizingVariant shorter{"L", "64", "32", 32, given.problem, Source::fitted, {}};
  scale_times(shorter.problem, 0.5, 0.5, 0.5);
  SizingVariant deeper{"layers", "2", "4", 4, given.problem, Source::fitted, {}};
  scale_times(deeper.problem, 1.1, 1.1, 1.1);
  given.parameters = {deeper, shorter};
  SizingVariant longer = deeper;
  longer.source = Source::extrapolated;
  given.lengths = {shorter, longer};
  given.alternatives = {shorter};
  given.drop = Estimate{0.4, {}};
  const Sizing sizing = size_case(given);
  REQUIRE(sizing.parameters.size() == 2);
  CHECK(sizing.parameters[0].name == "L");  // most first
  CHECK(*sizing.parameters[0].expected_candidates > 40);
  CHECK(sizing.parameters[0].source == Source::extrapolated);
  CHECK(sizing.parameters[1].source == Source::fitted);
  CHECK_THAT(*sizing.parameters[1].change_pct,
             WithinRel(100.0 * static_cast<double>(*sizing.parameters[1].expected_candidates) /
                               static_cast<double>(*sizing.expected_candidates) -
                           100,
                       1e-9));
  CHECK(named(sizing.alternatives, "L", &SizingAlternative::change).source == Source::extrapolated);
  const SizingFrontier& frontier = sizing.frontiers.front();
  CHECK(frontier.source == Source::extrapolated);
  // Beyond the grid, whatever the N.
  CHECK(*sizing.frontiers[1].expected_candidates <= 40);
  CHECK(sizing.frontiers[1].source == Source::extrapolated);
  // Half of naive's time over the same head: a cost ratio of 1/3 for 2/3.
  CHECK_THAT(*frontier.drop_naive, WithinRel(0.25, 1e-9));
  // LONGER's 9.1 is above the ceiling of 5: nothing is extrapolated to.
  CHECK(sizing.drop_targets.front().source == Source::fitted);
  SizingProblem twice = given.problem, half = given.problem;
  twice.workers = 6;
  half.requests_per_s = 30;
  CHECK(named(sizing.alternatives, "twice the workers", &SizingAlternative::change).expected_candidates ==
        solve(twice).expected);
  CHECK(named(sizing.alternatives, "half the rate", &SizingAlternative::change).expected_candidates ==
        solve(half).expected);
  CHECK(solve(twice).expected > solve(given.problem).expected);
  CHECK(solve(half).expected > solve(given.problem).expected);
}

TEST_CASE("a fleet is workers on machines with so many threads", "[sizing]") {
  SizingCase given = round_case();
  given.problem.requests_per_s = 200;  // 25 ms at N = 10: 5 busy workers, so at least 6 at 90%
  given.price_per_hour = 3.6;
  Sizing sizing = size_case(given);
  const SizingFleet& row = sizing.fleet.at(0);
  CHECK(row.candidates == 10);
  CHECK(row.workers == 6);
  CHECK(row.cores == 12);
  CHECK(row.machines == 2);  // four workers of two threads on nine CPUs
  CHECK_THAT(*row.utilisation, WithinRel(5.0 / 6, 1e-12));
  CHECK_THAT(*row.cost_per_million, WithinRel(0.001 * 2 * 1e6 / 200, 1e-12));
  CHECK(sizing.fleet.at(1).scheme == "naive");
  CHECK(sizing.fleet.at(1).workers == 23);  // 20 busy
  given.problem.requests_per_s.reset();
  sizing = size_case(given);
  CHECK_FALSE(sizing.fleet.at(0).workers);
  CHECK_THAT(*sizing.fleet.at(0).cost_per_million, WithinRel(0.001 * 1e6 * 0.025 / (0.9 * 4), 1e-12));
}

TEST_CASE("changes are the smallest that do, nearest first", "[sizing]") {
  SizingCase given = round_case();
  given.problem.memory_bytes = 1300;  // one candidate takes 1000 + 3·110 + 100 = 1430
  const auto to = [](const Sizing& sizing, const std::string& name) {
    return named(sizing.changes, name, &SizingChange::input).to;
  };
  Sizing sizing = size_case(given);
  REQUIRE(sizing.changes.size() == 2);
  CHECK(sizing.changes[0].input == "memory");
  CHECK_THAT(sizing.changes[0].to, WithinRel(1430, 1e-9));
  CHECK(to(sizing, "workers") == 1);  // no number of cached users is few enough

  // The rate takes more workers than memory holds a hundredfold of, but not more than it holds.
  given = round_case();
  given.problem.requests_per_s = 240;  // at N = 1 13.75 ms: 3.3 busy workers, 4 at 90%
  given.problem.memory_bytes = 2000;
  sizing = size_case(given);
  CHECK(to(sizing, "workers") == 4);
  CHECK_THAT(to(sizing, "qps"), WithinRel(0.9 * 3 / 0.01375, 1e-9));
  given.problem.memory_bytes = 1500;  // three workers fit, a fourth does not
  sizing = size_case(given);
  CHECK(sizing.changes.size() == 1);
  CHECK(sizing.changes[0].input == "qps");
}

TEST_CASE("what no single change mends says what does together", "[sizing]") {
  SizingCase given = round_case();
  given.problem.p99_s = 0.01;
  given.problem.memory_bytes = 1300;
  given.problem.min_improvement = 0.6;  // N = 10
  Sizing sizing = size_case(given);
  REQUIRE(sizing.changes.size() == 2);
  for (const SizingChange& change : sizing.changes) {
    CHECK_FALSE(change.suffices);
    CHECK_THAT(change.to, WithinRel(change.input == "p99" ? 0.04 : 1700, 1e-9));
  }
  // An improvement that no N has belongs to what must change, and is named.
  given.problem.min_improvement = 0.9;
  sizing = size_case(given);
  CHECK(sizing.changes.size() == 3);
  SizingProblem mended = given.problem;
  for (const SizingChange& change : sizing.changes) {
    if (change.input == "p99") mended.p99_s = change.to * (1 + 1e-9);
    if (change.input == "memory") mended.memory_bytes = change.to;
    if (change.input == "min_improvement") mended.min_improvement = change.to;
  }
  CHECK(solve(mended).feasible);
  CHECK_THAT(sizing_answer(sizing), Catch::Contains("an improvement of 90.0% is out of reach at any N"));
  // One that is far is still one.
  given = round_case();
  given.problem.p99_s = 1e-12;
  sizing = size_case(given);
  REQUIRE(sizing.changes.size() == 1);
  CHECK(sizing.changes[0].suffices);
}

}  // namespace kvcast::analysis
