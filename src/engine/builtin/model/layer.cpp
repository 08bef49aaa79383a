#include "engine/builtin/model/layer.h"

#include <algorithm>
#include <cstring>

#include "base/parallel.h"
#include "engine/builtin/kernels/gelu.h"
#include "engine/builtin/kernels/norm.h"

namespace kvcast {
namespace {

using kernels::Element;
using kernels::Epilogue;
using kernels::kValuesPerTask;

// Rows per task of the row-wise kernels: large enough to make a task worth handing out.
constexpr std::int64_t kNormRows = 16;
// Rows of a history from which its keys are not split over tasks.
constexpr std::int64_t kManyRows = 64;

}  // namespace

// body gets a RowWork for every runner of products that has some of `rows`, on the thread of that runner.
template <typename Body>
void LayerRunner::share_rows(std::int64_t rows, const Body& body) {
  if (!products_by_rows(ws_.shape(), rows, ws_.threads)) return body(RowWork{ws_.all, {0, rows}, 0, false});
  on_each_thread(ws_.threads, [&](int thread) {
    body(RowWork{ws_.each[static_cast<std::size_t>(thread)], share_of(rows, ws_.threads, thread), thread, true});
  });
}

void LayerRunner::prepare(const LayerWork& w, const CandidatePass& options) {
  const Element element = ws_.shape().element;
  const Model::Layer& layer = ws_.model.layer(w.layer);
  if (w.rows() == 0) return;
  const auto projection = [&](const kernels::DenseWeights& weights, std::int64_t rows) {
    share_rows(rows, [&](const RowWork& own) { own.dense.prepare(weights, own.rows.count, Epilogue::none, element); });
  };
  if (w.fused()) {
    projection(layer.qkv, w.rows());
  } else {
    projection(layer.kv, w.rows() - w.known);
    projection(layer.q, w.kept_rows());
  }
  share_rows(w.kept_rows(), [&](const RowWork& own) {
    own.dense.prepare(layer.out, own.rows.count, Epilogue::add, Element::f32);
    const RowBlocks blocks = ffn_blocks(own.rows.count);
    for (const std::int64_t part : {blocks.size, blocks.last}) {
      own.dense.prepare(layer.up, part, Epilogue::none, Element::f32);
      own.dense.prepare(layer.down, part, Epilogue::add, Element::f32);
    }
  });
  prepare(token_attention(w));
  prepare(candidate_attention(w, options, 0, std::min(kPartRows, w.candidates)));
}

void LayerRunner::run(const LayerWork& w, const CandidatePass& options, const KvCache& read, KvCache* write) noexcept {
  const Model::Layer& layer = ws_.model.layer(w.layer);
  if (w.rows() == 0) return;
  if (listener_ != nullptr) listener_->layer_begins(w.layer, stream(w.rows()));
  project_qkv(layer, w);
  if (write != nullptr) pack_kv(w, *write);
  if (w.kept_rows() == 0) return;
  attend(token_attention(w), w.layer, read);
  for (std::int64_t first = 0; first < w.candidates; first += kPartRows) {
    attend(candidate_attention(w, options, first, std::min(kPartRows, w.candidates - first)), w.layer, read);
  }
  add_output_and_ffn(layer, w.kept_rows());
  if (listener_ != nullptr) listener_->layer_ends(w.layer, stream(w.kept_rows()), read);
}

// ---- Q, K and V

// Norm and QKV of the rows of the stream; rows that stop at K,V are dropped from it.
void LayerRunner::project_qkv(const Model::Layer& layer, const LayerWork& w) noexcept {
  if (!w.fused()) return project_split(layer, w);
  if (products_by_rows(ws_.shape(), w.rows(), ws_.threads)) return project_fused(layer, w.rows());
  norm(layer.attn_norm, w.rows());
  project(layer.qkv, ws_.normed_row(0), w.rows(), ws_.qkv_from(0));
}

// Each thread norms and projects rows of its own.
void LayerRunner::project_fused(const Model::Layer& layer, std::int64_t rows) noexcept {
  share_rows(rows, [&](const RowWork& own) {
    norm_rows(layer.attn_norm, own.rows.first, own.rows.count);
    if (own.thread == 0) done(Step::norm);
    own.dense.run(layer.qkv, ws_.normed_row(own.rows.first), own.rows.count, Epilogue::none,
                  ws_.qkv_from(own.rows.first * ws_.shape().qkv_dim()), ws_.shape().element);
  });
  done(Step::matmul);
}

// K,V of all rows that are not known, Q of those that go on.
void LayerRunner::project_split(const Model::Layer& layer, const LayerWork& w) noexcept {
  norm(layer.attn_norm, w.rows());
  const std::int64_t rows = w.rows() - w.known;
  project(layer.kv, ws_.normed_row(w.known), rows, ws_.qkv_from(0));
  keep_rows(w);
  project(layer.q, ws_.normed_row(0), w.kept_rows(), ws_.qkv_from(Workspace::q_offset(rows * layer.kv.out())));
}

// A projection of normed rows, result as activations.
void LayerRunner::project(const kernels::DenseWeights& weights, const std::byte* x, std::int64_t rows,
                          std::byte* out) noexcept {
  const Element element = ws_.shape().element;
  const std::int64_t bytes = kernels::element_bytes(element);
  share_rows(rows, [&](const RowWork& own) {
    own.dense.run(weights, x + own.rows.first * weights.in() * bytes, own.rows.count, Epilogue::none,
                  out + own.rows.first * weights.out() * bytes, element);
  });
  done(Step::matmul);
}

// Rows that go on move to the front of the stream and of the normed rows.
void LayerRunner::keep_rows(const LayerWork& w) noexcept {
  const std::int64_t dim = ws_.shape().dim;
  const std::size_t normed_bytes = static_cast<std::size_t>(dim * kernels::element_bytes(ws_.shape().element));
  const auto move = [&](std::int64_t to, std::int64_t from, std::int64_t rows) {
    if (to == from || rows == 0) return;
    const auto count = static_cast<std::size_t>(rows);
    std::memmove(ws_.stream_row(to), ws_.stream_row(from), count * static_cast<std::size_t>(dim) * sizeof(float));
    std::memmove(ws_.normed_row(to), ws_.normed_row(from), count * normed_bytes);
  };
  for (std::int64_t s = 0; s < w.sequences; ++s) {
    const std::int64_t from = s * (w.tokens + w.candidates), to = s * (w.kept + w.candidates);
    move(to, from + w.kept_first, w.kept);
    move(to + w.kept, from + w.tokens, w.candidates);
  }
  done(Step::copy);
}

void LayerRunner::pack_kv(const LayerWork& w, KvCache& cache) noexcept {
  const ModelShape& shape = ws_.shape();
  const kernels::KvShape block = cache.view(w.layer).shape;
  const std::int64_t element = kernels::element_bytes(shape.element);
  const std::int64_t stride = w.fused() ? shape.qkv_dim() : 2 * shape.kv_dim();
  const std::byte* k = ws_.qkv_from(w.fused() ? shape.dim : 0);
  // Tasks are whole panels, which no two threads may write to.
  const std::int64_t first_panel = w.cached / kernels::kKeyPanel;
  const std::int64_t panels = (w.keys() + kernels::kKeyPanel - 1) / kernels::kKeyPanel - first_panel;
  parallel_for(ws_.threads, w.sequences * panels, [&](std::int64_t task, int) {
    const std::int64_t sequence = task / panels, panel = first_panel + task % panels;
    const std::int64_t first = std::max(w.cached, panel * kernels::kKeyPanel);
    const std::int64_t last = std::min(w.keys(), (panel + 1) * kernels::kKeyPanel);
    const std::byte* rows = k + (sequence * (w.tokens + w.candidates) + first - w.cached) * stride * element;
    kernels::pack_kv(block, shape.element, rows, rows + shape.kv_dim() * element, stride, first, last - first, 0,
                     shape.kv_heads, cache.keys(w.layer, sequence), cache.values(w.layer, sequence));
  });
  done(Step::pack);
}

// ---- attention

LayerRunner::Attention LayerRunner::token_attention(const LayerWork& w) const noexcept {
  const ModelShape& shape = ws_.shape();
  Attention job;
  job.groups = w.kept > 0 ? w.sequences : 0;
  job.args.element = shape.element;
  job.args.heads = shape.heads;
  job.args.q = ws_.qkv_from(w.fused() ? 0 : Workspace::q_offset((w.rows() - w.known) * 2 * shape.kv_dim()));
  job.args.q_stride = w.fused() ? shape.qkv_dim() : shape.dim;
  job.args.rows = w.kept;
  job.args.keys = w.keys();
  job.args.causal = w.causal;
  job.args.first_visible = w.cached - w.known + w.kept_first + 1;
  // Many rows are work enough as they are.
  job.args.parts = w.kept > kManyRows ? 1 : kernels::attention_parts(shape.heads, w.keys());
  job.args.out = ws_.attended_row(0);
  job.args.out_stride = shape.dim;
  job.q_group = (w.kept + w.candidates) * job.args.q_stride;
  job.out_group = (w.kept + w.candidates) * shape.dim;
  return job;
}

// Candidates [first, first + count) of every sequence.
LayerRunner::Attention LayerRunner::candidate_attention(const LayerWork& w, const CandidatePass& options,
                                                        std::int64_t first, std::int64_t count) const noexcept {
  const ModelShape& shape = ws_.shape();
  const std::int64_t element = kernels::element_bytes(shape.element);
  Attention job = token_attention(w);
  job.groups = w.candidates > 0 ? w.sequences : 0;
  job.args.rows = count;
  job.args.causal = false;
  if (!options.attend_history) job.args.keys = 0;
  job.args.parts = kernels::attention_parts(shape.heads, job.args.keys);
  job.args.q = static_cast<const std::byte*>(job.args.q) + (w.kept + first) * job.args.q_stride * element;
  job.args.out = ws_.attended_row(w.kept + first);
  job.args.self_stride = w.fused() ? shape.qkv_dim() : 2 * shape.kv_dim();
  if (options.attend_self) {
    const std::byte* k = ws_.qkv_from(w.fused() ? shape.dim : 0);
    job.args.self_k = k + (w.tokens - w.known + first) * job.args.self_stride * element;
    job.args.self_v = static_cast<const std::byte*>(job.args.self_k) + shape.kv_dim() * element;
  }
  job.self_group = (w.tokens + w.candidates) * job.args.self_stride;
  job.cache_each = options.own_cache;
  job.first_cache = options.first_cache;
  return job;
}

kernels::AttentionArgs LayerRunner::Attention::of_group(std::int64_t group, float* partial) const noexcept {
  const std::int64_t element = kernels::element_bytes(args.element);
  kernels::AttentionArgs own = args;
  own.q = static_cast<const std::byte*>(own.q) + group * q_group * element;
  own.out = static_cast<std::byte*>(own.out) + group * out_group * element;
  if (own.self_k != nullptr) {
    own.self_k = static_cast<const std::byte*>(own.self_k) + group * self_group * element;
    own.self_v = static_cast<const std::byte*>(own.self_v) + group * self_group * element;
  }
  own.partial = partial + group * kernels::attention_partial_floats(args);
  return own;
}

void LayerRunner::prepare(Attention job) {
  if (job.groups == 0) return;
  job.args.kv.shape = kv_block(ws_.shape(), job.args.keys);  // sizes only, no data yet
  const std::int64_t wanted = job.groups * kernels::attention_partial_floats(job.args);
  if (wanted > ws_.partial.size()) ws_.partial = Buffer<float>(wanted);
}

void LayerRunner::attend(const Attention& read, std::int64_t layer, const KvCache& cache) noexcept {
  if (read.groups == 0) return;
  Attention job = read;
  job.args.kv = cache.view(layer);
  const std::int64_t tasks = kernels::attention_tasks(job.args);
  parallel_for(ws_.threads, job.groups * tasks, [&](std::int64_t task, int thread) {
    const std::int64_t group = task / tasks;
    kernels::AttentionArgs own = job.of_group(group, ws_.partial.data());
    own.kv = cache.view(layer, job.first_cache + (job.cache_each ? group : 0));
    kernels::attention_task(own, task % tasks, ws_.scratch.data() + thread * ws_.scratch_per_thread);
  });
  done(Step::attention);
  if (job.args.parts == 1) return;
  const std::int64_t merges = kernels::attention_merges(job.args);
  parallel_for(ws_.threads, job.groups * merges, [&](std::int64_t task, int) {
    kernels::attention_merge(job.of_group(task / merges, ws_.partial.data()), task % merges);
  });
  done(Step::attention);
}

// ---- behind attention

// Output projection of what was attended to and the FFN, both added to the first `rows` rows of the stream.
void LayerRunner::add_output_and_ffn(const Model::Layer& layer, std::int64_t rows) noexcept {
  share_rows(rows, [&](const RowWork& own) {
    own.dense.run(layer.out, ws_.attended_row(own.rows.first), own.rows.count, Epilogue::add,
                  ws_.stream_row(own.rows.first), Element::f32);
    if (own.thread == 0) done(Step::matmul);
    if (!own.alone) norm(layer.ffn_norm, own.rows.count);
    const std::int64_t size = ffn_blocks(own.rows.count).size;
    for (std::int64_t first = 0; first < own.rows.count; first += size) {
      const std::int64_t part = std::min(size, own.rows.count - first);
      if (own.alone) {
        norm_rows(layer.ffn_norm, own.rows.first + first, part);
        if (own.thread == 0) done(Step::norm);
      }
      add_ffn_block(layer, own, own.rows.first + first, part);
    }
  });
}

// FFN of rows that are normed, added to the stream.
void LayerRunner::add_ffn_block(const Model::Layer& layer, const RowWork& work, std::int64_t first,
                                std::int64_t rows) noexcept {
  const ModelShape& shape = ws_.shape();
  const std::int64_t element = kernels::element_bytes(shape.element);
  const std::int64_t block = work.thread * ws_.hidden_rows * shape.ffn_dim;
  std::byte* hidden = ws_.hidden.data() + block * element;
  const auto step = [&](Step done_step) {
    if (work.thread == 0) done(done_step);
  };
  float* sums = shape.element == Element::f32 ? reinterpret_cast<float*>(hidden) : ws_.product.data() + block;
  work.dense.run(layer.up, ws_.normed_row(first), rows, Epilogue::none, sums, Element::f32);
  step(Step::matmul);
  const std::int64_t values = rows * shape.ffn_dim;
  parallel_for(
      work.alone ? 1 : ws_.threads, (values + kValuesPerTask - 1) / kValuesPerTask, [&](std::int64_t task, int) {
        const std::int64_t from = task * kValuesPerTask;
        kernels::gelu(sums + from, std::min(kValuesPerTask, values - from), hidden + from * element, shape.element);
      });
  step(Step::gelu);
  work.dense.run(layer.down, hidden, rows, Epilogue::add, ws_.stream_row(first), Element::f32);
  step(Step::matmul);
}

void LayerRunner::norm_rows(const Model::Norm& weights, std::int64_t first, std::int64_t rows) noexcept {
  kernels::layer_norm(ws_.stream_row(first), rows, ws_.shape().dim, weights.weight.data(), weights.bias.data(),
                      ws_.normed_row(first), ws_.shape().element);
}

void LayerRunner::norm(const Model::Norm& weights, std::int64_t rows) noexcept {
  parallel_for(ws_.threads, (rows + kNormRows - 1) / kNormRows, [&](std::int64_t task, int) {
    const std::int64_t first = task * kNormRows;
    norm_rows(weights, first, std::min(kNormRows, rows - first));
  });
  done(Step::norm);
}

}  // namespace kvcast
