// Arithmetic of docs/model.md §2 and §3. Nothing here is measured.
#include "kvcast/cost_model.h"

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

/// FLOPs of one token in one layer apart from attention: Q and output projections (2d²), K and V (2·d·d_kv), FFN
/// (2·f·d² multiply-adds). Source: docs/model.md §2.
double token_flops(const WorkShape& shape) {
  const double d = real(shape.dim);
  return 2 * (2 * d * d + 2 * d * kv_width(shape)) + 4 * real(shape.ffn_factor) * d * d;
}

/// FLOPs of the K and V projections alone: all that a trimmed layer does for a history token.
double key_value_flops(const WorkShape& shape) { return 4 * real(shape.dim) * kv_width(shape); }

/// FLOPs of one query row over `keys` keys: the scores and the weighted sum of values, 2·d each per key.
double attention_row_flops(const WorkShape& shape, double keys) { return 4 * real(shape.dim) * keys; }

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

double drop_seed_rule(double naive_drop, double speedup) { return naive_drop / speedup; }

double drop_exact(double naive_drop, double speedup) {
  // 1/(1 + S (1-D)/D) multiplied through by D, so that D = 0 needs no case of its own.
  return naive_drop / (naive_drop + speedup * (1 - naive_drop));
}

double history_flops(const WorkShape& shape) {
  const double length = real(shape.history_length);
  // Causal: row i of L sees i keys, L(L+1)/2 in all.
  const double seen = shape.causal ? length * (length + 1) / 2 : length * length;
  const double full_layer = length * token_flops(shape) + attention_row_flops(shape, seen);
  const double last_layer = shape.trim ? length * key_value_flops(shape) : full_layer;
  return (real(shape.layers) - 1) * full_layer + last_layer;
}

double candidate_flops(const WorkShape& shape) {
  return real(shape.layers) * (token_flops(shape) + attention_row_flops(shape, real(shape.history_length) + 1));
}

double naive_flops(const WorkShape& shape) {
  if (shape.causal) return history_flops(shape) + candidate_flops(shape);
  // Every row sees all n = L+1 keys, the candidate's too, so the parts are not those of history_flops.
  const double tokens = real(shape.history_length) + 1;
  const double full_layer = tokens * (token_flops(shape) + attention_row_flops(shape, tokens));
  const double output_row_only =
      real(shape.history_length) * key_value_flops(shape) + token_flops(shape) + attention_row_flops(shape, tokens);
  return (real(shape.layers) - 1) * full_layer + (shape.trim ? output_row_only : full_layer);
}

double r_flops(const WorkShape& shape) { return r_from_costs(history_flops(shape), candidate_flops(shape)); }

std::int64_t kv_cache_bytes(const WorkShape& shape) {
  return saturated(checked_mul(layer_kv_bytes(shape, shape.history_length), shape.layers));
}

std::int64_t naive_kv_bytes(const WorkShape& shape) {
  return saturated(layer_kv_bytes(shape, shape.history_length + 1));
}

}  // namespace kvcast
