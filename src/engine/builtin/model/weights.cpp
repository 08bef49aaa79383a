#include "engine/builtin/model/weights.h"

#include <cassert>
#include <cmath>

#include "base/parallel.h"
#include "base/random.h"

namespace kvcast {
namespace {

// Streams of the generator. Layers take kLayerStream + layer * 16 + tensor.
constexpr std::uint64_t kHistoryStream = 1, kCandidateStream = 2, kReadoutStream = 3, kLayerStream = 16;
// Of the ranking head, two a layer; beyond the streams of any transformer.
constexpr std::uint64_t kHeadStream = std::uint64_t{1} << 40;

constexpr double kLogitDeviation = 2.25;
constexpr double kValueDeviation = 1.5;
// Of biases: small but not zero, so that a forgotten one shows.
constexpr float kBiasDeviation = 0.05F;

void fill(const RandomStream& stream, std::uint64_t first, std::span<float> values, float mean, float deviation,
          int threads) {
  constexpr std::int64_t kChunk = 1 << 16;
  const auto size = static_cast<std::int64_t>(values.size());
  parallel_for(threads, (size + kChunk - 1) / kChunk, [&](std::int64_t chunk, int) {
    const std::int64_t end = std::min(size, (chunk + 1) * kChunk);
    for (std::int64_t i = chunk * kChunk; i < end; ++i) {
      values[static_cast<std::size_t>(i)] = mean + deviation * stream.unit(first + static_cast<std::uint64_t>(i));
    }
  });
}

}  // namespace

TensorSize tensor_size(const ModelShape& s, Tensor tensor) {
  switch (tensor) {
    case Tensor::qkv_weight:
      return {s.qkv_dim(), s.dim};
    case Tensor::qkv_bias:
      return {s.qkv_dim(), 0};
    case Tensor::out_weight:
      return {s.dim, s.dim};
    case Tensor::up_weight:
      return {s.ffn_dim, s.dim};
    case Tensor::up_bias:
      return {s.ffn_dim, 0};
    case Tensor::down_weight:
      return {s.dim, s.ffn_dim};
    case Tensor::attn_norm_weight:
    case Tensor::attn_norm_bias:
    case Tensor::out_bias:
    case Tensor::ffn_norm_weight:
    case Tensor::ffn_norm_bias:
    case Tensor::down_bias:
      return {s.dim, 0};
  }
  return {};
}

std::string tensor_name(Tensor tensor) {
  switch (tensor) {
    case Tensor::attn_norm_weight:
      return "attn_norm.weight";
    case Tensor::attn_norm_bias:
      return "attn_norm.bias";
    case Tensor::qkv_weight:
      return "attn.qkv.weight";
    case Tensor::qkv_bias:
      return "attn.qkv.bias";
    case Tensor::out_weight:
      return "attn.out.weight";
    case Tensor::out_bias:
      return "attn.out.bias";
    case Tensor::ffn_norm_weight:
      return "ffn_norm.weight";
    case Tensor::ffn_norm_bias:
      return "ffn_norm.bias";
    case Tensor::up_weight:
      return "ffn.up.weight";
    case Tensor::up_bias:
      return "ffn.up.bias";
    case Tensor::down_weight:
      return "ffn.down.weight";
    case Tensor::down_bias:
      return "ffn.down.bias";
  }
  return {};
}

TensorSource seeded_weights(const ModelShape& shape, std::uint64_t seed, int threads) {
  return [shape, seed, threads](std::int64_t layer, Tensor tensor, std::span<float> values) {
    assert(static_cast<std::int64_t>(values.size()) == tensor_size(shape, tensor).elements());
    const RandomStream stream(
        seed, kLayerStream + static_cast<std::uint64_t>(layer) * 16 + static_cast<std::uint64_t>(tensor));
    const auto part = [&](std::int64_t first, std::int64_t count, double mean, double deviation) {
      fill(stream, static_cast<std::uint64_t>(first),
           values.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)), static_cast<float>(mean),
           static_cast<float>(deviation), threads);
    };
    const auto whole = static_cast<std::int64_t>(values.size());
    const double d = static_cast<double>(shape.dim);
    switch (tensor) {
      case Tensor::qkv_weight: {
        const std::int64_t qk = (shape.dim + shape.kv_dim()) * shape.dim;
        part(0, qk, 0, std::sqrt(kLogitDeviation / d));
        part(qk, whole - qk, 0, kValueDeviation / std::sqrt(d));
        return;
      }
      case Tensor::out_weight:
        return part(0, whole, 0, 1 / std::sqrt(d));
      case Tensor::up_weight:
        return part(0, whole, 0, 1 / std::sqrt(d));
      // GELU of a unit normal has second moment 0.425; the FFN's update then has variance 0.425 * 0.36.
      case Tensor::down_weight:
        return part(0, whole, 0, 0.6 / std::sqrt(static_cast<double>(shape.ffn_dim)));
      case Tensor::attn_norm_weight:
      case Tensor::ffn_norm_weight:
        return part(0, whole, 1, 0.1);
      default:
        return part(0, whole, 0, kBiasDeviation);
    }
  };
}

void seeded_history(std::uint64_t seed, [[maybe_unused]] std::int64_t length, [[maybe_unused]] std::int64_t dim,
                    std::span<float> tokens) {
  assert(static_cast<std::int64_t>(tokens.size()) == length * dim);
  fill(RandomStream(seed, kHistoryStream), 0, tokens, 0, 1, 1);
}

void seeded_candidates(std::uint64_t seed, std::int64_t first, [[maybe_unused]] std::int64_t count, std::int64_t dim,
                       std::span<float> tokens) {
  assert(static_cast<std::int64_t>(tokens.size()) == count * dim);
  fill(RandomStream(seed, kCandidateStream), static_cast<std::uint64_t>(first * dim), tokens, 0, 1, 1);
}

void seeded_head_layer(std::uint64_t seed, std::int64_t layer, std::int64_t in, std::span<float> weight,
                       std::span<float> bias, int threads) {
  const std::uint64_t stream = kHeadStream + 2 * static_cast<std::uint64_t>(layer);
  fill(RandomStream(seed, stream), 0, weight, 0, static_cast<float>(1 / std::sqrt(static_cast<double>(in))), threads);
  fill(RandomStream(seed, stream + 1), 0, bias, 0, kBiasDeviation, threads);
}

void seeded_readout(std::uint64_t seed, std::int64_t dim, std::span<float> values) {
  assert(static_cast<std::int64_t>(values.size()) == dim);
  fill(RandomStream(seed, kReadoutStream), 0, values, 0, static_cast<float>(1 / std::sqrt(static_cast<double>(dim))),
       1);
}

}  // namespace kvcast
