#include "engine/builtin/schemes/check.h"

#include "harness.h"

using namespace kvcast;
using namespace kvcast::testing;

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
