// The sequence as docs/model.md §1 states it: where history and candidate stand, and what takes part where.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "engine/builtin/model/weights.h"
#include "kvcast/mask.h"

namespace kvcast {

/// A history and one candidate, literally. Shares nothing with the passes that it judges.
struct LiteralSequence {
  LiteralSequence(const ModelShape& model, Mask seen_by, std::int64_t history_length)
      : shape(model), mask(seen_by), length(history_length), candidate(candidate_position(seen_by, history_length)) {}

  /// Whether a position takes part in a layer.
  bool active(std::int64_t layer, std::int64_t position) const {
    if (position == candidate) return layer >= shape.candidate_from_layer;
    return layer == 0 || shape.query_tokens == 0 || std::abs(position - candidate) <= shape.query_tokens;
  }

  const ModelShape& shape;
  Mask mask;
  std::int64_t length, candidate;
};

}  // namespace kvcast
