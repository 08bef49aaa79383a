#include "analysis/service_model.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "analysis/fit.h"
#include "analysis/predict.h"
#include "analysis/queueing.h"
#include "catch.h"
#include "engine/builtin/schemes/pass_counts.h"
#include "kvcast/cost_model.h"
#include "planted.h"
#include "statistics/statistics.h"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace kvcast::analysis {
namespace {

using testing::make_samples;

constexpr double kNaive = 0.004;

std::vector<Sample> affine_samples(const testing::Noise& noise) {
  // a + b is well above c, so that the affine form is preferred.
  return make_samples(
      {1, 5, 10, 50, 100}, 12, kNaive, [](double n) { return 0.0052 + 0.00004 * n; }, noise);
}

}  // namespace

namespace {

/// A surface with every term that a scoring pass can have.
Surface surface_of(std::optional<double> cache_bytes) {
  Surface surface;
  surface.cache_bytes = cache_bytes;
  surface.shapes = 4;
  surface.max_candidates = 100;
  surface.terms = {{kNaivePass, kDenseTerm, "FLOP", 3e-12, 1},   {kPrefillPass, kDenseTerm, "FLOP", 3e-12, 1},
                   {kScoringPass, kDenseTerm, "FLOP", 3e-12, 1}, {kScoringPass, kWeightsTerm, "B", 2e-11, 1},
                   {kScoringPass, kKvTerm, "B", 6e-11, 1},       {kScoringPass, kBeyondCacheTerm, "B", 4e-11, 1},
                   {kScoringPass, kPassTerm, "1", 1e-4, 1}};
  return surface;
}

ServiceFit by_surface(const Surface& surface, const SchemePasses& scheme) {
  SurfaceFamily family;
  family.shape.dim = 64;
  family.shape.heads = family.shape.kv_heads = 2;
  family.naive = naive_passes(196608, {512, 2, true});
  family.scheme = scheme;
  return service_of_surface(surface, family, 100, 3, {1}, {1});
}

/// What candidates take without the line that was found for them.
double unlined(const Surface& surface, const SchemePasses& scheme, std::int64_t n) {
  WorkShape shape;
  shape.dim = 64;
  shape.heads = shape.kv_heads = 2;
  shape.history_length = 100;
  shape.layers = 3;
  return surface_seconds(surface, kScoringPass, scheme.candidates(shape, n));
}

}  // namespace

TEST_CASE("a surface at one shape is a line and a cost per block", "[sizing]") {
  for (const auto& cache : {std::optional<double>(), std::optional<double>(65536)}) {
    const Surface surface = surface_of(cache);
    for (const auto& scheme : {sharing_passes("shared", 196608, 16), sharing_passes("shared-copy", 196608, 16, true),
                               packed_passes("packed", 196608, 0), packed_passes("packed-1", 196608, 1),
                               packed_passes("packed-8", 196608, 8)}) {
      INFO(scheme.name << (cache ? ", cache" : ""));
      const ServiceModel service = by_surface(surface, scheme).service;
      REQUIRE(service.candidate_s);
      for (const std::int64_t n : {1, 7, 8, 9, 16, 17, 31, 33, 1000, 123456789}) {
        const double walks = std::ceil(static_cast<double>(n) / static_cast<double>(service.block));
        const double line = *service.candidate_s * static_cast<double>(n) + service.block_s * walks;
        CHECK(service.candidates_s(n) == line);
        CHECK_THAT(line, WithinRel(unlined(surface, scheme, n), 1e-9));
      }
    }
  }
}

TEST_CASE("copies that leave the cache within a block are no line", "[sizing]") {
  // One copy and the weights are within, sixteen are not.
  const SchemePasses copies = sharing_passes("shared-copy", 196608, 16, true);
  const Surface surface = surface_of(2e6);
  const ServiceModel service = by_surface(surface, copies).service;
  CHECK_FALSE(service.candidate_s);
  CHECK(service.candidates_s(9) == unlined(surface, copies, 9));
}

TEST_CASE("the model of a fit is what was measured, and its preferred form beyond", "[sizing]") {
  testing::Noise noise;
  noise.point = 0.004;
  const auto samples = affine_samples(noise);
  const Fit fit = fit_scheme(analysis::tabulate(samples), "shared", 0.005);
  REQUIRE(fit.preferred == "affine");
  const auto model = service_of_fit(analysis::tabulate(samples), fit);
  REQUIRE(model);
  CHECK_THAT(model->service.prefill_s, WithinRel(0.0052, 0.02));
  CHECK_THAT(model->service.seconds(100), WithinRel(0.0092, 0.02));
  CHECK_THAT(model->naive_s(10), WithinRel(10 * kNaive, 0.02));
  CHECK_THAT(model->speedup(10), WithinRel(10 * kNaive / 0.0056, 0.02));
  CHECK(model->limit == fit.asymptote);
  CHECK_THAT(*model->limit, WithinRel(100, 0.05));
  CHECK(model->known_to == 400);
  CHECK(service_of_fit(analysis::tabulate(samples), fit, true)->known_to == kMaxCandidates);
  for (const ObservedSpeedup& one : fit.observed) CHECK(model->speedup(one.candidates) == one.speedup.value);
  CHECK(model->min_measured == 1);
  CHECK(model->max_measured == 100);
  CHECK(model->measured == std::vector<std::int64_t>{1, 5, 10, 50, 100});
  CHECK(model->inputs.size() == 3);
}

TEST_CASE("residuals are every timing over the model", "[sizing]") {
  testing::Noise noise;
  noise.point = 0.02;
  noise.outliers = 0.05;
  const auto samples = affine_samples(noise);
  const auto model =
      service_of_fit(analysis::tabulate(samples), fit_scheme(analysis::tabulate(samples), "shared", 0.005));
  REQUIRE(model);
  const auto& residuals = model->service.residuals;
  CHECK(residuals.size() == 60);
  CHECK(model->naive_residuals.size() == 60);
  CHECK(std::is_sorted(residuals.begin(), residuals.end()));
  CHECK_THAT(median(residuals), WithinAbs(1, 0.02));
  // Outliers that the fit ignores are the tail.
  CHECK(residuals.back() > 2);
}

TEST_CASE("a timing beside a slow canary counts in the tail", "[sizing]") {
  testing::Noise noise;
  noise.point = 0.004;
  auto samples = affine_samples(noise);
  for (Sample& sample : samples) {
    if (sample.scheme != "shared" || sample.round != 3 || sample.candidates != 10) continue;
    sample.measured_seconds *= 5;
    sample.canary_ratio = 0.3;
  }
  const auto model =
      service_of_fit(analysis::tabulate(samples), fit_scheme(analysis::tabulate(samples), "shared", 0.005));
  CHECK_THAT(model->service.residuals.back(), WithinRel(5, 0.05));
}

TEST_CASE("the time is that of the scheme's own timings, not of ratios over naive", "[sizing]") {
  // Naive takes a fifth more at N = 1, as where it stacks candidates; the scheme's time stays a line.
  auto samples = affine_samples({});
  for (Sample& sample : samples) {
    if (sample.scheme == "naive" && sample.candidates == 1) sample.measured_seconds *= 1.2;
  }
  const auto model =
      service_of_fit(analysis::tabulate(samples), fit_scheme(analysis::tabulate(samples), "shared", 0.005));
  for (const std::int64_t n : {1, 5, 10, 50, 100}) {
    CHECK_THAT(model->service.seconds(n), WithinRel(0.0052 + 0.00004 * static_cast<double>(n), 1e-6));
  }
  for (const double residual : model->service.residuals) CHECK_THAT(residual, WithinAbs(1, 1e-6));
}

TEST_CASE("a measured N has its own interval, others do not narrow with N, and too few N have none", "[sizing]") {
  testing::Noise noise;
  noise.point = 0.02;
  const auto samples = affine_samples(noise);
  const Fit fit = fit_scheme(analysis::tabulate(samples), "shared", 0.005);
  const auto model = service_of_fit(analysis::tabulate(samples), fit, true);
  const Steps& half = model->service.half;
  REQUIRE(half);
  double before = 0;
  for (const std::int64_t n : {2, 4, 9, 11, 49, 51, 70, 101, 1000, 100000, 100000000}) {
    CHECK(half(n) >= before);
    before = half(n);
  }
  for (const std::int64_t n : {5, 10, 50, 100}) {
    CHECK(half(n) > 0);
    CHECK(half(n) != half(n - 1));
  }
  CHECK(before > half(101));  // far out less is known
  // Of the speed-up it is that of the prediction, at any N.
  for (const std::int64_t n : {1, 7, 100, 300}) {
    const auto predicted = predict(analysis::tabulate(samples), fit, {n}).front().speedup;
    REQUIRE(predicted->ci95);
    CHECK(model->speedup_interval(n)->lo == predicted->ci95->lo);
    CHECK(model->speedup_interval(n)->hi == predicted->ci95->hi);
    CHECK(model->speedup(n) == predicted->value);
  }
  for (const std::vector<std::int64_t>& counts : {std::vector<std::int64_t>{50}, {1, 20, 50}}) {
    const auto few = make_samples(
        counts, 5, kNaive, [](double n) { return 0.0052 + 0.00004 * n; }, noise);
    const auto fitted = service_of_fit(analysis::tabulate(few), fit_scheme(analysis::tabulate(few), "shared", 0.005));
    CHECK_FALSE(fitted->service.half);
    CHECK_THAT(fitted->service.seconds(50), WithinRel(0.0072, 0.03));
  }
}

TEST_CASE("a cliff is sized by what was measured", "[sizing]") {
  // 5 to 8 ms up to N=100, 310 ms from N=200 on: no line comes near both.
  const auto cliff = [](double n) { return n <= 100 ? 0.005 + 0.00003 * n : 0.31 + 0.00001 * n; };
  testing::Noise noise;
  noise.point = 0.01;
  const auto samples = make_samples({1, 5, 10, 50, 100, 200, 400}, 5, 0.004, cliff, noise);
  const auto model =
      service_of_fit(analysis::tabulate(samples), fit_scheme(analysis::tabulate(samples), "shared", 0.005), true);
  REQUIRE(model);
  CHECK(model->known_to == 400);
  for (const std::int64_t n : {1, 10, 50, 100, 200, 400}) {
    CHECK_THAT(model->service.seconds(n), WithinRel(cliff(static_cast<double>(n)), 0.02));
  }
  for (const double residual : model->service.residuals) CHECK_THAT(residual, WithinAbs(1, 0.1));
  SizingProblem problem;
  problem.service = model->service;
  problem.naive_s = model->naive_s;
  problem.speedup = model->speedup;
  problem.known_to = model->known_to;
  problem.p99_s = 0.020;
  const Solution solution = solve(problem);
  CHECK(solution.feasible);
  CHECK(solution.expected >= 100);
  CHECK(solution.expected < 200);
  CHECK(solution.conservative == 100);
  problem.p99_s = 1;
  CHECK(solve(problem).expected == 400);
}

TEST_CASE("rounds that differ widen the interval of the time, where the line fits exactly", "[sizing]") {
  auto samples = affine_samples({});
  for (Sample& sample : samples) {
    if (sample.scheme == "shared") sample.measured_seconds *= 1 + 0.1 * static_cast<double>(sample.round % 2);
  }
  const auto model =
      service_of_fit(analysis::tabulate(samples), fit_scheme(analysis::tabulate(samples), "shared", 0.005));
  REQUIRE(model);
  REQUIRE(model->service.half);
  CHECK(model->service.half(10) > 0.01);
  // Naive has residuals of its own.
  CHECK_THAT(model->naive_residuals.back(), WithinAbs(1, 1e-6));
  CHECK(model->service.residuals.back() > 1.03);
  const auto slope = std::find_if(model->inputs.begin(), model->inputs.end(),
                                  [](const ScalableInput& input) { return input.shown.name == "candidate_s"; });
  REQUIRE(slope != model->inputs.end());
  REQUIRE(slope->shown.ci95);
  CHECK(slope->shown.ci95->lo <= slope->shown.value);
  CHECK(slope->shown.value <= slope->shown.ci95->hi);
  CHECK(slope->shown.ci95->lo < slope->shown.ci95->hi);
}

TEST_CASE("the interval of the time holds that of another run", "[sizing]") {
  // 95% is asked for; of the runs that are drawn, with a state of their own each, most must lie within.
  testing::Noise noise;
  noise.point = 0.02;
  noise.round = 0.01;
  noise.between = 0.1;
  int within = 0, runs = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const auto time = [](double n) { return 0.0052 + 0.00004 * n; };
    const auto samples = make_samples({1, 5, 10, 50, 100}, 12, kNaive, time, noise, seed);
    const auto model =
        service_of_fit(analysis::tabulate(samples), fit_scheme(analysis::tabulate(samples), "shared", 0.005));
    if (!model->service.half) continue;
    for (const std::int64_t n : {20, 80}) {
      ++runs;
      const double off = std::log(model->service.seconds(n) / time(static_cast<double>(n)));
      within += std::abs(off) <= model->service.half(n) ? 1 : 0;
    }
  }
  CHECK(runs > 100);
  CHECK(within >= runs * 9 / 10);
}

TEST_CASE("r alone gives the law, in naive candidates or in seconds", "[sizing]") {
  const ServiceFit fit = service_of_r(0.15, std::nullopt, 1);
  for (const std::int64_t n : {1, 5, 50, 1000}) {
    CHECK_THAT(fit.naive_s(n) / fit.service.seconds(n), WithinRel(speedup(static_cast<double>(n), 0.15), 1e-12));
  }
  CHECK_THAT(*fit.limit, WithinRel(1 / 0.15, 1e-12));
  CHECK(fit.inputs.size() == 1);
  CHECK(fit.service.residuals == std::vector<double>{1});
  const ServiceFit timed = service_of_r(0.15, 0.003, 1);
  CHECK_THAT(timed.service.seconds(5), WithinRel(0.003 * 1.6, 1e-12));
  CHECK(timed.inputs.size() == 2);
  CHECK_FALSE(service_of_r(0, std::nullopt, 1).limit);
}

TEST_CASE("a tail is the P99 over the mean of a lognormal", "[sizing]") {
  for (const double tail : {1.05, 1.3, 3.0}) {
    const ServiceFit fit = service_of_r(0.1, 0.003, tail);
    CHECK_THAT(mean(fit.service.residuals), WithinRel(1, 1e-9));
    CHECK_THAT(quantile_of({}, {1, &fit.service.residuals}, 0.99), WithinRel(tail, 0.02));
  }
}

TEST_CASE("inputs scale what they name", "[sizing]") {
  const ServiceFit fit = service_of_r(0.1, 0.003, 1);
  SizingProblem problem;
  problem.service = fit.service;
  problem.naive_s = fit.naive_s;
  problem.speedup = fit.speedup;
  const double one = problem.service.seconds(1), many = problem.service.seconds(1000);
  fit.inputs[0].scale(problem, 1.1);  // r: one candidate stays what it is
  CHECK_THAT(problem.service.seconds(1), WithinRel(one, 1e-12));
  CHECK_THAT(problem.service.seconds(1000), WithinRel(0.003 * (1 + 999 * 0.11), 1e-12));
  CHECK_THAT(problem.speedup(1000), WithinRel(speedup(1000, 0.11), 1e-12));
  problem.service = fit.service;
  fit.inputs[1].scale(problem, 2);  // naive's time: all of it
  CHECK_THAT(problem.service.seconds(1000), WithinRel(2 * many, 1e-12));
  CHECK_THAT(problem.naive_s(10), WithinRel(0.06, 1e-12));
  scale_times(problem, 3, 1, 1);
  CHECK_THAT(problem.service.prefill_s, WithinRel(6 * fit.service.prefill_s, 1e-12));
  // No candidate costs more than one with its own history.
  const ServiceFit dear = service_of_r(0.95, std::nullopt, 1);
  problem.service = dear.service;
  problem.naive_s = dear.naive_s;
  problem.speedup = dear.speedup;
  dear.inputs[0].scale(problem, 1.1);
  CHECK_THAT(problem.speedup(1000), WithinRel(1, 1e-9));
}

}  // namespace kvcast::analysis
