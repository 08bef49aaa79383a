#include "analysis/predict.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "analysis/fit.h"
#include "analysis/statistics.h"
#include "catch.h"
#include "kvcast/cost_model.h"
#include "planted.h"

namespace analysis = kvcast::analysis;
using Catch::Matchers::WithinRel;
using kvcast::Fit;
using kvcast::Prediction;
using kvcast::Sample;
using kvcast::testing::make_samples;
using kvcast::testing::Noise;
using kvcast::testing::one_parameter;

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
const std::vector<std::int64_t> kCandidates = {1, 5, 10, 50, 100};

double affine_time(double n) { return 0.148 + 0.002 * n; }

Noise two_percent() {
  Noise noise;
  noise.round = noise.point = 0.02;
  return noise;
}

double log_width(const Prediction& prediction) {
  return std::log(prediction.speedup.ci95->hi / prediction.speedup.ci95->lo);
}

}  // namespace

TEST_CASE("exact data predict exactly, at any N, in seconds too", "[analysis][predict]") {
  const auto samples = make_samples(kCandidates, 3, 0.2, one_parameter(0.2, 0.05));
  const Fit fit = analysis::fit_scheme(samples, "shared", 0.01);
  const std::vector<std::int64_t> counts = {1000, 1, 100, 70, 2};
  const auto predictions = analysis::predict(samples, "shared", fit, counts);
  REQUIRE(predictions.size() == counts.size());
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto n = static_cast<double>(counts[i]);
    const Prediction& prediction = predictions[i];
    CAPTURE(n);
    CHECK(prediction.candidates == counts[i]);
    CHECK(prediction.by == "one-parameter");
    CHECK_THAT(prediction.speedup.value, WithinRel(kvcast::speedup(n, 0.05), 1e-9));
    REQUIRE(prediction.speedup.ci95);
    CHECK_THAT(prediction.speedup.ci95->lo, WithinRel(prediction.speedup.value, 1e-8));
    CHECK_THAT(prediction.speedup.ci95->hi, WithinRel(prediction.speedup.value, 1e-8));
    CHECK_THAT(prediction.naive_seconds.value(), WithinRel(0.2 * n, 1e-12));
    CHECK_THAT(prediction.scheme_seconds.value(), WithinRel(0.2 * (1 + (n - 1) * 0.05), 1e-9));
    CHECK(prediction.held_out_error_pct == fit.loo_error_pct);
    CHECK_FALSE(prediction.history_length);
    CHECK_FALSE(prediction.layers);
  }
  CHECK(predictions[0].source == "extrapolated");
  CHECK(predictions[1].source == "measured");
  CHECK(predictions[2].source == "measured");
  CHECK(predictions[3].source == "interpolated");
}

TEST_CASE("the affine form predicts where it is preferred", "[analysis][predict]") {
  const auto samples = make_samples({2, 8, 32, 128}, 3, 0.1, affine_time);
  const Fit fit = analysis::fit_scheme(samples, "shared", 0.01);
  REQUIRE(fit.preferred == "affine");
  for (const Prediction& prediction : analysis::predict(samples, "shared", fit, {1, 20, 1000})) {
    const auto n = static_cast<double>(prediction.candidates);
    CHECK(prediction.by == "affine");
    CHECK_THAT(prediction.speedup.value, WithinRel(0.1 * n / affine_time(n), 1e-9));
    CHECK_THAT(prediction.scheme_seconds.value(), WithinRel(affine_time(n), 1e-9));
    CHECK(prediction.held_out_error_pct == fit.affine_loo_error_pct);
  }
  CHECK(analysis::predict(samples, "shared", fit, {1}).at(0).source == "extrapolated");
}

TEST_CASE("predicted speed-ups rise with N", "[analysis][predict]") {
  const std::vector<std::int64_t> counts = {1, 2, 3, 5, 7, 10, 20, 50, 99, 100, 101, 500, 5000, 1000000};
  bool affine = false, one = false;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const auto samples = seed % 2 == 0
                             ? make_samples(kCandidates, 4, 0.1, affine_time, two_percent(), seed)
                             : make_samples(kCandidates, 4, 0.1, one_parameter(0.1, 0.03), two_percent(), seed);
    const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
    (fit.preferred == "affine" ? affine : one) = true;
    const auto predictions = analysis::predict(samples, "shared", fit, counts);
    for (std::size_t i = 1; i < predictions.size(); ++i) {
      CHECK(predictions[i].speedup.value > predictions[i - 1].speedup.value);
      CHECK(predictions[i].scheme_seconds.value() > predictions[i - 1].scheme_seconds.value());
    }
  }
  CHECK(affine);
  CHECK(one);
}

TEST_CASE("the interval joins the fit's with the held-out error, which grows beyond the data", "[analysis][predict]") {
  const auto samples = make_samples(kCandidates, 4, 0.1, one_parameter(0.1, 0.03), two_percent(), 3);
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  REQUIRE(fit.preferred == "one-parameter");
  // At N = 1 the form itself has no doubt: what is left is t(5)·RMS.
  const double error = fit.loo_error_pct.value() / 100;
  const double t5 = 2.570581836;
  const auto at = [&](std::int64_t n) { return analysis::predict(samples, "shared", fit, {n}).at(0); };
  CHECK_THAT(log_width(at(1)), WithinRel(2 * t5 * error, 1e-8));

  // At the largest N the fit's own interval is that of r, by the same rounds.
  const double fitted = std::log(kvcast::speedup(100, fit.r->ci95->lo) / kvcast::speedup(100, fit.r->ci95->hi));
  CHECK_THAT(log_width(at(100)), WithinRel(std::hypot(fitted, 2 * t5 * error), 1e-6));

  // From 50 to 100 is one log distance of the edge: at 200 the error is twice, at 400 three times.
  const double edge = std::max(error, std::abs(fit.residuals.back().loo_pct.value()) / 100);
  const auto beyond = [&](std::int64_t n, double growth) {
    const double whole = log_width(at(n));
    CHECK(whole > 2 * t5 * edge * growth);
    CHECK(whole < 2 * t5 * edge * growth + 2.2 * fitted);  // the doubt of r moves S less than r: 1/(1 - 1/S·…) < 2.2
  };
  beyond(200, 2);
  beyond(400, 3);
  CHECK(log_width(at(1000)) > log_width(at(400)));
}

TEST_CASE("below the smallest N the error grows too", "[analysis][predict]") {
  const auto samples = make_samples({20, 40, 80, 160}, 4, 0.1, one_parameter(0.1, 0.03), two_percent(), 3);
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  REQUIRE(fit.preferred == "one-parameter");
  const auto at = [&](std::int64_t n) { return log_width(analysis::predict(samples, "shared", fit, {n}).at(0)); };
  // The doubt of r fades towards N = 1, so there all the width is the held-out error's: 1 + log 20/log 2 times.
  const double rms = fit.loo_error_pct.value(), edge = std::max(rms, std::abs(*fit.residuals.front().loo_pct)) / 100;
  CHECK_THAT(at(1), WithinRel(2 * 2.776445105 * edge * (1 + std::log(20.0) / std::log(2.0)), 1e-8));
  CHECK(at(10) > at(20));
}

TEST_CASE("a single N predicts, but has no interval where it was not measured", "[analysis][predict]") {
  const auto samples = make_samples({100}, 4, 0.1, one_parameter(0.1, 0.03), two_percent());
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  const auto predictions = analysis::predict(samples, "shared", fit, {50, 100, 200});
  REQUIRE(predictions.size() == 3);
  CHECK(predictions[0].source == "extrapolated");
  CHECK_FALSE(predictions[0].speedup.ci95);
  CHECK(predictions[1].source == "measured");
  CHECK(predictions[1].speedup.ci95);
  CHECK_FALSE(predictions[2].speedup.ci95);
  for (const Prediction& prediction : predictions) {
    CHECK_THAT(prediction.speedup.value,
               WithinRel(kvcast::speedup(double(prediction.candidates), fit.r->value), 1e-12));
    CHECK_FALSE(prediction.held_out_error_pct);
    CHECK(prediction.by == "one-parameter");
    CHECK(prediction.naive_seconds);
  }
}

TEST_CASE("without an r nothing is predicted", "[analysis][predict]") {
  const auto samples = make_samples({1}, 4, 0.1, one_parameter(0.1, 0.03));
  CHECK(analysis::predict(samples, "shared", analysis::fit_scheme(samples, "shared", 1), {1, 10}).empty());
  CHECK(analysis::predict({}, "shared", analysis::fit_scheme({}, "shared", 1), {10}).empty());
}

TEST_CASE("predictions do not depend on the order of the rows", "[analysis][predict]") {
  auto samples = make_samples(kCandidates, 17, 0.1, affine_time, two_percent());
  const auto all = [&] {
    return analysis::predict(samples, "shared", analysis::fit_scheme(samples, "shared", 1), {1, 30, 1000});
  };
  const auto before = all();
  std::reverse(samples.begin(), samples.end());
  std::swap(samples[3], samples[50]);
  const auto after = all();
  for (std::size_t i = 0; i < before.size(); ++i) {
    CHECK(before[i].speedup.value == after[i].speedup.value);
    CHECK(before[i].speedup.ci95->lo == after[i].speedup.ci95->lo);
    CHECK(before[i].scheme_seconds == after[i].scheme_seconds);
  }
}
