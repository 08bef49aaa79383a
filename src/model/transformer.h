// The transformer on the fast path: packed weights, KV cache, and the forward passes that every scheme is built from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "kernels/attention.h"
#include "kernels/dense.h"
#include "model/weights.h"

namespace kvcast {

/// Weights of all layers, packed for the dense kernel. Read-only after construction; shared by all teams.
class Model {
 public:
  Model(const ModelShape& shape, const TensorSource& source);

  struct Layer {
    Buffer<float> attn_norm_weight, attn_norm_bias, ffn_norm_weight, ffn_norm_bias;
    kernels::DenseWeights qkv, out, up, down;
    /// K and V rows of qkv alone: the trimmed last layer wants no Q of the history. Only the last layer has it.
    kernels::DenseWeights kv;
  };

  const ModelShape& shape() const noexcept { return shape_; }
  const Layer& layer(std::int64_t i) const noexcept { return layers_[static_cast<std::size_t>(i)]; }

  /// Bytes that a model of this shape takes.
  static double bytes(const ModelShape& shape);

 private:
  ModelShape shape_;
  std::vector<Layer> layers_;
};

/// K and V of `layers` layers of `sequences` sequences, packed for the attention kernel.
class KvCache {
 public:
  KvCache() = default;
  KvCache(const ModelShape& shape, std::int64_t layers, std::int64_t sequences, std::int64_t capacity);

  const kernels::KvShape& block_shape() const noexcept { return block_; }
  kernels::KvView view(std::int64_t layer, std::int64_t sequence = 0) const noexcept;
  float* keys(std::int64_t layer, std::int64_t sequence = 0) noexcept;
  float* values(std::int64_t layer, std::int64_t sequence = 0) noexcept;

  /// Copies sequence 0 of `from` into every one of the first `count` sequences.
  void broadcast_from(const KvCache& from, std::int64_t count, int threads) noexcept;

  /// Tokens held per sequence, set by the pass that filled it.
  std::int64_t length = 0;

  static double bytes(const ModelShape& shape, std::int64_t layers, std::int64_t sequences, std::int64_t capacity);

 private:
  std::int64_t offset(std::int64_t layer, std::int64_t sequence, std::int64_t per_block) const noexcept {
    return (layer * sequences_ + sequence) * per_block;
  }
  kernels::KvShape block_;
  std::int64_t layers_ = 0, sequences_ = 0;
  Buffer<float> keys_, values_;
};

/// Rows that go through the FFN together, so that its hidden activations stay in L2 and L3: about 256, in blocks of
/// nearly equal size, because a small last block would stream the weights for little work.
struct FfnBlocks {
  std::int64_t size = 0;  ///< of all but the last
  std::int64_t last = 0;
};
FfnBlocks ffn_blocks(std::int64_t rows);

/// One team of threads with its primitives and activations. Make it on the thread that will use it.
class Team {
 public:
  /// max_rows: most rows of any pass. Errors: std::bad_alloc.
  Team(const Model& model, int threads, std::int64_t max_rows);

  int threads() const noexcept { return threads_; }
  const Model& model() const noexcept { return *model_; }
  static double bytes(const ModelShape& shape, int threads, std::int64_t max_rows);

 private:
  friend class Forward;
  const Model* model_;
  int threads_;
  kernels::DenseRunner dense_;
  Buffer<float> x_, normed_, qkv_, attended_, hidden_, attention_scratch_;
  std::int64_t scratch_per_thread_;
};

/// A batch of whole sequences of one length.
struct SequenceBatch {
  std::int64_t sequences = 1;
  std::int64_t length = 0;  ///< tokens per sequence
  bool causal = true;       ///< position i sees j <= i; else all see all
};

/// The passes over one team. Functions named prepare_* make the primitives for a size; the passes allocate nothing.
class Forward {
 public:
  explicit Forward(Team& team) : t_(team) {}

  /// Token rows of the residual stream, [max_rows][dim]: callers write their input here.
  float* stream() noexcept { return t_.x_.data(); }

  void prepare_sequences(const SequenceBatch& batch, bool trim);
  /// Full forward of the sequences in stream(). `cache` holds one layer at a time (layers = 1, sequences as in the
  /// batch). outputs: [sequences][dim], the vector of position `output_position` after the last layer.
  /// With `trim` the last layer computes Q, attention and FFN for that position only.
  void sequences(const SequenceBatch& batch, bool trim, std::int64_t output_position, KvCache& cache,
                 float* outputs) noexcept;

  void prepare_prefill(std::int64_t length, bool trim);
  /// Forward of `length` history tokens in stream(), keeping K and V of every layer in `cache` (one sequence).
  /// With `trim` the last layer computes K and V only.
  void prefill(std::int64_t length, bool causal, bool trim, KvCache& cache) noexcept;

  void prepare_candidates(std::int64_t count);
  /// `count` candidates in stream(), each a token of its own that attends to the cached keys and to itself. The
  /// results replace them in stream().
  struct CandidateOptions {
    bool own_cache = false;  ///< candidate i reads sequence first_cache + i instead of sequence 0
    std::int64_t first_cache = 0;
    bool attend_history = true;  ///< false leaves the cached keys out
    bool attend_self = true;     ///< false leaves each candidate's own key out
  };
  void candidates(std::int64_t count, const KvCache& cache, const CandidateOptions& options) noexcept;

 private:
  void norm(const Buffer<float>& weight, const Buffer<float>& bias, std::int64_t rows) noexcept;
  void pack(const SequenceBatch& batch, const float* k, std::int64_t stride, KvCache& cache,
            std::int64_t cache_layer) noexcept;
  void attend(const SequenceBatch& batch, std::int64_t first_query, std::int64_t queries, const KvCache& cache,
              std::int64_t cache_layer) noexcept;
  void prepare_block(std::int64_t rows);
  void block_tail(const Model::Layer& layer, std::int64_t rows) noexcept;

  Team& t_;
};

}  // namespace kvcast
