// What every budget of the list must do.
#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "analysis/budgets/budget.h"
#include "analysis/size.h"
#include "catch.h"
#include "kvcast/kvcast.h"
#include "report/page/page.h"

using Catch::Contains;

namespace kvcast::analysis {
namespace {

/// Three workers, 10 ms a history and 1 ms a candidate; a timing in four takes twice as long as the others.
SizingCase unlimited_case() {
  SizingCase given;
  given.scheme = "shared";
  given.timed = true;
  given.source = Source::fitted;
  given.max_measured = 100;
  set_line(given.problem.service, 0.010, 0.001);
  given.problem.service.residuals = {1, 1, 1, 2};
  given.problem.service.half = Steps{{1}, {0.2}};
  given.problem.naive_s = per_candidate(0.005);
  given.problem.speedup = [service = given.problem.service](std::int64_t n) {
    return 0.005 * static_cast<double>(n) / service.seconds(n);
  };
  given.problem.memory = MemoryModel{1000, per_candidate(10), 50};
  given.problem.workers = 3;
  return given;
}

/// A limit that is this many times as generous.
double eased(const BudgetInfo& info, double limit, double factor) {
  return info.floor ? limit / factor : limit * factor;
}

/// Limited by what N candidates take of the budget, eased.
SizingCase limited_case(const Budget& budget, std::int64_t candidates, double factor) {
  SizingCase given = unlimited_case();
  given.problem.*budget.info.limit = eased(budget.info, budget.used(given.problem, candidates, false), factor);
  return given;
}

}  // namespace

TEST_CASE("every budget has a name and a limit of its own, and words", "[sizing]") {
  std::set<std::string> names;
  REQUIRE(sizing_budgets().size() == budget_list().size());
  for (const BudgetInfo& info : sizing_budgets()) {
    INFO(info.name);
    CHECK(names.insert(info.name).second);
    for (const char* words : {info.type, info.doc, info.title, info.brief, info.one, info.against, info.head}) {
      CHECK_FALSE(std::string(words).empty());
    }
    CHECK(std::set<std::string>{"s", "bytes", "1/s", "0..1", "ratio"}.contains(info.unit));  // those that are shown
    CHECK(find_budget(info.name) == &info);
    CHECK_THROWS_WITH(info.parse("no number", info.flag()), Contains(info.flag()));
    SizingLimits limits;
    limits.*info.limit = 1;
    CHECK(std::count_if(budget_list().begin(), budget_list().end(),
                        [&](const Budget& other) { return (limits.*other.info.limit).has_value(); }) == 1);
    // The panel of the page has its formula in its own language.
    CHECK_THAT(report::page_parts().js, Contains("{name: '" + std::string(info.name) + "', "));
  }
  CHECK(find_budget("patience") == nullptr);
}

TEST_CASE("what N takes of a budget only gets worse with N, and at the slow end", "[sizing]") {
  const SizingProblem problem = unlimited_case().problem;
  for (const Budget& budget : budget_list()) {
    const auto no_better = [&](double worse, double than) { return budget.info.floor ? worse <= than : worse >= than; };
    for (std::int64_t n = 1; n < 200; ++n) {
      INFO(budget.info.name << " at N=" << n);
      CHECK(no_better(budget.used(problem, n + 1, false), budget.used(problem, n, false)));
      CHECK(no_better(budget.used(problem, n, true), budget.used(problem, n, false)));
    }
  }
}

TEST_CASE("the largest N by a budget is the last that meets it, and more of it gives no smaller one", "[sizing]") {
  for (const Budget& budget : budget_list()) {
    INFO(budget.info.name);
    const auto expected = [&](std::int64_t candidates, double factor) {
      return solve(limited_case(budget, candidates, factor).problem).expected;
    };
    CHECK(expected(10, 1 + 1e-9) == 10);
    CHECK(expected(10, 1 - 1e-9) == 9);
    std::int64_t before = 0;
    for (const double factor : {0.1, 0.3, 0.9, 1.0, 1.1, 3.0, 10.0}) {
      CHECK(expected(10, factor) >= before);
      before = expected(10, factor);
    }
    const Solution solution = solve(limited_case(budget, 10, 1 + 1e-9).problem);
    CHECK(solution.binding == &budget);
    CHECK(*solution.conservative <= solution.expected);
  }
}

TEST_CASE("too small a budget is named, with the change that mends it", "[sizing]") {
  for (const Budget& budget : budget_list()) {
    INFO(budget.info.name);
    const SizingCase given = limited_case(budget, 1, 0.5);
    const Sizing sizing = size_case(given);
    CHECK_FALSE(sizing.feasible);
    CHECK(sizing.expected_candidates == 0);
    CHECK(sizing.binding == budget.info.name);
    REQUIRE(sizing.budgets.size() == 1);
    CHECK(sizing.budgets[0].name == budget.info.name);
    CHECK(*sizing.budgets[0].headroom_pct < 0);
    CHECK_FALSE(sizing.budgets[0].feasible);
    CHECK_THAT(sizing_answer(sizing),
               Contains("infeasible: " + std::string(budget.info.title) + ": " + budget.info.one));
    const auto change = std::find_if(sizing.changes.begin(), sizing.changes.end(),
                                     [&](const SizingChange& row) { return row.input == budget.info.name; });
    REQUIRE(change != sizing.changes.end());
    CHECK(change->suffices);
    SizingProblem mended = given.problem;
    mended.*budget.info.limit = eased(budget.info, change->to, 1 + 1e-6);
    CHECK(solve(mended).feasible);
    CHECK(std::count_if(sizing.frontiers.begin(), sizing.frontiers.end(),
                        [&](const SizingFrontier& row) { return row.axis == budget.info.name; }) == 5);
  }
}

}  // namespace kvcast::analysis
