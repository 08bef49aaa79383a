#include "engine/builtin/model/ranking_head.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <utility>

#include "base/parallel.h"
#include "engine/builtin/kernels/gelu.h"
#include "engine/builtin/model/partition.h"
#include "engine/builtin/model/weights.h"

namespace kvcast {
namespace {

using kernels::Element;
using kernels::Epilogue;
using kernels::kValuesPerTask;

RowBlocks blocks_of(std::int64_t count) { return equal_blocks(count, (count + kHeadRows - 1) / kHeadRows); }

std::int64_t input_width(const RankingHeadShape& shape, std::int64_t layer) {
  return layer == 0 ? shape.dim : shape.width;
}
std::int64_t output_width(const RankingHeadShape& shape, std::int64_t layer) {
  return layer == shape.layers ? 1 : shape.width;
}

template <typename Body>
void in_tasks(int threads, std::int64_t values, const Body& body) {
  parallel_for(threads, (values + kValuesPerTask - 1) / kValuesPerTask, [&](std::int64_t task, int) {
    const std::int64_t first = task * kValuesPerTask;
    body(first, std::min(kValuesPerTask, values - first));
  });
}

}  // namespace

RankingHead::RankingHead(const RankingHeadShape& shape, std::uint64_t seed, int threads, std::int64_t max_candidates)
    : shape_(shape), threads_(threads), dense_(threads) {
  assert(shape.width >= 1 && shape.layers >= 1 && max_candidates >= 1);
  for (std::int64_t i = 0; i <= shape.layers; ++i) {
    const std::int64_t in = input_width(shape, i), out = output_width(shape, i);
    Buffer<float> weight(out * in), bias(out);
    seeded_head_layer(seed, i, in, weight.span(), bias.span(), threads);
    layers_.emplace_back(in, out, weight.data(), bias.data(), shape.element);
  }
  const std::int64_t rows = std::min(max_candidates, kHeadRows);
  const std::int64_t element = kernels::element_bytes(shape.element);
  if (shape.element != Element::f32) rounded_ = Buffer<std::byte>(rows * shape.dim * element);
  product_ = Buffer<float>(rows * shape.width);
  hidden_ = Buffer<std::byte>(rows * shape.width * element);
}

double RankingHead::weight_bytes(const RankingHeadShape& shape) {
  const auto layer = [&](std::int64_t in, std::int64_t out) {
    return kernels::DenseWeights::packed_bytes(in, out, shape.element);
  };
  return layer(shape.dim, shape.width) + static_cast<double>(shape.layers - 1) * layer(shape.width, shape.width) +
         layer(shape.width, 1);
}

double RankingHead::bytes(const RankingHeadShape& shape, std::int64_t max_candidates) {
  const auto rows = static_cast<double>(std::min(max_candidates, kHeadRows));
  const auto element = static_cast<double>(kernels::element_bytes(shape.element));
  const double rounded = shape.element == Element::f32 ? 0 : static_cast<double>(shape.dim) * element;
  const double hidden = static_cast<double>(shape.width) * (sizeof(float) + element);
  return weight_bytes(shape) + rows * (rounded + hidden);
}

void RankingHead::prepare(std::span<const std::int64_t> counts) {
  for (const std::int64_t count : counts) {
    const RowBlocks blocks = blocks_of(count);
    for (const std::int64_t rows : {blocks.size, blocks.last}) {
      for (const kernels::DenseWeights& layer : layers_) dense_.prepare(layer, rows, Epilogue::none, Element::f32);
    }
  }
}

void RankingHead::run(const float* x, std::int64_t count, float* scores) noexcept {
  const std::int64_t size = blocks_of(count).size;
  for (std::int64_t done = 0; done < count; done += size) {
    block(x + done * shape_.dim, std::min(size, count - done), scores + done);
  }
}

void RankingHead::block(const float* x, std::int64_t rows, float* scores) noexcept {
  const std::int64_t element = kernels::element_bytes(shape_.element);
  const void* input = x;
  if (shape_.element != Element::f32) {
    auto* const rounded = reinterpret_cast<kernels::Bf16*>(rounded_.data());
    in_tasks(threads_, rows * shape_.dim,
             [&](std::int64_t first, std::int64_t n) { kernels::narrow(x + first, n, rounded + first); });
    input = rounded;
  }
  for (std::int64_t i = 0; i < shape_.layers; ++i) {
    dense_.run(layers_[static_cast<std::size_t>(i)], input, rows, Epilogue::none, product_.data(), Element::f32);
    in_tasks(threads_, rows * shape_.width, [&](std::int64_t first, std::int64_t n) {
      kernels::gelu(product_.data() + first, n, hidden_.data() + first * element, shape_.element);
    });
    input = hidden_.data();
  }
  dense_.run(layers_.back(), input, rows, Epilogue::none, scores, Element::f32);
}

// Errors are taken as independent, so that squares add up. A sum of n terms w·h of random signs rounds every one of its
// n partial sums by up to eps/2 of it; they are of the size of sqrt(k) terms after k of them, so the sum is off by no
// more than eps·sqrt(n)·|w∘h|, three standard deviations (|·|: the Euclidean norm). bf16 rounds w and h by up to 2^-9
// each, which 2^-8·|w∘h| covers. The errors e of h come through as |w∘e|, and through GELU, whose slope is below 1.13,
// with 2e-7·max(1, |h|) of its own. Four times the sum, since all of that is a size and no bound. The
// score of another candidate is far beyond it, but for bf16 in heads of a few units and many layers.
HeadReference reference_head(const RankingHeadShape& shape, std::uint64_t seed, std::span<const float> x, int threads) {
  constexpr double kBf16 = 1.0 / 256, kSlope = 1.13, kGelu = 2e-7, kSafety = 4;
  const auto rows = static_cast<std::int64_t>(x.size()) / shape.dim;
  std::vector<double> values(x.begin(), x.end()), errors(x.size(), 0.0);
  for (std::int64_t i = 0; i <= shape.layers; ++i) {
    const std::int64_t in = input_width(shape, i), out = output_width(shape, i);
    Buffer<float> weight(out * in), bias(out);
    seeded_head_layer(seed, i, in, weight.span(), bias.span(), threads);
    const double eps = std::numeric_limits<float>::epsilon() * std::sqrt(static_cast<double>(in));
    const double rounding = eps * eps + (shape.element == Element::f32 ? 0.0 : kBf16 * kBf16);
    const auto elements = static_cast<std::size_t>(rows * out);
    std::vector<double> next(elements), next_errors(elements);
    parallel_for(threads, out, [&](std::int64_t j, int) {
      const float* const w = weight.data() + j * in;
      for (std::int64_t r = 0; r < rows; ++r) {
        double sum = 0, terms = 0, carried = 0;
        for (std::int64_t k = 0; k < in; ++k) {
          const auto at = static_cast<std::size_t>(r * in + k);
          const double term = static_cast<double>(w[k]) * values[at], error = static_cast<double>(w[k]) * errors[at];
          sum += term;
          terms += term * term;
          carried += error * error;
        }
        double value = sum + static_cast<double>(bias.data()[j]);
        double error = std::sqrt(rounding * terms + carried);
        if (i < shape.layers) {
          error = kSlope * error + kGelu * std::max(1.0, std::abs(value));
          value = 0.5 * value * std::erfc(-value / std::sqrt(2.0));
        }
        next[static_cast<std::size_t>(r * out + j)] = value;
        next_errors[static_cast<std::size_t>(r * out + j)] = error;
      }
    });
    values = std::move(next);
    errors = std::move(next_errors);
  }
  for (double& error : errors) error *= kSafety;
  return {std::move(values), std::move(errors)};
}

}  // namespace kvcast
