// The forward passes that every scheme is built from.
#pragma once

#include "engine/builtin/model/layer.h"

namespace kvcast {

/// The passes in one workspace. `prepare` makes what a pass of that size needs; the passes allocate nothing. Rows are
/// of [dim]; histories are in row order, the row next to the candidate last.
class Forward {
 public:
  explicit Forward(Workspace& workspace) : ws_(workspace), layers_(workspace) {}
  void listen(StepListener* listener) noexcept { layers_.listen(listener); }

  void prepare(const SequenceBatch& batch);
  /// Full forward of every sequence. history: [batch.history], the same for all; candidates and outputs: [sequences],
  /// outputs being the candidates' rows after the last layer. cache: one_layer of `sequences` and history + 1 tokens.
  void sequences(const SequenceBatch& batch, const float* history, const float* candidates, KvCache& cache,
                 float* outputs) noexcept;

  void prepare(const HistoryPass& pass);
  /// Forward of the history, keeping K and V in `cache`. history: [pass.length].
  void prefill(const HistoryPass& pass, const float* history, KvCache& cache) noexcept;

  void prepare(const CandidatePass& pass, std::int64_t history);
  /// Candidates, each a token of its own that attends to the cached keys and to itself. candidates, outputs: [count].
  void candidates(const CandidatePass& pass, const float* candidates, const KvCache& cache, float* outputs) noexcept;

  void prepare(const HistoryPass& pass, const CandidatePass& candidates);
  /// History (all of it fresh) and candidates in one pass: as prefill followed by candidates, in shared products.
  /// cache: one_layer.
  void packed(const HistoryPass& pass, const float* history, const CandidatePass& options, const float* candidates,
              KvCache& cache, float* outputs) noexcept;

 private:
  void join(const SequenceBatch& batch, std::int64_t sequence, const float* history, std::int64_t rows,
            const float* candidates) noexcept;

  Workspace& ws_;
  LayerRunner layers_;
};

}  // namespace kvcast
