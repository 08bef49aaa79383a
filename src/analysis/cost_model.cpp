// Arithmetic of docs/model.md §2 and §3. Nothing here is measured.
#include "kvcast/cost_model.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>

#include "base/checked.h"

namespace kvcast {
namespace {

double real(std::int64_t value) { return static_cast<double>(value); }

double kv_width(const WorkShape& shape) {
  assert(shape.heads >= 1 && shape.kv_heads >= 1);
  return real(shape.kv_heads) * real(shape.dim) / real(shape.heads);
}

/// FLOPs of the K and V projections of one row: all that a layer does for a row that does not go on.
double key_value_flops(const WorkShape& shape) { return 4 * real(shape.dim) * kv_width(shape); }

/// FLOPs of one row that goes on, apart from K, V and attention: Q and output projections (2·d² multiply-adds), FFN
/// (2·f·d²). Source: docs/model.md §2.
double query_flops(const WorkShape& shape) {
  const double d = real(shape.dim);
  return 4 * d * d + 4 * real(shape.ffn_factor) * d * d;
}

/// FLOPs of attention over so many (query, key) pairs: the scores and the weighted sum of values, 2·d each.
double attention_flops(const WorkShape& shape, double pairs) { return 4 * real(shape.dim) * pairs; }

/// History rows of every layer but the first.
std::int64_t window(const WorkShape& shape) {
  return shape.query_tokens == 0 ? shape.history_length : std::min(shape.query_tokens, shape.history_length);
}

/// History rows whose keys a layer holds.
std::int64_t history_keys(const WorkShape& shape, std::int64_t layer) {
  return layer == 0 ? shape.history_length : window(shape);
}

/// History rows that a layer computes beyond K and V: those that the next one reads. After the last layer none is
/// read, and only trimming saves them.
std::int64_t history_queries(const WorkShape& shape, std::int64_t layer) {
  if (layer + 1 < shape.layers) return window(shape);
  return shape.trim ? 0 : history_keys(shape, layer);
}

/// (query, key) pairs of the last `queries` of `keys` rows among themselves and those before them.
double visible_pairs(const WorkShape& shape, std::int64_t queries, std::int64_t keys) {
  const double q = real(queries), p = real(keys);
  // Causal: row i = 0 … q-1 sees p-q+1+i keys.
  return shape.causal ? q * (p - q) + q * (q + 1) / 2 : q * p;
}

FlopParts operator+(const FlopParts& a, const FlopParts& b) { return {a.dense + b.dense, a.attention + b.attention}; }
FlopParts operator*(double count, const FlopParts& flops) { return {count * flops.dense, count * flops.attention}; }

/// Sum over all layers of what `flops` gives for one: a number or FlopParts. Only the first, the last and the one where
/// the candidate enters differ from the layer before, so a layer between is computed once.
template <typename LayerFlops>
auto over_layers(const WorkShape& shape, const LayerFlops& flops) {
  assert(shape.layers >= 1);
  assert(shape.candidate_from_layer >= 0 && shape.candidate_from_layer < shape.layers);
  std::array starts = {std::int64_t{0}, std::int64_t{1}, shape.candidate_from_layer, shape.layers - 1, shape.layers};
  std::sort(starts.begin(), starts.end());
  decltype(flops(std::int64_t{0})) sum{};
  for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
    if (starts[i] < starts[i + 1]) sum = sum + real(starts[i + 1] - starts[i]) * flops(starts[i]);
  }
  return sum;
}

/// The largest int64 where a size does not fit, so that any memory limit refuses it.
std::int64_t saturated(Checked bytes) { return bytes.value_or(std::numeric_limits<std::int64_t>::max()); }

/// 2 · tokens · d_kv · bytes: K and V of one layer.
Checked layer_kv_bytes(const WorkShape& shape, std::int64_t tokens) {
  return checked_mul(2, tokens, shape.kv_heads, shape.dim / shape.heads, shape.bytes);
}

}  // namespace

double speedup(double candidates, double r) { return candidates / (1 + (candidates - 1) * r); }

double improvement(double candidates, double r) { return (1 - r) * (candidates - 1) / candidates; }

double marginal_speedup(double candidates, double r) {
  const double denominator = 1 + (candidates - 1) * r;
  return (1 - r) / (denominator * denominator);
}

double asymptote(double r) { return r > 0 ? 1 / r : std::numeric_limits<double>::infinity(); }

double candidates_for_fraction(double fraction, double r) {
  assert(fraction > 0 && fraction < 1);
  return fraction / (1 - fraction) * (asymptote(r) - 1);
}

double r_from_costs(double user_cost, double candidate_cost) {
  assert(user_cost >= 0 && candidate_cost >= 0 && user_cost + candidate_cost > 0);
  return candidate_cost / (user_cost + candidate_cost);
}

double r_from_speedup(double candidates, double measured_speedup) {
  assert(candidates > 1 && measured_speedup > 0);
  return (candidates / measured_speedup - 1) / (candidates - 1);
}

double cost_ratio_of_drop(double drop) {
  assert(drop >= 0 && drop < 1);
  return drop / (1 - drop);
}

double drop_design_note(double naive_drop, double speedup) { return naive_drop / speedup; }

double drop_exact(double naive_drop, double speedup) {
  // 1/(1 + S (1-D)/D) multiplied through by D, so that D = 0 needs no case of its own.
  return naive_drop / (naive_drop + speedup * (1 - naive_drop));
}

FlopParts history_flop_parts(const WorkShape& shape) {
  return over_layers(shape, [&](std::int64_t layer) {
    const std::int64_t keys = history_keys(shape, layer), queries = history_queries(shape, layer);
    return FlopParts{real(keys) * key_value_flops(shape) + real(queries) * query_flops(shape),
                     attention_flops(shape, visible_pairs(shape, queries, keys))};
  });
}

FlopParts candidate_flop_parts(const WorkShape& shape) {
  return over_layers(shape, [&](std::int64_t layer) {
    if (layer < shape.candidate_from_layer) return FlopParts{};
    const double seen = shape.candidate_sees_history ? real(history_keys(shape, layer)) : 0;
    return FlopParts{key_value_flops(shape) + query_flops(shape), attention_flops(shape, seen + 1)};
  });
}

FlopParts naive_flop_parts(const WorkShape& shape) {
  if (shape.causal) {
    FlopParts both = history_flop_parts(shape) + candidate_flop_parts(shape);
    if (!shape.candidate_sees_history) {
      // The candidate stands first: it sees none of the history, and every history row that queries sees it.
      both.attention += over_layers(shape, [&](std::int64_t layer) {
        return layer < shape.candidate_from_layer ? 0.0 : attention_flops(shape, real(history_queries(shape, layer)));
      });
    }
    return both;
  }
  // History rows see the candidate's key too, so the parts are not those of history_flops.
  return over_layers(shape, [&](std::int64_t layer) {
    const std::int64_t candidate = layer >= shape.candidate_from_layer ? 1 : 0;
    const double keys = real(history_keys(shape, layer) + candidate);
    const double queries = real(history_queries(shape, layer) + candidate);
    return FlopParts{keys * key_value_flops(shape) + queries * query_flops(shape),
                     attention_flops(shape, queries * keys)};
  });
}

double history_flops(const WorkShape& shape) { return history_flop_parts(shape).total(); }
double candidate_flops(const WorkShape& shape) { return candidate_flop_parts(shape).total(); }
double naive_flops(const WorkShape& shape) { return naive_flop_parts(shape).total(); }

double append_flops(const WorkShape& shape, std::int64_t added) {
  assert(added >= 0 && added <= shape.history_length);
  if (added == 0) return 0;
  const bool window_moves = shape.layers > 1 && window(shape) < shape.history_length;
  if (window_moves || !shape.causal) {
    return history_flops(shape) - real(shape.history_length - added) * key_value_flops(shape);
  }
  return over_layers(shape, [&](std::int64_t layer) {
    const std::int64_t queries = shape.trim && layer + 1 == shape.layers ? 0 : added;
    return real(added) * key_value_flops(shape) + real(queries) * query_flops(shape) +
           attention_flops(shape, visible_pairs(shape, queries, shape.history_length));
  });
}

double packed_flops(const WorkShape& shape, std::int64_t candidates, std::int64_t batch) {
  assert(candidates >= 0 && batch >= 1);
  const std::int64_t passes = candidates / batch + (candidates % batch == 0 ? 0 : 1);
  return real(passes) * history_flops(shape) + real(candidates) * candidate_flops(shape);
}

double head_flops(std::int64_t dim, std::int64_t width, std::int64_t layers) {
  if (width == 0) return 0;
  assert(layers >= 1);
  return 2 * real(width) * (real(dim) + real(layers - 1) * real(width) + 1);
}

double r_flops(const WorkShape& shape) { return r_from_costs(history_flops(shape), candidate_flops(shape)); }

std::int64_t kv_cache_bytes(const WorkShape& shape) {
  const std::int64_t first = std::max<std::int64_t>(1, shape.candidate_from_layer);
  const Checked later = checked_mul(layer_kv_bytes(shape, window(shape)), shape.layers - first);
  if (shape.candidate_from_layer > 0) return saturated(later);
  return saturated(checked_add(layer_kv_bytes(shape, shape.history_length), later));
}

std::int64_t naive_kv_bytes(const WorkShape& shape) {
  const std::int64_t first = shape.history_length + (shape.candidate_from_layer == 0 ? 1 : 0);
  const std::int64_t later = shape.layers > 1 ? window(shape) + 1 : 0;
  return saturated(layer_kv_bytes(shape, std::max(first, later)));
}

}  // namespace kvcast
