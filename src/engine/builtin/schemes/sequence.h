// How a layout of history and candidate becomes rows of the stream.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvcast/mask.h"

namespace kvcast {

/// The engine knows causal (row i sees rows 0..i) and full attention. history-blind is causal read backwards: the
/// same sets of visible tokens in reversed order; positions live in the tokens, so only the order of rows changes.
struct SequenceOrder {
  std::vector<float> history;      ///< [L][dim] in row order
  std::int64_t candidate_row = 0;  ///< of the full sequence of L+1 rows: the first or the last
  bool causal = true;
  bool candidate_sees_history = true;
};

inline SequenceOrder order_sequence(Mask mask, std::span<const float> history, std::int64_t length, std::int64_t dim) {
  SequenceOrder order;
  order.history.assign(history.begin(), history.end());
  const bool reversed = mask == Mask::history_blind;
  if (reversed) {
    for (std::int64_t i = 0; i < length; ++i) {
      const auto from =
          history.subspan(static_cast<std::size_t>((length - 1 - i) * dim), static_cast<std::size_t>(dim));
      std::copy(from.begin(), from.end(), order.history.begin() + i * dim);
    }
  }
  order.candidate_row = reversed ? length : candidate_position(mask, length);
  order.causal = mask != Mask::bidirectional;
  order.candidate_sees_history = mask != Mask::target_first_causal;
  return order;
}

}  // namespace kvcast
