#include "engine/builtin/model/transformer.h"

#include <array>
#include <cmath>

#include "../schemes/harness.h"
#include "engine/builtin/schemes/check.h"

using namespace kvcast;
using namespace kvcast::testing;

namespace {

ModelShape plain_shape(std::int64_t dim, std::int64_t heads, std::int64_t layers) {
  ModelShape shape;
  shape.dim = dim;
  shape.heads = shape.kv_heads = heads;
  shape.layers = layers;
  shape.ffn_dim = 4 * dim;
  return shape;
}

}  // namespace

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
  const ModelShape shape = plain_shape(64, 4, 10);
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
  CHECK(reference_shape(plain_shape(8, 1, 1), 4, 2, 1).full);
}

TEST_CASE("the reference judges two candidates, and more of few elements", "[model][check]") {
  for (const std::int64_t dim : {1, 3, 64, 100, 128, 255, 256, 4096}) {
    CAPTURE(dim);
    const std::int64_t count = reference_candidates(plain_shape(dim, 1, 1), 1000);
    CHECK(reference_candidates(plain_shape(dim, 1, 1), 1) == 1);
    CHECK(count >= 2);
    CHECK(count * dim >= 256);
    CHECK((count == 2 || (count - 1) * dim < 256));
  }
}

TEST_CASE("memory estimates cover what is allocated", "[model]") {
  for (const kernels::Element element : {kernels::Element::f32, kernels::Element::bf16}) {
    for (const std::int64_t query_tokens : {0, 9}) {
      ModelShape shape = plain_shape(96, 6, 4);
      shape.kv_heads = 3;
      shape.element = shape.kv_element = element;
      shape.query_tokens = query_tokens;
      const Model model(shape, seeded_weights(shape, 1, 1));
      double packed = 0;
      for (std::int64_t i = 0; i < shape.layers; ++i) {
        const Model::Layer& layer = model.layer(i);
        for (const kernels::DenseWeights* w : {&layer.qkv, &layer.out, &layer.up, &layer.down, &layer.q, &layer.kv}) {
          packed += static_cast<double>(w->bytes());
        }
        packed += 4 * 96 * sizeof(float);
      }
      CHECK(Model::bytes(shape) >= packed);
      CHECK(Model::bytes(shape) <= 1.02 * packed);
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
  const app::Problem problem(small_config(30, 16, 2, 2), 1);
  const auto shared = problem.make(instance_of("shared", problem.config()), 1);
  shared->user_pass();
  const KvCache& from = dynamic_cast<SharingScheme&>(*shared).cache();
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
  const app::Problem problem(config, 1);
  const auto shared = problem.make(instance_of("shared", config), 1);
  shared->user_pass();
  const KvCache& from = dynamic_cast<SharingScheme&>(*shared).cache();
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

TEST_CASE("a listener hears of every kind of step, and only while it listens", "[model]") {
  struct Counter final : StepListener {
    void step_done(Step step) noexcept override { ++counts[static_cast<std::size_t>(step)]; }
    std::array<int, 6> counts{};
  } counter;
  const app::Problem problem(small_config(30, 16, 2, 2), 4);
  for (const SchemeInstance& instance : all_instances(problem.config())) {
    CAPTURE(instance.label);
    const auto scheme = problem.make(instance, 4);
    scheme->listen(&counter);
    counter.counts = {};
    run_scheme(*scheme, problem, 4);
    CHECK(counter.counts[static_cast<std::size_t>(Step::norm)] >= 4);
    CHECK(counter.counts[static_cast<std::size_t>(Step::matmul)] >= 8);
    CHECK(counter.counts[static_cast<std::size_t>(Step::attention)] >= 2);
    scheme->listen(nullptr);
    counter.counts = {};
    run_scheme(*scheme, problem, 4);
    CHECK(counter.counts == std::array<int, 6>{});
  }
}
