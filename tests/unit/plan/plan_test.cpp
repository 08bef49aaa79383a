#include "plan/plan.h"

#include <algorithm>

#include "catch.h"

using namespace kvcast;
using namespace kvcast::plan;

namespace {

Config config_with(std::vector<std::int64_t> counts, double budget, std::int64_t memory) {
  Config config;
  config.run.candidates = std::move(counts);
  config.measure.budget_s = budget;
  config.measure.max_memory_bytes = memory;
  return config;
}

Costs costs() {
  Costs c;
  c.setup_s = 1;
  c.fixed_bytes = 1000;
  c.bytes_per_candidate = 10;
  c.schemes.push_back({"naive", true, false, 2, 0, [](std::int64_t n) { return 0.1 * static_cast<double>(n); },
                       [](std::int64_t) { return 500.0; }});
  c.schemes.push_back({"shared", false, true, 0, 0.1, [](std::int64_t n) { return 0.001 * static_cast<double>(n); },
                       [](std::int64_t) { return 700.0; }});
  c.schemes.push_back({"copies", false, true, 0, 0.1, [](std::int64_t n) { return 0.002 * static_cast<double>(n); },
                       [](std::int64_t n) { return 100.0 * static_cast<double>(n); }});
  return c;
}

/// The setup of one case is the start of the command where there is nothing else.
Plan plan_of(const Config& config, const Costs& one) { return build_plan(config, std::vector<Costs>{one}, 0); }

const PlannedPoint& find(const Plan& plan, const std::string& scheme, std::int64_t n) {
  return *std::find_if(plan.points.begin(), plan.points.end(),
                       [&](const PlannedPoint& p) { return p.scheme == scheme && p.candidates == n; });
}

}  // namespace

TEST_CASE("a generous budget runs every point whole", "[plan]") {
  const Plan plan = plan_of(config_with({1, 5, 10}, 100, 1 << 20), costs());
  CHECK(plan.points.size() == 9);
  for (const PlannedPoint& p : plan.points) {
    CHECK(p.status == Status::measured);
    CHECK(p.measured_candidates == p.candidates);
    CHECK(p.whole_s == 0);
  }
  CHECK(plan.whole_check_rounds == 0);
  // naive 1.6, shared 3*0.1 + 0.016, copies 3*0.1 + 0.032.
  CHECK(plan.round_s == Approx(1.6 + 0.316 + 0.332));
  CHECK(plan.rounds == 44);
}

TEST_CASE("a large naive N is extrapolated, every scoring pass is behind its prefill, and whole runs check that",
          "[plan]") {
  const Plan plan = plan_of(config_with({1, 5, 10}, 30, 1 << 20), costs());
  CHECK(find(plan, "naive", 1).status == Status::measured);
  for (const std::int64_t n : {5, 10}) {
    CHECK(find(plan, "naive", n).status == Status::extrapolated);
    CHECK(find(plan, "naive", n).measured_candidates == 2);
    CHECK(find(plan, "naive", n).whole_s == Approx(0.1 * static_cast<double>(n)));
    CHECK(find(plan, "shared", n).status == Status::measured);
    CHECK(find(plan, "shared", n).estimated_s == Approx(0.1 + 0.001 * static_cast<double>(n)));
    CHECK(find(plan, "shared", n).whole_s == 0);
  }
  CHECK(plan.whole_check_rounds == kMinRounds);
  CHECK(plan.check_s == Approx(1.5));
  CHECK(plan.round_s == Approx(0.1 + 0.2 + 0.316 + 0.332));
  CHECK(plan.rounds == 25);  // of 29 s, 4.5 go to the whole runs
  CHECK(plan.total_s <= 30);
}

TEST_CASE("whole runs take a third of the time at most, small N first", "[plan]") {
  for (const double budget : {12.0, 20.0, 40.0, 80.0}) {
    CAPTURE(budget);
    const Plan plan = plan_of(config_with({1, 5, 10, 20, 50, 100}, budget, 1 << 20), costs());
    REQUIRE(plan.whole_check_rounds == kMinRounds);
    CHECK(3 * plan.check_s <= std::max(0.715 * 3, (budget - 1) / 3));
    bool left_out = false;
    for (const std::int64_t n : {5, 10, 20, 50, 100}) {
      CHECK_FALSE((left_out && find(plan, "naive", n).whole_s > 0));
      left_out = left_out || find(plan, "naive", n).whole_s == 0;
    }
    CHECK(left_out == (budget < 80 || find(plan, "naive", 100).whole_s == 0));
  }
}

TEST_CASE("a tight budget assembles and extrapolates, and checks the smallest N >= 5 whole", "[plan]") {
  const Plan plan = plan_of(config_with({1, 2, 5, 10, 100}, 12, 1 << 20), costs());
  CHECK(plan.whole_check_rounds == kMinRounds);
  for (const std::string scheme : {"naive", "shared", "copies"}) {
    CHECK(find(plan, scheme, 5).whole_s > 0);
    CHECK(find(plan, scheme, 10).whole_s == 0);
  }
  CHECK(find(plan, "naive", 1).status == Status::measured);
  CHECK(find(plan, "naive", 2).status == Status::measured);
  CHECK(find(plan, "naive", 100).status == Status::extrapolated);
  CHECK(find(plan, "naive", 100).measured_candidates == 2);
  CHECK(find(plan, "shared", 100).status == Status::assembled);
  CHECK(find(plan, "shared", 100).measured_candidates == 100);
  CHECK(plan.rounds >= 3);
}

TEST_CASE("rounds come before whole checks", "[plan]") {
  // The check at N=100 takes 10 s of naive, a round of parts a few tenths.
  const auto plan_within = [](double budget) { return plan_of(config_with({1, 100}, budget, 1 << 20), costs()); };
  for (const double budget : {4.0, 8.0, 12.0, 20.0, 40.0}) {
    CAPTURE(budget);
    const Plan plan = plan_within(budget);
    CHECK(plan.rounds >= kMinRounds);
    CHECK(plan.total_s <= budget);
  }
  CHECK(plan_within(8).whole_check_rounds == 0);
  CHECK(plan_within(20).whole_check_rounds == 0);  // time for one, which would tell nothing
  CHECK(plan_within(30).whole_check_rounds == 2);
  CHECK(plan_within(40).whole_check_rounds == 3);
}

TEST_CASE("an N that is too dear to run whole is left out of the checks", "[plan]") {
  // 100 s of naive at N=1000.
  const Plan plan = plan_of(config_with({1, 5, 1000}, 60, std::int64_t{1} << 40), costs());
  CHECK(plan.whole_check_rounds == kMinRounds);
  CHECK(find(plan, "naive", 5).whole_s > 0);
  CHECK(find(plan, "naive", 1000).whole_s == 0);
  CHECK(plan.rounds >= kWantedRounds);
}

TEST_CASE("a point whose memory does not fit is skipped with its reason, the others run", "[plan]") {
  const Plan plan = plan_of(config_with({1, 10, 100}, 1000, 4300), costs());
  CHECK(find(plan, "copies", 10).status == Status::measured);
  CHECK(find(plan, "copies", 100).status == Status::skipped);
  CHECK(find(plan, "copies", 100).reason.find("memory") != std::string::npos);
  CHECK(find(plan, "shared", 100).status == Status::measured);
  CHECK(plan.memory_bytes <= 4300);
}

TEST_CASE("memory for all but naive leaves naive alone", "[plan]") {
  const Plan plan = plan_of(config_with({1, 10}, 1000, 1650), costs());
  CHECK(find(plan, "naive", 10).status == Status::measured);
  CHECK(find(plan, "shared", 1).status == Status::skipped);
}

TEST_CASE("a model that does not fit memory is refused", "[plan]") {
  CHECK_THROWS_AS(plan_of(config_with({1}, 10, 1400), costs()), ConfigError);
  CHECK_NOTHROW(plan_of(config_with({1}, 10, 1510), costs()));
}

TEST_CASE("memory goes to naive first, whatever the order of the schemes", "[plan]") {
  Costs reordered = costs();
  std::rotate(reordered.schemes.begin(), reordered.schemes.begin() + 1, reordered.schemes.end());
  const Plan plan = plan_of(config_with({1, 10}, 1000, 1650), reordered);
  CHECK(find(plan, "naive", 10).status == Status::measured);
  CHECK(find(plan, "shared", 1).status == Status::skipped);
}

TEST_CASE("the whole check is an N that naive can run", "[plan]") {
  const Plan plan = plan_of(config_with({1, 5, 50, 100}, 6, 2300), costs());
  CHECK(find(plan, "copies", 5).status == Status::skipped);
  // The scheme that does not fit there has no point of that size to check; the others are still checked.
  CHECK(find(plan, "naive", 5).whole_s > 0);
  CHECK(find(plan, "copies", 5).whole_s == 0);
  CHECK(plan_of(config_with({1, 2}, 0.1, 1 << 20), costs()).whole_check_rounds == 0);
}

TEST_CASE("only what runs the history again is scaled, and micro-batches only in whole multiples", "[plan]") {
  Costs c = costs();
  c.schemes.push_back({"packed-4", false, false, 4, 0, [](std::int64_t n) { return 0.03 * static_cast<double>(n); },
                       [](std::int64_t) { return 10.0; }});
  c.schemes.push_back({"cached", false, false, 0, 0, [](std::int64_t n) { return 0.001 * static_cast<double>(n); },
                       [](std::int64_t) { return 10.0; }});
  const Plan plan = plan_of(config_with({1, 4, 10, 100}, 12, 1 << 20), c);
  CHECK(find(plan, "packed-4", 4).status == Status::measured);
  CHECK(find(plan, "packed-4", 10).status == Status::measured);  // 3 passes, not 2.5
  CHECK(find(plan, "packed-4", 100).status == Status::extrapolated);
  CHECK(find(plan, "packed-4", 100).measured_candidates == 4);
  for (const std::int64_t n : {1, 4, 10, 100}) CHECK(find(plan, "cached", n).status == Status::measured);
  // What is scaled from one timing is timed once a round.
  const double shared_users = 2 * 0.1, shared_candidates = 0.003 * 115, naive = 0.1 + 0.2, cached = 0.001 * 115;
  const double packed = 0.03 * (1 + 4 + 10);  // N=100 shares the timing of N=4
  CHECK(plan.round_s == Approx(shared_users + shared_candidates + naive + cached + packed));
}

TEST_CASE("what runs in another scheme's memory runs where that one does and checks nothing of its own", "[plan]") {
  Costs c = costs();
  for (std::size_t i = 0; i < 3; ++i) {
    SchemeCost with = c.schemes[i];
    with.id.with_head = true;
    with.runs_on = i;
    with.unit *= 4;
    with.bytes = [](std::int64_t) { return 0.0; };
    c.schemes.push_back(with);
  }
  const Plan plan = plan_of(config_with({1, 5, 10}, 12, 2300), c);
  CHECK(find(plan, "copies", 1).status == Status::skipped);
  CHECK(find(plan, "copies+head", 1).status == Status::skipped);
  CHECK(find(plan, "copies+head", 1).reason == find(plan, "copies", 1).reason);
  CHECK(find(plan, "shared+head", 10).status == Status::assembled);
  CHECK(find(plan, "naive", 5).status == Status::extrapolated);
  // Its own unit decides from where it is multiplied.
  CHECK(find(plan, "naive+head", 5).status == Status::measured);
  CHECK(find(plan, "naive+head", 10).measured_candidates == 8);
  CHECK(find(plan, "naive", 5).whole_s > 0);
  for (const PlannedPoint& point : plan.points) CHECK_FALSE((point.scheme.with_head && point.whole_s > 0));
  CHECK(plan.memory_bytes == plan_of(config_with({1, 5, 10}, 12, 2300), costs()).memory_bytes);
}

TEST_CASE("the cases of a grid share the budget and, as far as it goes, the memory", "[plan]") {
  std::vector<Costs> cases(3, costs());
  for (std::size_t i = 0; i < cases.size(); ++i) {
    cases[i].history_length = 100;
    cases[i].layers = static_cast<std::int64_t>(i) + 1;
  }
  const Plan alone = plan_of(config_with({1, 5, 10}, 1000, 1 << 20), costs());
  const Plan together = build_plan(config_with({1, 5, 10}, 1000, 1 << 20), cases, 0.5);
  REQUIRE(together.cases.size() == 3);
  CHECK(together.points.size() == 3 * alone.points.size());
  CHECK(together.setup_s == Approx(0.5 + 3 * alone.setup_s));
  CHECK(together.round_s == Approx(3 * alone.round_s));
  CHECK(together.batches == 1);
  CHECK(together.memory_bytes == 3 * alone.memory_bytes);
  CHECK(together.cases[2].layers == 3);
  CHECK(together.points.back().case_index == 2);
  // What one case has time to run whole, three have not.
  const double round_s = plan_of(config_with({1, 5, 10}, 30, 1 << 20), costs()).round_s;
  const double between = alone.setup_s + 1.5 * static_cast<double>(kWantedRounds) * round_s + 1;
  CHECK(find(plan_of(config_with({1, 5, 10}, between, 0), costs()), "shared", 10).status == Status::measured);
  CHECK(find(build_plan(config_with({1, 5, 10}, between, 0), cases, 0), "shared", 10).status == Status::assembled);

  // Two fit together, three do not.
  const Plan parts = build_plan(config_with({1, 5, 10}, 1000, 2 * alone.memory_bytes + 10), cases, 0);
  CHECK(parts.batches == 2);
  CHECK(parts.cases[0].batch == 0);
  CHECK(parts.cases[1].batch == 0);
  CHECK(parts.cases[2].batch == 1);
  CHECK(parts.memory_bytes == 2 * alone.memory_bytes);
}

TEST_CASE("shards are dealt by work, cover the grid and do not overlap", "[plan]") {
  const std::vector<double> work = {1, 8, 2, 7, 3, 6, 4, 5, 0, 0};
  for (std::int64_t count = 1; count <= 10; ++count) {
    std::vector<std::size_t> all;
    double most = 0, least = 1e9;
    for (std::int64_t index = 1; index <= count; ++index) {
      const std::vector<std::size_t> mine = deal(work, index, count);
      CHECK_FALSE(mine.empty());
      CHECK(std::is_sorted(mine.begin(), mine.end()));
      double sum = 0;
      for (const std::size_t i : mine) sum += work[i];
      most = std::max(most, sum);
      least = std::min(least, sum);
      all.insert(all.end(), mine.begin(), mine.end());
    }
    std::sort(all.begin(), all.end());
    REQUIRE(all.size() == work.size());
    for (std::size_t i = 0; i < all.size(); ++i) CHECK(all[i] == i);
    if (count <= 4) CHECK(most - least <= 2);  // 36 in parts of 9
  }
}
