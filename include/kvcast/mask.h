// Who sees whom in a sequence of L history tokens and one candidate (docs/model.md §1).
#pragma once

#include <cstdint>

#include "kvcast/config.h"

namespace kvcast {

/// Position of the candidate in a sequence of `history_length` + 1 positions.
constexpr std::int64_t candidate_position(Mask mask, std::int64_t history_length) {
  return mask == Mask::causal || mask == Mask::bidirectional ? history_length : 0;
}

/// Whether position i sees position j.
constexpr bool sees(Mask mask, std::int64_t i, std::int64_t j) {
  switch (mask) {
    case Mask::causal:
    case Mask::target_first_causal:
      return j <= i;
    case Mask::history_blind:
      return j >= i;
    case Mask::bidirectional:
      return true;
  }
  return false;
}

/// Whether one history's K and V serve every candidate: no layer may compute them from a vector that depends on the
/// candidate. Layers below `candidate_from_layer` hold no candidate. The candidate's first layer reads history vectors
/// that have not met it; from the next layer on a history vector depends on the candidate once any history position
/// sees it.
constexpr bool shareable(Mask mask, std::int64_t layers, std::int64_t candidate_from_layer = 0) {
  const std::int64_t length = 1;  // one history token stands for all: every mask here treats them alike
  const std::int64_t candidate = candidate_position(mask, length);
  const bool history_sees_candidate = sees(mask, 1 - candidate, candidate);
  return layers - candidate_from_layer <= 1 || !history_sees_candidate;
}

/// The same of a model. Without a history nothing of it depends on the candidate, whatever the mask.
inline bool shareable(const ModelConfig& model) {
  return model.history_length == 0 || shareable(model.mask, model.layers, model.candidate_from_layer);
}

}  // namespace kvcast
