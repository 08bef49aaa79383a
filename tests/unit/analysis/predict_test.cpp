#include "analysis/predict.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "analysis/composition.h"
#include "analysis/fit.h"
#include "catch.h"
#include "kvcast/cost_model.h"
#include "planted.h"
#include "statistics/statistics.h"

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
  return std::log(prediction.speedup->ci95->hi / prediction.speedup->ci95->lo);
}

}  // namespace

TEST_CASE("exact data predict exactly, at any N that is known, in seconds too", "[analysis][predict]") {
  const auto samples = make_samples(kCandidates, 3, 0.2, one_parameter(0.2, 0.05));
  const Fit fit = analysis::fit_scheme(analysis::tabulate(samples), "shared", 0.01);
  CHECK(fit.known_to == 400);
  const std::vector<std::int64_t> counts = {1000, 1, 100, 70, 2};
  const auto predictions = analysis::predict(analysis::tabulate(samples), fit, counts, true);
  REQUIRE(predictions.size() == counts.size());
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto n = static_cast<double>(counts[i]);
    const Prediction& prediction = predictions[i];
    CAPTURE(n);
    CHECK(prediction.candidates == counts[i]);
    REQUIRE(prediction.speedup);
    CHECK_THAT(prediction.speedup->value, WithinRel(kvcast::speedup(n, 0.05), 1e-9));
    REQUIRE(prediction.speedup->ci95);
    CHECK_THAT(prediction.speedup->ci95->lo, WithinRel(prediction.speedup->value, 1e-8));
    CHECK_THAT(prediction.speedup->ci95->hi, WithinRel(prediction.speedup->value, 1e-8));
    CHECK_THAT(prediction.naive_seconds.value(), WithinRel(0.2 * n, 1e-9));
    CHECK_THAT(prediction.scheme_seconds.value(), WithinRel(0.2 * (1 + (n - 1) * 0.05), 1e-9));
    const bool measured = counts[i] == 1 || counts[i] == 100;
    CHECK(prediction.by == (measured ? "timings" : "one-parameter"));
    CHECK(prediction.held_out_error_pct.has_value() != measured);
    CHECK(prediction.reason.empty());
    CHECK_FALSE(prediction.history_length);
    CHECK_FALSE(prediction.layers);
  }
  CHECK(predictions[0].source == kvcast::Source::extrapolated);
  CHECK(predictions[1].source == kvcast::Source::measured);
  CHECK(predictions[2].source == kvcast::Source::measured);
  CHECK(predictions[3].source == kvcast::Source::interpolated);
}

TEST_CASE("beyond four times the largest N nothing is said, unless asked for", "[analysis][predict]") {
  const auto samples = make_samples(kCandidates, 3, 0.2, one_parameter(0.2, 0.05));
  const Fit fit = analysis::fit_scheme(analysis::tabulate(samples), "shared", 0.01);
  const auto predictions = analysis::predict(analysis::tabulate(samples), fit, {400, 401});
  CHECK(predictions[0].speedup);
  CHECK(predictions[0].reason.empty());
  CHECK_FALSE(predictions[1].speedup);
  CHECK_FALSE(predictions[1].naive_seconds);
  CHECK_FALSE(predictions[1].scheme_seconds);
  CHECK(predictions[1].by.empty());
  CHECK(predictions[1].reason == "beyond 4 times the largest measured N=100: measure larger N, or --extrapolate");
  CHECK(analysis::predict(analysis::tabulate(samples), fit, {401}, true).at(0).speedup);
}

TEST_CASE("the affine form predicts where it is preferred", "[analysis][predict]") {
  const auto samples = make_samples({2, 8, 32, 128}, 3, 0.1, affine_time);
  const Fit fit = analysis::fit_scheme(analysis::tabulate(samples), "shared", 0.01);
  REQUIRE(fit.preferred == "affine");
  for (const Prediction& prediction : analysis::predict(analysis::tabulate(samples), fit, {1, 20, 500})) {
    const auto n = static_cast<double>(prediction.candidates);
    CHECK(prediction.by == "affine");
    CHECK_THAT(prediction.speedup->value, WithinRel(0.1 * n / affine_time(n), 1e-9));
    CHECK_THAT(prediction.scheme_seconds.value(), WithinRel(affine_time(n), 1e-9));
    CHECK(prediction.held_out_error_pct == fit.model("affine")->loo_error_pct);
  }
  CHECK(analysis::predict(analysis::tabulate(samples), fit, {1}).at(0).source == kvcast::Source::extrapolated);
}

TEST_CASE("a measured N is what was measured, whatever the form says", "[analysis][predict]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto samples = make_samples(kCandidates, 6, 0.1, affine_time, two_percent(), seed);
    const Fit fit = analysis::fit_scheme(analysis::tabulate(samples), "shared", kUnknown);
    const auto predictions = analysis::predict(analysis::tabulate(samples), fit, kCandidates);
    const analysis::TimingTable table = analysis::tabulate(samples);
    for (std::size_t i = 0; i < kCandidates.size(); ++i) {
      const auto* naive = analysis::find_timings(table, "naive", kCandidates[i]);
      const auto* shared = analysis::find_timings(table, "shared", kCandidates[i]);
      const kvcast::Estimate measured = *analysis::paired_ratio(naive, shared);
      CHECK(predictions[i].speedup->value == measured.value);
      CHECK(predictions[i].speedup->ci95->lo == measured.ci95->lo);
      CHECK(predictions[i].speedup->ci95->hi == measured.ci95->hi);
      CHECK(fit.observed[i].speedup.value == measured.value);
      CHECK(fit.observed[i].speedup.ci95->hi == measured.ci95->hi);
      CHECK(*predictions[i].scheme_seconds == analysis::median_seconds(*shared));
      CHECK(*predictions[i].naive_seconds == analysis::median_seconds(*naive));
    }
  }
}

TEST_CASE("where no form holds, only what lies between measured N is known", "[analysis][predict]") {
  // 5 to 8 ms up to N=100, then 310 ms: out of memory, say.
  const auto cliff = [](double n) { return n <= 100 ? 0.005 + 0.00003 * n : 0.31 + 0.00001 * n; };
  const auto samples = make_samples({1, 5, 10, 50, 100, 200, 400}, 4, 0.004, cliff, two_percent());
  const Fit fit = analysis::fit_scheme(analysis::tabulate(samples), "shared", kUnknown);
  CHECK(fit.preferred == "neither");
  CHECK_FALSE(fit.asymptote);
  CHECK_FALSE(fit.candidates_for_90);
  CHECK_FALSE(fit.model("affine")->marginal_r);
  CHECK_FALSE(fit.identifiable);
  CHECK(fit.known_to == 400);
  const auto at = [&](std::int64_t n) { return analysis::predict(analysis::tabulate(samples), fit, {n}, true).at(0); };
  CHECK(at(50).source == kvcast::Source::measured);
  CHECK_THAT(*at(50).scheme_seconds, WithinRel(0.0065, 0.03));
  for (const std::int64_t n : {60, 99, 150, 300}) {
    const Prediction prediction = at(n);
    CAPTURE(n);
    CHECK(prediction.by == "interpolation");
    const std::int64_t low = n < 100 ? 50 : n < 200 ? 100 : 200, high = 2 * low;
    CHECK(*prediction.scheme_seconds > 0.98 * *at(low).scheme_seconds);
    CHECK(*prediction.scheme_seconds < 1.02 * *at(high).scheme_seconds);
    REQUIRE(prediction.speedup->ci95);
    const double truth = 0.004 * static_cast<double>(n) / cliff(static_cast<double>(n));
    CHECK(prediction.speedup->ci95->lo < truth);
    CHECK(truth < prediction.speedup->ci95->hi);
  }
  CHECK_FALSE(at(401).speedup);
  CHECK(at(401).reason == "nothing is known beyond the largest measured N=400: measure larger N");
}

TEST_CASE("times that do not grow say nothing beyond the largest N", "[analysis][predict]") {
  const auto samples = make_samples(
      {1, 5, 10, 50, 100}, 4, 1, [](double) { return 5.9; }, two_percent(), 2);
  const Fit fit = analysis::fit_scheme(analysis::tabulate(samples), "shared", kUnknown);
  CHECK(fit.known_to == 100);
  CHECK_FALSE(fit.asymptote);
  CHECK_FALSE(fit.identifiable);
  // An interval of a slope at its bound would be [0, 0].
  CHECK((!fit.model("affine")->marginal_r || fit.model("affine")->marginal_r->ci95->hi > 0));
  CHECK_THAT(fit.verdict, Catch::Matchers::Contains("flat up to N=100"));
  CHECK_THAT(fit.next, Catch::Matchers::Contains("measure larger N"));
  const auto predictions = analysis::predict(analysis::tabulate(samples), fit, {100, 101}, true);
  CHECK_THAT(predictions[0].speedup->value, WithinRel(100 / 5.9, 0.05));
  CHECK_FALSE(predictions[1].speedup);
}

TEST_CASE("sharing that costs more is predicted as such", "[analysis][predict]") {
  const auto samples = make_samples({1, 5, 10}, 5, 1, one_parameter(1, 1.1), two_percent());
  const Fit fit = analysis::fit_scheme(analysis::tabulate(samples), "shared", kUnknown);
  CHECK(fit.r->value > 1.05);
  CHECK(fit.r->ci95->lo < fit.r->value);
  CHECK(fit.r->value < fit.r->ci95->hi);
  CHECK_FALSE(fit.asymptote);
  const Prediction at_20 = analysis::predict(analysis::tabulate(samples), fit, {20}).at(0);
  CHECK_THAT(at_20.speedup->value, WithinRel(20 / (1 + 19 * 1.1), 0.05));
}

TEST_CASE("predicted times rise with N between and beyond the measured", "[analysis][predict]") {
  bool affine = false, one = false;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const auto samples = seed % 2 == 0
                             ? make_samples(kCandidates, 4, 0.1, affine_time, two_percent(), seed)
                             : make_samples(kCandidates, 4, 0.1, one_parameter(0.1, 0.03), two_percent(), seed);
    const Fit fit = analysis::fit_scheme(analysis::tabulate(samples), "shared", kUnknown);
    (fit.preferred == "affine" ? affine : one) = true;
    // One stretch at a time: at a measured N the noise of both sides meets.
    for (const std::vector<std::int64_t>& counts :
         {std::vector<std::int64_t>{51, 60, 75, 99}, std::vector<std::int64_t>{101, 200, 500, 5000, 1000000}}) {
      const auto predictions = analysis::predict(analysis::tabulate(samples), fit, counts, true);
      for (std::size_t i = 1; i < predictions.size(); ++i) {
        if (!predictions[i].speedup) continue;
        CHECK(predictions[i].speedup->value > predictions[i - 1].speedup->value);
        CHECK(predictions[i].scheme_seconds.value() > predictions[i - 1].scheme_seconds.value());
      }
    }
  }
  CHECK(affine);
  CHECK(one);
}

TEST_CASE("the interval joins the fit's with the held-out error, which grows beyond the data", "[analysis][predict]") {
  const auto samples = make_samples(kCandidates, 4, 0.1, one_parameter(0.1, 0.03), two_percent(), 3);
  const Fit fit = analysis::fit_scheme(analysis::tabulate(samples), "shared", kUnknown);
  REQUIRE(fit.preferred == "one-parameter");
  const double error = fit.models.front().loo_error_pct.value() / 100;
  const double t5 = 2.570581836;
  const auto at = [&](std::int64_t n) { return analysis::predict(analysis::tabulate(samples), fit, {n}, true).at(0); };
  // Half-way to the largest N the fit's own interval is that of r, by the same rounds.
  const double fitted = std::log(kvcast::speedup(99, fit.r->ci95->lo) / kvcast::speedup(99, fit.r->ci95->hi));
  CHECK_THAT(log_width(at(99)), WithinRel(std::hypot(fitted, 2 * t5 * error), 1e-2));

  // From 50 to 100 is one log distance of the edge: at 200 the error is twice, at 400 three times; but no request gets
  // cheaper by more candidates, which bounds the upper end.
  const double edge = std::max(error, std::abs(fit.models.front().residuals.back().loo_pct.value()) / 100);
  const auto beyond = [&](std::int64_t n, double growth) {
    const Prediction prediction = at(n);
    const double below = std::log(prediction.speedup->value / prediction.speedup->ci95->lo);
    CHECK(below > t5 * edge * growth);
    CHECK(below < t5 * edge * growth + 1.1 * fitted);  // the doubt of r moves S less than r: 1/(1 - 1/S·…) < 2.2
    const double most = static_cast<double>(n) / 100 * fit.observed.back().speedup.ci95->hi;
    CHECK(prediction.speedup->ci95->hi <= most * (1 + 1e-12));
  };
  beyond(200, 2);
  beyond(400, 3);
}

TEST_CASE("below the smallest N the error grows too", "[analysis][predict]") {
  const auto samples = make_samples({20, 40, 80, 160}, 4, 0.1, one_parameter(0.1, 0.03), two_percent(), 3);
  const Fit fit = analysis::fit_scheme(analysis::tabulate(samples), "shared", kUnknown);
  REQUIRE(fit.preferred == "one-parameter");
  const auto at = [&](std::int64_t n) {
    return log_width(analysis::predict(analysis::tabulate(samples), fit, {n}).at(0));
  };
  // The doubt of r fades towards N = 1, so there all the width is the held-out error's: 1 + log 20/log 2 times.
  const double rms = fit.models.front().loo_error_pct.value(),
               edge = std::max(rms, std::abs(*fit.models.front().residuals.front().loo_pct)) / 100;
  CHECK_THAT(at(1), WithinRel(2 * 2.776445105 * edge * (1 + std::log(20.0) / std::log(2.0)), 1e-8));
  CHECK(at(10) > at(20));
}

TEST_CASE("a single N predicts, but has no interval where it was not measured", "[analysis][predict]") {
  const auto samples = make_samples({100}, 4, 0.1, one_parameter(0.1, 0.03), two_percent());
  const Fit fit = analysis::fit_scheme(analysis::tabulate(samples), "shared", kUnknown);
  const auto predictions = analysis::predict(analysis::tabulate(samples), fit, {50, 100, 200});
  REQUIRE(predictions.size() == 3);
  CHECK(predictions[0].source == kvcast::Source::extrapolated);
  CHECK_FALSE(predictions[0].speedup->ci95);
  CHECK(predictions[1].source == kvcast::Source::measured);
  CHECK(predictions[1].speedup->ci95);
  CHECK_FALSE(predictions[2].speedup->ci95);
  for (const Prediction& prediction : predictions) {
    CHECK_THAT(prediction.speedup->value,
               WithinRel(kvcast::speedup(double(prediction.candidates), fit.r->value), 1e-9));
    CHECK_FALSE(prediction.held_out_error_pct);
    CHECK(prediction.naive_seconds);
  }
  CHECK(predictions[0].by == "one-parameter");
}

TEST_CASE("without an r nothing is predicted", "[analysis][predict]") {
  const auto samples = make_samples({1}, 4, 0.1, one_parameter(0.1, 0.03));
  CHECK(analysis::predict(analysis::tabulate(samples), analysis::fit_scheme(analysis::tabulate(samples), "shared", 1),
                          {1, 10})
            .empty());
  CHECK(analysis::predict({}, analysis::fit_scheme({}, "shared", 1), {10}).empty());
}

TEST_CASE("predictions do not depend on the order of the rows", "[analysis][predict]") {
  auto samples = make_samples(kCandidates, 17, 0.1, affine_time, two_percent());
  const auto all = [&] {
    return analysis::predict(analysis::tabulate(samples),
                             analysis::fit_scheme(analysis::tabulate(samples), "shared", 1), {1, 30, 300});
  };
  const auto before = all();
  std::reverse(samples.begin(), samples.end());
  std::swap(samples[3], samples[50]);
  const auto after = all();
  for (std::size_t i = 0; i < before.size(); ++i) {
    CHECK(before[i].speedup->value == after[i].speedup->value);
    CHECK(before[i].speedup->ci95->lo == after[i].speedup->ci95->lo);
    CHECK(before[i].scheme_seconds == after[i].scheme_seconds);
  }
}
