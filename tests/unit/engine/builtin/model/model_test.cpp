#include "engine/builtin/model/model.h"

#include "../schemes/harness.h"

using namespace kvcast;
using namespace kvcast::testing;

TEST_CASE("the bytes of a model cover what its weights take", "[model]") {
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
    }
  }
}
