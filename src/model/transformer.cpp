#include "model/transformer.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "base/parallel.h"
#include "kernels/norm.h"

namespace kvcast {
namespace {

// Rows per task of the row-wise kernels: large enough to make a task worth handing out.
constexpr std::int64_t kNormRows = 16;

constexpr std::int64_t kFfnRows = 256;

// Largest FFN block of any pass of up to max_rows: block sizes do not grow evenly with the rows.
std::int64_t ffn_rows(std::int64_t max_rows) { return std::min(max_rows, kFfnRows + kFfnRows / 2); }

std::size_t floats(std::int64_t n) { return static_cast<std::size_t>(n) * sizeof(float); }

}  // namespace

FfnBlocks ffn_blocks(std::int64_t rows) {
  if (rows == 0) return {};
  const std::int64_t blocks = std::max<std::int64_t>(1, (rows + kFfnRows / 2) / kFfnRows);
  const std::int64_t size = (rows + blocks - 1) / blocks;
  return {size, rows - (rows - 1) / size * size};
}

Model::Model(const ModelShape& shape, const TensorSource& source) : shape_(shape) {
  const auto load = [&](std::int64_t layer, Tensor tensor) {
    Buffer<float> values(tensor_size(shape, tensor).elements());
    source(layer, tensor, values.span());
    return values;
  };
  const auto dense = [&](std::int64_t layer, Tensor weight, Tensor bias) {
    const TensorSize size = tensor_size(shape, weight);
    return kernels::DenseWeights(size.columns, size.rows, load(layer, weight).data(), load(layer, bias).data());
  };
  layers_.resize(static_cast<std::size_t>(shape.layers));
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    Layer& layer = layers_[static_cast<std::size_t>(i)];
    layer.attn_norm_weight = load(i, Tensor::attn_norm_weight);
    layer.attn_norm_bias = load(i, Tensor::attn_norm_bias);
    layer.ffn_norm_weight = load(i, Tensor::ffn_norm_weight);
    layer.ffn_norm_bias = load(i, Tensor::ffn_norm_bias);
    layer.qkv = dense(i, Tensor::qkv_weight, Tensor::qkv_bias);
    if (i == shape.layers - 1) {
      const Buffer<float> weight = load(i, Tensor::qkv_weight), bias = load(i, Tensor::qkv_bias);
      layer.kv = kernels::DenseWeights(shape.dim, 2 * shape.kv_dim(), weight.data() + shape.dim * shape.dim,
                                       bias.data() + shape.dim);
    }
    layer.out = dense(i, Tensor::out_weight, Tensor::out_bias);
    layer.up = dense(i, Tensor::up_weight, Tensor::up_bias);
    layer.down = dense(i, Tensor::down_weight, Tensor::down_bias);
  }
}

double Model::bytes(const ModelShape& s) {
  // The dense library pads outputs to its block of 64 columns.
  const auto packed = [](std::int64_t rows, std::int64_t columns) {
    return static_cast<double>((rows + 63) / 64 * 64) * static_cast<double>(columns);
  };
  double elements = 0;
  for (const Tensor tensor : kTensors) {
    const TensorSize size = tensor_size(s, tensor);
    elements += size.columns == 0 ? static_cast<double>(size.rows) : packed(size.rows, size.columns);
  }
  elements =
      elements * static_cast<double>(s.layers) + packed(2 * s.kv_dim(), s.dim) + 2.0 * static_cast<double>(s.kv_dim());
  return elements * sizeof(float);
}

KvCache::KvCache(const ModelShape& shape, std::int64_t layers, std::int64_t sequences, std::int64_t capacity)
    : block_{shape.kv_heads, shape.head_dim(), capacity},
      layers_(layers),
      sequences_(sequences),
      keys_(layers * sequences * block_.key_floats()),
      values_(layers * sequences * block_.value_floats()) {}

double KvCache::bytes(const ModelShape& shape, std::int64_t layers, std::int64_t sequences, std::int64_t capacity) {
  const kernels::KvShape block{shape.kv_heads, shape.head_dim(), capacity};
  return (static_cast<double>(block.key_floats()) + static_cast<double>(block.value_floats())) * sizeof(float) *
         static_cast<double>(layers) * static_cast<double>(sequences);
}

kernels::KvView KvCache::view(std::int64_t layer, std::int64_t sequence) const noexcept {
  return {block_, keys_.data() + offset(layer, sequence, block_.key_floats()),
          values_.data() + offset(layer, sequence, block_.value_floats())};
}
float* KvCache::keys(std::int64_t layer, std::int64_t sequence) noexcept {
  return keys_.data() + offset(layer, sequence, block_.key_floats());
}
float* KvCache::values(std::int64_t layer, std::int64_t sequence) noexcept {
  return values_.data() + offset(layer, sequence, block_.value_floats());
}

void KvCache::broadcast_from(const KvCache& from, std::int64_t count, int threads) noexcept {
  assert(count <= sequences_ && layers_ == from.layers_ && block_.capacity == from.block_.capacity);
  length = from.length;
  if (length == 0) return;
  parallel_for(threads, layers_ * count, [&](std::int64_t task, int) {
    const std::int64_t layer = task / count, sequence = task % count;
    const kernels::KvView source = from.view(layer);
    std::memcpy(keys(layer, sequence), source.keys, floats(block_.key_floats()));
    std::memcpy(values(layer, sequence), source.values, floats(block_.value_floats()));
  });
}

Team::Team(const Model& model, int threads, std::int64_t max_rows)
    : model_(&model),
      threads_(threads),
      dense_(threads),
      x_(max_rows * model.shape().dim),
      normed_(max_rows * model.shape().dim),
      qkv_(max_rows * model.shape().qkv_dim()),
      attended_(max_rows * model.shape().dim),
      hidden_(ffn_rows(max_rows) * model.shape().ffn_dim),
      // Rounded to whole cache lines so that threads do not share one.
      scratch_per_thread_((kernels::attention_scratch_floats(model.shape().head_dim()) + 15) / 16 * 16) {
  attention_scratch_ = Buffer<float>(scratch_per_thread_ * threads);
}

double Team::bytes(const ModelShape& s, int threads, std::int64_t max_rows) {
  const double row = static_cast<double>(3 * s.dim + s.qkv_dim());
  return sizeof(float) *
         (row * static_cast<double>(max_rows) +
          static_cast<double>(ffn_rows(max_rows)) * static_cast<double>(s.ffn_dim) +
          static_cast<double>(threads) * static_cast<double>(kernels::attention_scratch_floats(s.head_dim())));
}

void Forward::norm(const Buffer<float>& weight, const Buffer<float>& bias, std::int64_t rows) noexcept {
  const std::int64_t dim = t_.model_->shape().dim;
  parallel_for(t_.threads_, (rows + kNormRows - 1) / kNormRows, [&](std::int64_t task, int) {
    const std::int64_t first = task * kNormRows;
    kernels::layer_norm(t_.x_.data() + first * dim, std::min(kNormRows, rows - first), dim, weight.data(), bias.data(),
                        t_.normed_.data() + first * dim);
  });
}

void Forward::pack(const SequenceBatch& batch, const float* k, std::int64_t stride, KvCache& cache,
                   std::int64_t cache_layer) noexcept {
  const ModelShape& shape = t_.model_->shape();
  const std::int64_t panels = (batch.length + kernels::kKeyPanel - 1) / kernels::kKeyPanel;
  parallel_for(t_.threads_, batch.sequences * panels, [&](std::int64_t task, int) {
    const std::int64_t sequence = task / panels;
    const std::int64_t first = task % panels * kernels::kKeyPanel;
    const float* rows = k + (sequence * batch.length + first) * stride;
    kernels::pack_kv(cache.block_shape(), rows, rows + shape.kv_dim(), stride, first,
                     std::min(kernels::kKeyPanel, batch.length - first), 0, shape.kv_heads,
                     cache.keys(cache_layer, sequence), cache.values(cache_layer, sequence));
  });
}

// Attention of rows [first_query, first_query + queries) of every sequence over all its keys; Q in qkv_, result in
// attended_ at the same rows.
void Forward::attend(const SequenceBatch& batch, std::int64_t first_query, std::int64_t queries, const KvCache& cache,
                     std::int64_t cache_layer) noexcept {
  const ModelShape& shape = t_.model_->shape();
  kernels::AttentionArgs args;
  args.heads = shape.heads;
  args.q_stride = shape.qkv_dim();
  args.rows = queries;
  args.keys = batch.length;
  args.causal = batch.causal;
  args.first_visible = first_query + 1;
  args.out_stride = shape.dim;
  const std::int64_t tasks = kernels::attention_tasks(args);
  parallel_for(t_.threads_, batch.sequences * tasks, [&](std::int64_t task, int thread) {
    const std::int64_t sequence = task / tasks;
    const std::int64_t row = sequence * batch.length + first_query;
    kernels::AttentionArgs own = args;
    own.q = t_.qkv_.data() + row * own.q_stride;
    own.out = t_.attended_.data() + row * own.out_stride;
    own.kv = cache.view(cache_layer, sequence);
    kernels::attention_task(own, task % tasks, t_.attention_scratch_.data() + thread * t_.scratch_per_thread_);
  });
}

void Forward::prepare_block(std::int64_t rows) {
  using kernels::Epilogue;
  const Model::Layer& layer = t_.model_->layer(0);
  t_.dense_.prepare(layer.out, rows, Epilogue::add);
  const FfnBlocks blocks = ffn_blocks(rows);
  for (const std::int64_t part : {blocks.size, blocks.last}) {
    t_.dense_.prepare(layer.up, part, Epilogue::gelu);
    t_.dense_.prepare(layer.down, part, Epilogue::add);
  }
}

// Output projection of attended_ and the FFN, both added to the first `rows` rows of the stream.
void Forward::block_tail(const Model::Layer& layer, std::int64_t rows) noexcept {
  using kernels::Epilogue;
  const std::int64_t dim = t_.model_->shape().dim;
  t_.dense_.run(layer.out, t_.attended_.data(), rows, Epilogue::add, t_.x_.data());
  norm(layer.ffn_norm_weight, layer.ffn_norm_bias, rows);
  const std::int64_t size = ffn_blocks(rows).size;
  for (std::int64_t first = 0; first < rows; first += size) {
    const std::int64_t part = std::min(size, rows - first);
    t_.dense_.run(layer.up, t_.normed_.data() + first * dim, part, Epilogue::gelu, t_.hidden_.data());
    t_.dense_.run(layer.down, t_.hidden_.data(), part, Epilogue::add, t_.x_.data() + first * dim);
  }
}

void Forward::prepare_sequences(const SequenceBatch& batch, bool trim) {
  using kernels::Epilogue;
  const Model& model = *t_.model_;
  const std::int64_t rows = batch.sequences * batch.length;
  if (model.shape().layers > 1 || !trim) {
    t_.dense_.prepare(model.layer(0).qkv, rows, Epilogue::none);
    prepare_block(rows);
  }
  if (trim) {
    t_.dense_.prepare(model.layer(model.shape().layers - 1).kv, rows, Epilogue::none);
    t_.dense_.prepare(model.layer(0).qkv, batch.sequences, Epilogue::none);
    prepare_block(batch.sequences);
  }
}

void Forward::sequences(const SequenceBatch& batch, bool trim, std::int64_t output_position, KvCache& cache,
                        float* outputs) noexcept {
  using kernels::Epilogue;
  const Model& model = *t_.model_;
  const ModelShape& shape = model.shape();
  const std::int64_t rows = batch.sequences * batch.length;
  const std::int64_t dim = shape.dim;
  cache.length = batch.length;
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    const Model::Layer& layer = model.layer(i);
    norm(layer.attn_norm_weight, layer.attn_norm_bias, rows);
    if (!trim || i < shape.layers - 1) {
      t_.dense_.run(layer.qkv, t_.normed_.data(), rows, Epilogue::none, t_.qkv_.data());
      pack(batch, t_.qkv_.data() + dim, shape.qkv_dim(), cache, 0);
      attend(batch, 0, batch.length, cache, 0);
      block_tail(layer, rows);
      continue;
    }
    // Trimmed last layer: K and V of all, everything else for the output rows, gathered to the front.
    t_.dense_.run(layer.kv, t_.normed_.data(), rows, Epilogue::none, t_.qkv_.data());
    pack(batch, t_.qkv_.data(), 2 * shape.kv_dim(), cache, 0);
    for (std::int64_t s = 0; s < batch.sequences; ++s) {
      const std::int64_t row = s * batch.length + output_position;
      std::memmove(t_.normed_.data() + s * dim, t_.normed_.data() + row * dim, floats(dim));
      std::memmove(t_.x_.data() + s * dim, t_.x_.data() + row * dim, floats(dim));
    }
    t_.dense_.run(layer.qkv, t_.normed_.data(), batch.sequences, Epilogue::none, t_.qkv_.data());
    kernels::AttentionArgs args;
    args.heads = shape.heads;
    args.q_stride = shape.qkv_dim();
    args.rows = 1;
    args.keys = batch.causal ? output_position + 1 : batch.length;
    args.out_stride = dim;
    parallel_for(t_.threads_, batch.sequences * shape.heads, [&](std::int64_t task, int thread) {
      const std::int64_t s = task / shape.heads;
      kernels::AttentionArgs own = args;
      own.q = t_.qkv_.data() + s * own.q_stride;
      own.out = t_.attended_.data() + s * dim;
      own.kv = cache.view(0, s);
      kernels::attention_task(own, task % shape.heads, t_.attention_scratch_.data() + thread * t_.scratch_per_thread_);
    });
    block_tail(layer, batch.sequences);
    std::memcpy(outputs, t_.x_.data(), floats(batch.sequences * dim));
    return;
  }
  for (std::int64_t s = 0; s < batch.sequences; ++s) {
    std::memcpy(outputs + s * dim, t_.x_.data() + (s * batch.length + output_position) * dim, floats(dim));
  }
}

void Forward::prepare_prefill(std::int64_t length, bool trim) {
  using kernels::Epilogue;
  const Model& model = *t_.model_;
  if (model.shape().layers > 1 || !trim) {
    t_.dense_.prepare(model.layer(0).qkv, length, Epilogue::none);
    prepare_block(length);
  }
  if (trim) t_.dense_.prepare(model.layer(model.shape().layers - 1).kv, length, Epilogue::none);
}

void Forward::prefill(std::int64_t length, bool causal, bool trim, KvCache& cache) noexcept {
  using kernels::Epilogue;
  const Model& model = *t_.model_;
  const ModelShape& shape = model.shape();
  const SequenceBatch batch{1, length, causal};
  cache.length = length;
  if (length == 0) return;
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    const Model::Layer& layer = model.layer(i);
    norm(layer.attn_norm_weight, layer.attn_norm_bias, length);
    if (trim && i == shape.layers - 1) {
      t_.dense_.run(layer.kv, t_.normed_.data(), length, Epilogue::none, t_.qkv_.data());
      pack(batch, t_.qkv_.data(), 2 * shape.kv_dim(), cache, i);
      return;
    }
    t_.dense_.run(layer.qkv, t_.normed_.data(), length, Epilogue::none, t_.qkv_.data());
    pack(batch, t_.qkv_.data() + shape.dim, shape.qkv_dim(), cache, i);
    attend(batch, 0, length, cache, i);
    block_tail(layer, length);
  }
}

void Forward::prepare_candidates(std::int64_t count) {
  t_.dense_.prepare(t_.model_->layer(0).qkv, count, kernels::Epilogue::none);
  prepare_block(count);
}

void Forward::candidates(std::int64_t count, const KvCache& cache, const CandidateOptions& options) noexcept {
  const Model& model = *t_.model_;
  const ModelShape& shape = model.shape();
  kernels::AttentionArgs args;
  args.heads = shape.heads;
  args.q_stride = args.self_stride = shape.qkv_dim();
  args.rows = options.own_cache ? 1 : count;
  args.keys = options.attend_history ? cache.length : 0;
  args.out_stride = shape.dim;
  const std::int64_t tasks = kernels::attention_tasks(args);
  const std::int64_t groups = options.own_cache ? count : 1;
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    const Model::Layer& layer = model.layer(i);
    norm(layer.attn_norm_weight, layer.attn_norm_bias, count);
    t_.dense_.run(layer.qkv, t_.normed_.data(), count, kernels::Epilogue::none, t_.qkv_.data());
    parallel_for(t_.threads_, groups * tasks, [&](std::int64_t task, int thread) {
      const std::int64_t group = task / tasks;  // the candidate when each has its own cache, else 0
      kernels::AttentionArgs own = args;
      own.q = t_.qkv_.data() + group * own.q_stride;
      if (options.attend_self) {
        own.self_k = own.q + shape.dim;
        own.self_v = own.self_k + shape.kv_dim();
      }
      own.out = t_.attended_.data() + group * own.out_stride;
      own.kv = cache.view(i, options.own_cache ? options.first_cache + group : 0);
      kernels::attention_task(own, task % tasks, t_.attention_scratch_.data() + thread * t_.scratch_per_thread_);
    });
    block_tail(layer, count);
  }
}

}  // namespace kvcast
