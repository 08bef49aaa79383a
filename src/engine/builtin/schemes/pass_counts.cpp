#include "engine/builtin/schemes/pass_counts.h"

#include <algorithm>
#include <cassert>

namespace kvcast {
namespace {

double real(std::int64_t value) { return static_cast<double>(value); }
double ceil_div(std::int64_t a, std::int64_t b) { return real((a + b - 1) / b); }

}  // namespace

SchemePasses naive_passes(double weight_bytes_per_layer, const NaiveForm& form) {
  assert(form.stack_rows >= 1 && form.threads >= 1);
  const auto work = [=](const WorkShape& shape, std::int64_t candidates) {
    const std::int64_t stack = std::max<std::int64_t>(1, form.stack_rows / (shape.history_length + 1));
    const bool across = form.across && candidates >= form.threads;
    const double full = real(candidates) / real(stack);
    const double walks = std::max(across ? real(form.threads) : 1, full);
    const FlopParts one = naive_flop_parts(shape);
    PassWork total;
    total.flops = {real(candidates) * one.dense, real(candidates) * one.attention};
    total.weight_bytes = walks * real(shape.layers) * weight_bytes_per_layer;
    // The keys and values of one layer are read while they are in reach of the products that made them.
    total.team_layers = across ? 0 : walks * real(shape.layers);
    total.passes = walks;
    total.walk_bytes = real(shape.layers) * weight_bytes_per_layer;
    return total;
  };
  return {"naive", {}, work};
}

SchemePasses sharing_passes(const std::string& name, double weight_bytes_per_layer, std::int64_t block,
                            bool own_cache) {
  assert(block >= 1);
  const auto history = [=](const WorkShape& shape) {
    if (shape.history_length == 0) return PassWork{};
    // Elements of a layer's weights: Q and output 2·d², K and V 2·d·d_kv, FFN 2·f·d². A trimmed last layer runs K and V
    // only.
    const double d = real(shape.dim), d_kv = d * real(shape.kv_heads) / real(shape.heads);
    const double whole = 2 * d * d + 2 * d * d_kv + 2 * real(shape.ffn_factor) * d * d;
    const double layers = real(shape.layers) - (shape.trim ? 1 - 2 * d * d_kv / whole : 0);
    PassWork work;
    work.flops = history_flop_parts(shape);
    work.weight_bytes = layers * weight_bytes_per_layer;

    // Its keys and values are written as they are made, at a rate that the products hide; as a term of their own they
    // would only take over part of the products, which grow alike.
    work.passes = 1;
    work.walk_bytes = work.weight_bytes + real(kv_cache_bytes(shape));
    return work;
  };
  const auto candidates = [=](const WorkShape& shape, std::int64_t count) {
    const double walks = ceil_div(count, block), layers = real(shape.layers - shape.candidate_from_layer);
    const double cache = shape.candidate_sees_history ? real(kv_cache_bytes(shape)) : 0;
    const FlopParts one = candidate_flop_parts(shape);
    PassWork work;
    work.flops = {real(count) * one.dense, real(count) * one.attention};
    work.weight_bytes = walks * layers * weight_bytes_per_layer;
    work.kv_bytes = own_cache ? 3 * real(count) * cache : walks * cache;
    work.passes = walks;
    work.walk_bytes = (work.weight_bytes + work.kv_bytes) / walks;
    return work;
  };
  return {name, history, candidates, block};
}

SchemePasses packed_passes(const std::string& name, double weight_bytes_per_layer, std::int64_t micro_batch) {
  const auto work = [=](const WorkShape& shape, std::int64_t candidates) {
    const double walks = micro_batch == 0 ? 1 : ceil_div(candidates, micro_batch), n = real(candidates);
    const FlopParts history = history_flop_parts(shape), one = candidate_flop_parts(shape);
    PassWork total;
    total.flops = {walks * history.dense + n * one.dense, walks * history.attention + n * one.attention};
    total.weight_bytes = walks * real(shape.layers) * weight_bytes_per_layer;
    total.passes = walks;
    total.walk_bytes = real(shape.layers) * weight_bytes_per_layer;
    return total;
  };
  return {name, {}, work, micro_batch};
}

}  // namespace kvcast
