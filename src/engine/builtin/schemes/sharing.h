// What the schemes that keep a KV cache have in common: the prefill and the walk through N in row blocks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "engine/builtin/schemes/scheme.h"

namespace kvcast {

/// Candidates that go through the layers together: enough rows to pay for streaming the weights once per block, and
/// a bound on memory, so that N may be millions.
inline constexpr std::int64_t kCandidateBlock = 1024;

inline std::int64_t sharing_rows(std::int64_t history_length, std::int64_t candidates) {
  return std::max(history_length, std::min(candidates, kCandidateBlock));
}

/// Of schemes that keep one history's cache: bytes beyond the weights; FLOPs of the prefill, of N candidates
/// against the cache and of both; bytes of the K and V that candidates read.
double sharing_bytes(const ModelShape& shape, const SchemeSize& size);
inline double whole_history_flops(const WorkShape& shape, const SchemeOptions&) { return history_flops(shape); }
inline double candidates_flops(const WorkShape& shape, std::int64_t candidates) {
  return static_cast<double>(candidates) * candidate_flops(shape);
}
inline double sharing_flops(const WorkShape& shape, std::int64_t candidates, const SchemeOptions&) {
  return history_flops(shape) + candidates_flops(shape, candidates);
}
inline double one_cache_bytes(const WorkShape& shape, std::int64_t) {
  return static_cast<double>(kv_cache_bytes(shape));
}

class SharingScheme : public Scheme {
 public:
  /// keep_all: keep K,V of the layers below candidate_from_layer too, which no candidate reads but later tokens do.
  explicit SharingScheme(const SchemeContext& context, bool keep_all = false)
      : context_(context),
        order_(context.order(context.history)),
        workspace_(*context.model, context.threads, sharing_rows(context.history_length, context.max_candidates)),
        forward_(workspace_),
        cache_(KvCache::all_layers(context.model->shape(), 1, context.history_length,
                                   keep_all ? 0 : context.model->shape().candidate_from_layer)) {
    // One that keeps all layers brings its own prefills.
    if (!keep_all) forward_.prepare(history_pass(context.history_length, context.history_length));
  }

  void prepare(std::span<const std::int64_t> counts) override {
    for (const std::int64_t count : counts) {
      for (const std::int64_t block : {std::min(count, kCandidateBlock), count % kCandidateBlock}) {
        forward_.prepare(candidates_in(block), context_.history_length);
      }
    }
  }

  void take_history(std::span<const float> history) override { order_ = context_.order(history); }

  void spoil_history() noexcept override { cache_.spoil(0, context_.history_length); }
  void prefill() noexcept override { fill(context_.history_length, context_.history_length); }
  void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept override {
    run_blocks(candidates, count, outputs, cache_);
  }
  void listen(StepListener* listener) noexcept override { forward_.listen(listener); }

 protected:
  /// How a scoring pass of this many is run.
  virtual CandidatePass candidates_in(std::int64_t count) const {
    CandidatePass pass;
    pass.count = count;
    pass.attend_history = order_.candidate_sees_history;
    return pass;
  }
  HistoryPass history_pass(std::int64_t length, std::int64_t fresh) const {
    return {length, fresh, order_.causal, context_.trim};
  }
  /// Brings the cache from the first length - fresh positions to the first `length`.
  void fill(std::int64_t length, std::int64_t fresh) noexcept {
    forward_.prefill(history_pass(length, fresh), order_.history.data(), cache_);
  }
  void run_blocks(const float* candidates, std::int64_t count, float* outputs, const KvCache& cache) noexcept {
    const std::int64_t dim = context_.model->shape().dim;
    for (std::int64_t first = 0; first < count; first += kCandidateBlock) {
      CandidatePass pass = candidates_in(std::min(kCandidateBlock, count - first));
      pass.first_cache = pass.own_cache ? first : 0;
      forward_.candidates(pass, candidates + first * dim, cache, outputs + first * dim);
    }
  }

  SchemeContext context_;
  SequenceOrder order_;
  Workspace workspace_;
  Forward forward_;
  KvCache cache_;
};

}  // namespace kvcast
