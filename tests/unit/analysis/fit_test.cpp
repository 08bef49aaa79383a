#include "analysis/fit.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "analysis/levels.h"
#include "base/random.h"
#include "catch.h"
#include "kvcast/cost_model.h"
#include "planted.h"
#include "statistics/statistics.h"

namespace analysis = kvcast::analysis;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using kvcast::Fit;
using kvcast::Sample;
using kvcast::Status;
using kvcast::testing::make_samples;
using kvcast::testing::Noise;
using kvcast::testing::one_parameter;
using kvcast::testing::row;

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
const std::vector<std::int64_t> kCandidates = {1, 5, 10, 50, 100};

std::vector<Sample> without_candidates(std::vector<Sample> samples, std::int64_t candidates) {
  samples.erase(std::remove_if(samples.begin(), samples.end(),
                               [=](const Sample& sample) { return sample.candidates == candidates; }),
                samples.end());
  return samples;
}

}  // namespace

TEST_CASE("exact data give the planted r and all that follows from it", "[analysis][fit]") {
  for (const double r : {0.9, 0.15, 0.004, 1e-5}) {
    CAPTURE(r);
    const Fit fit = analysis::fit_scheme(make_samples(kCandidates, 3, 0.2, one_parameter(0.2, r)), "shared", r / 2);
    REQUIRE(fit.r);
    CHECK(fit.scheme == "shared");
    CHECK_THAT(fit.r->value, WithinRel(r, 1e-10));
    REQUIRE(fit.r->ci95);
    CHECK_THAT(fit.r->ci95->lo, WithinRel(r, 1e-9));
    CHECK_THAT(fit.r->ci95->hi, WithinRel(r, 1e-9));
    CHECK_THAT(fit.rho.value(), WithinRel(r / (1 - r), 1e-9));
    CHECK_THAT(fit.asymptote.value(), WithinRel(1 / r, 1e-9));
    CHECK(fit.r_flops == r / 2);
    CHECK_THAT(fit.r_squared.value(), WithinAbs(1, 1e-10));
    CHECK_THAT(fit.models.front().max_residual_pct.value(), WithinAbs(0, 1e-9));
    CHECK_THAT(fit.models.front().loo_error_pct.value(), WithinAbs(0, 1e-9));
    CHECK(fit.rounds == 3);
    CHECK(fit.excluded_pairs == 0);
    // The affine form contains this one: a = c (1-r), b = c r.
    REQUIRE(fit.model("affine"));
    CHECK_THAT(fit.model("affine")->parameter("a").value(), WithinRel(0.2 * (1 - r), 1e-8));
    CHECK_THAT(fit.model("affine")->parameter("b").value(), WithinRel(0.2 * r, 1e-8));
    CHECK_THAT(fit.model("affine")->parameter("c").value(), WithinRel(0.2, 1e-12));
    CHECK(fit.preferred == "one-parameter");
  }
}

TEST_CASE("rounding alone never prefers the affine form", "[analysis][fit]") {
  const std::vector<std::vector<std::int64_t>> lists = {kCandidates, {2, 3, 4}, {3, 7, 11}, {2, 4, 8, 16}};
  for (const auto& candidates : lists) {
    for (int i = 1; i <= 100; ++i) {
      const double r = std::pow(10, -0.05 * i);
      CAPTURE(r, candidates);
      CHECK(analysis::fit_scheme(make_samples(candidates, 2, 0.2, one_parameter(0.2, r)), "shared", r).preferred ==
            "one-parameter");
    }
  }
}

TEST_CASE("noise alone hardly ever prefers the affine form, though it often predicts better", "[analysis][fit]") {
  int affine = 0, better = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto samples = make_samples(kCandidates, 5, 0.1, one_parameter(0.1, 0.02), {0.05, 0.02, 0.01}, seed);
    const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
    affine += fit.preferred == "affine";
    better += *fit.model("affine")->loo_error_pct < 0.8 * *fit.models.front().loo_error_pct;
  }
  CHECK(affine <= 11);  // 5% and three binomial standard deviations
  CHECK(better >= 20);
}

TEST_CASE("the variance of few rounds is drawn towards that of the others, by their degrees", "[analysis][fit]") {
  std::vector<analysis::Level> levels;
  for (const auto& [candidates, spread] : {std::pair(2, 0.01), {10, 0.02}, {50, 0.1}}) {
    analysis::Level level{candidates, {}};
    // Logs of 2 - spread, 2 and 2 + spread: a sample variance of spread².
    for (int round = 0; round < 3; ++round) level.pairs.push_back({round, std::exp(2 + (round - 1) * spread), 1});
    levels.push_back(level);
  }
  const std::vector<analysis::LogPoint> points = analysis::log_points(levels);
  REQUIRE(points.size() == 3);
  const double typical = 0.02 * 0.02;
  CHECK_THAT(points[0].variance, WithinRel(typical / 3, 1e-9));
  CHECK_THAT(points[1].variance, WithinRel(typical / 3, 1e-9));
  CHECK_THAT(points[2].variance, WithinRel((2 * 0.01 + 20 * typical) / 22 / 3, 1e-9));
  CHECK_THAT(points[2].log_speedup, WithinRel(2, 1e-12));
}

TEST_CASE("exact data at any two N give the same r", "[analysis][fit]") {
  const double r = 0.0123;
  for (const std::int64_t first : {1, 2, 30}) {
    for (const std::int64_t second : {64, 1000, 1000000}) {
      const Fit fit =
          analysis::fit_scheme(make_samples({first, second}, 2, 1, one_parameter(1, r)), "shared", kUnknown);
      REQUIRE(fit.r);
      CHECK_THAT(fit.r->value, WithinRel(r, 1e-10));
      CHECK_FALSE(fit.r_flops);
    }
  }
}

TEST_CASE("costs C_u = 65,536 and C_f = 12,800 give their r", "[analysis][fit]") {
  const auto samples = make_samples({1, 10, 100}, 2, 65536 + 12800, [](double n) { return 65536 + 12800 * n; });
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  REQUIRE(fit.r);
  CHECK_THAT(fit.r->value, WithinRel(12800.0 / 78336, 1e-10));
  CHECK_THAT(fit.rho.value(), WithinRel(12800.0 / 65536, 1e-9));
  CHECK_THAT(kvcast::speedup(100, fit.r->value), WithinAbs(5.822, 5e-4));
}

TEST_CASE("for a single N the interval of r is that of the speed-up, carried over", "[analysis][fit]") {
  const std::vector<double> speedups = {6.1, 6.4, 6.2, 6.6};
  std::vector<Sample> samples;
  for (std::size_t i = 0; i < speedups.size(); ++i) {
    samples.push_back(row("naive", 100, std::int64_t(i), 100));
    samples.push_back(row("shared", 100, std::int64_t(i), 100 / speedups[i]));
  }
  std::vector<double> logs;
  for (const double value : speedups) logs.push_back(std::log(value));
  // t at 97.5%, 3 degrees; four rounds of one run count as 4/(1 + 4/10).
  const double half = 3.182446305 * std::sqrt(*kvcast::sample_variance(logs) / 4 * 1.4);
  const double centre = std::exp(kvcast::mean(logs));

  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  REQUIRE(fit.r);
  CHECK_THAT(fit.r->value, WithinRel(kvcast::r_from_speedup(100, centre), 1e-12));
  REQUIRE(fit.r->ci95);
  CHECK_THAT(fit.r->ci95->lo, WithinRel(kvcast::r_from_speedup(100, centre * std::exp(half)), 1e-8));
  CHECK_THAT(fit.r->ci95->hi, WithinRel(kvcast::r_from_speedup(100, centre * std::exp(-half)), 1e-8));
}

TEST_CASE("the result does not depend on the order of the rows, to the last bit", "[analysis][fit]") {
  auto samples = make_samples(kCandidates, 4, 0.1, [](double n) { return 0.3 + 0.002 * n; }, {0.05, 0.02, 0.02});
  // A few rows of one round twice, and a slow canary.
  samples.push_back(row("shared", 50, 1, 0.41));
  samples.push_back(row("shared", 50, 1, 0.39));
  samples[7].canary_ratio = 0.8;
  const Fit fit = analysis::fit_scheme(samples, "shared", 0.01);
  const auto predictions = analysis::loo_predictions(samples, "shared");
  const kvcast::RandomStream random(99, 0);
  std::uint64_t next = 0;
  for (int shuffle = 0; shuffle < 20; ++shuffle) {
    for (std::size_t i = samples.size(); i > 1; --i) std::swap(samples[i - 1], samples[random.bits(next++) % i]);
    const Fit again = analysis::fit_scheme(samples, "shared", 0.01);
    REQUIRE(again.r->value == fit.r->value);
    REQUIRE(again.r->ci95->lo == fit.r->ci95->lo);
    REQUIRE(again.r->ci95->hi == fit.r->ci95->hi);
    REQUIRE(again.r_squared == fit.r_squared);
    REQUIRE(again.models.front().max_residual_pct == fit.models.front().max_residual_pct);
    REQUIRE(again.model("affine")->parameter("a").value() == fit.model("affine")->parameter("a").value());
    REQUIRE(again.model("affine")->parameter("b").value() == fit.model("affine")->parameter("b").value());
    REQUIRE(again.model("affine")->parameter("c").value() == fit.model("affine")->parameter("c").value());
    REQUIRE(again.model("affine")->marginal_r->value == fit.model("affine")->marginal_r->value);
    REQUIRE(again.model("affine")->marginal_r->ci95->lo == fit.model("affine")->marginal_r->ci95->lo);
    REQUIRE(again.lack_of_fit_pct == fit.lack_of_fit_pct);
    REQUIRE(again.verdict == fit.verdict);
    REQUIRE(again.models.front().loo_error_pct == fit.models.front().loo_error_pct);
    REQUIRE(again.model("affine")->loo_error_pct == fit.model("affine")->loo_error_pct);
    REQUIRE(analysis::loo_predictions(samples, "shared") == predictions);
  }
}

TEST_CASE("pairs with a slow canary are left out and counted", "[analysis][fit]") {
  auto samples = make_samples({10, 100}, 5, 1, one_parameter(1, 0.1));
  for (Sample& sample : samples) {
    // Someone else slowed the shared side of round 2 at N=100 and the naive side of round 3 at N=10.
    const bool hit = (sample.round == 2 && sample.candidates == 100 && sample.scheme == "shared") ||
                     (sample.round == 3 && sample.candidates == 10 && sample.scheme == "naive");
    if (!hit) continue;
    sample.measured_seconds *= 1.7;
    sample.canary_ratio = 0.6;
  }
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  CHECK(fit.excluded_pairs == 2);
  CHECK(fit.rounds == 5);
  CHECK_THAT(fit.r->value, WithinRel(0.1, 1e-10));

  // Fewer than three clean rounds of an N: its pairs all stay, the slow ones too.
  std::vector<Sample> short_run;
  for (const Sample& sample : samples) {
    if (sample.round >= 1 && sample.round <= 3) short_run.push_back(sample);
  }
  const Fit kept = analysis::fit_scheme(short_run, "shared", kUnknown);
  CHECK(kept.excluded_pairs == 0);
  CHECK(kept.r->value > 0.102);
}

TEST_CASE("scaled naive and assembled shared timings are brought to N", "[analysis][fit]") {
  std::vector<Sample> samples;
  for (std::int64_t round = 0; round < 3; ++round) {
    for (const std::int64_t count : {10, 100, 1000}) {
      Sample naive = row("naive", count, round, 4 * 2.0);
      naive.status = Status::extrapolated;
      naive.measured_candidates = 4;
      samples.push_back(naive);
      Sample shared = row("shared", count, round, 1.8 + 10 * 0.2);
      shared.status = Status::assembled;
      shared.measured_candidates = 10;
      shared.prefill_s = 1.8;
      shared.scoring_s = 10 * 0.2;
      samples.push_back(shared);
    }
  }
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  CHECK_THAT(fit.r->value, WithinRel(0.1, 1e-10));
  CHECK_THAT(fit.model("affine")->parameter("a").value(), WithinRel(1.8, 1e-9));
  CHECK_THAT(fit.model("affine")->parameter("b").value(), WithinRel(0.2, 1e-9));
  CHECK_THAT(fit.model("affine")->parameter("c").value(), WithinRel(2.0, 1e-12));
}

TEST_CASE("one kind of timing serves all rounds of an N", "[analysis][fit]") {
  // Assembled in all five rounds at r = 0.1; whole runs say 0.3.
  const auto with_whole_rounds = [](std::int64_t whole_rounds, std::int64_t assembled_rounds) {
    std::vector<Sample> samples;
    for (std::int64_t round = 0; round < 5; ++round) {
      samples.push_back(row("naive", 100, round, 100));
      Sample assembled = row("shared", 100, round, 1 + 99 * 0.1);
      assembled.status = Status::assembled;
      if (round < assembled_rounds) samples.push_back(assembled);
      if (round < whole_rounds) samples.push_back(row("shared", 100, round, 1 + 99 * 0.3));
    }
    return analysis::fit_scheme(samples, "shared", kUnknown);
  };
  CHECK_THAT(with_whole_rounds(2, 5).r->value, WithinRel(0.1, 1e-10));
  CHECK_THAT(with_whole_rounds(5, 5).r->value, WithinRel(0.3, 1e-10));
  CHECK_THAT(with_whole_rounds(5, 2).r->value, WithinRel(0.3, 1e-10));
  CHECK(with_whole_rounds(2, 5).rounds == 5);
}

TEST_CASE("an N that scatters more counts for less, as long as the form holds", "[analysis][fit]") {
  std::vector<Sample> samples;
  for (std::int64_t round = 0; round < 12; ++round) {
    for (const std::int64_t count : {50, 100, 200}) {
      const auto n = static_cast<double>(count);
      // At N = 100 only: 30% of scatter, and an r that is off by less than its error.
      const double r = count == 100 ? 0.105 : 0.1, noise = count == 100 ? std::exp(round % 2 == 0 ? 0.3 : -0.3) : 1;
      samples.push_back(row("naive", count, round, n));
      samples.push_back(row("shared", count, round, (1 + (n - 1) * r) * noise));
    }
  }
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  CHECK(fit.r->value > 0.1);
  CHECK(fit.r->value < 0.1001);  // equal weights: 0.1017
  CHECK(fit.lack_of_fit_pct == 0);
}

TEST_CASE("where the form does not hold, the N weigh alike whatever their noise", "[analysis][fit]") {
  const std::vector<std::int64_t> counts = {1, 5, 10, 50, 100};
  const auto shared = [](double n) { return 1.2 + 0.006 * n; };
  const auto with_noise_at = [&](std::int64_t noisy) {
    auto samples = make_samples(counts, 8, 1, shared);
    for (Sample& sample : samples) {
      if (sample.candidates == noisy && sample.scheme == "shared") {
        sample.measured_seconds *= std::exp(sample.round % 2 == 0 ? 0.02 : -0.02);
      }
    }
    return analysis::fit_scheme(samples, "shared", kUnknown);
  };
  // By noise alone one N would have a fifth of the others' weight, and r would move by several percent.
  const Fit still = with_noise_at(0);
  for (const std::int64_t noisy : counts) {
    CAPTURE(noisy);
    const Fit shaken = with_noise_at(noisy);
    CHECK_THAT(shaken.r->value, WithinRel(still.r->value, 0.001));
    CHECK_THAT(shaken.lack_of_fit_pct.value(), WithinRel(*still.lack_of_fit_pct, 0.001));
  }
  // Residuals of log S about the weighted form, squared and summed over all N but one, are τ².
  const Fit fit = analysis::fit_scheme(make_samples(counts, 8, 1, shared), "shared", kUnknown);
  double squares = 0;
  for (const kvcast::ModelResidual& residual : fit.models.front().residuals) {
    squares += std::pow(std::log1p(residual.pct.value() / 100), 2);
  }
  CHECK_THAT(fit.lack_of_fit_pct.value(), WithinRel(100 * std::sqrt(squares / 4), 1e-3));
}

TEST_CASE("an N seen in one round weighs no more than the others", "[analysis][fit]") {
  Noise noise;
  noise.point = 0.03;
  auto samples = make_samples({50, 100, 200}, 5, 1, one_parameter(1, 0.1), noise);
  samples.push_back(row("naive", 400, 0, 400));
  samples.push_back(row("shared", 400, 0, 1 + 399 * 0.2));
  // Alone it would say 0.2; the four N weigh about the same.
  const double r = analysis::fit_scheme(samples, "shared", kUnknown).r->value;
  CHECK(r > 0.1);
  CHECK(r < 0.135);
}

TEST_CASE("fixed costs are found by the affine form", "[analysis][fit]") {
  // a + b = 1.5 c: streaming weights for one candidate costs as much as for many.
  const auto samples = make_samples({1, 4, 16, 64, 256}, 3, 0.1, [](double n) { return 0.148 + 0.002 * n; });
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  REQUIRE(fit.model("affine"));
  CHECK_THAT(fit.model("affine")->parameter("a").value(), WithinRel(0.148, 1e-10));
  CHECK_THAT(fit.model("affine")->parameter("b").value(), WithinRel(0.002, 1e-10));
  CHECK_THAT(fit.model("affine")->max_residual_pct.value(), WithinAbs(0, 1e-9));
  CHECK_THAT(fit.model("affine")->loo_error_pct.value(), WithinAbs(0, 1e-8));
  CHECK(fit.models.front().max_residual_pct.value() > 5);
  CHECK(fit.models.front().loo_error_pct.value() > 5);
  CHECK(fit.preferred == "affine");
  const auto predictions = analysis::loo_predictions(samples, "shared");
  REQUIRE(predictions.size() == 5);
  CHECK_THAT(predictions.at(64), WithinRel(0.1 * 64 / (0.148 + 0.002 * 64), 1e-9));
  CHECK_THAT(predictions.at(1), WithinRel(0.1 / 0.15, 1e-9));
}

TEST_CASE("affine constants are never negative", "[analysis][fit]") {
  // Faster than linear from zero: unconstrained, a would be below 0. Then b alone: Σ(N/T)/Σ(N/T)².
  const auto rising = [](double n) { return n * n; };
  const Fit no_user = analysis::fit_scheme(make_samples({1, 2, 4}, 2, 1, rising), "shared", kUnknown);
  REQUIRE(no_user.model("affine"));
  CHECK(no_user.model("affine")->parameter("a").value() == 0);
  CHECK_THAT(no_user.model("affine")->parameter("b").value(), WithinRel((1 + 0.5 + 0.25) / (1 + 0.25 + 0.0625), 1e-12));

  // Falling times: b at 0, a alone: Σ(1/T)/Σ(1/T)².
  const auto falling = [](double n) { return 1 / n; };
  const Fit no_candidate = analysis::fit_scheme(make_samples({1, 2, 4}, 2, 1, falling), "shared", kUnknown);
  REQUIRE(no_candidate.model("affine"));
  CHECK(no_candidate.model("affine")->parameter("b").value() == 0);
  CHECK_THAT(no_candidate.model("affine")->parameter("a").value(), WithinRel((1.0 + 2 + 4) / (1 + 4 + 16), 1e-12));
}

TEST_CASE("leave-one-out predictions are fits without that N", "[analysis][fit]") {
  Noise noise;
  noise.point = 0.02;
  const auto samples = make_samples(kCandidates, 4, 0.1, one_parameter(0.1, 0.05), noise, 5);
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  REQUIRE(fit.preferred == "one-parameter");
  const auto predictions = analysis::loo_predictions(samples, "shared");
  REQUIRE(predictions.size() == kCandidates.size());
  double squares = 0, affine_squares = 0;
  for (const std::int64_t count : kCandidates) {
    const auto n = static_cast<double>(count);
    const Fit rest = analysis::fit_scheme(without_candidates(samples, count), "shared", kUnknown);
    CHECK(predictions.at(count) == kvcast::speedup(n, rest.r->value));
    double log_speedup = 0;
    for (std::size_t i = 0; i < samples.size(); i += 2) {
      if (samples[i].candidates == count) {
        log_speedup += std::log(samples[i].measured_seconds / samples[i + 1].measured_seconds) / 4;
      }
    }
    squares += std::pow(predictions.at(count) / std::exp(log_speedup) - 1, 2);
    const double affine =
        rest.model("affine")->parameter("c").value() * n /
        (rest.model("affine")->parameter("a").value() + rest.model("affine")->parameter("b").value() * n);
    affine_squares += std::pow(affine / std::exp(log_speedup) - 1, 2);
  }
  CHECK_THAT(fit.models.front().loo_error_pct.value(), WithinRel(100 * std::sqrt(squares / 5), 1e-9));
  CHECK_THAT(fit.model("affine")->loo_error_pct.value(), WithinRel(100 * std::sqrt(affine_squares / 5), 1e-9));
}

TEST_CASE("the form is untested below three N above 1", "[analysis][fit]") {
  const auto shared = one_parameter(1, 0.1);

  const Fit single = analysis::fit_scheme(make_samples({100}, 3, 1, shared), "shared", kUnknown);
  CHECK_THAT(single.r->value, WithinRel(0.1, 1e-10));
  CHECK(single.r->ci95);
  CHECK(single.preferred == "untested");
  CHECK_FALSE(single.model("affine"));
  CHECK_FALSE(single.models.front().loo_error_pct);
  CHECK_FALSE(single.r_squared);
  CHECK(analysis::loo_predictions(make_samples({100}, 3, 1, shared), "shared").empty());

  const Fit with_one = analysis::fit_scheme(make_samples({1, 100}, 3, 1, shared), "shared", kUnknown);
  CHECK_THAT(with_one.r->value, WithinRel(0.1, 1e-10));
  CHECK(with_one.preferred == "untested");
  CHECK_FALSE(with_one.model("affine"));
  CHECK_FALSE(with_one.models.front().loo_error_pct);

  const Fit two = analysis::fit_scheme(make_samples({10, 100}, 3, 1, shared), "shared", kUnknown);
  CHECK(two.preferred == "untested");
  CHECK_FALSE(two.model("affine"));
  CHECK(two.models.front().loo_error_pct);
  CHECK(analysis::loo_predictions(make_samples({10, 100}, 3, 1, shared), "shared").size() == 2);

  // Three points make an affine fit, but two N above 1 do not test the form.
  const Fit three = analysis::fit_scheme(make_samples({1, 10, 100}, 3, 1, shared), "shared", kUnknown);
  CHECK(three.preferred == "untested");
  CHECK(three.model("affine"));
  CHECK(three.model("affine")->loo_error_pct);

  CHECK(analysis::fit_scheme(make_samples({2, 10, 100}, 3, 1, shared), "shared", kUnknown).preferred ==
        "one-parameter");
}

TEST_CASE("data that say nothing about r leave it unknown", "[analysis][fit]") {
  const auto check_empty = [](const std::vector<Sample>& samples, std::int64_t rounds) {
    const Fit fit = analysis::fit_scheme(samples, "shared", 0.01);
    CHECK(fit.scheme == "shared");
    CHECK_FALSE(fit.r);
    CHECK_FALSE(fit.rho);
    CHECK_FALSE(fit.asymptote);
    CHECK_FALSE(fit.r_squared);
    CHECK(fit.models.empty());
    CHECK(fit.r_flops == 0.01);
    CHECK(fit.preferred == "untested");
    CHECK(fit.rounds == rounds);
    CHECK(analysis::loo_predictions(samples, "shared").empty());
  };
  check_empty({}, 0);
  check_empty(make_samples({1}, 3, 1, one_parameter(1, 0.1)), 3);

  auto samples = make_samples(kCandidates, 3, 1, one_parameter(1, 0.1));
  auto only_shared = samples, only_naive = samples, never_together = samples;
  only_shared.erase(std::remove_if(only_shared.begin(), only_shared.end(),
                                   [](const Sample& sample) { return sample.scheme == "naive"; }),
                    only_shared.end());
  only_naive.erase(std::remove_if(only_naive.begin(), only_naive.end(),
                                  [](const Sample& sample) { return sample.scheme == "shared"; }),
                   only_naive.end());
  for (Sample& sample : never_together) {
    if (sample.scheme == "shared") sample.round += 100;
  }
  check_empty(only_shared, 0);
  check_empty(only_naive, 0);
  check_empty(never_together, 0);
}

TEST_CASE("with one timing of each N their scatter about the form gives the interval", "[analysis][fit]") {
  const Fit exact = analysis::fit_scheme(make_samples(kCandidates, 1, 1, one_parameter(1, 0.1)), "shared", kUnknown);
  CHECK_THAT(exact.r->value, WithinRel(0.1, 1e-10));
  CHECK(exact.rounds == 1);
  REQUIRE(exact.r->ci95);
  CHECK_THAT(exact.r->ci95->hi, WithinRel(0.1, 1e-9));

  // Two N so large that log S moves with log r alone: r is their geometric mean, and the interval has one degree.
  // N = 1, which is off by a quarter, fits whatever r is and is no evidence of noise.
  const auto shared = [](double n) { return n == 1 ? 1.25 : n * (n > 15e5 ? 0.11 : 0.1); };
  const auto samples = make_samples({1, 1000000, 2000000}, 1, 1, shared);
  const Fit two = analysis::fit_scheme(samples, "shared", kUnknown);
  CHECK_THAT(two.r->value, WithinRel(std::sqrt(0.1 * 0.11), 1e-4));
  const double half = 12.7062 * std::log(1.1) / 2;  // s/√2 of two values is half their distance
  REQUIRE(two.r->ci95);
  CHECK_THAT(two.r->ci95->hi, WithinRel(std::sqrt(0.1 * 0.11) * std::exp(half), 2e-3));
  CHECK_THAT(two.r->ci95->lo, WithinRel(std::sqrt(0.1 * 0.11) * std::exp(-half), 2e-3));

  const Fit single = analysis::fit_scheme(make_samples({1, 100}, 1, 1, one_parameter(1, 0.1)), "shared", kUnknown);
  CHECK_THAT(single.r->value, WithinRel(0.1, 1e-10));
  CHECK_FALSE(single.r->ci95);
  CHECK_FALSE(single.identifiable);
}

TEST_CASE("repeats of a user's own are independent: each N has its own error", "[analysis][fit]") {
  Noise noise;
  noise.point = 0.02;
  noise.repeats = true;
  const auto samples = make_samples({10, 1000}, 6, 1, one_parameter(1, 0.05), noise);
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  REQUIRE(fit.r->ci95);
  CHECK(fit.rounds == 12);
  // Of the large N alone: r follows its log time, five degrees less what trimming takes.
  std::vector<Sample> large = without_candidates(samples, 10);
  std::vector<double> logs;
  for (std::size_t i = 0; i < large.size(); i += 2) {
    logs.push_back(std::log(large[i].measured_seconds / large[i + 1].measured_seconds));
  }
  const double error = kvcast::trimmed_mean(logs).standard_error.value();
  const double half = std::log(fit.r->ci95->hi / fit.r->value);
  CHECK(half > 1.96 * error * 0.7);
  CHECK(half < 3.2 * error * 1.1);  // t of 3 degrees
}

TEST_CASE("an interval that does not exclude 0 starts at 0", "[analysis][fit]") {
  // r = 1e-4 moves the time at N = 5 by 0.04%, the noise is 2%.
  Noise noise;
  noise.point = 0.02;
  int open = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto samples = make_samples({2, 3, 5}, 6, 1, one_parameter(1, 1e-4), noise, seed);
    const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
    REQUIRE(fit.r->ci95);
    CHECK(fit.r->value > 0);
    CHECK(fit.r->ci95->hi >= fit.r->value);
    open += fit.r->ci95->lo == 0;
    CHECK(fit.identifiable == (fit.r->ci95->lo > 0 && fit.r->ci95->hi < 2 * fit.r->ci95->lo));
  }
  CHECK(open >= 45);  // 97.5% of them
}

TEST_CASE("only rounds that say something about r count for its interval", "[analysis][fit]") {
  Noise noise;
  noise.point = 0.02;
  auto samples = make_samples({1, 100}, 2, 1, one_parameter(1, 0.1), noise);
  const auto interval = analysis::fit_scheme(samples, "shared", kUnknown).r->ci95;
  REQUIRE(interval);
  // A third round that was stopped after N = 1.
  samples.push_back(row("naive", 1, 2, 1.0));
  samples.push_back(row("shared", 1, 2, 1.0));
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  CHECK(fit.rounds == 3);
  REQUIRE(fit.r->ci95);
  CHECK(fit.r->ci95->lo == interval->lo);
  CHECK(fit.r->ci95->hi == interval->hi);
}

TEST_CASE("one bad round does not move the affine constants", "[analysis][fit]") {
  auto samples = make_samples({10, 50, 100}, 5, 0.1, [](double n) { return 0.2 + 0.01 * n; });
  for (Sample& sample : samples) {
    if (sample.round == 0 && sample.scheme == "shared") sample.measured_seconds *= 3;
  }
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  CHECK_THAT(fit.r->value, WithinRel(analysis::fit_scheme(
                                         make_samples({10, 50, 100}, 5, 0.1, [](double n) { return 0.2 + 0.01 * n; }),
                                         "shared", kUnknown)
                                         .r->value,
                                     1e-10));
  CHECK_THAT(fit.model("affine")->parameter("a").value(), WithinRel(0.2, 1e-10));
  CHECK_THAT(fit.model("affine")->parameter("b").value(), WithinRel(0.01, 1e-10));
}

TEST_CASE("r is above 0 whatever the data, and above 1 where sharing costs more", "[analysis][fit]") {
  // Three times as slow at any N: no r explains both, 3 and a little does least badly.
  const Fit slower = analysis::fit_scheme(make_samples({10, 100}, 3, 1, [](double n) { return 3 * n; }), "shared", 1);
  CHECK_THAT(slower.r->value, WithinRel(3.1, 0.05));
  CHECK(slower.r->ci95->lo <= slower.r->value);
  CHECK(slower.r->value <= slower.r->ci95->hi);
  CHECK_FALSE(slower.rho);
  CHECK_FALSE(slower.asymptote);
  CHECK(slower.models.front().max_residual_pct.value() < 10);

  // Above N times: no r explains it; the smallest does least badly.
  const Fit faster = analysis::fit_scheme(make_samples({10, 100}, 3, 1, [](double) { return 0.5; }), "shared", 1);
  CHECK(faster.r->value > 0);
  CHECK(faster.r->value < 1e-6);

  // Noise across 1: the interval holds the planted value on either side of it.
  int holds = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Noise noise;
    noise.point = 0.1;
    const auto samples = make_samples({10, 100}, 3, 1, one_parameter(1, 0.97), noise, seed);
    const auto r = *analysis::fit_scheme(samples, "shared", 1).r;
    holds += r.ci95->lo <= 0.97 && 0.97 <= r.ci95->hi;
  }
  CHECK(holds >= 17);
}

TEST_CASE("a form that is far off a measured N is not preferred, however well it predicts", "[analysis][fit]") {
  Noise noise;
  noise.point = 0.005;
  const auto preferred = [&](const std::vector<std::int64_t>& counts, auto time) {
    return analysis::fit_scheme(make_samples(counts, 4, 1, time, noise), "shared", kUnknown).preferred;
  };
  CHECK(preferred(kCandidates, one_parameter(1, 0.05)) == "one-parameter");
  CHECK(preferred(kCandidates, [](double n) { return 1.3 + 0.05 * n; }) == "affine");
  // A cliff, a curve, a knee between two slopes.
  CHECK(preferred({1, 10, 50, 100, 200}, [](double n) { return n < 150 ? 5 + 0.03 * n : 300; }) == "neither");
  CHECK(preferred({1, 4, 16, 64, 128}, [](double n) { return 1 + 0.06 * n + 0.0015 * n * n; }) == "neither");
  CHECK(preferred({1, 10, 100, 1000}, [](double n) { return std::max(5.0, 0.2 * n); }) == "neither");
  // Within ten percent a form is good enough.
  CHECK(preferred(kCandidates, [](double n) { return 1 + 0.05 * (n - 1) * (n > 20 ? 1.05 : 1); }) != "neither");
  // Two N test nothing.
  CHECK(preferred({10, 100}, [](double n) { return 1.3 + 0.05 * n; }) == "untested");
}

TEST_CASE("r holds what its form leaves out", "[analysis][fit]") {
  // Shared times of a system that saturates: the law is off by a tenth at half of the N.
  const auto samples =
      make_samples({1, 2, 4, 8, 12, 16}, 3, 1, [](double n) { return n <= 8 ? 1 + 0.02 * n : 0.8 + 0.07 * n; });
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  REQUIRE(fit.preferred == "neither");
  // What single N say of r.
  double least = 1, most = 0;
  for (const kvcast::ObservedSpeedup& one : fit.observed) {
    if (one.candidates < 4) continue;
    const double r = kvcast::r_from_speedup(static_cast<double>(one.candidates), one.speedup.value);
    least = std::min(least, r);
    most = std::max(most, r);
  }
  CHECK(fit.r->ci95->lo < fit.r->value - 0.2 * (most - least));
  CHECK(fit.r->ci95->hi > fit.r->value + 0.2 * (most - least));
}

TEST_CASE("N that contradict each other get the least sum of squares, not the nearest hollow", "[analysis][fit]") {
  // Five small N say r = 1, N = 1000 says far less: the sum has two hollows, and which is the deeper turns with how
  // much less. What the form misses is so large that the N weigh alike.
  const std::vector<std::int64_t> counts = {10, 12, 14, 16, 18, 1000};
  bool large = false, small = false;
  for (const double far : {1e-4, 5e-4, 1e-3, 2e-3, 4e-3, 1e-2}) {
    const auto planted = [far](double n) { return n == 1000 ? far : 1.0; };
    const auto samples = make_samples(counts, 3, 1, [&](double n) { return 1 + (n - 1) * planted(n); });
    const auto sum_of_squares = [&](double r) {
      double sum = 0;
      for (const std::int64_t count : counts) {
        const auto n = static_cast<double>(count);
        sum += std::pow(std::log(kvcast::speedup(n, planted(n)) / kvcast::speedup(n, r)), 2);
      }
      return sum;
    };
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i <= 10000; ++i) least = std::min(least, sum_of_squares(std::pow(10, -5 + 5 * i / 10000.0)));
    const double r = analysis::fit_scheme(samples, "shared", kUnknown).r->value;
    CAPTURE(far, r);
    CHECK(sum_of_squares(r) <= least * (1 + 1e-9));
    large = large || r > 0.3;
    small = small || r < 0.05;
  }
  // Both hollows were the deeper one at some time.
  CHECK(large);
  CHECK(small);
}

TEST_CASE("residuals say how far each form is off at each N", "[analysis][fit]") {
  const auto samples = make_samples({1, 4, 16, 64, 256}, 3, 0.1, [](double n) { return 0.148 + 0.002 * n; });
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  REQUIRE(fit.observed.size() == 5);
  REQUIRE(fit.models.size() == 2);
  const auto loo = analysis::loo_predictions(samples, "shared");
  for (std::size_t i = 0; i < fit.observed.size(); ++i) {
    const kvcast::ModelResidual &law = fit.models[0].residuals.at(i), &affine = fit.models[1].residuals.at(i);
    const std::int64_t candidates = fit.observed[i].candidates;
    CHECK(law.candidates == candidates);
    CHECK(affine.candidates == candidates);
    const auto n = static_cast<double>(candidates);
    CAPTURE(n);
    const double observed = 0.1 * n / (0.148 + 0.002 * n);
    CHECK_THAT(fit.observed[i].speedup.value, WithinRel(observed, 1e-12));
    CHECK_THAT(law.pct.value(), WithinRel(100 * (kvcast::speedup(n, fit.r->value) / observed - 1), 1e-9));
    CHECK_THAT(affine.pct.value(), WithinAbs(0, 1e-9));
    CHECK_THAT(affine.loo_pct.value(), WithinAbs(100 * (loo.at(candidates) / observed - 1), 1e-9));
    CHECK(std::abs(law.loo_pct.value()) >= std::abs(*law.pct) - 1e-9);
  }
  CHECK_THAT(fit.model("affine")->marginal_r.value().value, WithinRel(0.02, 1e-10));
  REQUIRE(fit.model("affine")->marginal_r->ci95);
  CHECK_THAT(fit.model("affine")->marginal_r->ci95->lo, WithinRel(0.02, 1e-9));
  CHECK_THAT(fit.model("affine")->marginal_r->ci95->hi, WithinRel(0.02, 1e-9));
  CHECK(fit.lack_of_fit_pct.value() > 5);
}

TEST_CASE("what cannot be fitted says why", "[analysis][fit]") {
  const auto samples = make_samples(kCandidates, 2, 1, one_parameter(1, 0.1));
  CHECK(analysis::unfittable(samples, "shared").empty());
  CHECK(analysis::unfittable(make_samples({7}, 1, 1, one_parameter(1, 0.1)), "shared").empty());
  CHECK(analysis::unfittable({}, "shared") == "no usable timing of shared");
  CHECK(analysis::unfittable(samples, "packed") == "no usable timing of packed");
  CHECK(analysis::unfittable(make_samples({1}, 3, 1, one_parameter(1, 0.1)), "shared") ==
        "only N = 1 was timed, which says nothing about r");
  auto apart = samples;
  for (Sample& sample : apart) sample.round += sample.scheme == "naive" ? 100 : 0;
  CHECK(analysis::unfittable(apart, "shared") == "shared and naive share no N in the same round");
}
