// The weights of the transformer as the fast path reads them.
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "engine/builtin/kernels/dense.h"
#include "engine/builtin/model/weights.h"

namespace kvcast {

/// Weights of all layers, packed for the dense kernel. Read-only after construction; shared by all workspaces.
class Model {
 public:
  Model(const ModelShape& shape, const TensorSource& source);

  struct Norm {
    Buffer<float> weight, bias;
  };
  struct Layer {
    Norm attn_norm, ffn_norm;
    kernels::DenseWeights qkv, out, up, down;
    /// The Q rows and the K,V rows of qkv apart, for layers where some rows give K and V only; else empty.
    kernels::DenseWeights q, kv;
  };

  const ModelShape& shape() const noexcept { return shape_; }
  const Layer& layer(std::int64_t i) const noexcept { return layers_[static_cast<std::size_t>(i)]; }

  /// Bytes that a model of this shape takes.
  static double bytes(const ModelShape& shape);

 private:
  ModelShape shape_;
  std::vector<Layer> layers_;
};

}  // namespace kvcast
