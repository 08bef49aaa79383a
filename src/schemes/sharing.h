// What shared and shared-copy have in common: the history pass and the walk through N in row blocks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "schemes/scheme.h"
#include "schemes/sequence.h"

namespace kvcast {

/// Candidates that go through the layers together: enough rows to pay for streaming the weights once per block, and
/// a bound on memory, so that N may be millions.
inline constexpr std::int64_t kCandidateBlock = 1024;

inline std::int64_t sharing_rows(std::int64_t history_length, std::int64_t candidates) {
  return std::max(history_length, std::min(candidates, kCandidateBlock));
}

class SharingScheme : public Scheme {
 public:
  explicit SharingScheme(const SchemeContext& context)
      : context_(context),
        order_(order_sequence(context.mask, context.history, context.history_length, context.model->shape().dim)),
        team_(*context.model, context.threads, sharing_rows(context.history_length, context.max_candidates)),
        forward_(team_),
        cache_(context.model->shape(), context.model->shape().layers, 1, context.history_length) {
    forward_.prepare_prefill(context.history_length, context.trim);
  }

  void prepare(std::span<const std::int64_t> counts) override {
    for (const std::int64_t count : counts) {
      forward_.prepare_candidates(std::min(count, kCandidateBlock));
      forward_.prepare_candidates(count % kCandidateBlock);
    }
  }

  void user_pass() noexcept override {
    if (!order_.history.empty()) {
      std::memcpy(forward_.stream(), order_.history.data(), order_.history.size() * sizeof(float));
    }
    forward_.prefill(context_.history_length, order_.causal, context_.trim, cache_);
  }

  /// The cache of the last user pass; tests tamper with it.
  KvCache& cache() noexcept { return cache_; }

 protected:
  /// Candidates in row blocks, all against the first sequence of `cache`, or with own_cache each against its own.
  void run_blocks(const float* candidates, std::int64_t count, float* outputs, const KvCache& cache,
                  bool own_cache) noexcept {
    const std::int64_t dim = context_.model->shape().dim;
    Forward::CandidateOptions options;
    options.own_cache = own_cache;
    options.attend_history = order_.candidate_sees_history;
    for (std::int64_t first = 0; first < count; first += kCandidateBlock) {
      const std::int64_t block = std::min(kCandidateBlock, count - first);
      const auto bytes = static_cast<std::size_t>(block * dim) * sizeof(float);
      options.first_cache = first;
      std::memcpy(forward_.stream(), candidates + first * dim, bytes);
      forward_.candidates(block, cache, options);
      std::memcpy(outputs + first * dim, forward_.stream(), bytes);
    }
  }

  SchemeContext context_;
  SequenceOrder order_;
  Team team_;
  Forward forward_;
  KvCache cache_;
};

}  // namespace kvcast
