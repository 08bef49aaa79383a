#include "analysis/reshape.h"

#include <cmath>
#include <cstdint>

#include "catch.h"

using Catch::Matchers::WithinRel;

namespace kvcast::analysis {
namespace {

/// 10 ms a history and `candidate_s` a candidate, naive 5 ms a candidate.
ServiceFit line(double prefill_s, double candidate_s) {
  ServiceFit fit;
  set_line(fit.service, prefill_s, candidate_s);
  fit.naive_s = per_candidate(0.005);
  fit.speedup = [service = fit.service, naive = fit.naive_s](std::int64_t n) { return naive(n) / service.seconds(n); };
  return fit;
}

SizingProblem problem_of(const ServiceFit& fit) {
  SizingProblem problem;
  problem.service = fit.service;
  problem.naive_s = fit.naive_s;
  problem.speedup = fit.speedup;
  problem.p99_s = 0.1;
  return problem;
}

TEST_CASE("another shape differs from the sized one by what a model of both says", "[sizing]") {
  SizingProblem own = problem_of(line(0.010, 0.001));
  own.service.residuals = {0.9, 1.1};
  own.service.half = Steps{{10, 100}, {0.3, 0.4}};
  own.speedup = [](std::int64_t) { return 3.0; };
  // The model is off by a factor of two at the sized shape; at the other its times are three times as long.
  const ServiceFit here = line(0.020, 0.002);
  ServiceFit there = line(0.060, 0.006);
  there.service.half = Steps{{1}, {0.4}};
  const SizingProblem other = anchored(own, here, there, 40);
  CHECK_THAT(other.service.seconds(40), WithinRel(3 * own.service.seconds(40), 1e-12));
  CHECK_THAT(other.service.seconds(7), WithinRel(0.5 * there.service.seconds(7), 1e-12));
  CHECK_THAT(other.naive_s(40), WithinRel(0.2, 1e-12));
  // A third of the speed-up that was sized by, whatever times alone would give.
  CHECK_THAT(other.speedup(40), WithinRel(1.0, 1e-12));
  CHECK(other.service.residuals == own.service.residuals);
  CHECK(other.p99_s == own.p99_s);
  REQUIRE(other.service.half);
  CHECK_THAT(other.service.half(10), WithinRel(0.5, 1e-12));
  CHECK_THAT(other.service.half(11), WithinRel(std::hypot(0.4, 0.4), 1e-12));
  REQUIRE(other.service.candidate_s);  // still a line, which others can compute with
  CHECK_THAT(*other.service.candidate_s, WithinRel(0.003, 1e-12));
  // What is unknown of either is unknown of both.
  there.service.half = {};
  CHECK_FALSE(anchored(own, here, there, 40).service.half);
  there.service.half = Steps{{1}, {0.4}};
  own.service.half = {};
  CHECK_FALSE(anchored(own, here, there, 40).service.half);
}

TEST_CASE("between two shapes times lie on a straight line of their logs", "[sizing]") {
  SizingProblem a = problem_of(line(0.010, 0.001)), b = problem_of(line(0.040, 0.004));
  a.service.half = Steps{{1}, {0.1}};
  b.service.half = Steps{{1}, {0.2}};
  const SizingProblem middle = between(a, b, 0.5);
  CHECK_THAT(middle.service.seconds(30), WithinRel(2 * a.service.seconds(30), 1e-12));
  CHECK_THAT(middle.speedup(30), WithinRel(a.speedup(30) / 2, 1e-12));
  CHECK_THAT(middle.naive_s(30), WithinRel(a.naive_s(30), 1e-12));
  CHECK_THAT(middle.service.half(5), WithinRel(0.2, 1e-12));
  CHECK_THAT(between(a, b, 0).service.seconds(3), WithinRel(a.service.seconds(3), 1e-12));
  CHECK_THAT(between(a, b, 1).service.seconds(3), WithinRel(b.service.seconds(3), 1e-12));
  b.service.half = {};
  CHECK_FALSE(between(a, b, 0.5).service.half);
}

}  // namespace
}  // namespace kvcast::analysis
