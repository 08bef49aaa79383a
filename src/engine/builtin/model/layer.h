// One layer of the transformer over the rows of the stream: the one function that every pass of every scheme runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/builtin/kernels/attention.h"
#include "engine/builtin/model/kv_cache.h"
#include "engine/builtin/model/partition.h"
#include "engine/builtin/model/passes.h"
#include "engine/builtin/model/step_listener.h"
#include "engine/builtin/model/workspace.h"

namespace kvcast {

/// Runs layers in a workspace. `prepare` makes what work of that size needs; `run` allocates nothing.
class LayerRunner {
 public:
  explicit LayerRunner(Workspace& workspace) : ws_(workspace) {}
  void listen(StepListener* listener) noexcept { listener_ = listener; }

  void prepare(const LayerWork& work, const CandidatePass& options);
  /// One layer over the rows of the stream. `read` is what attention sees; K,V of tokens go to `write`, if to any.
  void run(const LayerWork& work, const CandidatePass& options, const KvCache& read, KvCache* write) noexcept;

  void done(Step step) noexcept {
    if (listener_ != nullptr) listener_->step_done(step);
  }

 private:
  /// Rows that a runner of products works on: each thread alone on its own, or one thread, which leads all.
  struct RowWork {
    kernels::DenseRunner& dense;
    RowShare rows;
    int thread;
    bool alone;
  };
  /// Attention of rows in groups, each a sequence of its own.
  struct Attention {
    kernels::AttentionArgs args;
    std::int64_t groups = 0;
    std::int64_t q_group = 0, self_group = 0, out_group = 0;  ///< elements between groups
    bool cache_each = true;  ///< group g reads sequence first_cache + g, else all read first_cache
    std::int64_t first_cache = 0;

    kernels::AttentionArgs of_group(std::int64_t group, float* partial) const noexcept;
  };

  template <typename Body>
  void share_rows(std::int64_t rows, const Body& body);

  void project_qkv(const Model::Layer& layer, const LayerWork& work) noexcept;
  void project_fused(const Model::Layer& layer, std::int64_t rows) noexcept;
  void project_split(const Model::Layer& layer, const LayerWork& work) noexcept;
  void project(const kernels::DenseWeights& weights, const std::byte* x, std::int64_t rows, std::byte* out) noexcept;
  void keep_rows(const LayerWork& work) noexcept;
  void pack_kv(const LayerWork& work, KvCache& cache) noexcept;

  Attention token_attention(const LayerWork& work) const noexcept;
  Attention candidate_attention(const LayerWork& work, const CandidatePass& options, std::int64_t first,
                                std::int64_t count) const noexcept;
  void prepare(Attention job);
  void attend(const Attention& job, std::int64_t layer, const KvCache& cache) noexcept;

  void add_output_and_ffn(const Model::Layer& layer, std::int64_t rows) noexcept;
  void add_ffn_block(const Model::Layer& layer, const RowWork& work, std::int64_t first, std::int64_t rows) noexcept;
  void norm(const Model::Norm& weights, std::int64_t rows) noexcept;
  void norm_rows(const Model::Norm& weights, std::int64_t first, std::int64_t rows) noexcept;
  std::span<const float> stream(std::int64_t rows) const noexcept {
    return ws_.stream.span().first(static_cast<std::size_t>(rows * ws_.shape().dim));
  }

  Workspace& ws_;
  StepListener* listener_ = nullptr;
};

}  // namespace kvcast
