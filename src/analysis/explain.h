// What a measured r is made of.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "analysis/surface.h"
#include "kvcast/cost_model.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// Where the rates come from. Neither: only arithmetic and overhead are known.
struct ExplainRates {
  const Surface* surface = nullptr;        ///< fitted to this scheme; not owned
  std::optional<double> read_bytes_per_s;  ///< DRAM read of the machine
};

/// Parts of r_N = (N/S - 1)/(N - 1) for every measured N > 1, ascending. S: median over rounds of the naive/scheme
/// ratio (pair_rounds). With T the median request of the scheme, f its scoring pass, u = T - f and c = S·T/N naive's
/// time per candidate, r_N = (u + f - c)/((N-1)·c), and each part is seconds over (N-1)·c:
///
/// - arithmetic: (N-1)·a, a the seconds of one candidate's FLOPs. The N-th candidate's stands against the one in c.
/// - weights, kv: streaming the weights and reading the cached keys and values, as often as the pass does.
/// - overhead: the rest, so that the parts add up to r_N: fixed costs of the pass, rows too few for full speed, what a
///   fit has wrong, and u + a - c, by which a prefill is not what it is within naive. Negative where that is.
///
/// On top of them, and no part of r_N: head, a candidate's share of the ranking head alone at this N over c; nullopt
/// where none was timed.
///
/// Basis "surface": the coefficients of the scoring pass; bytes beyond the cache are shared out by weights and KV. A
/// surface's weight bytes hold the fixed cost of a layer too, so weights and kv are each cut to their bytes at the read
/// rate, the slowest they can come, and what is cut is overhead. The coefficients are fitted over all shapes and may
/// exceed what this pass took; overhead is then negative.
/// Basis "rates": a is the slope of f between the largest N and the largest N of at most half of it, less what bytes
/// that grow with N take, and never more than f/N of the largest. Bytes at the read rate can exceed the time of the
/// pass, because weights may come from a cache; together they are cut to what the pass took beyond N·a, in proportion.
/// Where no slope is known (one N, or noise that makes it fall) a is f/N of the largest N, which holds everything, and
/// weights and kv are nullopt. So they are without a read rate.
///
/// A scheme without a prefill of its own (packed) streams the weights once for history and candidates: f is the
/// whole request, and weights and kv, which naive's candidate pays alike, are nullopt.
///
/// nullopt when no N > 1 has a pair. Units: seconds, bytes. Does not depend on the order of the samples.
std::optional<Explanation> explain(const TimingTable& table, const SchemePasses& scheme, const WorkShape& shape,
                                   const ExplainRates& rates);

}  // namespace kvcast::analysis
