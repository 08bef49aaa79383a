// Laws of the sizing over drawn problems: against brute force, and against itself when a budget moves.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "analysis/budgets/budget.h"
#include "analysis/size.h"
#include "analysis/sizing.h"
#include "base/random.h"
#include "catch.h"

namespace kvcast::analysis {
namespace {

constexpr int kDraws = 300;
/// Brute force looks no further; problems are drawn so that most answers lie below.
constexpr std::int64_t kMost = 400;

double uniform(std::uint64_t stream, int i, double lo, double hi) {
  const auto unit = static_cast<double>(RandomStream(20261125, stream).bits(std::uint64_t(i)) >> 11) * 0x1p-53;
  return lo + (hi - lo) * unit;
}

SizingProblem draw(int i) {
  SizingProblem problem;
  const double c = std::pow(10, uniform(1, i, -3, -1)), r = std::pow(10, uniform(2, i, -2.5, 0));
  problem.service.prefill_s = c * uniform(3, i, 0.5, 1.2);
  if (i % 3 == 0) {
    // A time that rises in steps, as blocks of candidates do.
    problem.service.candidates_s = [c, r](std::int64_t n) { return c * r * 8 * std::ceil(static_cast<double>(n) / 8); };
  } else {
    problem.service.candidates_s = per_candidate(c * r);
  }
  problem.naive_s = per_candidate(c);
  const double half = uniform(4, i, 0, 0.2);
  if (i % 5 != 0) problem.service.half = Steps{{49, 1000}, {half, 2 * half}};
  problem.speedup = [naive = problem.naive_s, service = problem.service](std::int64_t n) {
    return naive(n) / service.seconds(n);
  };
  const int timings = 1 + static_cast<int>(uniform(6, i, 0, 150));
  problem.service.residuals.clear();
  for (int k = 0; k < timings; ++k) problem.service.residuals.push_back(uniform(100 + std::uint64_t(k), i, 0.8, 1.4));
  std::sort(problem.service.residuals.begin(), problem.service.residuals.end());
  const double weights = uniform(7, i, 1e6, 1e7), worker = uniform(8, i, 1e5, 1e6), each = uniform(9, i, 1e3, 1e5);
  problem.memory = MemoryModel{weights, [=](std::int64_t n) { return worker + each * static_cast<double>(n); }, 1e4};
  problem.workers = 1 + static_cast<std::int64_t>(uniform(10, i, 0, 8));
  problem.users_cached = static_cast<std::int64_t>(uniform(11, i, 0, 200));
  if (i % 2 == 0) problem.p99_s = c * uniform(12, i, 0.5, 60);
  if (i % 4 != 1) problem.memory_bytes = weights + uniform(13, i, 1e6, 5e7);
  if (i % 3 != 2) problem.requests_per_s = uniform(14, i, 0.01, 1) * static_cast<double>(problem.workers) / c;
  if (i % 7 == 0) problem.min_improvement = uniform(15, i, 0.1, 0.95);
  return problem;
}

/// By trying every N. only: this budget; null: all.
std::int64_t brute_force(const SizingProblem& problem, const Budget* only, bool safe) {
  std::int64_t best = 0;
  for (std::int64_t n = 1; n <= kMost; ++n) {
    const bool all = std::all_of(budget_list().begin(), budget_list().end(), [&](const Budget& budget) {
      if (!budget.limit(problem) || (only != nullptr && only != &budget)) return true;
      const double limit = *budget.limit(problem), value = budget.used(problem, n, safe);
      return budget.info.floor ? value >= limit : value <= limit * (1 + 1e-8);
    });
    if (all) best = n;
  }
  return best;
}

std::int64_t capped(std::int64_t n) { return std::min(n, kMost); }

}  // namespace

TEST_CASE("the largest N is that of brute force, for all budgets and for each alone", "[property][sizing]") {
  int limited = 0;
  for (int i = 0; i < kDraws / 3; ++i) {
    const SizingProblem problem = draw(i);
    const Solution solution = solve(problem);
    INFO("draw " << i);
    CHECK(capped(solution.expected) == brute_force(problem, nullptr, false));
    CHECK(solution.conservative.has_value() == static_cast<bool>(problem.service.half));
    if (solution.conservative) CHECK(capped(*solution.conservative) == brute_force(problem, nullptr, true));
    for (const Budget& budget : budget_list()) {
      if (budget.limit(problem)) CHECK(capped(largest(problem, budget, false)) == brute_force(problem, &budget, false));
    }
    limited += solution.expected > 0 && solution.expected < kMost ? 1 : 0;
  }
  CHECK(limited > kDraws / 8);  // the test is about these
}

TEST_CASE("N is no more than any budget alone allows, and the conservative N no more than the expected",
          "[property][sizing]") {
  for (int i = 0; i < kDraws; ++i) {
    const SizingProblem problem = draw(i);
    const Solution solution = solve(problem);
    INFO("draw " << i);
    std::int64_t least = kMaxCandidates;
    for (const Budget& budget : budget_list()) {
      if (!budget.limit(problem)) continue;
      least = std::min(least, largest(problem, budget, false));
      CHECK(solution.expected <= largest(problem, budget, false));
      CHECK(largest(problem, budget, true) <= largest(problem, budget, false));
    }
    CHECK(solution.expected == least);
    if (solution.conservative) CHECK(*solution.conservative <= solution.expected);
    if (solution.binding != nullptr) CHECK(largest(problem, *solution.binding, false) == solution.expected);
  }
}

TEST_CASE("N never grows when a budget shrinks or the load rises", "[property][sizing]") {
  for (int i = 0; i < kDraws; ++i) {
    const SizingProblem problem = draw(i);
    const std::int64_t before = solve(problem).expected;
    const double factor = uniform(30, i, 0.3, 1);
    INFO("draw " << i << ", factor " << factor);
    const auto after = [&](auto change) {
      SizingProblem changed = problem;
      change(changed);
      return solve(changed).expected;
    };
    if (problem.p99_s) CHECK(after([&](SizingProblem& p) { *p.p99_s *= factor; }) <= before);
    if (problem.memory_bytes) {
      CHECK(after([&](SizingProblem& p) { *p.memory_bytes *= factor; }) <= before);
      CHECK(after([&](SizingProblem& p) { p.users_cached += 50; }) <= before);
    }
    if (problem.requests_per_s) {
      CHECK(after([&](SizingProblem& p) { *p.requests_per_s /= factor; }) <= before);
      CHECK(after([&](SizingProblem& p) {
              p.workers = std::max<std::int64_t>(1, p.workers - 1);
              p.memory_bytes.reset();  // fewer workers leave more of it
            }) <= after([](SizingProblem& p) { p.memory_bytes.reset(); }));
    }
    CHECK(after([&](SizingProblem& p) { p.service.prefill_s /= factor; }) <= before);
  }
}

TEST_CASE("the smallest N worth it is the first with the improvement", "[property][sizing]") {
  for (int i = 0; i < kDraws; i += 7) {
    SizingProblem problem = draw(i);
    const double user = problem.service.prefill_s, each = problem.service.candidates_s(8) / 8, c = problem.naive_s(1);
    problem.speedup = [=](std::int64_t n) {
      const auto count = static_cast<double>(n);
      return c * count / (user + each * count);
    };
    const Solution solution = solve(problem);
    if (!solution.least) continue;
    INFO("draw " << i);
    const auto improvement = [&](std::int64_t n) { return 1 - 1 / problem.speedup(n); };
    CHECK(improvement(*solution.least) >= *problem.min_improvement - 1e-9);
    if (*solution.least > 1) CHECK(improvement(*solution.least - 1) < *problem.min_improvement);
  }
}

TEST_CASE("what is called the fewest workers is", "[property][sizing]") {
  int some = 0;
  for (int i = 0; i < kDraws; i += 3) {
    const SizingProblem problem = draw(i);
    if (!problem.requests_per_s) continue;
    const auto fewest = fewest_workers(problem, 20);
    SizingProblem varied = problem;
    varied.memory_bytes.reset();  // of which more workers take more
    const auto enough = [&](std::int64_t workers) {
      varied.workers = workers;
      return std::all_of(budget_list().begin(), budget_list().end(), [&](const Budget& budget) {
        return !budget.limit(varied) || budget.meets(varied, 20, false);
      });
    };
    INFO("draw " << i);
    if (!fewest) {
      CHECK_FALSE(enough(10000));
      continue;
    }
    ++some;
    CHECK(enough(*fewest));
    if (*fewest > 1) CHECK_FALSE(enough(*fewest - 1));
  }
  CHECK(some > 10);
}

TEST_CASE("an infeasible problem names changes that make it feasible", "[property][sizing]") {
  int infeasible = 0;
  for (int i = 0; i < kDraws; ++i) {
    SizingCase given;
    given.scheme = "shared";
    given.problem = draw(i);
    given.timed = true;
    given.source = Source::fitted;
    given.max_measured = 100;
    given.shown = {1};
    const Sizing sizing = size_case(given);
    INFO("draw " << i);
    CHECK(sizing.feasible == solve(given.problem).feasible);
    if (sizing.feasible) {
      CHECK(sizing.changes.empty());
      continue;
    }
    if (given.problem.min_improvement && !sizing.min_candidates) continue;  // no budget helps
    ++infeasible;
    REQUIRE_FALSE(sizing.changes.empty());
    SizingProblem together = given.problem;
    for (const SizingChange& change : sizing.changes) {
      SizingProblem changed = given.problem;
      const auto apply = [&](SizingProblem& p) {
        if (change.input == "p99") p.p99_s = change.to * (1 + 1e-6);
        if (change.input == "memory") p.memory_bytes = change.to * (1 + 1e-6);
        if (change.input == "qps") p.requests_per_s = change.to * (1 - 1e-6);
        if (change.input == "workers") p.workers = static_cast<std::int64_t>(change.to);
        if (change.input == "users_cached") p.users_cached = static_cast<std::int64_t>(change.to);
        if (change.input == "min_improvement") p.min_improvement = change.to;
      };
      apply(changed);
      apply(together);
      INFO(change.input << " from " << change.from << " to " << change.to);
      if (change.suffices) CHECK(solve(changed).feasible);
    }
    CHECK((sizing.changes.front().suffices || solve(together).feasible));
  }
  CHECK(infeasible > 20);
}

}  // namespace kvcast::analysis
