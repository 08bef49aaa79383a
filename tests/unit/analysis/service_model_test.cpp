#include "analysis/service_model.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "analysis/fit.h"
#include "analysis/queueing.h"
#include "analysis/statistics.h"
#include "catch.h"
#include "kvcast/cost_model.h"
#include "planted.h"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace kvcast::analysis {
namespace {

using testing::make_samples;

constexpr double kNaive = 0.004;

std::vector<Sample> affine_samples(const testing::Noise& noise) {
  // a + b is well above c, so that the affine form is preferred.
  return make_samples({1, 5, 10, 50, 100}, 12, kNaive, [](double n) { return 0.0052 + 0.00004 * n; }, noise);
}

}  // namespace

TEST_CASE("the model of a fit is its preferred form", "[sizing]") {
  testing::Noise noise;
  noise.point = 0.004;
  const auto samples = affine_samples(noise);
  const Fit fit = fit_scheme(samples, "shared", 0.005);
  REQUIRE(fit.preferred == "affine");
  const auto model = service_of_fit(samples, fit);
  REQUIRE(model);
  CHECK_THAT(model->service.user_s, WithinRel(0.0052, 0.02));
  CHECK_THAT(model->service.seconds(100), WithinRel(0.0092, 0.02));
  CHECK_THAT(model->naive_s(10), WithinRel(10 * kNaive, 0.02));
  CHECK_THAT(*model->limit, WithinRel(100, 0.05));
  CHECK(model->least_measured == 1);
  CHECK(model->most_measured == 100);
  CHECK(model->measured == std::vector<std::int64_t>{1, 5, 10, 50, 100});
  CHECK(model->inputs.size() == 3);
}

TEST_CASE("residuals are every timing over the model", "[sizing]") {
  testing::Noise noise;
  noise.point = 0.02;
  noise.outliers = 0.05;
  const auto samples = affine_samples(noise);
  const auto model = service_of_fit(samples, fit_scheme(samples, "shared", 0.005));
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
  const auto model = service_of_fit(samples, fit_scheme(samples, "shared", 0.005));
  CHECK_THAT(model->service.residuals.back(), WithinRel(5, 0.05));
}

TEST_CASE("the interval does not narrow with N, and a form of one N has none", "[sizing]") {
  testing::Noise noise;
  noise.point = 0.02;
  const auto samples = affine_samples(noise);
  const auto model = service_of_fit(samples, fit_scheme(samples, "shared", 0.005));
  REQUIRE(model->service.speedup_half);
  double before = 0;
  for (const std::int64_t n : {1, 2, 5, 9, 10, 11, 70, 100, 101, 1000, 100000, 100000000}) {
    const double half = model->service.speedup_half(n);
    CHECK(half >= before);
    before = half;
  }
  CHECK(before > model->service.speedup_half(100));  // far out less is known
  CHECK(model->service.time_half > 0);

  const auto single = make_samples({50}, 5, kNaive, [](double n) { return 0.0052 + 0.00004 * n; }, noise);
  CHECK_FALSE(service_of_fit(single, fit_scheme(single, "shared", 0.005))->service.speedup_half);
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
  const double one = problem.service.seconds(1), many = problem.service.seconds(1000);
  fit.inputs[0].scale(problem, 1.1);  // r: one candidate stays what it is
  CHECK_THAT(problem.service.seconds(1), WithinRel(one, 1e-12));
  CHECK_THAT(problem.service.seconds(1000), WithinRel(0.003 * (1 + 999 * 0.11), 1e-12));
  problem.service = fit.service;
  fit.inputs[1].scale(problem, 2);  // naive's time: all of it
  CHECK_THAT(problem.service.seconds(1000), WithinRel(2 * many, 1e-12));
  CHECK_THAT(problem.naive_s(10), WithinRel(0.06, 1e-12));
  scale_times(problem, 3, 1, 1);
  CHECK_THAT(problem.service.user_s, WithinRel(6 * fit.service.user_s, 1e-12));
}

}  // namespace kvcast::analysis
