// The judge of equality: the outputs of an engine against float64, and those of every scheme against naive.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/problem.h"
#include "kvcast/kvcast.h"

namespace kvcast::equality {

/// A scheme of a session that is judged, made for and prepared with scoring passes of `batch`.
struct Judged {
  SchemeInstance instance;
  std::int64_t batch = 0;
  TimingId id() const { return instance.id(); }
};

/// One problem in an engine's memory.
struct Opened {
  const Engine& engine;
  const Problem& problem;
  Session& session;
};

/// Errors of every scheme against float64 and against the first, which must be the baseline. `checked` candidates,
/// spread over a scheme's batch, are compared at the full shape. reference_flops: what the reference may cost.
/// nullopt when stopped; stop_requested is polled between schemes.
std::optional<Equivalence> check(const Opened& opened, const std::vector<Judged>& schemes, std::int64_t checked,
                                 double reference_flops, const std::function<bool()>& stop_requested);

/// The true outputs of the first candidates, and the allowed error of a sound engine.
struct Truth {
  std::vector<double> outputs;  ///< [count][dim], float64 under the mask
  double allowed = 0;
};
/// Runs the whole sequence of each candidate. nullopt when stopped.
std::optional<Truth> truth_of(const Problem& problem, std::int64_t count, const std::function<bool()>& stop_requested);
/// Largest |value - truth|; NaN is the worst. Shapes: both [n].
double largest_error(std::span<const float> values, std::span<const double> truth);

/// Tokens of these candidates, one behind the other: [picked][dim].
std::vector<float> tokens_of(const Problem& problem, std::span<const std::int64_t> picked);
/// Runs these candidates, [count][dim], which the scheme is prepared for first. Returns their outputs.
std::vector<float> outputs_of(Session& session, const TimingId& id, std::span<const float> candidates,
                              std::int64_t dim);

/// Raises each part of `worst` to that of `error` where it is larger; NaN stays.
void take_worse(ErrorPair& worst, const ErrorPair& error);
/// Errors of one vector; max_rel over the largest |truth|. Shapes: both [n].
ErrorPair vector_error(std::span<const double> values, std::span<const double> truth);

/// Candidates of a batch of n that are sampled when k are: spread evenly, first and last among them.
std::vector<std::int64_t> sampled_candidates(std::int64_t n, std::int64_t k);

/// FLOPs that the float64 reference gets for a check of this many seconds.
double reference_budget(double seconds, std::int64_t threads);

}  // namespace kvcast::equality
