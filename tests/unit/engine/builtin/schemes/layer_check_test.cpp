// The samples of every layer must be silent for sound models, whatever their weights, and see every planted fault.
#include "engine/builtin/schemes/layer_check.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "base/random.h"
#include "harness.h"

using namespace kvcast;
using namespace kvcast::testing;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

// A model that is drawn: sizes, mask, types, and weights that are not only those of the seeded model.
struct Drawn {
  ModelShape shape;
  Mask mask = Mask::causal;
  std::int64_t length = 0, count = 1;
  int threads = 1;
  TensorSource source;
  std::vector<float> history, candidates;
};

Drawn drawn_model(std::uint64_t number) {
  const RandomStream stream(number, 77);
  std::uint64_t next = 0;
  const auto pick = [&](auto... values) {
    const std::array all = {static_cast<std::int64_t>(values)...};
    return all[stream.bits(next++) % all.size()];
  };
  Drawn drawn;
  ModelShape& s = drawn.shape;
  const std::int64_t head_dim = pick(2, 4, 8, 16, 32, 64, 96, 128);
  s.kv_heads = pick(1, 2, 3);
  s.heads = s.kv_heads * pick(1, 1, 2, 4);
  s.dim = s.heads * head_dim;
  while (s.dim < 8) s.heads *= 2, s.dim *= 2;
  while (s.dim > 512) s.heads -= s.kv_heads, s.dim = s.heads * head_dim;
  s.ffn_dim = s.dim * pick(1, 2, 4);
  s.layers = s.dim > 256 ? pick(1, 2) : pick(1, 2, 3, 6);
  drawn.length = pick(1, 3, 16, 63, 64, 65, 130, 300, 700);
  if (s.dim * s.dim * drawn.length > 10'000'000) drawn.length = 65;
  drawn.mask = static_cast<Mask>(pick(0, 0, 1, 2, 3));
  if (pick(0, 0, 0, 1) == 1) s.candidate_from_layer = s.layers - 1;
  if (pick(0, 0, 0, 1) == 1 && (drawn.mask == Mask::causal || drawn.mask == Mask::history_blind))
    s.query_tokens = std::max<std::int64_t>(1, drawn.length / 3);
  const std::int64_t types = pick(0, 0, 1, 2, 3);
  if (types == 1 || types == 3) s.element = kernels::Element::bf16;
  if (types == 1 || types == 2) s.kv_element = kernels::Element::bf16;
  drawn.threads = static_cast<int>(pick(1, 2));
  drawn.count = pick(1, 2, 3);
  // Weights of trained models are not those of seeded ones: gains and offsets of norms, biases, larger logits, tokens
  // with a mean.
  const TensorSource seeded = seeded_weights(s, number, 1);
  const float gain = static_cast<float>(pick(0, 1, 1, 4)) / 4, qk = static_cast<float>(pick(2, 4, 4, 8)) / 4,
              wide = static_cast<float>(pick(1, 4, 4, 16)) / 4, shift = static_cast<float>(pick(0, 0, 2, 10));
  drawn.source = [=](std::int64_t layer, Tensor tensor, std::span<float> values) {
    seeded(layer, tensor, values);
    const RandomStream own(number, 1000 + static_cast<std::uint64_t>(layer) * 16 + static_cast<std::uint64_t>(tensor));
    const bool norm = tensor == Tensor::attn_norm_weight || tensor == Tensor::ffn_norm_weight;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (norm) values[i] *= 1 + gain * own.unit(i) / 2;
      if (tensor_size(s, tensor).columns == 0 && !norm) values[i] += gain * own.unit(i) / 4;
      if (tensor == Tensor::qkv_weight && static_cast<std::int64_t>(i) < s.dim * s.dim) values[i] *= qk;
      if (tensor == Tensor::down_weight) values[i] *= wide;
    }
  };
  drawn.history.resize(static_cast<std::size_t>(drawn.length * s.dim));
  drawn.candidates.resize(static_cast<std::size_t>(drawn.count * s.dim));
  seeded_history(number, drawn.length, s.dim, drawn.history);
  seeded_candidates(number, 0, drawn.count, s.dim, drawn.candidates);
  for (float& value : drawn.history) value += shift;
  for (float& value : drawn.candidates) value += shift;
  return drawn;
}

// What the engine is given, and what the judge believes it was given: one and the same, or a planted fault.
LayerCheck::Result judged(const Drawn& engine, const Drawn& judge, std::int64_t rows) {
  const Model model(engine.shape, engine.source);
  SchemeContext context;
  context.model = &model;
  context.mask = engine.mask;
  context.history = engine.history;
  context.history_length = engine.length;
  context.threads = engine.threads;
  context.max_candidates = engine.count;
  const auto naive = scheme_list().front().make(context);
  naive->prepare(std::vector<std::int64_t>{engine.count});
  LayerCheck check(judge.shape, judge.source, judge.mask, judge.history, judge.candidates, rows, judge.threads);
  naive->listen(&check);
  std::vector<float> outputs(engine.candidates.size());
  naive->candidate_pass(engine.candidates.data(), engine.count, outputs.data());
  naive->listen(nullptr);
  return check.result();
}

// The tensors of one layer, with a change.
void change(Drawn& drawn, Tensor tensor, std::int64_t of_layer, const std::function<void(std::span<float>)>& bend) {
  const TensorSource before = drawn.source;
  drawn.source = [=](std::int64_t layer, Tensor one, std::span<float> values) {
    before(layer, one, values);
    if (one == tensor && layer == of_layer) bend(values);
  };
}

std::int64_t models_to_draw(std::int64_t usual) {
  const char* wanted = std::getenv("KVCAST_MODELS");
#if defined(KVCAST_SANITIZED)
  usual /= 4;  // which run several times as long
#endif
  return wanted == nullptr ? usual : std::strtoll(wanted, nullptr, 10);
}

}  // namespace

// KVCAST_MODELS: how many.
TEST_CASE("sound models of any size, type, mask and weights are within what rounding explains", "[schemes][layers]") {
  double worst = 0;
  const std::int64_t models = models_to_draw(100);
  for (std::int64_t i = 0; i < models; ++i) {
    const Drawn drawn = drawn_model(static_cast<std::uint64_t>(i));
    const LayerCheck::Result result = judged(drawn, drawn, 8);
    CAPTURE(i, drawn.shape.dim, drawn.shape.layers, drawn.length, result.worst.where);
    REQUIRE(result.worst.ratio <= 1);
    // Nothing was left out.
    REQUIRE(result.layers == drawn.shape.layers);
    const LiteralSequence sequence(drawn.shape, drawn.mask, drawn.length);
    std::int64_t keys = 0;
    for (std::int64_t layer = 0; layer < drawn.shape.layers; ++layer) {
      for (std::int64_t p = 0; p <= drawn.length; ++p) keys += sequence.active(layer, p) ? 1 : 0;
    }
    REQUIRE(result.keys == keys);
    REQUIRE(result.outputs_judged >= result.layers);
    worst = std::max(worst, result.worst.ratio);
  }
  std::printf("layer check: %ld sound models, largest error %.2f of what is allowed\n", models, worst);
}

TEST_CASE("what another model computes is seen, and where", "[schemes][layers]") {
  struct Planted {
    const char* what;
    std::function<void(Drawn&)> bend;
    std::function<std::string(const Drawn&)> where;
  };
  const auto last = [](const Drawn& drawn) { return drawn.shape.layers - 1; };
  const auto in_last = [&](const Drawn& drawn) { return "of layer " + std::to_string(last(drawn)); };
  const auto first_tenth = [](float factor) {
    return [factor](std::span<float> values) {
      for (float& value : values.first(std::max<std::size_t>(1, values.size() / 10))) value *= factor;
    };
  };
  const std::vector<Planted> faults = {
      {"an output weight of the last layer", [&](Drawn& d) { change(d, Tensor::out_weight, last(d), first_tenth(4)); },
       in_last},
      {"a weight of the FFN", [&](Drawn& d) { change(d, Tensor::down_weight, last(d), first_tenth(4)); }, in_last},
      {"a bias of Q, K and V",
       [&](Drawn& d) {
         change(d, Tensor::qkv_bias, last(d), [](std::span<float> values) {
           for (float& value : values) value += 0.3f;
         });
       },
       in_last},
      {"one element of one history token", [](Drawn& d) { d.history[d.history.size() / 2] *= 1.000001f; },
       [](const Drawn&) { return std::string("the input at position"); }},
      {"one element of each candidate",
       [](Drawn& d) {
         for (std::int64_t c = 0; c < d.count; ++c)
           d.candidates[static_cast<std::size_t>(c * d.shape.dim)] *= 1.000001f;
       },
       [](const Drawn& d) { return "the input at position " + std::to_string(candidate_position(d.mask, d.length)); }},
  };
  for (std::uint64_t i = 0; i < 40; ++i) {
    Drawn drawn = drawn_model(i);
    // With large scores the rounding of bf16 may be as large as what is planted.
    drawn.shape.element = kernels::Element::f32;
    for (const Planted& fault : faults) {
      Drawn bent = drawn;
      fault.bend(bent);
      const LayerCheck::Result result = judged(bent, drawn, 8);
      CAPTURE(i, drawn.shape.dim, drawn.length, static_cast<int>(drawn.mask), fault.what, result.worst.where);
      CHECK(result.worst.ratio > 1);
      CHECK_THAT(result.worst.where, Contains(fault.where(drawn)));
    }
  }
}

TEST_CASE("a key range that no query attends to, and vectors that change between layers, are seen",
          "[schemes][layers]") {
  // What stands between engine and judge loses things on the way.
  class Between final : public StepListener {
   public:
    Between(LayerCheck& check, std::int64_t dim, bool keys) : check_(check), dim_(dim), keys_(keys) {}
    void layer_begins(std::int64_t layer, std::span<const float> x) noexcept override {
      rows_.assign(x.begin(), x.end());
      // A vector of one position in the middle, as a race would leave it.
      if (!keys_ && layer == 1)
        rows_[rows_.size() / static_cast<std::size_t>(2 * dim_) * static_cast<std::size_t>(dim_)] += 1e-3f;
      check_.layer_begins(layer, rows_);
    }
    void layer_ends(std::int64_t layer, std::span<const float> x, const KvCache& cache) noexcept override {
      if (keys_ && layer == 1) {
        auto& tampered = const_cast<KvCache&>(cache);
        const kernels::KvShape block = cache.view(layer).shape;
        // Keys 64 to 127 of the first head.
        std::fill_n(reinterpret_cast<float*>(tampered.keys(layer)) + block.head_dim * 64, block.head_dim * 64, 0.0f);
      }
      check_.layer_ends(layer, x, cache);
    }

   private:
    LayerCheck& check_;
    std::int64_t dim_;
    bool keys_;
    std::vector<float> rows_;
  };
  Config config = small_config(200, 32, 4, 3);
  const EngineProblem problem(config, 1);
  for (const bool keys : {true, false}) {
    const auto naive = problem.make(instance_of("naive", config), 1);
    LayerCheck check(problem.shape(), problem.source(), config.model.mask, problem.history(), problem.candidates(), 4,
                     1);
    Between between(check, 32, keys);
    std::vector<float> outputs(32);
    naive->prepare(std::vector<std::int64_t>{1});
    naive->listen(&between);
    naive->candidate_pass(problem.candidates().data(), 1, outputs.data());
    const LayerCheck::Result result = check.result();
    CAPTURE(keys, result.worst.where);
    CHECK(result.worst.ratio > 1);
    if (keys) {
      CHECK(result.keys_and_values.ratio > 1);
      CHECK_THAT(result.keys_and_values.where, StartsWith("K at position ") && EndsWith(" of layer 1"));
    } else {
      CHECK_THAT(result.inputs.where, StartsWith("the input at position ") && EndsWith(" of layer 1"));
    }
  }
}

// The shapes at which faults by key range, layer depth, block and thread would hide from a smaller model.
TEST_CASE("long, deep and wide models are sound in every layer and key range", "[schemes][layers]") {
  struct Size {
    std::int64_t length, dim, layers;
    int threads;
  };
  for (const auto [length, dim, layers, threads] :
       {Size{9000, 16, 2, 1}, Size{40, 16, 12, 1}, Size{1200, 64, 2, 2}, Size{700, 32, 2, 1}}) {
    Config config = small_config(length, dim, 2, layers);
    config.run.threads = threads;
    for (const std::int64_t count : {1, 2}) {
      const EngineProblem problem(config, count);
      const auto naive = problem.make(instance_of("naive", config), count);
      LayerCheck check(problem.shape(), problem.source(), config.model.mask, problem.history(), problem.candidates(),
                       24, threads);
      naive->listen(&check);
      run_scheme(*naive, problem, count);
      const LayerCheck::Result result = check.result();
      CAPTURE(length, dim, layers, threads, count, result.worst.where);
      CHECK(result.layers == layers);
      CHECK(result.keys == layers * (length + 1));
      CHECK(result.worst.ratio <= 1);
    }
  }
}

TEST_CASE("a pass that nobody heard is no sound pass", "[schemes][layers]") {
  const EngineProblem problem(small_config(20, 16, 2, 2), 1);
  const LayerCheck check(problem.shape(), problem.source(), Mask::causal, problem.history(), problem.candidates(), 4,
                         1);
  CHECK(check.result().worst.ratio > 1);
  CHECK(check.result().worst.where == "layer 0 did not run");
}

TEST_CASE("rows that a budget pays for", "[schemes][layers]") {
  ModelShape shape;
  shape.dim = 256, shape.heads = shape.kv_heads = 4, shape.layers = 4, shape.ffn_dim = 1024;
  CHECK(LayerCheck::rows_for(shape, 256, 0) == 2);
  CHECK(LayerCheck::rows_for(shape, 256, 1e12) == 24);
  const double budget = 2e8;
  CHECK(LayerCheck::rows_for(shape, 256, budget) > LayerCheck::rows_for(shape, 2560, budget));
}
