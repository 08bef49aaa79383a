// The cost model: pure arithmetic of docs/model.md §2 and §3. Throughput ratios are dimensionless.
#pragma once

#include <cstdint>

namespace kvcast {

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

/// r = C_f / (C_u + C_f) from the cost of a history pass and of one candidate given the cache (any one unit).
double r_from_costs(double user_cost, double candidate_cost);

/// The r that one measured point implies: S = N/(1+(N-1) r). Needs N > 1.
double r_from_speedup(double candidates, double measured_speedup);

/// Added cost over base cost of a throughput drop D in [0,1): D/(1-D).
double cost_ratio_of_drop(double drop);

/// The seed's linear rule: D_shared = D_naive / Speedup.
double drop_seed_rule(double naive_drop, double speedup);

/// Exact throughput algebra: D_shared = 1 / (1 + Speedup (1-D_naive)/D_naive).
double drop_exact(double naive_drop, double speedup);

/// Work and memory of one shape (docs/model.md §2). FLOPs are 2 per multiply-add; causal attention counts the visible
/// half.
struct WorkShape {
  std::int64_t history_length = 0, dim = 0, heads = 0, kv_heads = 0, layers = 0, ffn_factor = 4;
  bool trim = true;        ///< last layer of the history computes K,V only
  bool causal = true;      ///< false: every position sees every other (bidirectional)
  std::int64_t bytes = 4;  ///< per stored key or value element
};

/// C_u in FLOPs: the history pass.
double history_flops(const WorkShape& shape);
/// C_f in FLOPs: one candidate against L cached keys and itself.
double candidate_flops(const WorkShape& shape);
/// FLOPs of one naive candidate: the full forward of L+1 tokens. Equals C_u + C_f where sharing is valid.
double naive_flops(const WorkShape& shape);
/// r by FLOPs alone: C_f/(C_u+C_f).
double r_flops(const WorkShape& shape);
/// Bytes of K and V of every layer of one history: 2·M·L·d_kv·bytes.
std::int64_t kv_cache_bytes(const WorkShape& shape);
/// Bytes of K and V that naive holds for one sequence at a time: 2·(L+1)·d_kv·bytes.
std::int64_t naive_kv_bytes(const WorkShape& shape);

}  // namespace kvcast
