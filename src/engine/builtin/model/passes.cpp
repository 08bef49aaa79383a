#include "engine/builtin/model/passes.h"

#include <algorithm>

namespace kvcast {

LayerWork layer_work(const ModelShape& shape, const SequenceBatch& batch, std::int64_t layer) noexcept {
  const std::int64_t own = layer >= shape.candidate_from_layer ? 1 : 0;
  LayerWork w;
  w.layer = layer;
  w.sequences = batch.sequences;
  w.tokens = shape.active(layer, batch.history) + own;
  w.causal = batch.causal;
  if (layer < shape.layers - 1) {
    w.kept = shape.active(layer + 1, batch.history) + own;
    w.kept_first = w.tokens - w.kept;
  } else {
    w.kept = batch.trim ? 1 : w.tokens;
    w.kept_first = batch.trim && batch.candidate_row > 0 ? w.tokens - 1 : 0;
  }
  return w;
}

LayerWork layer_work(const ModelShape& shape, const HistoryPass& pass, std::int64_t layer) noexcept {
  const bool last = layer == shape.layers - 1;
  LayerWork w;
  w.layer = layer;
  w.causal = pass.causal;
  if (!shape.hybrid(pass.length)) {
    w.tokens = pass.fresh;
    w.cached = pass.length - pass.fresh;
    w.kept = last && pass.trim ? 0 : w.tokens;
  } else if (layer == 0) {
    // Only layer 0 keeps its K,V when the window of query tokens moves on.
    w.kept = last ? (pass.trim ? 0 : pass.fresh) : shape.active(1, pass.length);
    w.tokens = std::max(pass.fresh, w.kept);
    w.known = w.tokens - pass.fresh;
    w.cached = pass.length - pass.fresh;
  } else {
    w.tokens = shape.active(layer, pass.length);
    w.kept = last && pass.trim ? 0 : w.tokens;
  }
  w.kept_first = w.tokens - w.kept;
  return w;
}

LayerWork layer_work(const ModelShape& shape, const CandidatePass& pass, std::int64_t history,
                     std::int64_t layer) noexcept {
  LayerWork w;
  w.layer = layer;
  w.sequences = pass.own_cache ? pass.count : 1;
  w.candidates = pass.own_cache ? 1 : pass.count;
  w.cached = shape.active(layer, history);
  return w;
}

LayerWork layer_work(const ModelShape& shape, const HistoryPass& pass, const CandidatePass& candidates,
                     std::int64_t layer) noexcept {
  LayerWork w = layer_work(shape, pass, layer);
  if (layer >= shape.candidate_from_layer) w.candidates = candidates.count;
  return w;
}

}  // namespace kvcast
