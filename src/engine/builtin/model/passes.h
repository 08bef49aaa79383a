// What the passes are, and what each layer of one does with its rows. Plain numbers: no weights, no memory.
#pragma once

#include <cstdint>

#include "engine/builtin/model/weights.h"

namespace kvcast {

/// Whole sequences of one length, each with its candidate.
struct SequenceBatch {
  std::int64_t sequences = 1;
  std::int64_t history = 0;        ///< history rows per sequence
  std::int64_t candidate_row = 0;  ///< where the candidate stands among the history + 1 rows
  bool causal = true;              ///< row i sees rows j <= i; else all see all
  bool trim = true;                ///< the last layer computes K,V of all rows and the rest for the candidate only
};

/// A history whose K,V are to be kept.
struct HistoryPass {
  std::int64_t length = 0;  ///< positions when done
  /// Positions of them whose K,V the cache does not hold yet, at the end; length for a fresh history.
  std::int64_t fresh = 0;
  bool causal = true;
  bool trim = true;  ///< the last layer computes K,V only
};

/// Candidates that read a cache.
struct CandidatePass {
  std::int64_t count = 0;
  bool own_cache = false;  ///< candidate i reads sequence first_cache + i instead of sequence 0
  std::int64_t first_cache = 0;
  bool attend_history = true;  ///< false leaves the cached keys out
  bool attend_self = true;     ///< false leaves each candidate's own key out
};

/// What one layer does with the rows of the stream: `sequences` times `tokens` rows, each followed by `candidates`.
/// Tokens give K,V to the cache and see it up to themselves; candidates keep theirs and see all of the cache.
struct LayerWork {
  std::int64_t layer = 0;
  std::int64_t sequences = 1, tokens = 0, candidates = 0;
  std::int64_t known = 0;       ///< first tokens of each sequence whose K,V the cache already holds
  std::int64_t cached = 0;      ///< keys in the cache before the first token that is not known
  std::int64_t kept_first = 0;  ///< tokens [kept_first, kept_first + kept) of each sequence go on, others stop at K,V
  std::int64_t kept = 0;
  bool causal = true;

  std::int64_t rows() const { return sequences * (tokens + candidates); }
  std::int64_t kept_rows() const { return sequences * (kept + candidates); }
  std::int64_t keys() const { return cached + tokens - known; }
  bool fused() const { return kept == tokens && known == 0; }
};

LayerWork layer_work(const ModelShape& shape, const SequenceBatch& batch, std::int64_t layer) noexcept;
LayerWork layer_work(const ModelShape& shape, const HistoryPass& pass, std::int64_t layer) noexcept;
/// history: positions in the cache.
LayerWork layer_work(const ModelShape& shape, const CandidatePass& pass, std::int64_t history,
                     std::int64_t layer) noexcept;
/// Both in one pass.
LayerWork layer_work(const ModelShape& shape, const HistoryPass& pass, const CandidatePass& candidates,
                     std::int64_t layer) noexcept;

}  // namespace kvcast
