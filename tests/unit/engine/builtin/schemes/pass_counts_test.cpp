#include "engine/builtin/schemes/pass_counts.h"

#include <map>

#include "catch.h"
#include "engine/builtin/schemes/scheme.h"

using namespace kvcast;

TEST_CASE("what the schemes' passes go through", "[schemes]") {
  WorkShape shape;
  shape.history_length = 99;
  shape.dim = 8;
  shape.heads = shape.kv_heads = 2;
  shape.layers = 3;
  const double layer = 1000;
  const auto across = naive_passes(layer, {512, 2, true}).candidates;
  const auto within = naive_passes(layer, {512, 2, false}).candidates;
  // Five sequences of 100 rows in a stack.
  const std::map<std::int64_t, double> across_walks = {{1, 1}, {2, 2}, {10, 2}, {15, 3}, {20, 4}};
  for (const auto& [n, walks] : across_walks) {
    CAPTURE(n);
    CHECK(across(shape, n).passes == walks);
    CHECK(across(shape, n).weight_bytes == walks * 3 * layer);
    CHECK(across(shape, n).team_layers == (n == 1 ? 3 : 0));
    CHECK(across(shape, n).flops.total() == Approx(double(n) * naive_flops(shape)));
  }
  CHECK(within(shape, 5).passes == 1);
  CHECK(within(shape, 10).passes == 2);
  CHECK(within(shape, 10).team_layers == 6);

  const auto shared = sharing_passes("shared", layer, 4);
  const double cache = double(kv_cache_bytes(shape));
  CHECK(shared.history(shape).flops.total() == history_flops(shape));
  // The last of three layers runs K and V only: 2 d² of 12 d².
  CHECK(shared.history(shape).weight_bytes == Approx((2 + 1.0 / 6) * layer));
  CHECK(shared.history(shape).walk_bytes == Approx((2 + 1.0 / 6) * layer + cache));
  CHECK(shared.candidates(shape, 4).passes == 1);
  CHECK(shared.candidates(shape, 9).passes == 3);
  CHECK(shared.candidates(shape, 9).weight_bytes == 3 * 3 * layer);
  CHECK(shared.candidates(shape, 9).kv_bytes == 3 * cache);
  CHECK(shared.candidates(shape, 9).walk_bytes == Approx(3 * layer + cache));
  CHECK(shared.candidates(shape, 9).flops.total() == Approx(9 * candidate_flops(shape)));
  CHECK(sharing_passes("shared-copy", layer, 4, true).candidates(shape, 9).kv_bytes == 27 * cache);
  const auto packed = packed_passes("packed", layer, 4).candidates;
  CHECK(packed(shape, 9).flops.total() == Approx(packed_flops(shape, 9, 4)));
  CHECK(packed(shape, 9).weight_bytes == 3 * 3 * layer);

  shape.candidate_from_layer = 2;
  CHECK(shared.candidates(shape, 1).weight_bytes == layer);
  shape.candidate_from_layer = 0;
  shape.trim = false;
  CHECK(shared.history(shape).weight_bytes == 3 * layer);
  shape.candidate_sees_history = false;
  CHECK(shared.candidates(shape, 1).kv_bytes == 0);
  shape.history_length = 0;
  CHECK(shared.history(shape).passes == 0);
}

TEST_CASE("every scheme counts its passes, or says why no surface describes it", "[schemes]") {
  WorkShape shape;
  shape.history_length = 99;
  shape.dim = 8;
  shape.heads = shape.kv_heads = 2;
  shape.layers = 3;
  for (const SchemeEntry& entry : scheme_list()) {
    CAPTURE(entry.name);
    CHECK((entry.passes == nullptr) == !entry.no_surface.empty());
    // One that follows the law of r is fitted, and a grid of its fits has a surface.
    if (entry.law) CHECK(entry.passes != nullptr);
    if (entry.passes == nullptr) continue;
    const SchemePasses passes = entry.passes({entry.name, 1000, 2, true});
    CHECK(passes.name == entry.name);
    CHECK(static_cast<bool>(passes.history) == entry.has_prefill);
    for (const std::int64_t n : {1, 2, 7, 3000}) {
      const double history = passes.history ? passes.history(shape).flops.total() : 0;
      CHECK(history == Approx(entry.prefill_flops(shape, {})));
      CHECK(history + passes.candidates(shape, n).flops.total() == Approx(entry.flops(shape, n, {})));
    }
  }
}
