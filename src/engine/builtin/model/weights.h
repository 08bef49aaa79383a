// The tensors of the model: names, shapes, and the seeded values.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "engine/builtin/kernels/element.h"
#include "kvcast/shape.h"

namespace kvcast {

/// The transformer as it runs: merged.
struct ModelShape : Shape {
  std::int64_t ffn_dim = 0;
  kernels::Element element = kernels::Element::f32;     ///< of weights and activations; the residual stream is fp32
  kernels::Element kv_element = kernels::Element::f32;  ///< of the KV cache

  std::int64_t head_dim() const { return dim / heads; }
  std::int64_t kv_dim() const { return kv_heads * head_dim(); }
  std::int64_t qkv_dim() const { return dim + 2 * kv_dim(); }
  /// Whether nothing is rounded to a smaller type.
  bool in_fp32() const { return element == kernels::Element::f32 && kv_element == kernels::Element::f32; }
  bool hybrid(std::int64_t history) const { return query_tokens > 0 && query_tokens < history; }
  /// Of `history` positions, those that take part in a layer.
  std::int64_t active(std::int64_t layer, std::int64_t history) const {
    return layer > 0 && hybrid(history) ? query_tokens : history;
  }
};

enum class Tensor {
  attn_norm_weight,
  attn_norm_bias,
  qkv_weight,  ///< [dim + 2*kv_dim][dim]: rows q, then k, then v, each head-major
  qkv_bias,
  out_weight,
  out_bias,
  ffn_norm_weight,
  ffn_norm_bias,
  up_weight,
  up_bias,
  down_weight,
  down_bias,
};
inline constexpr std::array kTensors = {
    Tensor::attn_norm_weight, Tensor::attn_norm_bias, Tensor::qkv_weight,      Tensor::qkv_bias,
    Tensor::out_weight,       Tensor::out_bias,       Tensor::ffn_norm_weight, Tensor::ffn_norm_bias,
    Tensor::up_weight,        Tensor::up_bias,        Tensor::down_weight,     Tensor::down_bias,
};

/// Shape [rows][columns]; a vector has columns 0.
struct TensorSize {
  std::int64_t rows = 0, columns = 0;
  std::int64_t elements() const { return columns == 0 ? rows : rows * columns; }
};
TensorSize tensor_size(const ModelShape& shape, Tensor tensor);

/// Name under layers.{i}. as in the exported case: "attn.qkv.weight".
std::string tensor_name(Tensor tensor);

/// Fills a tensor of a layer. Called with exactly tensor_size(...).elements() floats.
using TensorSource = std::function<void(std::int64_t layer, Tensor tensor, std::span<float> values)>;

/// Random values that are a pure function of (seed, layer, tensor, index).
/// Scaling (docs/model.md §1): normalised inputs have variance 1, so Wq and Wk of variance s²/dim give q and k of
/// variance s² and logits q·k/sqrt(head_dim) of standard deviation s² = 2.25. V is large enough that attention,
/// which averages it over few effective keys, keeps its share of the residual update.
TensorSource seeded_weights(const ModelShape& shape, std::uint64_t seed, int threads);

/// History tokens [length][dim], variance 1.
void seeded_history(std::uint64_t seed, std::int64_t length, std::int64_t dim, std::span<float> tokens);
/// Candidates first .. first+count-1, [count][dim], variance 1. Candidate i is the same whatever the range.
void seeded_candidates(std::uint64_t seed, std::int64_t first, std::int64_t count, std::int64_t dim,
                       std::span<float> tokens);
/// Layer `layer` of the ranking head: weight [out][in] of variance 1/in, so that scores stay of the size of the input,
/// and bias [out]. Pure functions of (seed, layer, index).
void seeded_head_layer(std::uint64_t seed, std::int64_t layer, std::int64_t in, std::span<float> weight,
                       std::span<float> bias, int threads);
/// Readout vector [dim]: score of a candidate = output · readout.
void seeded_readout(std::uint64_t seed, std::int64_t dim, std::span<float> values);

}  // namespace kvcast
