#include "engine/builtin/model/ranking_head.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "catch.h"
#include "engine/builtin/kernels/machine.h"
#include "engine/builtin/model/weights.h"
#include "kvcast/cost_model.h"

using namespace kvcast;
using kernels::Element;

namespace {

constexpr std::uint64_t kSeed = 5;

Buffer<float> tokens(std::int64_t count, std::int64_t dim) {
  Buffer<float> values(count * dim);
  seeded_candidates(kSeed, 0, count, dim, values.span());
  return values;
}

std::vector<float> scores(RankingHead& head, const Buffer<float>& x, std::int64_t count) {
  head.prepare(std::vector<std::int64_t>{count});
  std::vector<float> result(static_cast<std::size_t>(count), std::numeric_limits<float>::quiet_NaN());
  head.run(x.data(), count, result.data());
  return result;
}

/// Score of one row by plain loops in double, and a bound of what rounding with `unit` per operation and stored value
/// may do to it: the error of a sum of n products is at most (n + 1)·unit·Σ|w·h|, an error of h passes through |w|, and
/// GELU's slope is below 1.13.
struct Truth {
  double score = 0, bound = 0;
};
Truth plain_loops(const RankingHeadShape& shape, const float* x, double unit) {
  const auto stored = [&](float value) {
    return shape.element == Element::f32 ? double(value) : double(kernels::from_bf16(kernels::to_bf16(value)));
  };
  std::vector<double> h, error;
  for (std::int64_t i = 0; i < shape.dim; ++i) {
    h.push_back(stored(x[i]));
    error.push_back(0);
  }
  constexpr double kSumUnit = std::numeric_limits<float>::epsilon() / 2;  // sums are fp32 whatever is stored
  for (std::int64_t layer = 0; layer <= shape.layers; ++layer) {
    const auto in = static_cast<std::int64_t>(h.size());
    const std::int64_t out = layer == shape.layers ? 1 : shape.width;
    std::vector<float> weight(static_cast<std::size_t>(in * out)), bias(static_cast<std::size_t>(out));
    seeded_head_layer(kSeed, layer, in, weight, bias, 1);
    std::vector<double> next, next_error;
    for (std::int64_t o = 0; o < out; ++o) {
      double sum = bias[static_cast<std::size_t>(o)], size = std::abs(sum), passed = 0;
      for (std::int64_t i = 0; i < in; ++i) {
        const double w = stored(weight[static_cast<std::size_t>(o * in + i)]);
        sum += w * h[static_cast<std::size_t>(i)];
        size += std::abs(w * h[static_cast<std::size_t>(i)]);
        passed += std::abs(w) * error[static_cast<std::size_t>(i)];
      }
      double off = static_cast<double>(in + 1) * kSumUnit * size + passed;
      if (layer < shape.layers) {
        sum = 0.5 * sum * std::erfc(-sum / std::sqrt(2.0));
        off = 1.13 * off + 2e-7 * std::max(1.0, std::abs(sum)) + unit * std::abs(sum);
      }
      next.push_back(sum);
      next_error.push_back(off);
    }
    h = next;
    error = next_error;
  }
  return {h[0], error[0]};
}

}  // namespace

TEST_CASE("the ranking head is a plain double loop up to rounding", "[model][head]") {
  for (const Element element : {Element::f32, Element::bf16}) {
    // Half a unit of the last place of what GELU stores.
    const double unit = element == Element::f32 ? 0 : 1.0 / 256;
    for (const RankingHeadShape shape :
         {RankingHeadShape{1, 1, 1, element}, {7, 5, 1, element}, {16, 65, 2, element}, {63, 32, 3, element}}) {
      for (const int threads : {1, 2, 3}) {
        CAPTURE(shape.dim, shape.width, shape.layers, threads, element == Element::bf16);
        const Buffer<float> x = tokens(9, shape.dim);
        RankingHead head(shape, kSeed, threads, 9);
        const std::vector<float> got = scores(head, x, 9);
        for (std::int64_t i = 0; i < 9; ++i) {
          const Truth truth = plain_loops(shape, x.data() + i * shape.dim, unit);
          CHECK(std::abs(got[static_cast<std::size_t>(i)] - truth.score) <= truth.bound);
        }
        // Candidates differ: none stands in for another.
        if (shape.dim > 1) CHECK(got[0] != got[8]);
      }
    }
  }
}

TEST_CASE("how many candidates go through the head together does not change their scores", "[model][head]") {
  // The last blocks are of 1 row less than the others, whole, and of one row.
  constexpr std::int64_t kMost = 3 * kHeadRows + 1;
  const Buffer<float> x = tokens(kMost, 16);
  for (const Element element : {Element::f32, Element::bf16}) {
    RankingHead head({16, 48, 2, element}, kSeed, 2, kMost);
    const std::vector<float> all = scores(head, x, kMost);
    for (const std::int64_t count : {std::int64_t{1}, std::int64_t{2}, kHeadRows - 1, kHeadRows, kHeadRows + 1,
                                     2 * kHeadRows, 2 * kHeadRows + 3}) {
      CAPTURE(count);
      const std::vector<float> some = scores(head, x, count);
      for (std::size_t i = 0; i < some.size(); ++i) {
        // Bit for bit with AVX-512; below, the library's kernels follow the row count.
        const double tolerance = kernels::dense_bf16_native() ? 0 : element == Element::f32 ? 1e-5 : 2e-2;
        CHECK(std::abs(some[i] - all[i]) <= tolerance);
      }
    }
  }
}

TEST_CASE("a ranking head is of its seed alone and keeps scores of the size of its input", "[model][head]") {
  const RankingHeadShape shape{64, 256, 3, Element::f32};
  const Buffer<float> x = tokens(200, 64);
  RankingHead one(shape, 1, 2, 200), same(shape, 1, 1, 200), other(shape, 2, 2, 200);
  const std::vector<float> a = scores(one, x, 200), b = scores(same, x, 200), c = scores(other, x, 200);
  double square = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(std::abs(a[i] - b[i]) <= 1e-5);
    square += double(a[i]) * a[i] / double(a.size());
  }
  CHECK(a != c);
  CHECK(std::sqrt(square) > 0.05);
  CHECK(std::sqrt(square) < 2);
}

TEST_CASE("every layer of a ranking head has its own weights and biases", "[model][head]") {
  constexpr std::int64_t kIn = 100, kOut = 100;
  std::vector<std::vector<float>> seen;
  for (const std::int64_t layer : {0, 1, 2}) {
    std::vector<float> weight(kIn * kOut), bias(kOut);
    seeded_head_layer(kSeed, layer, kIn, weight, bias, 2);
    double variance = 0;
    for (const float w : weight) variance += double(w) * w / (kIn * kOut);
    CHECK(variance * kIn == Approx(1).epsilon(0.05));
    // So that a forgotten bias shows.
    CHECK(std::count(bias.begin(), bias.end(), 0.0F) == 0);
    seen.push_back(std::move(weight));
    seen.push_back(std::move(bias));
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j)
      CHECK_FALSE(std::equal(seen[j].begin(), seen[j].begin() + kOut, seen[i].begin()));
  }
}

TEST_CASE("the bytes of a ranking head are those of its weights and one block", "[model][head]") {
  const RankingHeadShape shape{64, 128, 3, Element::f32};
  double weights = 0;
  for (const auto& [in, out] : {std::pair{64, 128}, {128, 128}, {128, 128}, {128, 1}}) {
    weights += kernels::DenseWeights::packed_bytes(in, out, Element::f32);
  }
  CHECK(RankingHead::weight_bytes(shape) == weights);
  CHECK(RankingHead::bytes(shape, 10) == weights + 10 * 128 * 8);
  CHECK(RankingHead::bytes(shape, 100000) == weights + kHeadRows * 128 * 8);
}
