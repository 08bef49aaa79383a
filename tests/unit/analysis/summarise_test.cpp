#include "analysis/summarise.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "analysis/fit.h"
#include "catch.h"
#include "rows.h"
#include "statistics/statistics.h"

namespace analysis = kvcast::analysis;
using Catch::Matchers::WithinRel;
using kvcast::Point;
using kvcast::Sample;
using kvcast::SchemePoint;
using kvcast::Status;
using kvcast::testing::row;

namespace {

kvcast::WorkShape small_shape() {
  kvcast::WorkShape shape;
  shape.history_length = 16;
  shape.dim = 8;
  shape.heads = shape.kv_heads = 2;
  shape.layers = 3;
  return shape;
}

/// A scheme that runs the history once and keeps one cache.
analysis::SchemeWork sharing_work(const std::string& scheme, const kvcast::WorkShape& shape) {
  return {scheme,
          [shape](std::int64_t n) { return history_flops(shape) + static_cast<double>(n) * candidate_flops(shape); },
          [shape](std::int64_t) { return kv_cache_bytes(shape); }};
}

analysis::SummaryContext context_with_work() {
  analysis::SummaryContext context;
  context.shape = small_shape();
  context.peak_gflops = 100.0;
  context.how_run = [](const std::string& scheme, std::int64_t) {
    return scheme == analysis::kBaseline ? kvcast::HowRun{kvcast::Execution::across, "2 stacked"} : kvcast::HowRun{};
  };
  context.work = {sharing_work("shared", small_shape()), sharing_work("shared-copy", small_shape())};
  context.work[1].kv_bytes = [](std::int64_t candidates) { return candidates * kvcast::kv_cache_bytes(small_shape()); };
  return context;
}

/// Three rounds at N = 10: naive scaled from 2 candidates, shared assembled. Round 1 is half as fast throughout.
std::vector<Sample> three_rounds() {
  std::vector<Sample> samples;
  const std::vector<double> slowness = {1.0, 2.0, 1.1}, naive_s = {0.20, 0.20, 0.22};
  for (std::int64_t round = 0; round < 3; ++round) {
    const double slow = slowness[std::size_t(round)];
    Sample naive = row("naive", 10, round, Status::extrapolated, naive_s[std::size_t(round)] * slow);
    naive.measured_candidates = 2;
    samples.push_back(naive);
    Sample shared = row("shared", 10, round, Status::assembled, 0.25 * slow);
    shared.prefill_s = 0.15 * slow;
    shared.scoring_s = 0.10 * slow;
    samples.push_back(shared);
  }
  return samples;
}

const SchemePoint& only(const std::vector<Point>& points, std::size_t scheme) {
  return points.at(0).schemes.at(scheme);
}

}  // namespace

TEST_CASE("times and rates of a point", "[analysis][summarise]") {
  const auto points =
      analysis::summarise(analysis::tabulate(three_rounds()), {10}, {"naive", "shared"}, context_with_work());
  REQUIRE(points.size() == 1);
  CHECK(points[0].candidates == 10);
  REQUIRE(points[0].schemes.size() == 2);

  const SchemePoint& naive = only(points, 0);
  CHECK(naive.scheme == "naive");
  CHECK(naive.status == Status::extrapolated);
  CHECK(naive.execution == kvcast::Execution::across);
  CHECK(naive.detail == "2 stacked");
  CHECK_FALSE(naive.reason);
  REQUIRE(naive.seconds);
  CHECK_THAT(naive.seconds->median, WithinRel(1.21, 1e-12));  // of 1.0, 2.0, 1.21
  CHECK(naive.seconds->samples == 3);
  const auto interval = kvcast::ratio_of_run({1.0, 2.0, 1.21}).ci95;
  REQUIRE(naive.seconds->ci95);
  CHECK_THAT(naive.seconds->ci95->lo, WithinRel(interval->lo, 1e-12));
  CHECK_THAT(naive.seconds->ci95->hi, WithinRel(interval->hi, 1e-12));
  CHECK(naive.measured_candidates == 2);
  CHECK_FALSE(naive.prefill_s);
  CHECK_FALSE(naive.scoring_s);
  CHECK_FALSE(naive.speedup);
  CHECK_FALSE(naive.improvement);
  CHECK_FALSE(naive.predicted_speedup);

  const SchemePoint& shared = only(points, 1);
  CHECK(shared.status == Status::assembled);
  CHECK(shared.execution == kvcast::Execution::unknown);
  CHECK_THAT(shared.seconds->median, WithinRel(0.275, 1e-12));
  CHECK_THAT(shared.prefill_s.value(), WithinRel(0.165, 1e-12));
  CHECK_THAT(shared.scoring_s.value(), WithinRel(0.11, 1e-12));
  CHECK_THAT(shared.requests_per_s.value(), WithinRel(1 / 0.275, 1e-12));
  CHECK_THAT(shared.candidates_per_s.value(), WithinRel(10 / 0.275, 1e-12));
}

TEST_CASE("the speed-up pairs rounds, so a slow round cancels", "[analysis][summarise]") {
  const auto points =
      analysis::summarise(analysis::tabulate(three_rounds()), {10}, {"naive", "shared"}, context_with_work());
  const SchemePoint& shared = only(points, 1);
  REQUIRE(shared.speedup);
  const std::vector<double> ratios = {4.0, 4.0, 4.4};  // the medians' ratio would be 4.4
  CHECK_THAT(shared.speedup->value, WithinRel(std::cbrt(4.0 * 4.0 * 4.4), 1e-12));
  const auto interval = kvcast::ratio_of_run(ratios).ci95;
  REQUIRE(shared.speedup->ci95);
  CHECK_THAT(shared.speedup->ci95->lo, WithinRel(interval->lo, 1e-12));
  CHECK_THAT(shared.speedup->ci95->hi, WithinRel(interval->hi, 1e-12));
  CHECK_THAT(shared.improvement.value(), WithinRel(1 - 1 / shared.speedup->value, 1e-12));
}

TEST_CASE("slow canaries leave the speed-up but not the seconds", "[analysis][summarise]") {
  std::vector<Sample> samples;
  for (std::int64_t round = 0; round < 4; ++round) {
    samples.push_back(row("naive", 10, round, Status::measured, 1.0));
    samples.push_back(row("shared", 10, round, Status::measured, 0.25));
  }
  samples[5].measured_seconds = 0.75;
  samples[5].canary_ratio = 0.4;
  const auto points = analysis::summarise(analysis::tabulate(samples), {10}, {"naive", "shared"}, {});
  CHECK_THAT(only(points, 1).speedup->value, WithinRel(4.0, 1e-12));
  CHECK(only(points, 1).seconds->samples == 4);
  CHECK(only(points, 1).seconds->ci95->hi > 0.3);
}

TEST_CASE("work and memory belong to the scheme", "[analysis][summarise]") {
  const kvcast::WorkShape shape = small_shape();
  auto samples = three_rounds();
  samples.push_back(row("shared-copy", 10, 0, Status::measured, 0.4));
  const auto points = analysis::summarise(analysis::tabulate(samples), {10},
                                          {"naive", "shared", "shared-copy", "packed"}, context_with_work());
  const SchemePoint &naive = only(points, 0), &shared = only(points, 1), &copy = only(points, 2);
  CHECK(naive.flops == 10 * kvcast::naive_flops(shape));
  CHECK(naive.kv_bytes == kvcast::naive_kv_bytes(shape));
  CHECK(shared.flops == kvcast::history_flops(shape) + 10 * kvcast::candidate_flops(shape));
  CHECK(shared.kv_bytes == kvcast::kv_cache_bytes(shape));
  CHECK(copy.flops == shared.flops);
  CHECK(copy.kv_bytes == 10 * kvcast::kv_cache_bytes(shape));
  CHECK_FALSE(only(points, 3).flops);  // nobody said what it does
  CHECK_FALSE(only(points, 3).kv_bytes);

  const double gflops = *shared.flops / 0.275 / 1e9;
  CHECK_THAT(shared.gflops_per_s.value(), WithinRel(gflops, 1e-12));
  CHECK_THAT(shared.peak_fraction.value(), WithinRel(gflops / 100, 1e-12));
  CHECK_THAT(shared.time_over_minimum.value(), WithinRel(100 / gflops, 1e-12));
}

TEST_CASE("what is unknown stays unknown", "[analysis][summarise]") {
  const auto points = analysis::summarise(analysis::tabulate(three_rounds()), {10}, {"naive", "shared"}, {});
  for (const SchemePoint& point : points.at(0).schemes) {
    CAPTURE(point.scheme);
    CHECK(point.seconds);
    CHECK(point.requests_per_s);
    CHECK(point.execution == kvcast::Execution::unknown);
    CHECK_FALSE(point.flops);
    CHECK_FALSE(point.gflops_per_s);
    CHECK_FALSE(point.peak_fraction);
    CHECK_FALSE(point.time_over_minimum);
    CHECK_FALSE(point.kv_bytes);
  }
  analysis::SummaryContext no_peak = context_with_work();
  no_peak.peak_gflops.reset();
  const auto without_peak = analysis::summarise(analysis::tabulate(three_rounds()), {10}, {"naive", "shared"}, no_peak);
  CHECK(only(without_peak, 1).gflops_per_s);
  CHECK_FALSE(only(without_peak, 1).peak_fraction);
  CHECK_FALSE(only(without_peak, 1).time_over_minimum);
}

TEST_CASE("a point shows the fewest candidates any of its rounds timed", "[analysis][summarise]") {
  auto samples = three_rounds();
  samples[2].measured_candidates = 1;
  CHECK(only(analysis::summarise(analysis::tabulate(samples), {10}, {"naive"}, {}), 0).measured_candidates == 1);
}

TEST_CASE("one round gives values without intervals", "[analysis][summarise]") {
  auto samples = three_rounds();
  samples.resize(2);
  const auto points = analysis::summarise(analysis::tabulate(samples), {10}, {"naive", "shared"}, {});
  CHECK(only(points, 1).seconds->samples == 1);
  CHECK_FALSE(only(points, 1).seconds->ci95);
  CHECK(only(points, 1).speedup);
  CHECK_FALSE(only(points, 1).speedup->ci95);
}

TEST_CASE("points that did not run say why", "[analysis][summarise]") {
  auto context = context_with_work();
  context.skipped = {{"shared-copy", 1000, "needs 307.2 GB"}, {"shared", 10, "unused: it ran"}};
  const auto points =
      analysis::summarise(analysis::tabulate(three_rounds()), {10, 1000}, {"naive", "shared", "shared-copy"}, context);
  REQUIRE(points.size() == 2);
  CHECK(points[1].candidates == 1000);
  const SchemePoint& copy = points[1].schemes.at(2);
  CHECK(copy.status == Status::skipped);
  CHECK(copy.reason == "needs 307.2 GB");
  CHECK(copy.kv_bytes == 1000 * kvcast::kv_cache_bytes(small_shape()));
  CHECK_FALSE(copy.seconds);
  CHECK_FALSE(copy.requests_per_s);
  CHECK_FALSE(copy.gflops_per_s);
  CHECK_FALSE(copy.speedup);
  CHECK_FALSE(copy.measured_candidates);
  CHECK(points[1].schemes.at(0).reason == "not measured");
  CHECK(points[0].schemes.at(1).status == Status::assembled);
  CHECK_FALSE(points[0].schemes.at(1).reason);

  for (const Point& point : analysis::summarise({}, {1, 10}, {"naive", "shared"}, {})) {
    for (const SchemePoint& scheme : point.schemes) CHECK(scheme.status == Status::skipped);
  }
}

TEST_CASE("without naive there is a time but no speed-up", "[analysis][summarise]") {
  std::vector<Sample> samples = three_rounds();
  samples.erase(std::remove_if(samples.begin(), samples.end(), [](const Sample& s) { return s.scheme == "naive"; }),
                samples.end());
  const auto points = analysis::summarise(analysis::tabulate(samples), {10}, {"naive", "shared"}, {});
  CHECK(only(points, 0).status == Status::skipped);
  CHECK(only(points, 1).seconds);
  CHECK_FALSE(only(points, 1).speedup);
  CHECK_FALSE(only(points, 1).improvement);
}

TEST_CASE("whole runs make the point only when every round has one", "[analysis][summarise]") {
  const auto with_whole_rounds = [](std::int64_t whole_rounds, Status other) {
    std::vector<Sample> samples;
    for (std::int64_t round = 0; round < 3; ++round) {
      samples.push_back(row("naive", 10, round, Status::measured, 1.0));
      samples.push_back(row("shared", 10, round, other, 0.25));
      if (round < whole_rounds) samples.push_back(row("shared", 10, round, Status::measured, 0.5));
    }
    return only(analysis::summarise(analysis::tabulate(samples), {10}, {"naive", "shared"}, {}), 1);
  };
  const SchemePoint checked = with_whole_rounds(2, Status::assembled);
  CHECK(checked.status == Status::assembled);
  CHECK(checked.seconds->median == 0.25);
  CHECK(checked.seconds->samples == 3);
  CHECK_THAT(checked.speedup->value, WithinRel(4.0, 1e-12));
  CHECK(with_whole_rounds(2, Status::extrapolated).status == Status::extrapolated);
  const SchemePoint whole = with_whole_rounds(3, Status::assembled);
  CHECK(whole.status == Status::measured);
  CHECK(whole.seconds->median == 0.5);
  CHECK_THAT(whole.speedup->value, WithinRel(2.0, 1e-12));
}

TEST_CASE("predicted speed-ups come from the fit without that N", "[analysis][summarise]") {
  std::vector<Sample> samples;
  for (std::int64_t round = 0; round < 3; ++round) {
    for (const std::int64_t count : {5, 50, 100}) {
      const auto n = static_cast<double>(count);
      samples.push_back(row("naive", count, round, Status::measured, n));
      samples.push_back(row("shared", count, round, Status::measured, 1 + (n - 1) * 0.1 + 0.01 * double(round)));
    }
  }
  const auto predictions = analysis::loo_predictions(analysis::tabulate(samples), "shared");
  const auto points = analysis::summarise(analysis::tabulate(samples), {5, 50, 100, 1000}, {"naive", "shared"}, {});
  for (const Point& point : points) {
    CAPTURE(point.candidates);
    CHECK_FALSE(point.schemes[0].predicted_speedup);
    if (point.candidates == 1000) {
      CHECK_FALSE(point.schemes[1].predicted_speedup);
    } else {
      CHECK(point.schemes[1].predicted_speedup == predictions.at(point.candidates));
    }
  }
}

TEST_CASE("points keep the order asked for and ignore the order of samples", "[analysis][summarise]") {
  auto samples = three_rounds();
  const auto forward = analysis::summarise(analysis::tabulate(samples), {10}, {"shared", "naive"}, context_with_work());
  CHECK(only(forward, 0).scheme == "shared");
  CHECK(only(forward, 1).scheme == "naive");
  std::reverse(samples.begin(), samples.end());
  const auto backward =
      analysis::summarise(analysis::tabulate(samples), {10}, {"shared", "naive"}, context_with_work());
  CHECK(only(backward, 0).speedup->value == only(forward, 0).speedup->value);
  CHECK(only(backward, 0).speedup->ci95->lo == only(forward, 0).speedup->ci95->lo);
  CHECK(only(backward, 0).seconds->ci95->hi == only(forward, 0).seconds->ci95->hi);
}

TEST_CASE("a returning user is also set against shared, others are not", "[analysis][summarise]") {
  std::vector<Sample> samples;
  for (std::int64_t round = 0; round < 4; ++round) {
    const double slow = 1.0 + 0.5 * static_cast<double>(round % 2);  // both sides alike: ratios stay
    samples.push_back(row("naive", 10, round, Status::measured, 1.0 * slow));
    samples.push_back(row("shared", 10, round, Status::measured, 0.2 * slow));
    samples.push_back(row("cached", 10, round, Status::measured, 0.05 * slow));
  }
  analysis::SummaryContext context;
  context.returning = {"cached"};
  context.unfitted = {"cached"};
  const std::vector<Point> points =
      analysis::summarise(analysis::tabulate(samples), {10}, {"naive", "shared", "cached"}, context);
  const auto& schemes = points.at(0).schemes;
  CHECK_FALSE(schemes[0].gain_over_shared);
  CHECK_FALSE(schemes[1].gain_over_shared);
  REQUIRE(schemes[2].gain_over_shared);
  CHECK_THAT(schemes[2].gain_over_shared->value, WithinRel(4.0, 1e-12));
  CHECK(schemes[2].gain_over_shared->ci95);
  CHECK_THAT(schemes[2].speedup->value, WithinRel(20.0, 1e-12));
  CHECK_FALSE(schemes[2].predicted_speedup);
  // Without shared there is nothing to gain over.
  const auto alone =
      analysis::summarise(analysis::tabulate({samples[0], samples[2]}), {10}, {"naive", "cached"}, context);
  CHECK_FALSE(alone.at(0).schemes[1].gain_over_shared);
}
