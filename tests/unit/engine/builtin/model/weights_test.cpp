#include <cmath>
#include <set>

#include "../schemes/harness.h"

using namespace kvcast;
using namespace kvcast::testing;

TEST_CASE("seeded values are a function of seed and index alone", "[model][weights]") {
  const ModelShape shape{32, 4, 2, 3, 128};
  const TensorSource one = seeded_weights(shape, 5, 1), many = seeded_weights(shape, 5, 3),
                     other = seeded_weights(shape, 6, 1);
  std::set<float> firsts;
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
    for (const Tensor tensor : kTensors) {
      const auto n = static_cast<std::size_t>(tensor_size(shape, tensor).elements());
      std::vector<float> a(n), b(n), c(n);
      one(layer, tensor, a);
      many(layer, tensor, b);
      other(layer, tensor, c);
      CHECK(a == b);
      CHECK(a != c);
      CHECK(firsts.insert(a[1]).second);  // no two tensors share a stream
    }
  }
  std::vector<float> all(10 * 32), tail(4 * 32);
  seeded_candidates(9, 0, 10, 32, all);
  seeded_candidates(9, 6, 4, 32, tail);
  CHECK(std::equal(tail.begin(), tail.end(), all.begin() + 6 * 32));
}

TEST_CASE("tokens have mean 0 and variance 1", "[model][weights]") {
  std::vector<float> tokens(200 * 64);
  seeded_history(1, 200, 64, tokens);
  double mean = 0, square = 0;
  for (const float t : tokens) {
    mean += t;
    square += static_cast<double>(t) * t;
  }
  const auto n = static_cast<double>(tokens.size());
  // Five standard errors: 1/sqrt(n) of the mean, sqrt(0.8/n) of the variance of a uniform.
  CHECK(std::abs(mean / n) < 5 / std::sqrt(n));
  CHECK(std::abs(square / n - 1) < 5 * std::sqrt(0.8 / n));
}

TEST_CASE("softmax is neither flat nor saturated and attention is heard, at every preset", "[model][weights][slow]") {
  for (const PresetInfo& preset : presets()) {
    Config config = parse_config(preset.json, preset.name, {}, HostLimits{2, std::int64_t{8} << 30});
    ModelShape shape = app::model_shape(config);
    // The preset's own width; as much of its depth and length as float64 does in about a second.
    const ReferenceShape cut = reference_shape(shape, positions(config.model), 1, 6e9);
    shape.layers = cut.layers;
    std::vector<float> history(static_cast<std::size_t>(cut.history_length * shape.dim));
    seeded_history(1, cut.history_length, shape.dim, history);
    const std::vector<double> tokens(history.begin(), history.end());
    const ReferenceUpdates updates = reference_updates(
        shape, seeded_weights(shape, 1, 2), tokens, [](std::int64_t i, std::int64_t j) { return j <= i; }, 2);
    double attention = 0, ffn = 0;
    for (std::size_t layer = 0; layer < updates.attention.size(); ++layer) {
      CAPTURE(preset.name, layer, updates.logit_deviation[layer]);
      CHECK(updates.logit_deviation[layer] >= 2.0);
      CHECK(updates.logit_deviation[layer] <= 3.0);
      attention += std::sqrt(updates.attention[layer]);
      ffn += std::sqrt(updates.ffn[layer]);
      // By norm; the stricter share by squared norm is held too.
      CHECK(updates.attention[layer] >= 0.2 * (updates.attention[layer] + updates.ffn[layer]));
    }
    CHECK(attention >= 0.2 * (attention + ffn));
  }
}

TEST_CASE("fifty layers stay finite and of moderate size", "[model][weights]") {
  const app::Problem problem(small_config(20, 64, 4, 50), 3);
  const std::vector<float> outputs = run_named("shared", problem, 3);
  double square = 0;
  for (const float value : outputs) {
    REQUIRE(std::isfinite(value));
    square += static_cast<double>(value) * value;
  }
  const double deviation = std::sqrt(square / static_cast<double>(outputs.size()));
  CHECK(deviation > 1);
  CHECK(deviation < 30);
}
