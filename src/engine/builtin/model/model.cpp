#include "engine/builtin/model/model.h"

namespace kvcast {
namespace {

// Layers in which some rows may give K and V only: the trimmed last one, and the first of a hybrid.
bool may_split(const ModelShape& shape, std::int64_t layer) {
  return layer == shape.layers - 1 || (layer == 0 && shape.query_tokens > 0);
}

}  // namespace

Model::Model(const ModelShape& shape, const TensorSource& source) : shape_(shape) {
  const auto load = [&](std::int64_t layer, Tensor tensor) {
    Buffer<float> values(tensor_size(shape, tensor).elements());
    source(layer, tensor, values.span());
    return values;
  };
  const auto dense = [&](std::int64_t layer, Tensor weight, Tensor bias) {
    const TensorSize size = tensor_size(shape, weight);
    return kernels::DenseWeights(size.columns, size.rows, load(layer, weight).data(), load(layer, bias).data(),
                                 shape.element);
  };
  layers_.resize(static_cast<std::size_t>(shape.layers));
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    Layer& layer = layers_[static_cast<std::size_t>(i)];
    layer.attn_norm = {load(i, Tensor::attn_norm_weight), load(i, Tensor::attn_norm_bias)};
    layer.ffn_norm = {load(i, Tensor::ffn_norm_weight), load(i, Tensor::ffn_norm_bias)};
    const Buffer<float> weight = load(i, Tensor::qkv_weight), bias = load(i, Tensor::qkv_bias);
    layer.qkv = kernels::DenseWeights(shape.dim, shape.qkv_dim(), weight.data(), bias.data(), shape.element);
    if (may_split(shape, i)) {
      layer.q = kernels::DenseWeights(shape.dim, shape.dim, weight.data(), bias.data(), shape.element);
      layer.kv = kernels::DenseWeights(shape.dim, 2 * shape.kv_dim(), weight.data() + shape.dim * shape.dim,
                                       bias.data() + shape.dim, shape.element);
    }
    layer.out = dense(i, Tensor::out_weight, Tensor::out_bias);
    layer.up = dense(i, Tensor::up_weight, Tensor::up_bias);
    layer.down = dense(i, Tensor::down_weight, Tensor::down_bias);
  }
}

double Model::bytes(const ModelShape& s) {
  double layer = 0, vectors = 0;
  for (const Tensor tensor : kTensors) {
    const TensorSize size = tensor_size(s, tensor);
    if (size.columns == 0) {
      vectors += static_cast<double>(size.rows) * sizeof(float);
    } else {
      layer += kernels::DenseWeights::packed_bytes(size.columns, size.rows, s.element);
    }
  }
  double split = 0;
  for (const std::int64_t i : {std::int64_t{0}, s.layers - 1}) {
    if (!may_split(s, i) || (i == 0 && s.layers == 1 && split > 0)) continue;
    split += kernels::DenseWeights::packed_bytes(s.dim, s.dim, s.element) +
             kernels::DenseWeights::packed_bytes(s.dim, 2 * s.kv_dim(), s.element) +
             static_cast<double>(s.qkv_dim()) * sizeof(float);
  }
  return (layer + vectors) * static_cast<double>(s.layers) + split;
}

}  // namespace kvcast
