#include "model/transformer.h"

#include "../schemes/harness.h"
#include "schemes/check.h"

using namespace kvcast;
using namespace kvcast::testing;

TEST_CASE("FFN blocks cover the rows in nearly equal parts", "[model]") {
  for (std::int64_t rows = 1; rows < 3000; ++rows) {
    const FfnBlocks blocks = ffn_blocks(rows);
    REQUIRE(blocks.size <= 384);
    REQUIRE(blocks.last >= 1);
    REQUIRE(blocks.last <= blocks.size);
    REQUIRE((rows - blocks.last) % blocks.size == 0);
    // No sliver: a last block is never below half of the others.
    REQUIRE(2 * blocks.last >= blocks.size);
  }
  CHECK(ffn_blocks(0).size == 0);
}

TEST_CASE("the reference shape keeps what fits and says what it cut", "[model][check]") {
  const ModelShape shape{64, 4, 4, 10, 256};
  CHECK(reference_shape(shape, 100, 2, 1e18).full);
  CHECK(reference_shape(shape, 100, 2, 1e18).text == "full");
  const ReferenceShape layers = reference_shape(shape, 100, 2, 1.1e8);
  CHECK_FALSE(layers.full);
  CHECK(layers.history_length == 100);
  CHECK((layers.layers >= 2 && layers.layers < 10));
  CHECK(layers.text == "L=100, layers=" + std::to_string(layers.layers));
  const ReferenceShape both = reference_shape(shape, 100000, 2, 1e7);
  CHECK(both.layers == 2);
  CHECK(both.history_length < 1000);
  // What is already small stays as it is.
  CHECK(reference_shape({8, 1, 1, 1, 32}, 4, 2, 1).full);
}

TEST_CASE("memory estimates cover what is allocated", "[model]") {
  const ModelShape shape{96, 6, 3, 4, 384};
  const Model model(shape, seeded_weights(shape, 1, 1));
  double packed = 0;
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    const Model::Layer& layer = model.layer(i);
    for (const kernels::DenseWeights* w : {&layer.qkv, &layer.out, &layer.up, &layer.down, &layer.kv}) {
      packed += static_cast<double>(w->bytes());
    }
    packed += 4 * 96 * sizeof(float);
  }
  CHECK(Model::bytes(shape) >= packed);
  CHECK(Model::bytes(shape) <= 1.02 * packed);
  const KvCache cache(shape, 4, 2, 70);
  CHECK(KvCache::bytes(shape, 4, 2, 70) ==
        Approx(4.0 * 2 * sizeof(float) *
               static_cast<double>(cache.block_shape().key_floats() + cache.block_shape().value_floats())));
}

TEST_CASE("a broadcast cache is the same everywhere", "[model]") {
  const app::Problem problem(small_config(30, 16, 2, 2), 1);
  const auto shared = problem.make(*find_scheme("shared"), 1);
  shared->user_pass();
  const KvCache& from = dynamic_cast<SharingScheme&>(*shared).cache();
  KvCache copies(problem.shape(), 2, 3, 30);
  copies.broadcast_from(from, 3, 2);
  CHECK(copies.length == 30);
  for (std::int64_t layer = 0; layer < 2; ++layer) {
    for (std::int64_t s = 0; s < 3; ++s) {
      CHECK(std::equal(from.view(layer).keys, from.view(layer).keys + from.block_shape().key_floats(),
                       copies.view(layer, s).keys));
      CHECK(std::equal(from.view(layer).values, from.view(layer).values + from.block_shape().value_floats(),
                       copies.view(layer, s).values));
    }
  }
}
