#include "analysis/fit.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "analysis/statistics.h"
#include "base/random.h"
#include "catch.h"
#include "kvcast/cost_model.h"

namespace analysis = kvcast::analysis;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using kvcast::Fit;
using kvcast::Sample;
using kvcast::Status;

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
const std::vector<std::int64_t> kCandidates = {1, 5, 10, 50, 100};

Sample row(const std::string& scheme, std::int64_t candidates, std::int64_t round, double seconds) {
  Sample sample;
  sample.scheme = scheme;
  sample.candidates = sample.measured_candidates = candidates;
  sample.round = round;
  sample.measured_seconds = seconds;
  return sample;
}

/// Standard normal numbers, the same on every platform.
class Normal {
 public:
  explicit Normal(std::uint64_t seed) : random_(seed, 3) {}
  double operator()() {
    const double u = (static_cast<double>(random_.bits(next_) >> 11) + 0.5) * 0x1p-53;
    const double v = static_cast<double>(random_.bits(next_ + 1) >> 11) * 0x1p-53;
    next_ += 2;
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * 3.14159265358979323846 * v);
  }

 private:
  kvcast::RandomStream random_;
  std::uint64_t next_ = 0;
};

struct Noise {
  double machine = 0;  ///< of a round, common to both schemes
  double round = 0;    ///< of a round, of the scheme alone (its history pass serves every N)
  double point = 0;    ///< of every timing
};

/// Rounds of naive at `naive_s` seconds a candidate and "shared" at shared_s(N), with multiplicative noise (sd of
/// logs).
std::vector<Sample> make_samples(const std::vector<std::int64_t>& candidates, std::int64_t rounds, double naive_s,
                                 const std::function<double(double)>& shared_s, const Noise& noise = {},
                                 std::uint64_t seed = 1) {
  Normal normal(seed);
  std::vector<Sample> samples;
  for (std::int64_t round = 0; round < rounds; ++round) {
    const double machine = noise.machine * normal(), scheme = noise.round * normal();
    for (const std::int64_t count : candidates) {
      const auto n = static_cast<double>(count);
      samples.push_back(row("naive", count, round, naive_s * n * std::exp(machine + noise.point * normal())));
      samples.push_back(row("shared", count, round, shared_s(n) * std::exp(machine + scheme + noise.point * normal())));
    }
  }
  return samples;
}

std::function<double(double)> one_parameter(double naive_s, double r) {
  return [=](double n) { return naive_s * (1 + (n - 1) * r); };
}

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
    CHECK_THAT(fit.max_residual_pct.value(), WithinAbs(0, 1e-9));
    CHECK_THAT(fit.loo_error_pct.value(), WithinAbs(0, 1e-9));
    CHECK(fit.rounds == 3);
    CHECK(fit.excluded_pairs == 0);
    // The affine form contains this one: a = c (1-r), b = c r.
    REQUIRE(fit.affine);
    CHECK_THAT(fit.affine->user_s, WithinRel(0.2 * (1 - r), 1e-8));
    CHECK_THAT(fit.affine->candidate_s, WithinRel(0.2 * r, 1e-8));
    CHECK_THAT(fit.affine->naive_candidate_s, WithinRel(0.2, 1e-12));
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

TEST_CASE("the interval of r covers at its nominal rate", "[analysis][fit]") {
  // 2000 draws of five rounds: four binomial standard deviations around 95% are the band 93.05% .. 96.95%.
  constexpr int kSeeds = 2000;
  struct Setting {
    double r;
    Noise noise;
  };
  for (const Setting& setting :
       {Setting{0.15, {0.05, 0.02, 0.01}}, Setting{0.004, {0.05, 0.0, 0.02}}, Setting{0.02, {0.0, 0.03, 0.03}}}) {
    int covered = 0;
    double log_error = 0;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
      const auto samples = make_samples(kCandidates, 5, 0.1, one_parameter(0.1, setting.r), setting.noise, seed);
      const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
      REQUIRE(fit.r);
      REQUIRE(fit.r->ci95);
      covered += fit.r->ci95->lo <= setting.r && setting.r <= fit.r->ci95->hi;
      log_error += std::log(fit.r->value / setting.r);
    }
    CAPTURE(setting.r, covered);
    const double band = 4 * std::sqrt(0.95 * 0.05 * kSeeds);
    CHECK(covered >= 0.95 * kSeeds - band);
    CHECK(covered <= 0.95 * kSeeds + band);
    CHECK_THAT(log_error / kSeeds, WithinAbs(0, 0.01));
  }
}

TEST_CASE("the jackknife of a single N is the one that can be written down", "[analysis][fit]") {
  const std::vector<double> speedups = {6.1, 6.4, 6.2, 6.6};
  std::vector<Sample> samples;
  for (std::size_t i = 0; i < speedups.size(); ++i) {
    samples.push_back(row("naive", 100, std::int64_t(i), 100));
    samples.push_back(row("shared", 100, std::int64_t(i), 100 / speedups[i]));
  }
  const double r = kvcast::r_from_speedup(100, analysis::geometric_mean(speedups));
  std::vector<double> left_out;
  for (std::size_t i = 0; i < speedups.size(); ++i) {
    std::vector<double> rest = speedups;
    rest.erase(rest.begin() + std::ptrdiff_t(i));
    left_out.push_back(std::log(kvcast::r_from_speedup(100, analysis::geometric_mean(rest))));
  }
  double squares = 0;
  for (const double value : left_out) squares += std::pow(value - analysis::mean(left_out), 2);
  const double half = 3.182446305 * std::sqrt(3.0 / 4 * squares);  // t at 97.5%, 3 degrees

  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  REQUIRE(fit.r);
  CHECK_THAT(fit.r->value, WithinRel(r, 1e-12));
  REQUIRE(fit.r->ci95);
  CHECK_THAT(fit.r->ci95->lo, WithinRel(r * std::exp(-half), 1e-8));
  CHECK_THAT(fit.r->ci95->hi, WithinRel(r * std::exp(half), 1e-8));
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
    REQUIRE(again.max_residual_pct == fit.max_residual_pct);
    REQUIRE(again.affine->user_s == fit.affine->user_s);
    REQUIRE(again.affine->candidate_s == fit.affine->candidate_s);
    REQUIRE(again.affine->naive_candidate_s == fit.affine->naive_candidate_s);
    REQUIRE(again.loo_error_pct == fit.loo_error_pct);
    REQUIRE(again.affine_loo_error_pct == fit.affine_loo_error_pct);
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

TEST_CASE("scaled naive and composed shared timings are brought to N", "[analysis][fit]") {
  std::vector<Sample> samples;
  for (std::int64_t round = 0; round < 3; ++round) {
    for (const std::int64_t count : {10, 100, 1000}) {
      Sample naive = row("naive", count, round, 4 * 2.0);
      naive.status = Status::scaled;
      naive.measured_candidates = 4;
      samples.push_back(naive);
      Sample shared = row("shared", count, round, 1.8 + 10 * 0.2);
      shared.status = Status::composed;
      shared.measured_candidates = 10;
      shared.user_seconds = 1.8;
      shared.fusion_seconds = 10 * 0.2;
      samples.push_back(shared);
    }
  }
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  CHECK_THAT(fit.r->value, WithinRel(0.1, 1e-10));
  CHECK_THAT(fit.affine->user_s, WithinRel(1.8, 1e-9));
  CHECK_THAT(fit.affine->candidate_s, WithinRel(0.2, 1e-9));
  CHECK_THAT(fit.affine->naive_candidate_s, WithinRel(2.0, 1e-12));
}

TEST_CASE("one kind of timing serves all rounds of an N", "[analysis][fit]") {
  // Composed in all five rounds at r = 0.1; whole runs say 0.3.
  const auto with_whole_rounds = [](std::int64_t whole_rounds, std::int64_t composed_rounds) {
    std::vector<Sample> samples;
    for (std::int64_t round = 0; round < 5; ++round) {
      samples.push_back(row("naive", 100, round, 100));
      Sample composed = row("shared", 100, round, 1 + 99 * 0.1);
      composed.status = Status::composed;
      if (round < composed_rounds) samples.push_back(composed);
      if (round < whole_rounds) samples.push_back(row("shared", 100, round, 1 + 99 * 0.3));
    }
    return analysis::fit_scheme(samples, "shared", kUnknown);
  };
  CHECK_THAT(with_whole_rounds(2, 5).r->value, WithinRel(0.1, 1e-10));
  CHECK_THAT(with_whole_rounds(5, 5).r->value, WithinRel(0.3, 1e-10));
  CHECK_THAT(with_whole_rounds(5, 2).r->value, WithinRel(0.3, 1e-10));
  CHECK(with_whole_rounds(2, 5).rounds == 5);
}

TEST_CASE("an N that scatters more counts for less", "[analysis][fit]") {
  std::vector<Sample> samples;
  const std::vector<double> scatter = {0.7, 1.0, 1.3};  // at N = 100 only, and its r is twice the others'
  for (std::int64_t round = 0; round < 3; ++round) {
    for (const std::int64_t count : {50, 100, 200}) {
      const auto n = static_cast<double>(count);
      const double r = count == 100 ? 0.2 : 0.1, noise = count == 100 ? scatter[std::size_t(round)] : 1;
      samples.push_back(row("naive", count, round, n));
      samples.push_back(row("shared", count, round, (1 + (n - 1) * r) * noise));
    }
  }
  const double r = analysis::fit_scheme(samples, "shared", kUnknown).r->value;
  CHECK(r > 0.1);
  CHECK(r < 0.101);
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
  REQUIRE(fit.affine);
  CHECK_THAT(fit.affine->user_s, WithinRel(0.148, 1e-10));
  CHECK_THAT(fit.affine->candidate_s, WithinRel(0.002, 1e-10));
  CHECK_THAT(fit.affine_max_residual_pct.value(), WithinAbs(0, 1e-9));
  CHECK_THAT(fit.affine_loo_error_pct.value(), WithinAbs(0, 1e-8));
  CHECK(fit.max_residual_pct.value() > 5);
  CHECK(fit.loo_error_pct.value() > 5);
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
  REQUIRE(no_user.affine);
  CHECK(no_user.affine->user_s == 0);
  CHECK_THAT(no_user.affine->candidate_s, WithinRel((1 + 0.5 + 0.25) / (1 + 0.25 + 0.0625), 1e-12));

  // Falling times: b at 0, a alone: Σ(1/T)/Σ(1/T)².
  const auto falling = [](double n) { return 1 / n; };
  const Fit no_candidate = analysis::fit_scheme(make_samples({1, 2, 4}, 2, 1, falling), "shared", kUnknown);
  REQUIRE(no_candidate.affine);
  CHECK(no_candidate.affine->candidate_s == 0);
  CHECK_THAT(no_candidate.affine->user_s, WithinRel((1.0 + 2 + 4) / (1 + 4 + 16), 1e-12));
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
    const double affine = rest.affine->naive_candidate_s * n / (rest.affine->user_s + rest.affine->candidate_s * n);
    affine_squares += std::pow(affine / std::exp(log_speedup) - 1, 2);
  }
  CHECK_THAT(fit.loo_error_pct.value(), WithinRel(100 * std::sqrt(squares / 5), 1e-9));
  CHECK_THAT(fit.affine_loo_error_pct.value(), WithinRel(100 * std::sqrt(affine_squares / 5), 1e-9));
}

TEST_CASE("the form is untested below three N above 1", "[analysis][fit]") {
  const auto shared = one_parameter(1, 0.1);

  const Fit single = analysis::fit_scheme(make_samples({100}, 3, 1, shared), "shared", kUnknown);
  CHECK_THAT(single.r->value, WithinRel(0.1, 1e-10));
  CHECK(single.r->ci95);
  CHECK(single.preferred == "untested");
  CHECK_FALSE(single.affine);
  CHECK_FALSE(single.affine_max_residual_pct);
  CHECK_FALSE(single.loo_error_pct);
  CHECK_FALSE(single.r_squared);
  CHECK(analysis::loo_predictions(make_samples({100}, 3, 1, shared), "shared").empty());

  const Fit with_one = analysis::fit_scheme(make_samples({1, 100}, 3, 1, shared), "shared", kUnknown);
  CHECK_THAT(with_one.r->value, WithinRel(0.1, 1e-10));
  CHECK(with_one.preferred == "untested");
  CHECK_FALSE(with_one.affine);
  CHECK_FALSE(with_one.loo_error_pct);

  const Fit two = analysis::fit_scheme(make_samples({10, 100}, 3, 1, shared), "shared", kUnknown);
  CHECK(two.preferred == "untested");
  CHECK_FALSE(two.affine);
  CHECK(two.loo_error_pct);
  CHECK_FALSE(two.affine_loo_error_pct);
  CHECK(analysis::loo_predictions(make_samples({10, 100}, 3, 1, shared), "shared").size() == 2);

  // Three points make an affine fit, but two N above 1 do not test the form.
  const Fit three = analysis::fit_scheme(make_samples({1, 10, 100}, 3, 1, shared), "shared", kUnknown);
  CHECK(three.preferred == "untested");
  CHECK(three.affine);
  CHECK(three.affine_loo_error_pct);

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
    CHECK_FALSE(fit.max_residual_pct);
    CHECK_FALSE(fit.affine);
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

TEST_CASE("one round gives r without an interval", "[analysis][fit]") {
  const Fit fit = analysis::fit_scheme(make_samples(kCandidates, 1, 1, one_parameter(1, 0.1)), "shared", kUnknown);
  CHECK_THAT(fit.r->value, WithinRel(0.1, 1e-10));
  CHECK_FALSE(fit.r->ci95);
  CHECK(fit.rounds == 1);
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
  auto samples = make_samples({10, 50, 100}, 3, 0.1, [](double n) { return 0.2 + 0.01 * n; });
  for (Sample& sample : samples) {
    if (sample.round == 0 && sample.scheme == "shared") sample.measured_seconds *= 3;
  }
  const Fit fit = analysis::fit_scheme(samples, "shared", kUnknown);
  CHECK_THAT(fit.affine->user_s, WithinRel(0.2, 1e-10));
  CHECK_THAT(fit.affine->candidate_s, WithinRel(0.01, 1e-10));
}

TEST_CASE("r stays within (0, 1] whatever the data", "[analysis][fit]") {
  // Sharing that is slower than naive: at the bound, and rho has no value.
  const Fit slower = analysis::fit_scheme(make_samples({10, 100}, 3, 1, [](double n) { return 3 * n; }), "shared", 1);
  CHECK(slower.r->value == 1);
  CHECK_FALSE(slower.rho);
  CHECK(slower.asymptote == 1.0);
  CHECK_THAT(slower.max_residual_pct.value(), WithinRel(100 * 2.0 / 3, 1e-9));

  // N = 10 says 3, cut to 1, and outweighs the 0.9 of N = 100.
  const auto mixed = [](double n) { return n == 10 ? 1 + 9 * 3.0 : 1 + 99 * 0.9; };
  CHECK(analysis::fit_scheme(make_samples({10, 100}, 3, 1, mixed), "shared", 1).r->value == 1);

  // Above N times: no r explains it; the smallest does least badly.
  const Fit faster = analysis::fit_scheme(make_samples({10, 100}, 3, 1, [](double) { return 0.5; }), "shared", 1);
  CHECK(faster.r->value > 0);
  CHECK(faster.r->value < 1e-6);

  // Noise across the bound: the interval stops at it.
  double highest = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Noise noise;
    noise.point = 0.1;
    const auto samples = make_samples({10, 100}, 3, 1, one_parameter(1, 0.97), noise, seed);
    highest = std::max(highest, analysis::fit_scheme(samples, "shared", 1).r->ci95->hi);
  }
  CHECK(highest == 1);
}

TEST_CASE("N that contradict each other get the least sum of squares, not the nearest hollow", "[analysis][fit]") {
  // N = 2 and 3 say r = 1 precisely, N = 1000 says 1e-4 with a scatter of its own: the sum has two hollows, and which
  // is the deeper turns with that scatter.
  constexpr double kFloor = 0.005;  // of a spread of logs
  bool large = false, small = false;
  for (const double scatter : {0.02, 0.022, 0.024, 0.027, 0.03, 0.04, 0.06}) {
    std::vector<Sample> samples;
    const auto planted = [](double n) { return n == 1000 ? 1e-4 : 1.0; };
    for (std::int64_t round = 0; round < 3; ++round) {
      for (const std::int64_t count : {2, 3, 1000}) {
        const auto n = static_cast<double>(count);
        const double noise = count == 1000 ? std::exp(scatter * double(round - 1)) : 1;
        samples.push_back(row("naive", count, round, n));
        samples.push_back(row("shared", count, round, (1 + (n - 1) * planted(n)) * noise));
      }
    }
    const auto sum_of_squares = [&](double r) {
      double sum = 0;
      for (const double n : {2.0, 3.0, 1000.0}) {
        const double error = std::log(kvcast::speedup(n, planted(n)) / kvcast::speedup(n, r));
        sum += error * error / std::pow(n == 1000 ? scatter : kFloor, 2);
      }
      return sum;
    };
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i <= 10000; ++i) least = std::min(least, sum_of_squares(std::pow(10, -5 + 5 * i / 10000.0)));
    const double r = analysis::fit_scheme(samples, "shared", kUnknown).r->value;
    CAPTURE(scatter, r);
    CHECK(sum_of_squares(r) <= least * (1 + 1e-9));
    large = large || r > 0.5;
    small = small || r < 0.01;
  }
  // Both hollows were the deeper one at some scatter.
  CHECK(large);
  CHECK(small);
}
