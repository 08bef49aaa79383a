#include "engine/builtin/model/forward.h"

#include <cstring>

namespace kvcast {
namespace {

// An empty history has no address.
void copy_floats(float* to, const float* from, std::int64_t n) {
  if (n > 0) std::memmove(to, from, static_cast<std::size_t>(n) * sizeof(float));
}

}  // namespace

void Forward::prepare(const SequenceBatch& batch) {
  for (std::int64_t i = 0; i < ws_.shape().layers; ++i) layers_.prepare(layer_work(ws_.shape(), batch, i), {});
}

// Rows of a sequence of `rows` history tokens with the candidate in between.
void Forward::join(const SequenceBatch& batch, std::int64_t s, const float* history, std::int64_t rows,
                   const float* candidates) noexcept {
  const std::int64_t dim = ws_.shape().dim, at = batch.candidate_row > 0 ? rows : 0;
  float* to = ws_.stream_row(s * (rows + 1));
  copy_floats(to + (at == 0 ? dim : 0), history, rows * dim);
  copy_floats(to + at * dim, candidates + s * dim, dim);
}

void Forward::sequences(const SequenceBatch& batch, const float* history, const float* candidates, KvCache& cache,
                        float* outputs) noexcept {
  const ModelShape& shape = ws_.shape();
  const std::int64_t dim = shape.dim;
  cache.length = batch.history;
  for (std::int64_t s = 0; s < batch.sequences; ++s) {
    if (shape.candidate_from_layer == 0) {
      join(batch, s, history, batch.history, candidates);
    } else {
      copy_floats(ws_.stream_row(s * batch.history), history, batch.history * dim);
    }
  }
  layers_.done(Step::copy);
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    if (i > 0 && i == shape.candidate_from_layer) {
      const std::int64_t rows = shape.active(i, batch.history);
      for (std::int64_t s = batch.sequences - 1; s >= 0; --s) {
        join(batch, s, ws_.stream_row(s * rows), rows, candidates);
      }
    }
    layers_.run(layer_work(shape, batch, i), {}, cache, &cache);
  }
  const LayerWork last = layer_work(shape, batch, shape.layers - 1);
  const std::int64_t row = batch.trim || batch.candidate_row == 0 ? 0 : last.tokens - 1;
  for (std::int64_t s = 0; s < batch.sequences; ++s) {
    copy_floats(outputs + s * dim, ws_.stream_row(s * last.kept + row), dim);
  }
  layers_.done(Step::copy);
}

void Forward::prepare(const HistoryPass& pass) {
  for (std::int64_t i = 0; i < ws_.shape().layers; ++i) layers_.prepare(layer_work(ws_.shape(), pass, i), {});
}

void Forward::prefill(const HistoryPass& pass, const float* history, KvCache& cache) noexcept {
  const ModelShape& shape = ws_.shape();
  const std::int64_t rows = layer_work(shape, pass, 0).tokens;
  cache.length = pass.length;
  copy_floats(ws_.stream_row(0), history + (pass.length - rows) * shape.dim, rows * shape.dim);
  layers_.done(Step::copy);
  for (std::int64_t i = 0; i < shape.layers; ++i) layers_.run(layer_work(shape, pass, i), {}, cache, &cache);
}

void Forward::prepare(const CandidatePass& pass, std::int64_t history) {
  const ModelShape& shape = ws_.shape();
  for (std::int64_t i = shape.candidate_from_layer; i < shape.layers; ++i) {
    layers_.prepare(layer_work(shape, pass, history, i), pass);
  }
}

void Forward::candidates(const CandidatePass& pass, const float* candidates, const KvCache& cache,
                         float* outputs) noexcept {
  const ModelShape& shape = ws_.shape();
  if (pass.count == 0) return;
  copy_floats(ws_.stream_row(0), candidates, pass.count * shape.dim);
  layers_.done(Step::copy);
  for (std::int64_t i = shape.candidate_from_layer; i < shape.layers; ++i) {
    layers_.run(layer_work(shape, pass, cache.length, i), pass, cache, nullptr);
  }
  copy_floats(outputs, ws_.stream_row(0), pass.count * shape.dim);
  layers_.done(Step::copy);
}

void Forward::prepare(const HistoryPass& pass, const CandidatePass& candidates) {
  const ModelShape& shape = ws_.shape();
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    layers_.prepare(layer_work(shape, pass, candidates, i), candidates);
  }
}

void Forward::packed(const HistoryPass& pass, const float* history, const CandidatePass& options,
                     const float* candidates, KvCache& cache, float* outputs) noexcept {
  const ModelShape& shape = ws_.shape();
  const std::int64_t values = options.count * shape.dim;
  cache.length = pass.length;
  copy_floats(ws_.stream_row(0), history, pass.length * shape.dim);
  layers_.done(Step::copy);
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    if (i == shape.candidate_from_layer) {
      copy_floats(ws_.stream_row(layer_work(shape, pass, i).tokens), candidates, values);
    }
    layers_.run(layer_work(shape, pass, options, i), options, cache, &cache);
  }
  copy_floats(outputs, ws_.stream_row(layer_work(shape, pass, options, shape.layers - 1).kept), values);
  layers_.done(Step::copy);
}

}  // namespace kvcast
