#include "engine/builtin/model/kv_cache.h"

#include <array>
#include <cmath>

#include "../schemes/harness.h"

using namespace kvcast;
using namespace kvcast::testing;

TEST_CASE("the bytes of a cache are those of its blocks", "[model]") {
  for (const kernels::Element element : {kernels::Element::f32, kernels::Element::bf16}) {
    for (const std::int64_t query_tokens : {0, 9}) {
      ModelShape shape = plain_shape(96, 6, 4);
      shape.kv_heads = 3;
      shape.kv_element = element;
      shape.query_tokens = query_tokens;
      const KvCache cache = KvCache::all_layers(shape, 2, 70, 1);
      // Layer 0 is not kept, but its block is: every layer of the history needs one.
      double held = 0;
      for (std::int64_t layer = 0; layer < 4; ++layer) {
        const kernels::KvShape block = cache.view(layer).shape;
        CHECK(block.capacity == (layer == 0 || query_tokens == 0 ? 70 : query_tokens));
        held += 2 * static_cast<double>(block.key_bytes() + block.value_bytes());
      }
      CHECK(KvCache::all_layers_bytes(shape, 2, 70, 1) == held);
    }
  }
}

TEST_CASE("what caches take is known for any count of layers, without a list of them", "[model]") {
  ModelShape shape = plain_shape(16, 2, 3);
  for (const std::int64_t query_tokens : {0, 7}) {
    shape.query_tokens = query_tokens;
    for (const std::int64_t kept_from : {0, 1, 2}) {
      CAPTURE(query_tokens, kept_from);
      const auto bytes = [&](std::int64_t layers) {
        shape.layers = layers;
        return std::array{KvCache::one_layer_bytes(shape, 2, 70), KvCache::all_layers_bytes(shape, 2, 70, kept_from),
                          KvCache::copies_bytes(shape, 2, 70, kept_from)};
      };
      const auto three = bytes(3), four = bytes(4), many = bytes(std::int64_t{1} << 40);
      CHECK(many[0] == three[0]);
      for (const std::size_t i : {1, 2}) CHECK(many[i] == Approx(std::ldexp(four[i] - three[i], 40)));
    }
  }
}

TEST_CASE("a broadcast cache is the same everywhere", "[model]") {
  const EngineProblem problem(small_config(30, 16, 2, 2), 1);
  const auto shared = problem.make(instance_of("shared", problem.config()), 1);
  shared->prefill();
  const KvCache& from = cache_of(*shared);
  KvCache copies = KvCache::all_layers(problem.shape(), 3, 30, 0);
  copies.broadcast_from(from, 3, 2);
  CHECK(copies.length == 30);
  for (std::int64_t layer = 0; layer < 2; ++layer) {
    const kernels::KvView source = from.view(layer);
    for (std::int64_t s = 0; s < 3; ++s) {
      CHECK(std::equal(source.keys, source.keys + source.shape.key_bytes(), copies.view(layer, s).keys));
      CHECK(std::equal(source.values, source.values + source.shape.value_bytes(), copies.view(layer, s).values));
    }
  }
}

TEST_CASE("copies hold and take the layers that candidates read, and no others", "[model]") {
  Config config = small_config(30, 16, 2, 3);
  config.model.candidate_from_layer = 2;
  const EngineProblem problem(config, 1);
  const auto shared = problem.make(instance_of("shared", config), 1);
  shared->prefill();
  const KvCache& from = cache_of(*shared);
  KvCache copies = KvCache::copies(problem.shape(), 3, 30, 2);
  copies.broadcast_from(from, 3, 2);
  const kernels::KvView source = from.view(2);
  for (std::int64_t s = 0; s < 3; ++s) {
    CHECK(std::equal(source.keys, source.keys + source.shape.key_bytes(), copies.view(2, s).keys));
    CHECK(std::equal(source.values, source.values + source.shape.value_bytes(), copies.view(2, s).values));
  }
  CHECK(KvCache::copies_bytes(problem.shape(), 3, 30, 2) ==
        3.0 * static_cast<double>(source.shape.key_bytes() + source.shape.value_bytes()));
}
