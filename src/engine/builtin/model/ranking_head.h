// The ranking head: an MLP that gives every candidate a score, and knows nothing of the history.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "engine/builtin/kernels/dense.h"
#include "engine/builtin/kernels/element.h"

namespace kvcast {

/// dim -> width, `layers` hidden layers of that width in all, -> 1.
struct RankingHeadShape {
  std::int64_t dim = 0, width = 0, layers = 0;
  kernels::Element element = kernels::Element::f32;  ///< of weights and activations; input and scores are fp32
};

/// Most candidates that go through the head together: enough rows that streaming the weights is paid for.
inline constexpr std::int64_t kHeadRows = 512;

/// A ranking head with its memory: score = w·h_M + b with h_0 = x and h_i = GELU(W_i h_(i-1) + b_i). Its input is a
/// candidate's token or what the transformer made of it: the shape is the same, so the work is. Make it on the thread
/// that will use it.
class RankingHead {
 public:
  /// Seeded weights, and room for passes of up to `max_candidates`. Errors: std::bad_alloc.
  RankingHead(const RankingHeadShape& shape, std::uint64_t seed, int threads, std::int64_t max_candidates);

  /// Makes ready for passes of these sizes.
  void prepare(std::span<const std::int64_t> counts);

  /// x: [count][dim], scores: [count]. The size must have been prepared. Allocates nothing.
  void run(const float* x, std::int64_t count, float* scores) noexcept;

  /// Bytes of the weights, and of all that a head for this many candidates takes.
  static double weight_bytes(const RankingHeadShape& shape);
  static double bytes(const RankingHeadShape& shape, std::int64_t max_candidates);

 private:
  void block(const float* x, std::int64_t rows, float* scores) noexcept;

  RankingHeadShape shape_;
  int threads_;
  std::vector<kernels::DenseWeights> layers_;  ///< the hidden ones, then the one that scores
  kernels::DenseRunner dense_;
  Buffer<std::byte> rounded_;  ///< the input where that is not fp32: [rows][dim]; else empty
  Buffer<float> product_;      ///< [rows][width], before GELU
  Buffer<std::byte> hidden_;   ///< [rows][width], behind it
};

/// The same in float64, by plain loops that share no kernel with it, for a few rows.
struct HeadReference {
  std::vector<double> scores;
  /// By how much the head's own scores may differ. Derivation: ranking_head.cpp.
  std::vector<double> allowed;
};
/// x: [rows][dim].
HeadReference reference_head(const RankingHeadShape& shape, std::uint64_t seed, std::span<const float> x, int threads);

}  // namespace kvcast
