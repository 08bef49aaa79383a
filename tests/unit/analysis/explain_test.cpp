#include "analysis/explain.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "catch.h"
#include "engine/builtin/schemes/pass_counts.h"
#include "kvcast/cost_model.h"
#include "rows.h"

namespace analysis = kvcast::analysis;
using kvcast::Explanation;
using kvcast::RShare;
using kvcast::Sample;
using kvcast::Status;

namespace {

kvcast::WorkShape shape() {
  kvcast::WorkShape s;
  s.history_length = 100;
  s.dim = 8;
  s.heads = s.kv_heads = 2;
  s.layers = 3;
  return s;
}

constexpr double kLayerBytes = 5000;
const kvcast::SchemePasses& shared() {
  static const kvcast::SchemePasses passes = kvcast::sharing_passes("shared", kLayerBytes, 1024);
  return passes;
}

/// Seconds of a machine: naive's candidate, the prefill, and the scoring pass a·N + fixed.
struct Times {
  double naive = 10e-3, history = 9e-3, each = 0.2e-3, fixed = 0.7e-3;
  double pass(std::int64_t n) const { return each * double(n) + fixed; }
};

std::vector<Sample> make_samples(const Times& times, const std::vector<std::int64_t>& candidates, bool whole = false,
                                 std::int64_t rounds = 3) {
  std::vector<Sample> samples;
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (const std::int64_t n : candidates) {
      samples.push_back(kvcast::testing::row("naive", n, round, Status::measured, times.naive * double(n)));
      Sample sample =
          kvcast::testing::row(whole ? "packed" : "shared", n, round, Status::measured, times.history + times.pass(n));
      if (!whole) {
        sample.prefill_s = times.history;
        sample.scoring_s = times.pass(n);
      }
      samples.push_back(sample);
    }
  }
  return samples;
}

double total(const RShare& share) {
  return share.arithmetic + share.weights.value_or(0) + share.kv.value_or(0) + share.overhead;
}

/// Sums and differences of a few numbers below 1.
constexpr double kRounding = 1e-14;

double kv_bytes() { return double(kvcast::kv_cache_bytes(shape())); }

}  // namespace

TEST_CASE("a ranking head comes on top of the parts of r", "[analysis][explain]") {
  const Times times;
  std::vector<Sample> samples = make_samples(times, {5, 20});
  const auto bare = analysis::explain(analysis::tabulate(samples), shared(), shape(), {});
  for (std::int64_t round = 0; round < 3; ++round) {
    samples.push_back(kvcast::testing::row("head", 20, round, Status::measured, 20 * 4e-3));
  }
  const auto told = analysis::explain(analysis::tabulate(samples), shared(), shape(), {});
  REQUIRE(told);
  REQUIRE(told->shares.size() == 2);
  CHECK_FALSE(told->shares[0].head);
  CHECK(std::abs(told->shares[1].head.value() - 4e-3 / times.naive) < kRounding);
  CHECK(std::abs(total(told->shares[1]) - told->shares[1].r) < kRounding);
  CHECK(told->shares[1].overhead == bare->shares[1].overhead);
}

TEST_CASE("the parts of r, by hand", "[analysis][explain]") {
  const Times times;
  // The weights take 0.3 ms at this rate, and the cache what its bytes say: within the 0.7 ms that are fixed.
  const double rate = 3 * kLayerBytes / 0.3e-3, kv_s = kv_bytes() / rate;
  REQUIRE(kv_s < 0.39e-3);
  const auto told =
      analysis::explain(analysis::tabulate(make_samples(times, {1, 5, 20, 100})), shared(), shape(), {nullptr, rate});
  REQUIRE(told);
  CHECK(told->basis == "rates");
  CHECK(told->r_design_note == 0.15);
  REQUIRE(told->shares.size() == 3);
  std::int64_t index = 0;
  for (const std::int64_t n : {5, 20, 100}) {
    const RShare& share = told->shares[static_cast<std::size_t>(index++)];
    const double unit = double(n - 1) * times.naive;
    CAPTURE(n);
    CHECK(share.candidates == n);
    CHECK(share.r == Approx((times.history + times.pass(n) - times.naive) / unit).epsilon(1e-10));
    CHECK(share.arithmetic == Approx(times.each / times.naive).epsilon(1e-10));
    REQUIRE(share.weights);
    REQUIRE(share.kv);
    CHECK(*share.weights == Approx(0.3e-3 / unit).epsilon(1e-10));
    CHECK(*share.kv == Approx(kv_s / unit).epsilon(1e-10));
    CHECK_FALSE(share.head);
    // What is fixed beyond the bytes, and a prefill 0.8 ms short of its share in naive.
    CHECK(share.overhead == Approx((0.4e-3 - kv_s - 0.8e-3) / unit).epsilon(1e-8));
    CHECK(share.overhead < 0);
    CHECK(std::abs(total(share) - share.r) < kRounding);
  }
}

TEST_CASE("bytes never take more than the pass took beyond its arithmetic", "[analysis][explain]") {
  const Times times;
  const double rate = 3 * kLayerBytes / 7e-3;  // ten times as slow as the pass can have been
  const auto told =
      analysis::explain(analysis::tabulate(make_samples(times, {1, 5, 20, 100})), shared(), shape(), {nullptr, rate});
  REQUIRE(told);
  for (const RShare& share : told->shares) {
    const double unit = double(share.candidates - 1) * times.naive;
    CHECK(*share.weights + *share.kv == Approx(times.fixed / unit).epsilon(1e-9));
    CHECK(*share.weights / *share.kv == Approx(3 * kLayerBytes / kv_bytes()));
    CHECK(share.overhead == Approx((times.history + times.each - times.naive) / unit).epsilon(1e-8));
    CHECK(std::abs(total(share) - share.r) < kRounding);
  }
}

TEST_CASE("bytes that grow with N are not arithmetic", "[analysis][explain]") {
  // Copies: 3 reads and writes of the cache per candidate, which take a tenth of its 0.2 ms.
  const kvcast::SchemePasses copy = kvcast::sharing_passes("shared", kLayerBytes, 1024, true);
  const double rate = 3 * kv_bytes() / 0.02e-3;
  const auto told = analysis::explain(analysis::tabulate(make_samples({}, {10, 100})), copy, shape(), {nullptr, rate});
  REQUIRE(told);
  for (const RShare& share : told->shares) {
    const double unit = double(share.candidates - 1) * 10e-3;
    CHECK(share.arithmetic == Approx(0.18e-3 / 10e-3));
    CHECK(*share.kv == Approx(double(share.candidates) * 0.02e-3 / unit));
  }
}

TEST_CASE("what the data cannot tell apart stays together", "[analysis][explain]") {
  const Times times;
  const auto samples = make_samples(times, {1, 5, 20, 100});
  // No read rate.
  const auto no_rate = analysis::explain(analysis::tabulate(samples), shared(), shape(), {});
  REQUIRE(no_rate);
  CHECK(no_rate->shares.front().arithmetic == Approx(0.02));
  CHECK_FALSE(no_rate->shares.front().weights);
  CHECK_FALSE(no_rate->shares.front().kv);
  // One N: all of the pass is its candidates'.
  const auto one = analysis::explain(analysis::tabulate(make_samples(times, {100})), shared(), shape(), {nullptr, 1e9});
  REQUIRE(one);
  CHECK(one->shares.front().arithmetic == Approx(times.pass(100) / 100 / times.naive));
  CHECK_FALSE(one->shares.front().weights);
  CHECK(std::abs(total(one->shares.front()) - one->shares.front().r) < kRounding);
  // Times that fall with N say nothing of one more.
  const auto falling = analysis::explain(analysis::tabulate(make_samples({10e-3, 9e-3, -1e-5, 5e-3}, {10, 100})),
                                         shared(), shape(), {nullptr, 1e9});
  REQUIRE(falling);
  CHECK(falling->shares.back().arithmetic == Approx(4e-3 / 100 / 10e-3));
  CHECK_FALSE(falling->shares.back().weights);
  // History and candidates in one pass.
  const auto packed = kvcast::packed_passes("packed", kLayerBytes, 0);
  const auto together =
      analysis::explain(analysis::tabulate(make_samples(times, {5, 100}, true)), packed, shape(), {nullptr, 1e9});
  REQUIRE(together);
  CHECK(together->shares.front().arithmetic == Approx(0.02));
  CHECK_FALSE(together->shares.front().weights);
  CHECK(std::abs(total(together->shares.front()) - together->shares.front().r) < kRounding);
  // Nothing to explain.
  CHECK_FALSE(analysis::explain(analysis::tabulate(make_samples(times, {1})), shared(), shape(), {}));
  CHECK_FALSE(analysis::explain({}, shared(), shape(), {}));
}

TEST_CASE("a surface gives the parts their coefficients", "[analysis][explain]") {
  kvcast::Surface surface;
  surface.cache_bytes = 10'000;
  surface.terms = {{"naive", "dense FLOPs", "FLOP", 1, 1},
                   {"scoring", "dense FLOPs", "FLOP", 2e-9, 1},
                   {"scoring", "attention FLOPs", "FLOP", 3e-9, 1},
                   {"scoring", "weight bytes", "B", 5e-9, 1},
                   {"scoring", "KV bytes", "B", 7e-9, 1},
                   {"scoring", "bytes beyond cache", "B", 11e-9, 1},
                   {"scoring", "pass", "1", 1e-4, 1}};
  const Times times;
  const auto samples = make_samples(times, {1, 5, 100});
  const kvcast::FlopParts one = kvcast::candidate_flop_parts(shape());
  const double weights = 3 * kLayerBytes, kv = kv_bytes(), beyond = 11e-9 * (weights + kv - 10'000);
  const double weights_s = 5e-9 * weights + beyond * weights / (weights + kv);
  const double kv_s = 7e-9 * kv + beyond * kv / (weights + kv);
  const auto told = analysis::explain(analysis::tabulate(samples), shared(), shape(), {&surface, std::nullopt});
  REQUIRE(told);
  CHECK(told->basis == "surface");
  REQUIRE(told->shares.size() == 2);
  for (const RShare& share : told->shares) {
    const double unit = double(share.candidates - 1) * times.naive;
    CHECK(share.arithmetic == Approx((2e-9 * one.dense + 3e-9 * one.attention) / times.naive));
    CHECK(*share.weights == Approx(weights_s / unit));
    CHECK(*share.kv == Approx(kv_s / unit));
    CHECK(std::abs(total(share) - share.r) < kRounding);
  }
  // At a read rate between the two, only what the coefficient of the weights holds beyond it is cut.
  const double rate = weights / (0.9 * weights_s);
  REQUIRE(kv / rate < kv_s);
  const auto cut = analysis::explain(analysis::tabulate(samples), shared(), shape(), {&surface, rate});
  CHECK(*cut->shares.front().weights == Approx(0.9 * weights_s / (4 * times.naive)));
  CHECK(*cut->shares.front().kv == Approx(kv / rate / (4 * times.naive)));
  CHECK(cut->shares.front().overhead > told->shares.front().overhead);
  CHECK(std::abs(total(cut->shares.front()) - cut->shares.front().r) < kRounding);
}

TEST_CASE("an explanation rests on middles, in any order", "[analysis][explain]") {
  std::vector<Sample> samples = make_samples({}, {1, 5, 20, 100});
  const auto calm = analysis::explain(analysis::tabulate(samples), shared(), shape(), {nullptr, 1e9});
  for (Sample& sample : samples) {
    if (sample.round != 1) continue;
    // One round with a slow scheme.
    if (sample.scheme == "naive") continue;
    sample.measured_seconds *= 7;
    sample.prefill_s = *sample.prefill_s * 7;
    sample.scoring_s = *sample.scoring_s * 7;
  }
  std::reverse(samples.begin(), samples.end());
  const auto disturbed = analysis::explain(analysis::tabulate(samples), shared(), shape(), {nullptr, 1e9});
  REQUIRE(calm);
  REQUIRE(disturbed);
  for (std::size_t i = 0; i < calm->shares.size(); ++i) {
    CHECK(calm->shares[i].r == disturbed->shares[i].r);
    CHECK(calm->shares[i].arithmetic == disturbed->shares[i].arithmetic);
    CHECK(calm->shares[i].overhead == disturbed->shares[i].overhead);
  }
}
