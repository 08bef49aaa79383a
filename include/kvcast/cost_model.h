// The cost model: pure arithmetic of docs/model.md §2 and §3. Throughput ratios are dimensionless.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "kvcast/shape.h"

namespace kvcast {

/// r of the design note.
inline constexpr double kDesignNoteR = 0.15;

/// Speedup(N) = N / (1 + (N-1) r): shared over naive throughput. r in [0, 1]. Source: docs/model.md §2.
double speedup(double candidates, double r);

/// Improvement(N) = 1 - 1/Speedup(N) = (1-r)(N-1)/N.
double improvement(double candidates, double r);

/// dS/dN = (1-r) / (1+(N-1) r)^2: throughput gained per added candidate.
double marginal_speedup(double candidates, double r);

/// Limit of Speedup(N), 1/r; infinity at r = 0.
double asymptote(double r);

/// N at which `fraction` in (0,1) of the asymptote is reached: (p/(1-p)) (1/r - 1).
double candidates_for_fraction(double fraction, double r);

/// r = C_f / (C_u + C_f) from the cost of a prefill and of one candidate given the cache (any one unit).
double r_from_costs(double user_cost, double candidate_cost);

/// The r that one measured point implies: S = N/(1+(N-1) r). Needs N > 1.
double r_from_speedup(double candidates, double measured_speedup);

/// Added cost over base cost of a throughput drop D in [0,1): D/(1-D).
double cost_ratio_of_drop(double drop);

/// The design note's linear rule: D_shared = D_naive / Speedup.
double drop_design_note(double naive_drop, double speedup);

/// Exact throughput algebra: D_shared = 1 / (1 + Speedup (1-D_naive)/D_naive).
double drop_exact(double naive_drop, double speedup);

/// Work and memory of one shape (docs/model.md §2). FLOPs are 2 per multiply-add; causal attention counts the visible
/// half. Sizes are those of Shape::merged(): history_length is P = L/K, dim is K·d.
struct WorkShape : Shape {
  bool trim = true;                    ///< last layer of the history computes K,V only
  bool causal = true;                  ///< false: every position sees every other (bidirectional)
  std::int64_t bytes = 4;              ///< per stored key or value element
  bool candidate_sees_history = true;  ///< false: only itself (target-first-causal)
};

/// FLOPs by what they run as: dense products over rows, and attention over (query, key) pairs. The two reach different
/// speeds, so whoever predicts times needs them apart.
struct FlopParts {
  double dense = 0, attention = 0;
  double total() const { return dense + attention; }
};

/// history_flops, candidate_flops and naive_flops in their two parts; the totals are those functions exactly.
FlopParts history_flop_parts(const WorkShape& shape);
FlopParts candidate_flop_parts(const WorkShape& shape);
FlopParts naive_flop_parts(const WorkShape& shape);

/// C_u in FLOPs: the prefill. In a layer where only q of p history rows go on, all p pay their K,V projections
/// (4·d·d_kv) and the q pay Q, attention, output projection and FFN; under `causal` row i of the q sees p-q+1+i keys.
double history_flops(const WorkShape& shape);
/// C_f in FLOPs: one candidate, in every layer from E on, against the cached keys of that layer and itself.
double candidate_flops(const WorkShape& shape);
/// FLOPs of one naive candidate: the full forward of P+1 positions. Equals C_u + C_f where sharing is valid.
double naive_flops(const WorkShape& shape);
/// FLOPs of bringing the cache of a history up to date when its last `added` of P positions in causal order are new
/// and the cache holds all K,V of the history without them. Needs 0 <= added <= P; 0 costs nothing.
/// Causal, all rows going on: only the new rows run, against P-added+1+j keys each. Otherwise only layer 0 keeps what
/// it had, because its K,V read the bare tokens: with query_tokens the window of k rows has moved, and without
/// `causal` the old rows see the new ones. Everything after those K,V is the prefill again.
double append_flops(const WorkShape& shape, std::int64_t added);
/// FLOPs of N candidates in passes of at most `batch` of them together with the history, which runs again in each:
/// ceil(N/batch)·C_u + N·C_f. Needs batch >= 1.
double packed_flops(const WorkShape& shape, std::int64_t candidates, std::int64_t batch);
/// FLOPs of the ranking head for one candidate: dim -> width, `layers` hidden layers in all, -> 1. Biases and GELU are
/// not counted, as in the transformer. 0 without a head (width 0).
double head_flops(std::int64_t dim, std::int64_t width, std::int64_t layers);
/// r by FLOPs alone: C_f/(C_u+C_f).
double r_flops(const WorkShape& shape);
/// Bytes of K and V of one history: 2·d_kv·bytes per key, P keys in layer 0 and k in each later one, over the layers
/// from E on. Layers below E are read by no candidate, so none is kept.
std::int64_t kv_cache_bytes(const WorkShape& shape);
/// Bytes of K and V that naive holds for one sequence at a time: those of its largest layer.
std::int64_t naive_kv_bytes(const WorkShape& shape);

/// The work of one timed pass: the factors of the terms of a surface.
struct PassWork {
  FlopParts flops;
  double weight_bytes = 0;  ///< weights read, counted each time
  double kv_bytes = 0;      ///< keys and values of the history, counted each time candidates read or copy them
  double team_layers = 0;   ///< of naive: layers run by all threads together, which wait for each other
  double passes = 0;        ///< walks through the layers
  double walk_bytes = 0;    ///< weights, keys and values of one walk: the cache size that would hold them
};

/// How a scheme walks through its work. Functions of the shape, because a surface predicts unmeasured shapes.
struct SchemePasses {
  std::string name;
  /// The prefill, timed apart (Sample::prefill_s); empty: the scheme has none.
  std::function<PassWork(const WorkShape& shape)> history;
  /// The work of N candidates on top of it.
  std::function<PassWork(const WorkShape& shape, std::int64_t candidates)> candidates;
  std::int64_t block = 0;  ///< candidates that walk through the layers together; 0: all
};

}  // namespace kvcast
