// Nothing reads what it has not written: a scheme gives the same bits on memory full of NaN as on zeros, and whatever
// an earlier request has left behind.
#include "base/poison.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/builtin/model/ranking_head.h"
#include "harness.h"

using namespace kvcast;
using namespace kvcast::testing;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t kMost = 7;

bool finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

// Outputs of every scheme, weights and all memory made anew; of `count` candidates in room for kMost.
std::vector<std::vector<float>> all_outputs(const Config& config, std::int64_t count) {
  const EngineProblem problem(config, kMost);
  std::vector<std::vector<float>> all;
  for (const SchemeInstance& instance : all_instances(config)) {
    const auto scheme = problem.make(instance, kMost);
    // A row that is not written stays NaN.
    std::vector<float>& outputs = all.emplace_back(static_cast<std::size_t>(count * problem.shape().dim), kNaN);
    scheme->prepare(std::vector<std::int64_t>{count});
    scheme->prefill();
    scheme->candidate_pass(problem.candidates().data(), count, outputs.data());
  }
  return all;
}

// A few dozen shapes that have every value of every option in them, each type with each length.
std::vector<Config> shapes() {
  struct Width {
    std::int64_t dim, heads, kv_heads;
  };
  struct Variant {
    std::int64_t token_merge, query_tokens, from_layer;
  };
  const std::vector<std::pair<std::string, std::string>> types = {
      {"fp32", "fp32"}, {"fp32", "bf16"}, {"bf16", "bf16"}, {"bf16", "fp32"}};
  const std::vector<Width> widths = {{24, 3, 1}, {65, 5, 5}, {7, 1, 1}, {1, 1, 1}, {34, 2, 1}};
  const std::vector<Variant> variants = {{1, 0, 0}, {1, 5, 0}, {1, 0, 2}, {7, 0, 0}, {7, 1, 1}, {1, 1, 2}, {1, 64, 0}};
  const std::vector<Mask> masks = {Mask::causal, Mask::history_blind, Mask::bidirectional, Mask::target_first_causal};
  std::vector<Config> configs;
  for (const std::int64_t length : {0, 1, 7, 63, 65, 1300}) {  // in the last one keys are split over tasks
    for (const auto& [dtype, kv_dtype] : types) {
      const std::size_t i = configs.size();
      const Width& width = widths[i % widths.size()];
      Config config = small_config(length, width.dim, width.heads, 3);
      config.model.kv_heads = width.kv_heads;
      const Variant& variant = variants[i % variants.size()];
      if (length % variant.token_merge == 0) config.model.token_merge = variant.token_merge;
      config.model.query_tokens = variant.query_tokens;
      config.model.candidate_from_layer = variant.from_layer;
      config.model.mask = masks[i / 3 % (variant.query_tokens > 0 ? 2 : masks.size())];
      config.run.dtype = dtype;
      config.run.kv_dtype = kv_dtype;
      config.run.threads = i % 2 == 0 ? 1 : 3;
      config.run.trim = i % 5 != 0;
      configs.push_back(config);
    }
  }
  return configs;
}

std::string words(const Config& config) { return config_to_json(config); }

}  // namespace

TEST_CASE("padding full of NaN changes no bit of any scheme", "[schemes][conformance][poison]") {
  for (const Config& config : shapes()) {
    INFO(words(config));
    for (const std::int64_t count : {std::int64_t{1}, kMost}) {
      const auto on_zeros = all_outputs(config, count);
      for (const auto& outputs : on_zeros) CHECK(finite(outputs));
      const PoisonedMemory poison;
      CHECK(all_outputs(config, count) == on_zeros);
    }
  }
}

TEST_CASE("what earlier requests left behind changes no bit of any scheme", "[schemes][conformance][poison]") {
  for (const Config& config : shapes()) {
    INFO(words(config));
    constexpr std::int64_t kCount = 3;
    const EngineProblem problem(config, kMost);
    const std::vector<float> bad_history(problem.history().size(), kNaN);
    const std::vector<float> bad_candidates(problem.candidates().size(), kNaN);
    const auto fresh = all_outputs(config, kCount);
    std::size_t index = 0;
    for (const SchemeInstance& instance : all_instances(config)) {
      CAPTURE(instance.label);
      const auto scheme = problem.make(instance, kMost);
      scheme->prepare(std::vector<std::int64_t>{kCount, kMost});
      std::vector<float> outputs(bad_candidates.size());
      // A larger request of a broken user, through every row and every slot.
      scheme->take_history(bad_history);
      scheme->prefill();
      scheme->candidate_pass(bad_candidates.data(), kMost, outputs.data());
      CHECK(std::isnan(outputs.front()));
      scheme->take_history(problem.history());
      scheme->prefill();
      outputs.assign(fresh[index].size(), kNaN);
      scheme->candidate_pass(problem.candidates().data(), kCount, outputs.data());
      CHECK(outputs == fresh[index++]);
    }
  }
}

TEST_CASE("a cache that held a longer history serves a shorter one as a new cache does", "[schemes][poison]") {
  for (const auto& [element, kv_element] :
       std::vector<std::pair<std::string, std::string>>{{"fp32", "fp32"}, {"bf16", "bf16"}}) {
    Config config = small_config(130, 24, 3, 3);
    config.run.dtype = element;
    config.run.kv_dtype = kv_element;
    const EngineProblem problem(config, 2);
    const std::vector<float> broken(problem.history().size(), kNaN);
    for (const std::int64_t length : {1, 63, 64, 65, 129}) {
      for (const std::int64_t known : {std::int64_t{0}, length / 2}) {
        CAPTURE(element, length, known);
        const auto outputs = [&](bool used) {
          Workspace workspace(problem.model(), 1, 130);
          Forward forward(workspace);
          // Kept whole in the same room, or grown out of a smaller one.
          KvCache cache = KvCache::all_layers(problem.shape(), 1, 130, 0);
          KvCache smaller = KvCache::all_layers(problem.shape(), 1, std::max<std::int64_t>(known, 1), 0);
          const auto fill = [&](KvCache& into, std::int64_t to, std::int64_t fresh, const float* history) {
            const HistoryPass pass{to, fresh, true, true};
            forward.prepare(pass);
            forward.prefill(pass, history, into);
          };
          if (used) fill(cache, 130, 130, broken.data());
          if (known > 0) {
            fill(smaller, known, known, problem.history().data());
            cache.copy_history(smaller, known, 1);
          }
          fill(cache, length, length - known, problem.history().data());
          CandidatePass pass;
          pass.count = 2;
          forward.prepare(pass, length);
          std::vector<float> result(static_cast<std::size_t>(2 * problem.shape().dim), kNaN);
          forward.candidates(pass, problem.candidates().data(), cache, result.data());
          return result;
        };
        const std::vector<float> clean = outputs(false);
        CHECK(finite(clean));
        CHECK(outputs(true) == clean);
      }
    }
  }
}

TEST_CASE("padding full of NaN changes no bit of a ranking head", "[model][conformance][poison]") {
  for (const kernels::Element element : {kernels::Element::f32, kernels::Element::bf16}) {
    for (const std::int64_t width : {1, 7, 63, 65}) {
      const RankingHeadShape shape{width, width, 2, element};
      const auto scores = [&](std::int64_t count) {
        RankingHead head(shape, 3, 2, kMost);
        head.prepare(std::vector<std::int64_t>{count});
        std::vector<float> tokens(static_cast<std::size_t>(count * width)),
            result(static_cast<std::size_t>(count), kNaN);
        seeded_candidates(3, 0, count, width, tokens);
        head.run(tokens.data(), count, result.data());
        return result;
      };
      for (const std::int64_t count : {std::int64_t{1}, kMost}) {
        CAPTURE(width, count);
        const std::vector<float> on_zeros = scores(count);
        CHECK(finite(on_zeros));
        const PoisonedMemory poison;
        CHECK(scores(count) == on_zeros);
      }
    }
  }
}

TEST_CASE("poisoned memory is what it says, to its last byte and only while asked for", "[base][poison]") {
  for (const std::int64_t bytes : {std::int64_t{1}, std::int64_t{100}, (std::int64_t{3} << 20) + 5}) {
    {
      const PoisonedMemory poison;
      Buffer<std::uint8_t> memory(bytes);
      CHECK(memory[0] == 0xFF);
      CHECK(memory[bytes - 1] == 0xFF);
    }
    Buffer<std::uint8_t> memory(bytes);
    CHECK(memory[0] == 0);
    CHECK(memory[bytes - 1] == 0);
  }
}
