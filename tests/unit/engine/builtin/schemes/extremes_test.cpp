// Values at the ends of fp32: no NaN where float64 has none, denormals kept by every thread.
#include <cmath>
#include <functional>
#include <limits>

#include "harness.h"

using namespace kvcast;
using namespace kvcast::testing;

namespace {

constexpr std::int64_t kLength = 33, kCount = 3;

struct Values {
  std::string name;
  float history = 1, candidates = 1;
  // Scales a weight of the seeded model, by tensor and row.
  std::function<float(Tensor, std::int64_t row)> scale = [](Tensor, std::int64_t) { return 1.0f; };
  bool near_ties = false;  // rounding inputs to bf16 may choose another key
};

// A problem of its own: EngineProblem has seeded values only.
struct Extreme {
  Extreme(const Values& one, const Config& of)
      : config(of),
        shape(model_shape(of)),
        source([this, one, seeded = seeded_weights(shape, 3, 1)](std::int64_t layer, Tensor tensor,
                                                                 std::span<float> values) {
          seeded(layer, tensor, values);
          const TensorSize size = tensor_size(shape, tensor);
          for (std::int64_t i = 0; i < size.elements(); ++i) {
            values[static_cast<std::size_t>(i)] *= one.scale(tensor, size.columns == 0 ? i : i / size.columns);
          }
        }),
        model(shape, source),
        history(static_cast<std::size_t>(kLength * shape.dim)),
        candidates(static_cast<std::size_t>(kCount * shape.dim)) {
    seeded_history(3, kLength, shape.dim, history);
    seeded_candidates(3, 0, kCount, shape.dim, candidates);
    for (float& value : history) value *= one.history;
    for (float& value : candidates) value *= one.candidates;
  }
  std::vector<float> run(const SchemeInstance& instance) const {
    SchemeContext context;
    context.model = &model;
    context.history = history;
    context.history_length = kLength;
    context.threads = static_cast<int>(config.run.threads);
    context.max_candidates = kCount;
    context.options = instance.options;
    const auto scheme = instance.entry->make(context);
    std::vector<float> outputs(candidates.size());
    scheme->prepare(std::vector<std::int64_t>{kCount});
    scheme->prefill();
    scheme->candidate_pass(candidates.data(), kCount, outputs.data());
    return outputs;
  }

  Config config;
  ModelShape shape;
  TensorSource source;
  Model model;
  std::vector<float> history, candidates;
};

std::vector<Values> cases(const ModelShape& shape) {
  const auto only = [](Tensor which, float factor) {
    return [which, factor](Tensor tensor, std::int64_t) { return tensor == which ? factor : 1.0f; };
  };
  const auto qkv_rows = [](std::int64_t from, std::int64_t to, float factor) {
    return [=](Tensor tensor, std::int64_t row) {
      return tensor == Tensor::qkv_weight && row >= from && row < to ? factor : 1.0f;
    };
  };
  const std::int64_t qk = shape.dim + shape.kv_dim(), all = shape.qkv_dim();
  return {{"history of 1e30", 1e30f},
          {"history of 1e-40", 1e-40f},
          {"candidates of 1e30", 1, 1e30f},
          {"candidates of 1e-40", 1, 1e-40f},
          {"scores of 1e30", 1, 1, qkv_rows(0, qk, 1e15f), true},
          {"scores of 1e-40", 1, 1, qkv_rows(0, qk, 1e-20f)},
          {"values of 1e30", 1, 1, qkv_rows(qk, all, 1e30f)},
          {"values of 1e-40", 1, 1, qkv_rows(qk, all, 1e-40f)},
          {"an FFN of 1e30", 1, 1, only(Tensor::up_weight, 1e30f)},
          {"an FFN of 1e-40", 1, 1, only(Tensor::up_weight, 1e-40f)},
          {"norms of 1e30", 1, 1, only(Tensor::ffn_norm_weight, 1e30f)}};
}

Config config_of(const std::string& dtype, std::int64_t threads) {
  Config config = small_config(kLength, 24, 3, 2);
  config.run.dtype = config.run.kv_dtype = dtype;
  config.run.threads = threads;
  return config;
}

}  // namespace

TEST_CASE("schemes at 1e30 and 1e-40 are those of float64", "[schemes][conformance][extremes]") {
  for (const std::string dtype : {"fp32", "bf16"}) {
    for (const std::int64_t threads : {1, 3}) {
      const Config config = config_of(dtype, threads);
      for (const Values& one : cases(model_shape(config))) {
        const Extreme extreme(one, config);
        const std::vector<double> truth =
            reference_outputs(extreme.shape, extreme.source, extreme.history, Mask::causal, extreme.candidates, 1);
        double largest = 0;
        for (const double value : truth) largest = worse(largest, std::abs(value));
        REQUIRE(std::isfinite(largest));
        const double allowed =
            rounding_factor(extreme.shape) *
            *rounding_error(extreme.shape, extreme.source, extreme.history, Mask::causal, extreme.candidates, truth, 1);
        for (const SchemeInstance& instance : all_instances(config)) {
          const double error = max_difference(extreme.run(instance), truth);
          CAPTURE(one.name, dtype, threads, instance.label, error, largest);
          CHECK(std::isfinite(error));
          if (one.near_ties && dtype == "bf16") continue;
          CHECK(error <= allowed);
        }
      }
    }
  }
}

TEST_CASE("denormals pass through every scheme on every thread bit by bit", "[schemes][conformance][extremes]") {
  // Nothing is added to the candidates, so the outputs are the candidates; a thread that flushes denormals makes zeros.
  Values one{"", 1, 1e-40f};
  one.scale = [](Tensor tensor, std::int64_t) {
    const bool adds = tensor == Tensor::out_weight || tensor == Tensor::out_bias || tensor == Tensor::down_weight ||
                      tensor == Tensor::down_bias;
    return adds ? 0.0f : 1.0f;
  };
  for (const std::string dtype : {"fp32", "bf16"}) {
    for (const std::int64_t threads : {1, 3}) {
      const Config config = config_of(dtype, threads);
      const Extreme extreme(one, config);
      CHECK(std::fpclassify(extreme.candidates.front()) == FP_SUBNORMAL);
      for (const SchemeInstance& instance : all_instances(config)) {
        CAPTURE(instance.label, dtype, threads);
        CHECK(extreme.run(instance) == extreme.candidates);
      }
    }
  }
}
