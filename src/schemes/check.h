// Outputs to compare: the float64 reference run literally under the mask, and what sharing would give where it is
// not valid.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kvcast/mask.h"
#include "model/reference.h"

namespace kvcast {

/// A shape that the float64 reference can run within a few seconds.
struct ReferenceShape {
  std::int64_t history_length = 0, layers = 0;
  bool full = true;
  std::string text;  ///< "full" or "L=200, layers=2"
};
/// The full shape if `candidates` of it take at most `flops`; else fewer layers (not below 2), then a shorter history.
ReferenceShape reference_shape(const ModelShape& shape, std::int64_t history_length, std::int64_t candidates,
                               double flops);

/// Outputs by the reference, [count][dim]: each candidate's vector after the last layer of its own full sequence.
/// history: [L][dim]; candidates: [count][dim].
std::vector<double> reference_outputs(const ModelShape& shape, const TensorSource& source,
                                      std::span<const float> history, Mask mask, std::span<const float> candidates,
                                      int threads);

/// What sharing would do wrong: K and V of a history computed without the candidate against those computed with it,
/// and the output read where the error shows (at the candidate; under target-first-causal, where the candidate sees
/// only itself, at the last position). All in float64, one candidate.
struct StaleRun {
  std::vector<ReferenceKv> true_kv, stale_kv;     ///< per layer, history positions
  std::vector<double> true_output, stale_output;  ///< [dim]
  std::string read_at;
};
StaleRun stale_run(const ModelShape& shape, const TensorSource& source, std::span<const float> history, Mask mask,
                   std::span<const float> candidate, int threads);

}  // namespace kvcast
