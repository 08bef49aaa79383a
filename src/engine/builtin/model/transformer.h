// The transformer on the fast path: packed weights, KV cache, and the forward passes that every scheme is built from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "engine/builtin/kernels/attention.h"
#include "engine/builtin/kernels/dense.h"
#include "engine/builtin/kernels/element.h"
#include "engine/builtin/model/weights.h"

namespace kvcast {

/// Weights of all layers, packed for the dense kernel. Read-only after construction; shared by all teams.
class Model {
 public:
  Model(const ModelShape& shape, const TensorSource& source);

  struct Layer {
    Buffer<float> attn_norm_weight, attn_norm_bias, ffn_norm_weight, ffn_norm_bias;
    kernels::DenseWeights qkv, out, up, down;
    /// The Q rows and the K,V rows of qkv apart, for layers where some rows give K and V only; else empty.
    kernels::DenseWeights q, kv;
  };

  const ModelShape& shape() const noexcept { return shape_; }
  const Layer& layer(std::int64_t i) const noexcept { return layers_[static_cast<std::size_t>(i)]; }

  /// Bytes that a model of this shape takes.
  static double bytes(const ModelShape& shape);

 private:
  ModelShape shape_;
  std::vector<Layer> layers_;
};

/// K and V of one or more sequences, packed for the attention kernel, in the shape's kv_element.
class KvCache {
 public:
  KvCache() = default;
  /// One block that every layer uses in turn: for passes that need no K,V of an earlier layer. capacity: tokens.
  static KvCache one_layer(const ModelShape& shape, std::int64_t sequences, std::int64_t capacity);
  /// K,V of layers kept_from and up for a history of `length` positions; layers below share one block.
  static KvCache all_layers(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                            std::int64_t kept_from);

  /// The same without the block that layers below kept_from run in: for copies, which no pass fills.
  static KvCache copies(const ModelShape& shape, std::int64_t sequences, std::int64_t length, std::int64_t kept_from);

  static double one_layer_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t capacity);
  static double all_layers_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                                 std::int64_t kept_from);
  static double copies_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                             std::int64_t kept_from);

  kernels::KvView view(std::int64_t layer, std::int64_t sequence = 0) const noexcept;
  std::byte* keys(std::int64_t layer, std::int64_t sequence = 0) noexcept;
  std::byte* values(std::int64_t layer, std::int64_t sequence = 0) noexcept;

  /// Copies the layers that are kept of sequence 0 of `from` into every one of the first `count` sequences.
  void broadcast_from(const KvCache& from, std::int64_t count, int threads) noexcept;
  /// Takes over the first `positions` of `from`, of the same shape with another capacity. Both hold one sequence and
  /// all layers, and there is room. Where they end a panel of keys, what is written behind them meanwhile does no harm.
  void copy_history(const KvCache& from, std::int64_t positions, int threads) noexcept;

  /// Spoils what a history pass is to make anew: an element of K and V becomes NaN in every head of every sequence, at
  /// every 64th position from `first` on, of several sequences at one (blocks of fewer than `positions`, which no pass
  /// fills in parts: from 0 on).
  void spoil(std::int64_t first, std::int64_t positions) noexcept;

  /// History positions that the last pass left per sequence; a hybrid's later layers hold their share of them.
  std::int64_t length = 0;

 private:
  struct Block {
    kernels::KvShape shape;
    std::int64_t keys = 0, values = 0;  ///< byte offsets of its first sequence
  };
  KvCache(std::vector<Block> blocks, std::vector<std::size_t> block_of, std::int64_t sequences);
  const Block& block(std::int64_t layer) const noexcept { return blocks_[block_of_[static_cast<std::size_t>(layer)]]; }

  std::vector<Block> blocks_;
  std::vector<std::size_t> block_of_;  ///< per layer
  std::int64_t sequences_ = 0, kept_from_ = 0;
  Buffer<std::byte> keys_, values_;
};

/// Rows that go through the FFN together, so that its hidden activations stay in L2 and L3: about 256, in blocks of
/// nearly equal size, because a small last block would stream the weights for little work.
struct FfnBlocks {
  std::int64_t size = 0;  ///< of all but the last
  std::int64_t last = 0;
};
FfnBlocks ffn_blocks(std::int64_t rows);

/// How the products of a pass use the threads. By rows: each thread runs all of a layer's row-wise work on rows of its
/// own, without waiting for the others in between, and reads all weights. Else all threads share every product, and
/// each reads its part of the weights once.
bool products_by_rows(const ModelShape& shape, std::int64_t rows, int threads);

/// What a pass is doing, for a profile.
enum class Step { norm, matmul, gelu, pack, attention, copy };
/// Hears of every step of a pass, on the thread that leads it, right after the step; and of its layers, with the rows
/// of the stream as they are then, x: [rows][dim].
class StepListener {
 public:
  virtual ~StepListener() = default;
  virtual void step_done(Step) noexcept {}
  virtual void layer_begins(std::int64_t /*layer*/, std::span<const float> /*x*/) noexcept {}
  /// x: the rows that go on. cache: what the layer's attention has read.
  virtual void layer_ends(std::int64_t /*layer*/, std::span<const float> /*x*/, const KvCache& /*cache*/) noexcept {}
};

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
  kernels::DenseRunner dense_;             ///< of all threads together
  std::vector<kernels::DenseRunner> own_;  ///< of each thread alone
  Buffer<float> x_, attention_scratch_, partial_;
  Buffer<std::byte> normed_, qkv_, attended_;
  std::int64_t hidden_rows_;  ///< of each thread's block
  Buffer<std::byte> hidden_;  ///< [threads][hidden_rows][ffn_dim]
  Buffer<float> product_;     ///< the same in fp32, before GELU makes it bf16; empty when hidden is fp32
  std::int64_t scratch_per_thread_;
};

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

/// The passes over one team. `prepare` makes what a pass of that size needs; the passes allocate nothing. Rows are of
/// [dim]; histories are in row order, the row next to the candidate last.
class Forward {
 public:
  explicit Forward(Team& team) : t_(team) {}
  void listen(StepListener* listener) noexcept { listener_ = listener; }

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
  LayerWork work(const SequenceBatch& batch, std::int64_t layer) const noexcept;
  LayerWork work(const HistoryPass& pass, std::int64_t layer) const noexcept;
  LayerWork work(const CandidatePass& pass, std::int64_t history, std::int64_t layer) const noexcept;
  LayerWork work(const HistoryPass& pass, const CandidatePass& candidates, std::int64_t layer) const noexcept;
  std::int64_t first_row(const HistoryPass& pass) const noexcept;

  struct Attention {
    kernels::AttentionArgs args;
    std::int64_t groups = 0;
    std::int64_t q_group = 0, self_group = 0, out_group = 0;  ///< elements between groups
    bool cache_each = true;  ///< group g reads sequence first_cache + g, else all read first_cache
    std::int64_t first_cache = 0;
  };
  Attention token_attention(const LayerWork& work) const noexcept;
  Attention candidate_attention(const LayerWork& work, const CandidatePass& options, std::int64_t first,
                                std::int64_t count) const noexcept;
  void prepare(const LayerWork& work, const CandidatePass& options);
  void prepare(Attention& job);
  void run(const LayerWork& work, const CandidatePass& options, const KvCache& read, KvCache* write) noexcept;
  void norm_rows(const Buffer<float>& weight, const Buffer<float>& bias, std::int64_t first,
                 std::int64_t rows) noexcept;
  void norm(const Buffer<float>& weight, const Buffer<float>& bias, std::int64_t rows) noexcept;
  void project(const Model::Layer& layer, const LayerWork& work) noexcept;
  void product(const kernels::DenseWeights& weights, const std::byte* x, std::int64_t rows, std::byte* out) noexcept;
  void keep(const LayerWork& work) noexcept;
  void pack(const LayerWork& work, KvCache& cache) noexcept;
  void attend(const Attention& job, std::int64_t layer, const KvCache& cache) noexcept;
  void tail(const Model::Layer& layer, std::int64_t rows) noexcept;
  void ffn_block(const Model::Layer& layer, kernels::DenseRunner& dense, int thread, std::int64_t first,
                 std::int64_t rows, bool alone) noexcept;
  void done(Step step) noexcept {
    if (listener_ != nullptr) listener_->step_done(step);
  }
  std::span<const float> stream(std::int64_t rows) const noexcept {
    return t_.x_.span().first(static_cast<std::size_t>(rows * t_.model_->shape().dim));
  }

  Team& t_;
  StepListener* listener_ = nullptr;
};

}  // namespace kvcast
