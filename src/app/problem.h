// One problem made concrete: weights, tokens, and the schemes on them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/kvcast.h"
#include "model/reference.h"
#include "model/transformer.h"
#include "schemes/check.h"
#include "schemes/scheme.h"

namespace kvcast::app {

ModelShape model_shape(const ModelConfig& config);
WorkShape work_shape(const Config& config);
Shape report_shape(const Config& config);

class Problem {
 public:
  /// Weights of config.model and `candidates` candidate tokens. Errors: std::bad_alloc.
  Problem(const Config& config, std::int64_t candidates);

  const Config& config() const { return config_; }
  const ModelShape& shape() const { return shape_; }
  const TensorSource& source() const { return source_; }
  const Model& model() const { return model_; }
  std::span<const float> history() const { return history_; }
  std::span<const float> candidates() const { return candidates_.span(); }
  std::span<const float> readout() const { return readout_; }

  /// A scheme made for candidate passes up to `max_candidates`.
  std::unique_ptr<Scheme> make(const SchemeEntry& entry, std::int64_t max_candidates) const;

  /// readout · output for each of the rows of outputs ([n][dim]).
  std::vector<double> scores(std::span<const double> outputs) const;

 private:
  Config config_;
  ModelShape shape_;
  TensorSource source_;
  Model model_;
  std::vector<float> history_, readout_;
  Buffer<float> candidates_;
};

/// A scheme by the name it has in the list.
struct NamedScheme {
  const SchemeEntry* entry;
  Scheme* scheme;
};

/// Errors of every scheme against float64 and against the first, which must be the baseline.
/// Full-shape outputs: `schemes` on `problem`, all made for and prepared with `batch` candidates; `checked` of them,
/// spread over the batch, also go through the baseline and are compared. reference_flops: what the reference may cost.
Equivalence check_equality(const Problem& problem, const std::vector<NamedScheme>& schemes, std::int64_t batch,
                           std::int64_t checked, double reference_flops);

/// Candidates of a batch of n that are sampled when k are: spread evenly, first and last among them.
std::vector<std::int64_t> sampled_candidates(std::int64_t n, std::int64_t k);

/// FLOPs that the float64 reference gets for a check of this many seconds.
double reference_budget(double seconds, std::int64_t threads);

}  // namespace kvcast::app
