#include "engine/builtin/model/transformer.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>
#include <utility>

#include "base/parallel.h"
#include "engine/builtin/kernels/gelu.h"
#include "engine/builtin/kernels/norm.h"

namespace kvcast {
namespace {

using kernels::Element;
using kernels::element_bytes;
using kernels::Epilogue;

// Rows per task of the row-wise kernels: large enough to make a task worth handing out.
constexpr std::int64_t kNormRows = 16;

constexpr std::int64_t kFfnRows = 256;
// Candidates whose attention runs together: bounds what parts of their keys leave to be merged.
constexpr std::int64_t kPartRows = 1024;
// Rows of a history from which its keys are not split over tasks.
constexpr std::int64_t kManyRows = 64;
// Values per task of GELU: 8 microseconds or so.
constexpr std::int64_t kGeluValues = 32768;

// Largest FFN block of any pass of up to max_rows: block sizes do not grow evenly with the rows.
std::int64_t ffn_rows(std::int64_t max_rows) { return std::min(max_rows, kFfnRows + kFfnRows / 2); }

// An empty history has no address.
void copy_floats(float* to, const float* from, std::int64_t n) {
  if (n > 0) std::memmove(to, from, static_cast<std::size_t>(n) * sizeof(float));
}

// Start of the Q rows behind the K,V rows in the activations of a split product, in elements.
std::int64_t q_offset(std::int64_t kv_elements) { return (kv_elements + 63) / 64 * 64; }

kernels::KvShape block_shape(const ModelShape& shape, std::int64_t capacity) {
  return {shape.kv_heads, shape.head_dim(), capacity, shape.kv_element};
}

}  // namespace

FfnBlocks ffn_blocks(std::int64_t rows) {
  if (rows == 0) return {};
  const std::int64_t blocks = std::max<std::int64_t>(1, (rows + kFfnRows / 2) / kFfnRows);
  const std::int64_t size = (rows + blocks - 1) / blocks;
  return {size, rows - (rows - 1) / size * size};
}

bool products_by_rows(const ModelShape& shape, std::int64_t rows, int threads) {
  if (threads == 1) return true;
  // Two FFN matrices that a core's own cache holds: reading them twice costs less than the barriers between products.
  constexpr std::int64_t kCachedBytes = std::int64_t{2} << 20;
  // From here on the arithmetic of a thread's rows hides that it streams all weights.
  constexpr std::int64_t kStreamingRows = 128;
  const std::int64_t ffn_bytes = 2 * shape.dim * shape.ffn_dim * element_bytes(shape.element);
  return rows >= (ffn_bytes <= kCachedBytes ? 2 : kStreamingRows) * threads;
}

namespace {

// Rows [first, first + count) of a thread: shares differ by one row at most.
struct Share {
  std::int64_t first, count;
};
Share share_of(std::int64_t rows, int threads, int thread) {
  const std::int64_t base = rows / threads, more = rows % threads;
  return {thread * base + std::min<std::int64_t>(thread, more), base + (thread < more ? 1 : 0)};
}

}  // namespace

// ---- weights

namespace {

// Layers in which some rows may give K and V only: the trimmed last one, and the first of a hybrid.
bool may_split(const ModelShape& shape, std::int64_t layer) {
  return layer == shape.layers - 1 || (layer == 0 && shape.query_tokens > 0);
}

}  // namespace

Model::Model(const ModelShape& shape, const TensorSource& source) : shape_(shape) {
  const auto load = [&](std::int64_t layer, Tensor tensor) {
    Buffer<float> values(tensor_size(shape, tensor).elements());
    source(layer, tensor, values.span());
    return values;
  };
  const auto dense = [&](std::int64_t layer, Tensor weight, Tensor bias) {
    const TensorSize size = tensor_size(shape, weight);
    return kernels::DenseWeights(size.columns, size.rows, load(layer, weight).data(), load(layer, bias).data(),
                                 shape.element);
  };
  layers_.resize(static_cast<std::size_t>(shape.layers));
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    Layer& layer = layers_[static_cast<std::size_t>(i)];
    layer.attn_norm_weight = load(i, Tensor::attn_norm_weight);
    layer.attn_norm_bias = load(i, Tensor::attn_norm_bias);
    layer.ffn_norm_weight = load(i, Tensor::ffn_norm_weight);
    layer.ffn_norm_bias = load(i, Tensor::ffn_norm_bias);
    const Buffer<float> weight = load(i, Tensor::qkv_weight), bias = load(i, Tensor::qkv_bias);
    layer.qkv = kernels::DenseWeights(shape.dim, shape.qkv_dim(), weight.data(), bias.data(), shape.element);
    if (may_split(shape, i)) {
      layer.q = kernels::DenseWeights(shape.dim, shape.dim, weight.data(), bias.data(), shape.element);
      layer.kv = kernels::DenseWeights(shape.dim, 2 * shape.kv_dim(), weight.data() + shape.dim * shape.dim,
                                       bias.data() + shape.dim, shape.element);
    }
    layer.out = dense(i, Tensor::out_weight, Tensor::out_bias);
    layer.up = dense(i, Tensor::up_weight, Tensor::up_bias);
    layer.down = dense(i, Tensor::down_weight, Tensor::down_bias);
  }
}

double Model::bytes(const ModelShape& s) {
  double layer = 0, vectors = 0;
  for (const Tensor tensor : kTensors) {
    const TensorSize size = tensor_size(s, tensor);
    if (size.columns == 0) {
      vectors += static_cast<double>(size.rows) * sizeof(float);
    } else {
      layer += kernels::DenseWeights::packed_bytes(size.columns, size.rows, s.element);
    }
  }
  double split = 0;
  for (const std::int64_t i : {std::int64_t{0}, s.layers - 1}) {
    if (!may_split(s, i) || (i == 0 && s.layers == 1 && split > 0)) continue;
    split += kernels::DenseWeights::packed_bytes(s.dim, s.dim, s.element) +
             kernels::DenseWeights::packed_bytes(s.dim, 2 * s.kv_dim(), s.element) +
             static_cast<double>(s.qkv_dim()) * sizeof(float);
  }
  return (layer + vectors) * static_cast<double>(s.layers) + split;
}

// ---- KV cache

namespace {

// Tokens that each block has room for, and which block a layer uses.
struct CacheLayout {
  std::vector<std::int64_t> capacities;
  std::vector<std::size_t> block_of;
};

CacheLayout one_layer_layout(const ModelShape& shape, std::int64_t capacity) {
  return {{capacity}, std::vector<std::size_t>(static_cast<std::size_t>(shape.layers), 0)};
}

// filled: a pass runs through it, so the layers that are not kept need a block too, one for all. Else they have none.
CacheLayout all_layers_layout(const ModelShape& shape, std::int64_t length, std::int64_t kept_from, bool filled) {
  CacheLayout layout;
  if (kept_from > 0 && filled) layout.capacities.push_back(length);
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    if (i >= kept_from) layout.capacities.push_back(shape.active(i, length));
    layout.block_of.push_back(i < kept_from ? 0 : layout.capacities.size() - 1);
  }
  return layout;
}

double block_bytes(const ModelShape& shape, std::int64_t capacity) {
  const kernels::KvShape block = block_shape(shape, capacity);
  return static_cast<double>(block.key_bytes()) + static_cast<double>(block.value_bytes());
}

// Of all_layers_layout, without making it: a plan asks about shapes whose list of layers would fill the memory.
double all_layers_block_bytes(const ModelShape& shape, std::int64_t length, std::int64_t kept_from, bool filled) {
  const bool longest = kept_from == 0 || filled;  // layer 0, or the block of those that are not kept
  const auto later = static_cast<double>(shape.layers - std::max(kept_from, std::int64_t{1}));
  return (longest ? block_bytes(shape, length) : 0.0) + later * block_bytes(shape, shape.active(1, length));
}

}  // namespace

KvCache::KvCache(std::vector<Block> blocks, std::vector<std::size_t> block_of, std::int64_t sequences)
    : blocks_(std::move(blocks)), block_of_(std::move(block_of)), sequences_(sequences) {
  std::int64_t keys = 0, values = 0;
  for (Block& block : blocks_) {
    block.keys = keys;
    block.values = values;
    keys += sequences * block.shape.key_bytes();
    values += sequences * block.shape.value_bytes();
  }
  keys_ = Buffer<std::byte>(keys);
  values_ = Buffer<std::byte>(values);
}

namespace {

template <typename Block>
std::vector<Block> blocks_of(const ModelShape& shape, const CacheLayout& layout) {
  std::vector<Block> blocks;
  for (const std::int64_t capacity : layout.capacities) blocks.push_back({block_shape(shape, capacity), 0, 0});
  return blocks;
}

}  // namespace

KvCache KvCache::one_layer(const ModelShape& shape, std::int64_t sequences, std::int64_t capacity) {
  CacheLayout layout = one_layer_layout(shape, capacity);
  return {blocks_of<Block>(shape, layout), std::move(layout.block_of), sequences};
}
KvCache KvCache::all_layers(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                            std::int64_t kept_from) {
  CacheLayout layout = all_layers_layout(shape, length, kept_from, true);
  KvCache cache{blocks_of<Block>(shape, layout), std::move(layout.block_of), sequences};
  cache.kept_from_ = kept_from;
  return cache;
}
KvCache KvCache::copies(const ModelShape& shape, std::int64_t sequences, std::int64_t length, std::int64_t kept_from) {
  CacheLayout layout = all_layers_layout(shape, length, kept_from, false);
  KvCache cache{blocks_of<Block>(shape, layout), std::move(layout.block_of), sequences};
  cache.kept_from_ = kept_from;
  return cache;
}
double KvCache::one_layer_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t capacity) {
  return block_bytes(shape, capacity) * static_cast<double>(sequences);
}
double KvCache::all_layers_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                                 std::int64_t kept_from) {
  return all_layers_block_bytes(shape, length, kept_from, true) * static_cast<double>(sequences);
}
double KvCache::copies_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                             std::int64_t kept_from) {
  return all_layers_block_bytes(shape, length, kept_from, false) * static_cast<double>(sequences);
}

kernels::KvView KvCache::view(std::int64_t layer, std::int64_t sequence) const noexcept {
  const Block& b = block(layer);
  return {b.shape, keys_.data() + b.keys + sequence * b.shape.key_bytes(),
          values_.data() + b.values + sequence * b.shape.value_bytes()};
}
std::byte* KvCache::keys(std::int64_t layer, std::int64_t sequence) noexcept {
  return keys_.data() + block(layer).keys + sequence * block(layer).shape.key_bytes();
}
std::byte* KvCache::values(std::int64_t layer, std::int64_t sequence) noexcept {
  return values_.data() + block(layer).values + sequence * block(layer).shape.value_bytes();
}

void KvCache::broadcast_from(const KvCache& from, std::int64_t count, int threads) noexcept {
  assert(count <= sequences_ && block_of_.size() == from.block_of_.size() && kept_from_ == from.kept_from_);
  length = from.length;
  if (length == 0) return;
  const std::int64_t layers = static_cast<std::int64_t>(block_of_.size()) - kept_from_;
  parallel_for(threads, layers * count, [&](std::int64_t task, int) {
    const std::int64_t layer = kept_from_ + task / count, sequence = task % count;
    const kernels::KvView source = from.view(layer);
    std::memcpy(keys(layer, sequence), source.keys, static_cast<std::size_t>(source.shape.key_bytes()));
    std::memcpy(values(layer, sequence), source.values, static_cast<std::size_t>(source.shape.value_bytes()));
  });
}

void KvCache::copy_history(const KvCache& from, std::int64_t positions, int threads) noexcept {
  assert(sequences_ == 1 && from.sequences_ == 1 && kept_from_ == 0 && from.kept_from_ == 0);
  length = positions;
  const auto layers = static_cast<std::int64_t>(block_of_.size());
  const std::int64_t heads = blocks_.front().shape.kv_heads;
  parallel_for(threads, layers * heads, [&](std::int64_t task, int) {
    const std::int64_t layer = task / heads, head = task % heads;
    const kernels::KvView source = from.view(layer);
    const kernels::KvShape& own = block(layer).shape;
    assert(length <= own.capacity && length <= source.shape.capacity);
    // What a block of exactly this length holds of a head: whole panels of keys, whole pairs of values.
    const kernels::KvShape used{own.kv_heads, own.head_dim, length, own.element};
    std::memcpy(keys(layer) + head * own.key_bytes_per_head(), source.keys + head * source.shape.key_bytes_per_head(),
                static_cast<std::size_t>(used.key_bytes_per_head()));
    std::memcpy(values(layer) + head * own.value_bytes_per_head(),
                source.values + head * source.shape.value_bytes_per_head(),
                static_cast<std::size_t>(used.value_bytes_per_head()));
  });
}

void KvCache::spoil(std::int64_t first, std::int64_t positions) noexcept {
  for (const Block& b : blocks_) {
    const kernels::KvShape& s = b.shape;
    const bool pairs = s.element != Element::f32;
    const std::int64_t bytes = element_bytes(s.element);
    const std::int64_t from = s.capacity < positions ? 0 : first;
    // Of many copies one key each is enough.
    const std::int64_t step = sequences_ > 1 ? s.capacity : kernels::kKeyPanel;
    for (std::int64_t head = 0; head < sequences_ * s.kv_heads; ++head) {
      std::byte* const k = keys_.data() + b.keys + head * s.key_bytes_per_head();
      std::byte* const v = values_.data() + b.values + head * s.value_bytes_per_head();
      for (std::int64_t at = from; at < s.capacity; at += step) {
        // The first element of the key and of the value, as pack_kv lays them out; 0xFF is NaN in both types.
        const std::int64_t lane =
            (at / kernels::kKeyPanel * s.panel_rows()) * kernels::kKeyPanel + at % kernels::kKeyPanel;
        std::memset(k + lane * 4, 0xFF, static_cast<std::size_t>(bytes));
        std::memset(v + (pairs ? at / 2 * s.value_stride() * 4 + at % 2 * bytes : at * s.value_stride() * 4), 0xFF,
                    static_cast<std::size_t>(bytes));
      }
    }
  }
}

// ---- team

Team::Team(const Model& model, int threads, std::int64_t max_rows)
    : model_(&model),
      threads_(threads),
      dense_(threads),
      x_(max_rows * model.shape().dim),
      normed_(max_rows * model.shape().dim * element_bytes(model.shape().element)),
      qkv_(q_offset(max_rows * model.shape().qkv_dim() + 63) * element_bytes(model.shape().element)),
      attended_(max_rows * model.shape().dim * element_bytes(model.shape().element)),
      hidden_rows_(ffn_rows(max_rows)),
      hidden_(threads * hidden_rows_ * model.shape().ffn_dim * element_bytes(model.shape().element)),
      product_(model.shape().element == Element::f32 ? 0 : threads * hidden_rows_ * model.shape().ffn_dim),
      // Rounded to whole cache lines so that threads do not share one.
      scratch_per_thread_((kernels::attention_scratch_floats(block_shape(model.shape(), 0)) + 15) / 16 * 16) {
  attention_scratch_ = Buffer<float>(scratch_per_thread_ * threads);
  for (int i = 0; i < threads; ++i) own_.emplace_back(1);
}

double Team::bytes(const ModelShape& s, int threads, std::int64_t max_rows) {
  const auto element = static_cast<double>(element_bytes(s.element));
  const double row =
      static_cast<double>(s.dim) * sizeof(float) + static_cast<double>(2 * s.dim + s.qkv_dim()) * element;
  kernels::AttentionArgs parts;  // of as many rows as attend together, on a history without end
  parts.heads = s.heads;
  parts.rows = std::min(max_rows, kPartRows);
  parts.kv.shape = block_shape(s, 0);
  parts.parts = kernels::attention_parts(s.heads, std::numeric_limits<std::int64_t>::max());
  const double hidden = element + (s.element == Element::f32 ? 0.0 : sizeof(float));
  return row * static_cast<double>(max_rows) +
         static_cast<double>(kernels::attention_partial_floats(parts)) * sizeof(float) +
         static_cast<double>(threads) *
             (static_cast<double>(ffn_rows(max_rows)) * static_cast<double>(s.ffn_dim) * hidden +
              static_cast<double>(kernels::attention_scratch_floats(block_shape(s, 0))) * sizeof(float));
}

// ---- what each layer of a pass does

Forward::LayerWork Forward::work(const SequenceBatch& batch, std::int64_t layer) const noexcept {
  const ModelShape& shape = t_.model_->shape();
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

Forward::LayerWork Forward::work(const HistoryPass& pass, std::int64_t layer) const noexcept {
  const ModelShape& shape = t_.model_->shape();
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

Forward::LayerWork Forward::work(const CandidatePass& pass, std::int64_t history, std::int64_t layer) const noexcept {
  LayerWork w;
  w.layer = layer;
  w.sequences = pass.own_cache ? pass.count : 1;
  w.candidates = pass.own_cache ? 1 : pass.count;
  w.cached = t_.model_->shape().active(layer, history);
  return w;
}

Forward::LayerWork Forward::work(const HistoryPass& pass, const CandidatePass& candidates,
                                 std::int64_t layer) const noexcept {
  LayerWork w = work(pass, layer);
  if (layer >= t_.model_->shape().candidate_from_layer) w.candidates = candidates.count;
  return w;
}

// ---- steps

void Forward::norm_rows(const Buffer<float>& weight, const Buffer<float>& bias, std::int64_t first,
                        std::int64_t rows) noexcept {
  const ModelShape& shape = t_.model_->shape();
  kernels::layer_norm(t_.x_.data() + first * shape.dim, rows, shape.dim, weight.data(), bias.data(),
                      t_.normed_.data() + first * shape.dim * element_bytes(shape.element), shape.element);
}

void Forward::norm(const Buffer<float>& weight, const Buffer<float>& bias, std::int64_t rows) noexcept {
  parallel_for(t_.threads_, (rows + kNormRows - 1) / kNormRows, [&](std::int64_t task, int) {
    const std::int64_t first = task * kNormRows;
    norm_rows(weight, bias, first, std::min(kNormRows, rows - first));
  });
  done(Step::norm);
}

// A projection of normed rows, result as activations.
void Forward::product(const kernels::DenseWeights& weights, const std::byte* x, std::int64_t rows,
                      std::byte* out) noexcept {
  const Element element = t_.model_->shape().element;
  if (!products_by_rows(t_.model_->shape(), rows, t_.threads_)) {
    t_.dense_.run(weights, x, rows, Epilogue::none, out, element);
  } else {
    on_each_thread(t_.threads_, [&](int thread) {
      const Share own = share_of(rows, t_.threads_, thread);
      t_.own_[static_cast<std::size_t>(thread)].run(weights, x + own.first * weights.in() * element_bytes(element),
                                                    own.count, Epilogue::none,
                                                    out + own.first * weights.out() * element_bytes(element), element);
    });
  }
  done(Step::matmul);
}

// Norm and QKV of the rows of the stream; rows that stop at K,V are dropped from it.
void Forward::project(const Model::Layer& layer, const LayerWork& w) noexcept {
  const ModelShape& shape = t_.model_->shape();
  const std::int64_t element = element_bytes(shape.element);
  if (w.fused() && products_by_rows(shape, w.rows(), t_.threads_)) {
    on_each_thread(t_.threads_, [&](int thread) {
      const Share own = share_of(w.rows(), t_.threads_, thread);
      norm_rows(layer.attn_norm_weight, layer.attn_norm_bias, own.first, own.count);
      if (thread == 0) done(Step::norm);
      t_.own_[static_cast<std::size_t>(thread)].run(
          layer.qkv, t_.normed_.data() + own.first * shape.dim * element, own.count, Epilogue::none,
          t_.qkv_.data() + own.first * shape.qkv_dim() * element, shape.element);
    });
    done(Step::matmul);
    return;
  }
  norm(layer.attn_norm_weight, layer.attn_norm_bias, w.rows());
  if (w.fused()) return product(layer.qkv, t_.normed_.data(), w.rows(), t_.qkv_.data());
  const std::int64_t rows = w.rows() - w.known;
  product(layer.kv, t_.normed_.data() + w.known * shape.dim * element, rows, t_.qkv_.data());
  keep(w);
  product(layer.q, t_.normed_.data(), w.kept_rows(), t_.qkv_.data() + q_offset(rows * 2 * shape.kv_dim()) * element);
}

// Rows that go on move to the front of the stream and of the normed rows.
void Forward::keep(const LayerWork& w) noexcept {
  const ModelShape& shape = t_.model_->shape();
  const auto move = [&](std::int64_t to, std::int64_t from, std::int64_t rows) {
    if (to == from || rows == 0) return;
    const std::int64_t bytes = shape.dim * element_bytes(shape.element);
    copy_floats(t_.x_.data() + to * shape.dim, t_.x_.data() + from * shape.dim, rows * shape.dim);
    std::memmove(t_.normed_.data() + to * bytes, t_.normed_.data() + from * bytes,
                 static_cast<std::size_t>(rows * bytes));
  };
  for (std::int64_t s = 0; s < w.sequences; ++s) {
    const std::int64_t from = s * (w.tokens + w.candidates), to = s * (w.kept + w.candidates);
    move(to, from + w.kept_first, w.kept);
    move(to + w.kept, from + w.tokens, w.candidates);
  }
  done(Step::copy);
}

void Forward::pack(const LayerWork& w, KvCache& cache) noexcept {
  const ModelShape& shape = t_.model_->shape();
  const kernels::KvShape block = cache.view(w.layer).shape;
  const std::int64_t element = element_bytes(shape.element);
  const std::int64_t stride = w.fused() ? shape.qkv_dim() : 2 * shape.kv_dim();
  const std::byte* k = t_.qkv_.data() + (w.fused() ? shape.dim : 0) * element;
  // Tasks are whole panels, which no two threads may write to.
  const std::int64_t first_panel = w.cached / kernels::kKeyPanel;
  const std::int64_t panels = (w.keys() + kernels::kKeyPanel - 1) / kernels::kKeyPanel - first_panel;
  parallel_for(t_.threads_, w.sequences * panels, [&](std::int64_t task, int) {
    const std::int64_t sequence = task / panels, panel = first_panel + task % panels;
    const std::int64_t first = std::max(w.cached, panel * kernels::kKeyPanel);
    const std::int64_t last = std::min(w.keys(), (panel + 1) * kernels::kKeyPanel);
    const std::byte* rows = k + (sequence * (w.tokens + w.candidates) + first - w.cached) * stride * element;
    kernels::pack_kv(block, shape.element, rows, rows + shape.kv_dim() * element, stride, first, last - first, 0,
                     shape.kv_heads, cache.keys(w.layer, sequence), cache.values(w.layer, sequence));
  });
  done(Step::pack);
}

Forward::Attention Forward::token_attention(const LayerWork& w) const noexcept {
  const ModelShape& shape = t_.model_->shape();
  const std::int64_t element = element_bytes(shape.element);
  const std::int64_t kv_elements = (w.rows() - w.known) * 2 * shape.kv_dim();
  Attention job;
  job.groups = w.kept > 0 ? w.sequences : 0;
  job.args.element = shape.element;
  job.args.heads = shape.heads;
  job.args.q = t_.qkv_.data() + (w.fused() ? 0 : q_offset(kv_elements)) * element;
  job.args.q_stride = w.fused() ? shape.qkv_dim() : shape.dim;
  job.args.rows = w.kept;
  job.args.keys = w.keys();
  job.args.causal = w.causal;
  job.args.first_visible = w.cached - w.known + w.kept_first + 1;
  // Many rows are work enough as they are.
  job.args.parts = w.kept > kManyRows ? 1 : kernels::attention_parts(shape.heads, w.keys());
  job.args.out = const_cast<std::byte*>(t_.attended_.data());
  job.args.out_stride = shape.dim;
  job.q_group = (w.kept + w.candidates) * job.args.q_stride;
  job.out_group = (w.kept + w.candidates) * shape.dim;
  return job;
}

// Candidates [first, first + count) of every sequence.
Forward::Attention Forward::candidate_attention(const LayerWork& w, const CandidatePass& options, std::int64_t first,
                                                std::int64_t count) const noexcept {
  const ModelShape& shape = t_.model_->shape();
  const std::int64_t element = element_bytes(shape.element);
  Attention job = token_attention(w);
  job.groups = w.candidates > 0 ? w.sequences : 0;
  job.args.rows = count;
  job.args.causal = false;
  if (!options.attend_history) job.args.keys = 0;
  job.args.parts = kernels::attention_parts(shape.heads, job.args.keys);
  job.args.q = static_cast<const std::byte*>(job.args.q) + (w.kept + first) * job.args.q_stride * element;
  job.args.out = static_cast<std::byte*>(job.args.out) + (w.kept + first) * shape.dim * element;
  job.args.self_stride = w.fused() ? shape.qkv_dim() : 2 * shape.kv_dim();
  if (options.attend_self) {
    const std::byte* k = t_.qkv_.data() + (w.fused() ? shape.dim : 0) * element;
    job.args.self_k = k + (w.tokens - w.known + first) * job.args.self_stride * element;
    job.args.self_v = static_cast<const std::byte*>(job.args.self_k) + shape.kv_dim() * element;
  }
  job.self_group = (w.tokens + w.candidates) * job.args.self_stride;
  job.cache_each = options.own_cache;
  job.first_cache = options.first_cache;
  return job;
}

void Forward::prepare(Attention& job) {
  if (job.groups == 0) return;
  job.args.kv.shape = block_shape(t_.model_->shape(), job.args.keys);  // sizes only, no data yet
  const std::int64_t wanted = job.groups * kernels::attention_partial_floats(job.args);
  if (wanted > t_.partial_.size()) t_.partial_ = Buffer<float>(wanted);
}

void Forward::attend(const Attention& job, std::int64_t layer, const KvCache& cache) noexcept {
  if (job.groups == 0) return;
  const std::int64_t element = element_bytes(t_.model_->shape().element);
  kernels::AttentionArgs args = job.args;
  args.kv = cache.view(layer);
  const std::int64_t partial = kernels::attention_partial_floats(args);
  const auto group_args = [&](std::int64_t group) {
    kernels::AttentionArgs own = args;
    own.q = static_cast<const std::byte*>(own.q) + group * job.q_group * element;
    own.out = static_cast<std::byte*>(own.out) + group * job.out_group * element;
    if (own.self_k != nullptr) {
      own.self_k = static_cast<const std::byte*>(own.self_k) + group * job.self_group * element;
      own.self_v = static_cast<const std::byte*>(own.self_v) + group * job.self_group * element;
    }
    own.partial = t_.partial_.data() + group * partial;
    return own;
  };
  const std::int64_t tasks = kernels::attention_tasks(args);
  parallel_for(t_.threads_, job.groups * tasks, [&](std::int64_t task, int thread) {
    const std::int64_t group = task / tasks;
    kernels::AttentionArgs own = group_args(group);
    own.kv = cache.view(layer, job.first_cache + (job.cache_each ? group : 0));
    kernels::attention_task(own, task % tasks, t_.attention_scratch_.data() + thread * t_.scratch_per_thread_);
  });
  done(Step::attention);
  if (args.parts > 1) {
    const std::int64_t merges = kernels::attention_merges(args);
    parallel_for(t_.threads_, job.groups * merges,
                 [&](std::int64_t task, int) { kernels::attention_merge(group_args(task / merges), task % merges); });
    done(Step::attention);
  }
}

// FFN of rows that are normed, added to the stream. alone: this thread works by itself, else it leads all of them.
void Forward::ffn_block(const Model::Layer& layer, kernels::DenseRunner& dense, int thread, std::int64_t first,
                        std::int64_t rows, bool alone) noexcept {
  const ModelShape& shape = t_.model_->shape();
  const std::int64_t element = element_bytes(shape.element);
  const std::byte* x = t_.normed_.data() + first * shape.dim * element;
  const std::int64_t block = thread * t_.hidden_rows_ * shape.ffn_dim;
  std::byte* hidden = t_.hidden_.data() + block * element;
  const auto step = [&](Step done_step) {
    if (thread == 0) done(done_step);
  };
  float* sums = shape.element == Element::f32 ? reinterpret_cast<float*>(hidden) : t_.product_.data() + block;
  dense.run(layer.up, x, rows, Epilogue::none, sums, Element::f32);
  step(Step::matmul);
  const std::int64_t values = rows * shape.ffn_dim;
  parallel_for(alone ? 1 : t_.threads_, (values + kGeluValues - 1) / kGeluValues, [&](std::int64_t task, int) {
    const std::int64_t from = task * kGeluValues;
    kernels::gelu(sums + from, std::min(kGeluValues, values - from), hidden + from * element, shape.element);
  });
  step(Step::gelu);
  dense.run(layer.down, hidden, rows, Epilogue::add, t_.x_.data() + first * shape.dim, Element::f32);
  step(Step::matmul);
}

// Output projection of attended_ and the FFN, both added to the first `rows` rows of the stream.
void Forward::tail(const Model::Layer& layer, std::int64_t rows) noexcept {
  const ModelShape& shape = t_.model_->shape();
  const auto run = [&](kernels::DenseRunner& dense, int thread, Share own, bool alone) {
    dense.run(layer.out, t_.attended_.data() + own.first * shape.dim * element_bytes(shape.element), own.count,
              Epilogue::add, t_.x_.data() + own.first * shape.dim, Element::f32);
    if (thread == 0) done(Step::matmul);
    if (!alone) norm(layer.ffn_norm_weight, layer.ffn_norm_bias, own.count);
    const std::int64_t size = ffn_blocks(own.count).size;
    for (std::int64_t first = 0; first < own.count; first += size) {
      const std::int64_t part = std::min(size, own.count - first);
      if (alone) {
        norm_rows(layer.ffn_norm_weight, layer.ffn_norm_bias, own.first + first, part);
        if (thread == 0) done(Step::norm);
      }
      ffn_block(layer, dense, thread, own.first + first, part, alone);
    }
  };
  if (products_by_rows(shape, rows, t_.threads_)) {
    on_each_thread(t_.threads_, [&](int thread) {
      run(t_.own_[static_cast<std::size_t>(thread)], thread, share_of(rows, t_.threads_, thread), true);
    });
  } else {
    run(t_.dense_, 0, {0, rows}, false);
  }
}

void Forward::prepare(const LayerWork& w, const CandidatePass& options) {
  const ModelShape& shape = t_.model_->shape();
  const Model::Layer& layer = t_.model_->layer(w.layer);
  if (w.rows() == 0) return;
  // `make` gets the runner and the rows of every product that runs on it.
  const auto each = [&](std::int64_t rows, const auto& make) {
    if (!products_by_rows(shape, rows, t_.threads_)) return make(t_.dense_, rows);
    on_each_thread(t_.threads_, [&](int thread) {
      make(t_.own_[static_cast<std::size_t>(thread)], share_of(rows, t_.threads_, thread).count);
    });
  };
  const auto projection = [&](const kernels::DenseWeights& weights, std::int64_t rows) {
    each(rows, [&](kernels::DenseRunner& dense, std::int64_t own) {
      dense.prepare(weights, own, Epilogue::none, shape.element);
    });
  };
  if (w.fused()) {
    projection(layer.qkv, w.rows());
  } else {
    projection(layer.kv, w.rows() - w.known);
    projection(layer.q, w.kept_rows());
  }
  each(w.kept_rows(), [&](kernels::DenseRunner& dense, std::int64_t own) {
    dense.prepare(layer.out, own, Epilogue::add, Element::f32);
    const FfnBlocks blocks = ffn_blocks(own);
    for (const std::int64_t part : {blocks.size, blocks.last}) {
      dense.prepare(layer.up, part, Epilogue::none, Element::f32);
      dense.prepare(layer.down, part, Epilogue::add, Element::f32);
    }
  });
  Attention tokens = token_attention(w),
            candidates = candidate_attention(w, options, 0, std::min(kPartRows, w.candidates));
  prepare(tokens);
  prepare(candidates);
}

// One layer over the rows of the stream. `read` is what attention sees; K,V of tokens go to `write`.
void Forward::run(const LayerWork& w, const CandidatePass& options, const KvCache& read, KvCache* write) noexcept {
  const Model::Layer& layer = t_.model_->layer(w.layer);
  if (w.rows() == 0) return;
  if (listener_ != nullptr) listener_->layer_begins(w.layer, stream(w.rows()));
  project(layer, w);
  if (write != nullptr) pack(w, *write);
  if (w.kept_rows() == 0) return;
  attend(token_attention(w), w.layer, read);
  for (std::int64_t first = 0; first < w.candidates; first += kPartRows) {
    attend(candidate_attention(w, options, first, std::min(kPartRows, w.candidates - first)), w.layer, read);
  }
  tail(layer, w.kept_rows());
  if (listener_ != nullptr) listener_->layer_ends(w.layer, stream(w.kept_rows()), read);
}

// ---- passes

void Forward::prepare(const SequenceBatch& batch) {
  for (std::int64_t i = 0; i < t_.model_->shape().layers; ++i) prepare(work(batch, i), {});
}

void Forward::sequences(const SequenceBatch& batch, const float* history, const float* candidates, KvCache& cache,
                        float* outputs) noexcept {
  const ModelShape& shape = t_.model_->shape();
  const std::int64_t dim = shape.dim;
  float* x = t_.x_.data();
  cache.length = batch.history;
  // Rows of a sequence of `rows` history tokens with the candidate in between.
  const auto join = [&](const float* from, std::int64_t rows, std::int64_t s) {
    const std::int64_t at = batch.candidate_row > 0 ? rows : 0;
    float* to = x + s * (rows + 1) * dim;
    copy_floats(to + (at == 0 ? dim : 0), from, rows * dim);
    copy_floats(to + at * dim, candidates + s * dim, dim);
  };
  for (std::int64_t s = 0; s < batch.sequences; ++s) {
    if (shape.candidate_from_layer == 0) {
      join(history, batch.history, s);
    } else {
      copy_floats(x + s * batch.history * dim, history, batch.history * dim);
    }
  }
  done(Step::copy);
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    if (i > 0 && i == shape.candidate_from_layer) {
      const std::int64_t rows = shape.active(i, batch.history);
      for (std::int64_t s = batch.sequences - 1; s >= 0; --s) join(x + s * rows * dim, rows, s);
    }
    run(work(batch, i), {}, cache, &cache);
  }
  const LayerWork last = work(batch, shape.layers - 1);
  const std::int64_t row = batch.trim || batch.candidate_row == 0 ? 0 : last.tokens - 1;
  for (std::int64_t s = 0; s < batch.sequences; ++s) {
    copy_floats(outputs + s * dim, x + (s * last.kept + row) * dim, dim);
  }
  done(Step::copy);
}

std::int64_t Forward::first_row(const HistoryPass& pass) const noexcept { return pass.length - work(pass, 0).tokens; }

void Forward::prepare(const HistoryPass& pass) {
  for (std::int64_t i = 0; i < t_.model_->shape().layers; ++i) prepare(work(pass, i), {});
}

void Forward::prefill(const HistoryPass& pass, const float* history, KvCache& cache) noexcept {
  const std::int64_t dim = t_.model_->shape().dim;
  const std::int64_t first = first_row(pass);
  cache.length = pass.length;
  copy_floats(t_.x_.data(), history + first * dim, (pass.length - first) * dim);
  done(Step::copy);
  for (std::int64_t i = 0; i < t_.model_->shape().layers; ++i) run(work(pass, i), {}, cache, &cache);
}

void Forward::prepare(const CandidatePass& pass, std::int64_t history) {
  const ModelShape& shape = t_.model_->shape();
  for (std::int64_t i = shape.candidate_from_layer; i < shape.layers; ++i) prepare(work(pass, history, i), pass);
}

void Forward::candidates(const CandidatePass& pass, const float* candidates, const KvCache& cache,
                         float* outputs) noexcept {
  const ModelShape& shape = t_.model_->shape();
  if (pass.count == 0) return;
  copy_floats(t_.x_.data(), candidates, pass.count * shape.dim);
  done(Step::copy);
  for (std::int64_t i = shape.candidate_from_layer; i < shape.layers; ++i) {
    run(work(pass, cache.length, i), pass, cache, nullptr);
  }
  copy_floats(outputs, t_.x_.data(), pass.count * shape.dim);
  done(Step::copy);
}

void Forward::prepare(const HistoryPass& pass, const CandidatePass& candidates) {
  for (std::int64_t i = 0; i < t_.model_->shape().layers; ++i) prepare(work(pass, candidates, i), candidates);
}

void Forward::packed(const HistoryPass& pass, const float* history, const CandidatePass& options,
                     const float* candidates, KvCache& cache, float* outputs) noexcept {
  const ModelShape& shape = t_.model_->shape();
  const std::int64_t values = options.count * shape.dim;
  cache.length = pass.length;
  copy_floats(t_.x_.data(), history, pass.length * shape.dim);
  done(Step::copy);
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    if (i == shape.candidate_from_layer)
      copy_floats(t_.x_.data() + work(pass, i).tokens * shape.dim, candidates, values);
    run(work(pass, options, i), options, cache, &cache);
  }
  const std::int64_t kept = work(pass, options, shape.layers - 1).kept;
  copy_floats(outputs, t_.x_.data() + kept * shape.dim, values);
  done(Step::copy);
}

}  // namespace kvcast
