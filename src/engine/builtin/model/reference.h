// The same transformer in float64 by plain loops: the judge of every fast path. Shares no kernel with them; only the
// tensors are the same.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/builtin/model/weights.h"

namespace kvcast {

/// K and V of one layer.
struct ReferenceKv {
  std::vector<std::int64_t> rows;  ///< the row of the sequence that each key comes from, ascending
  std::vector<double> k, v;        ///< [rows][kv_dim]
};

/// Which rows run in which layer, and who sees whom. Rows are those of `tokens`. Nothing here is read from
/// ModelShape::query_tokens or candidate_from_layer: whoever describes the sequence has turned them into `active`.
struct ReferenceSequence {
  std::span<const double> tokens;  ///< [rows][dim]
  /// Whether a row takes part in a layer; empty: every row in every layer. A row that becomes active later enters with
  /// its token as it is; one that stops being active keeps its last vector and is read no more.
  std::function<bool(std::int64_t layer, std::int64_t row)> active;
  /// Whether row i attends to row j, where both are active.
  std::function<bool(std::int64_t i, std::int64_t j)> sees;
  /// When not null, per layer the K and V of other positions, taken as they are; row i attends to those with
  /// sees_cached(i, cached->rows[...]).
  const std::vector<ReferenceKv>* cached = nullptr;
  std::function<bool(std::int64_t i, std::int64_t cached_row)> sees_cached = {};
  /// Polled on the calling thread, every few rows; true ends the forward early.
  std::function<bool()> stop_requested = {};
  /// A seed: every result is put off at random by as much as the rounding of the shape's types may put it off, so that
  /// the run differs from the exact one as a sound engine would (docs/model.md §7). nullopt: exact.
  std::optional<std::uint64_t> rounding = {};
};

struct ReferenceRun {
  std::vector<double> outputs;  ///< [rows][dim], each row as the last layer that it went through left it
  std::vector<ReferenceKv> kv;  ///< per layer, of its active rows
  bool stopped = false;         ///< by stop_requested: nothing else here means anything
};

/// Literal forward through all layers, nothing trimmed. In each layer every active row gives K and V. Those that are
/// active in the next layer too (in the last layer: all active ones) also query the keys they see, and go on.
ReferenceRun reference_forward(const ModelShape& shape, const TensorSource& source, const ReferenceSequence& sequence,
                               int threads);

/// What a reference forward of this many rows costs, in FLOPs of the plain loops: what an attended pair takes beside
/// its products, mostly the exponential of each head, counts as so many of them. Of the rows query_tokens + 1 go on
/// beyond layer 0, for deciding what it can be asked. That the candidate may skip layers is neglected.
double reference_flops(const ModelShape& shape, std::int64_t rows);

}  // namespace kvcast
