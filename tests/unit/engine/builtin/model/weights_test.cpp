#include <cmath>
#include <numeric>
#include <set>

#include "../schemes/harness.h"

using namespace kvcast;
using namespace kvcast::testing;

TEST_CASE("seeded values are a function of seed and index alone", "[model][weights]") {
  const ModelShape shape{{0, 32, 4, 2, 3}, 128};
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

namespace {

bool sees_up_to_itself(std::int64_t i, std::int64_t j) { return j <= i; }

/// x through one layer of a causal model whose only layer has the tensors of `source`.
ReferenceRun through_layer(ModelShape shape, const std::vector<double>& x, const TensorSource& source) {
  shape.layers = 1;
  ReferenceSequence sequence;
  sequence.tokens = x;
  sequence.sees = sees_up_to_itself;
  return reference_forward(shape, source, sequence, 2);
}

/// Queries [rows][dim] of a layer: with Wq in the place of Wk, and a key head for every query head.
std::vector<double> queries_of(ModelShape shape, const std::vector<double>& x, const TensorSource& source) {
  const std::int64_t held = shape.qkv_dim();
  shape.kv_heads = shape.heads;
  const auto swapped = [&](std::int64_t layer, Tensor tensor, std::span<float> values) {
    if (tensor != Tensor::qkv_weight && tensor != Tensor::qkv_bias) return source(layer, tensor, values);
    const std::int64_t columns = tensor == Tensor::qkv_weight ? shape.dim : 1;
    std::vector<float> own(static_cast<std::size_t>(held * columns));
    source(layer, tensor, own);
    for (std::int64_t part = 0; part < 3; ++part) {
      std::copy_n(own.begin(), shape.dim * columns, values.begin() + part * shape.dim * columns);
    }
  };
  return through_layer(shape, x, swapped).kv.front().k;
}

double logit_deviation(const ModelShape& shape, const std::vector<double>& q, const std::vector<double>& k) {
  const std::int64_t rows = static_cast<std::int64_t>(q.size()) / shape.dim, head_dim = shape.head_dim();
  double count = 0, sum = 0, squares = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      for (std::int64_t h = 0; h < shape.heads; ++h) {
        const auto own = q.begin() + i * shape.dim + h * head_dim;
        const auto key = k.begin() + j * shape.kv_dim() + h / (shape.heads / shape.kv_heads) * head_dim;
        const double logit = std::inner_product(own, own + head_dim, key, 0.0) / std::sqrt(double(head_dim));
        count += 1;
        sum += logit;
        squares += logit * logit;
      }
    }
  }
  return std::sqrt(squares / count - sum / count * (sum / count));
}

double squared_distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

}  // namespace

TEST_CASE("softmax is neither flat nor saturated and attention is heard, at every preset", "[model][weights][slow]") {
  for (const PresetInfo& preset : presets()) {
    Config config = parse_config(preset.json, preset.name, {}, HostLimits{2, std::int64_t{8} << 30});
    const ModelShape shape = model_shape(config);
    // The preset's own width; as much of its depth and length as float64 does in about a second, three times over.
    const ReferenceShape cut = reference_shape(shape, config.model.positions(), 1, 2e9);
    std::vector<float> history(static_cast<std::size_t>(cut.history_length * shape.dim));
    seeded_history(1, cut.history_length, shape.dim, history);
    const TensorSource seeded = seeded_weights(shape, 1, 2);
    std::vector<double> x(history.begin(), history.end());
    double attention = 0, ffn = 0;
    for (std::int64_t layer = 0; layer < cut.layers; ++layer) {
      const auto whole = [&](std::int64_t, Tensor tensor, std::span<float> values) { seeded(layer, tensor, values); };
      const auto without_ffn = [&](std::int64_t, Tensor tensor, std::span<float> values) {
        whole(0, tensor, values);
        if (tensor == Tensor::down_weight || tensor == Tensor::down_bias) std::fill(values.begin(), values.end(), 0.0f);
      };
      const std::vector<double> between = through_layer(shape, x, without_ffn).outputs;
      const ReferenceRun run = through_layer(shape, x, whole);
      const double deviation = logit_deviation(shape, queries_of(shape, x, whole), run.kv.front().k);
      const double of_attention = squared_distance(between, x), of_ffn = squared_distance(run.outputs, between);
      CAPTURE(preset.name, layer, deviation);
      CHECK(deviation >= 2.0);
      CHECK(deviation <= 3.0);
      attention += std::sqrt(of_attention);
      ffn += std::sqrt(of_ffn);
      // By norm; the stricter share by squared norm is held too.
      CHECK(of_attention >= 0.2 * (of_attention + of_ffn));
      x = run.outputs;
    }
    CHECK(attention >= 0.2 * (attention + ffn));
  }
}

TEST_CASE("fifty layers stay finite and of moderate size", "[model][weights]") {
  const EngineProblem problem(small_config(20, 64, 4, 50), 3);
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
