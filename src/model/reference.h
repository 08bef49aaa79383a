// The same transformer in float64 by plain loops: the judge of every fast path. Shares no kernel with them; only the
// tensors are the same.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/weights.h"

namespace kvcast {

/// K and V of one layer, [positions][kv_dim] each.
struct ReferenceKv {
  std::vector<double> k, v;
};

struct ReferenceRun {
  std::vector<double> outputs;  ///< [rows][dim] after the last layer
  std::vector<ReferenceKv> kv;  ///< per layer, of the rows that ran
};

/// Literal forward of `tokens` ([rows][dim]) through all layers, nothing trimmed.
/// sees(i, j): whether row i attends to row j (both among the rows that run).
/// stale: when not null, K and V per layer of extra positions that every row with sees_stale(i, j) also attends to;
/// they are taken as they are. Shapes: stale[layer].k [stale_rows][kv_dim].
ReferenceRun reference_forward(const ModelShape& shape, const TensorSource& source, std::span<const double> tokens,
                               const std::function<bool(std::int64_t i, std::int64_t j)>& sees, int threads,
                               const std::vector<ReferenceKv>* stale = nullptr,
                               const std::function<bool(std::int64_t i, std::int64_t j)>& sees_stale = {});

/// Squared norm of what attention and the FFN add to the residual stream, summed over rows, per layer.
struct ReferenceUpdates {
  std::vector<double> attention, ffn;
  std::vector<double> logit_deviation;  ///< standard deviation of the visible logits, per layer
};
ReferenceUpdates reference_updates(const ModelShape& shape, const TensorSource& source, std::span<const double> tokens,
                                   const std::function<bool(std::int64_t i, std::int64_t j)>& sees, int threads);

/// FLOPs of a reference forward of this many rows, for deciding what it can be asked.
double reference_flops(const ModelShape& shape, std::int64_t rows);

}  // namespace kvcast
