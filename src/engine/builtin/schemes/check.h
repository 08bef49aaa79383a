// Outputs to compare: the float64 reference run literally under the mask, and what sharing would give where it is
// not valid.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/builtin/model/reference.h"
#include "kvcast/mask.h"

namespace kvcast {

/// A shape that the float64 reference can run within a few seconds.
struct ReferenceShape {
  std::int64_t history_length = 0;  ///< positions, after token merge
  std::int64_t layers = 0;
  std::int64_t query_tokens = 0, candidate_from_layer = 0;  ///< as in ModelShape
  bool full = true;
  std::string text;  ///< "full" or "L=200, layers=2", with query_tokens and candidate_from_layer where they changed

  /// `shape` cut to this.
  ModelShape cut(ModelShape shape) const;
};

/// Candidates of `available` that the reference judges: two, and more where the outputs of two are fewer than 256
/// numbers. The largest error of fewer says little about that of all.
std::int64_t reference_candidates(const ModelShape& shape, std::int64_t available);

/// The full shape if `candidates` of it take at most `flops`; else fewer layers, then a shorter history. What is left
/// still computes every kind of layer that the full shape has:
///  - at least 2 layers, the fewest in which a history vector of one layer reaches the next;
///  - as many candidate layers (layers - candidate_from_layer) as fit, so cuts are made below the candidate; but a
///    candidate that enters late keeps one layer below it, and two layers of its own if it had them (then at least 3
///    layers are kept), so that sharing stays valid or invalid as it was;
///  - query_tokens below the history if they were: kept while they fit, else cut in proportion to it.
ReferenceShape reference_shape(const ModelShape& shape, std::int64_t history_length, std::int64_t candidates,
                               double flops);

/// Outputs by the reference, [count][dim]: each candidate's vector after the last layer of its own full sequence.
/// query_tokens and candidate_from_layer are taken from `shape`.
/// history: [P][dim], merged positions; candidates: [count][dim].
/// stop_requested, polled on the calling thread, ends it early with the outputs of fewer candidates.
std::vector<double> reference_outputs(const ModelShape& shape, const TensorSource& source,
                                      std::span<const float> history, Mask mask, std::span<const float> candidates,
                                      int threads, const std::function<bool()>& stop_requested = {},
                                      std::optional<std::uint64_t> rounding = {});

/// The same outputs for many candidates: the history runs once, and every candidate against its K and V, all in
/// float64. Mathematically the same where sharing is valid, which must be so (asserted). It assumes what is to be
/// judged, so the first candidates are judged by reference_outputs, and this is for comparing the ranking of many.
std::vector<double> reference_shared_outputs(const ModelShape& shape, const TensorSource& source,
                                             std::span<const float> history, Mask mask,
                                             std::span<const float> candidates, int threads,
                                             const std::function<bool()>& stop_requested = {},
                                             std::optional<std::uint64_t> rounding = {});

/// The larger of two errors, where NaN is larger than any number and stays.
double worse(double a, double b);
/// How the rounding of a sum over this many keys in tiles grows with them: sqrt(tile + L/tile) (docs/model.md §7).
double key_error_growth(std::int64_t keys);

/// Draws of rounding_error. The shorter the vectors, the more one candidate decides.
std::int64_t rounding_draws(const ModelShape& shape);
/// How far a sound engine's rounding puts outputs off: the largest |element| between `truth` and float64 with every
/// result rounded at random, over all candidates and rounding_draws. It knows the model and its inputs: large scores,
/// and norms of nearly equal elements, magnify rounding. truth: the outputs of `candidates`. nullopt: told to stop.
std::optional<double> rounding_error(const ModelShape& shape, const TensorSource& source,
                                     std::span<const float> history, Mask mask, std::span<const float> candidates,
                                     std::span<const double> truth, int threads,
                                     const std::function<bool()>& stop_requested = {});
/// Whether vectors are so short, of at most four elements, that their norms have few values and roundings repeat.
bool roundings_repeat(const ModelShape& shape);
/// Times rounding_error that an output may be off: 4, where vectors have at most four elements 16 (docs/model.md §7).
/// Naive and sharing schemes alike. It follows from the model alone, so a fault of a kernel that all schemes share does
/// not raise it.
double rounding_factor(const ModelShape& shape);
/// Whole sequences that float64 runs to judge `candidates` of them, draws of rounding among them.
std::int64_t reference_sequences(const ModelShape& shape, std::int64_t candidates, bool shareable);

/// What sharing would do wrong: K and V of a history computed without the candidate against those computed with it,
/// and the output read where the error shows (at the candidate; under target-first-causal, where the candidate sees
/// only itself, at the last position). All in float64, one candidate. Layers below candidate_from_layer hold no
/// candidate. Needs query_tokens = 0: a mask that cannot share has none. `before`, a run of another candidate against
/// the same history, spares the history alone.
struct StaleRun {
  std::vector<ReferenceKv> true_kv, stale_kv;     ///< per layer, history positions
  std::vector<double> true_output, stale_output;  ///< [dim]
  std::string read_at;
};
StaleRun stale_run(const ModelShape& shape, const TensorSource& source, std::span<const float> history, Mask mask,
                   std::span<const float> candidate, int threads, const StaleRun* before = nullptr);

}  // namespace kvcast
