#include "analysis/advice.h"

#include <cmath>
#include <limits>

#include "catch.h"
#include "kvcast/cost_model.h"

using Catch::Matchers::WithinAbs;

namespace kvcast::analysis {
namespace {

SizingProblem law(double r, std::int64_t known_to = kMaxCandidates) {
  SizingProblem problem;
  problem.speedup = [r](std::int64_t n) { return speedup(static_cast<double>(n), r); };
  problem.known_to = known_to;
  return problem;
}

}  // namespace

TEST_CASE("the bands of the design note have its words at its r", "[advice]") {
  const auto rows = advice(law(kDesignNoteR), 1 / kDesignNoteR);
  REQUIRE(rows.size() == 8);
  const char* const grades[] = {"none", "medium",           "strong",         "best",
                                "none", "medium to strong", "strong to best", "strong"};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    INFO(rows[i].situation);
    CHECK(rows[i].grade == grades[i]);
    // At its own r the two columns are the same.
    CHECK_THAT(rows[i].improvement->lo, WithinAbs(rows[i].design_note_improvement.lo, 1e-12));
    CHECK_THAT(rows[i].improvement->hi, WithinAbs(rows[i].design_note_improvement.hi, 1e-12));
  }
  CHECK_THAT(rows[1].improvement->lo, WithinAbs(0.68, 1e-12));
  CHECK_THAT(rows[1].improvement->hi, WithinAbs(0.765, 1e-12));
  CHECK_THAT(rows[3].improvement->hi, WithinAbs(0.85, 1e-12));
  CHECK_FALSE(rows[3].max_candidates);
}

TEST_CASE("a smaller r grades the same queues better", "[advice]") {
  const auto rows = advice(law(0.009), 1 / 0.009);
  CHECK(rows[1].grade == "medium to best");
  CHECK(rows[5].grade == "best");
  CHECK(advice(law(1), 1)[2].grade == "none");
  CHECK(grade(0.59) == "little");
  CHECK(grade(0.6) == "medium");
  CHECK(grade(0.8) == "strong");
  CHECK(grade(0.845) == "best");
}

TEST_CASE("beyond what is known there is no advice", "[advice]") {
  const auto rows = advice(law(kDesignNoteR, 100), std::nullopt);
  CHECK(rows[2].grade == "strong");          // 50 to 100
  for (const std::size_t beyond : {3, 6}) {  // 200+, and 50 to 200
    CHECK(rows[beyond].grade.empty());
    CHECK_FALSE(rows[beyond].improvement);
  }
  CHECK_FALSE(drop_target("x", 0.4, 0.068, law(0.009, 5), std::nullopt, Source::fitted).candidates);
}

TEST_CASE("LONGER's drop from 40% to 6.8% takes 9.137x", "[advice]") {
  const DropTarget seed = drop_target("LONGER", 0.4, 0.068, law(kDesignNoteR), std::nullopt, Source::assumed);
  CHECK_THAT(seed.speedup_needed, WithinAbs(9.137, 5e-4));
  CHECK_THAT(seed.end_to_end, WithinAbs(1.553, 5e-4));
  CHECK(seed.min_candidates == 10);
  CHECK_THAT(seed.largest_r, WithinAbs(0.1094, 5e-5));
  CHECK_FALSE(seed.candidates);
  CHECK_FALSE(seed.design_note_candidates);
  CHECK_FALSE(seed.reached);
  const DropTarget small = drop_target("LONGER", 0.4, 0.068, law(0.009), 50, Source::fitted);
  REQUIRE(small.candidates);
  CHECK(*small.candidates == candidates_for_speedup(small.speedup_needed, 0.009));
  CHECK(small.reached);
  CHECK_FALSE(drop_target("LONGER", 0.4, 0.068, law(0.009), *small.candidates - 1, Source::fitted).reached);
}

TEST_CASE("the N that a speed-up takes is the first that has it", "[advice]") {
  for (const double r : {0.0, 0.001, 0.01, 0.05, 0.1}) {
    for (const double needed : {1.0, 1.5, 3.125, 9.137}) {
      const auto n = candidates_for_speedup(needed, r);
      REQUIRE(n);
      INFO("r=" << r << " S=" << needed << " N=" << *n);
      CHECK(speedup(static_cast<double>(*n), r) >= needed * (1 - 1e-8));
      if (*n > 1) CHECK(speedup(static_cast<double>(*n - 1), r) < needed);
    }
  }
  CHECK(candidates_for_speedup(3.125, kDesignNoteR) == 5);
  CHECK_FALSE(candidates_for_speedup(6.7, kDesignNoteR));
}

TEST_CASE("the reach of a target is by r up to the design note's", "[advice]") {
  const auto rows = drop_reach(drop_target("x", 0.4, 0.068, law(kDesignNoteR), std::nullopt, Source::assumed));
  REQUIRE(rows.size() == 6);
  CHECK(rows.front().candidates == 10);
  CHECK(rows[4].candidates == 96);
  CHECK_FALSE(rows.back().candidates);
}

}  // namespace kvcast::analysis
