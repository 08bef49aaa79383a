// The equality check must notice the faults that are easy to make (docs/model.md §7), at every preset's shape.
#include <algorithm>
#include <cmath>

#include "harness.h"

using namespace kvcast;
using namespace kvcast::testing;

namespace {

constexpr std::int64_t kCandidates = 2;

// A preset cut down to what float64 does in a second; width and heads are the preset's own.
Config cut_preset(const PresetInfo& preset) {
  Config config = parse_config(preset.json, preset.name, {}, HostLimits{2, std::int64_t{8} << 30});
  config.run.threads = 2;
  return cut_config(config, reference_shape(model_shape(config), config.model.positions(), kCandidates, 3e9));
}

std::vector<float> with_options(const EngineProblem& problem, KvCache& cache, CandidatePass pass) {
  pass.count = kCandidates;
  Workspace workspace(problem.model(), 2, kCandidates);
  Forward forward(workspace);
  forward.prepare(pass, cache.length);
  std::vector<float> outputs(static_cast<std::size_t>(kCandidates * problem.shape().dim));
  forward.candidates(pass, problem.candidates().data(), cache, outputs.data());
  return outputs;
}

// A problem with its truth, the tolerance of docs/model.md §7, and the cache of a clean prefill to tamper with.
struct Filled {
  explicit Filled(const Config& config)
      : problem(config, kCandidates),
        truth(reference_of(problem, kCandidates)),
        tolerance(4 * max_difference(run_named("naive", problem, kCandidates), truth)),
        shared(problem.make(instance_of("shared", config), kCandidates)) {
    shared->prefill();
  }
  KvCache& cache() { return cache_of(*shared); }

  EngineProblem problem;
  std::vector<double> truth;
  double tolerance;
  std::unique_ptr<Scheme> shared;
};

}  // namespace

TEST_CASE("one lost key, a lost self key and two swapped heads exceed the tolerance at every preset",
          "[schemes][faults]") {
  for (const PresetInfo& preset : presets()) {
    CAPTURE(preset.name);
    Filled filled(cut_preset(preset));
    const auto& [problem, truth, tolerance, scheme] = filled;
    KvCache& cache = filled.cache();
    CHECK(max_difference(with_options(problem, cache, {}), truth) <= tolerance);

    cache.length -= 1;
    CHECK(max_difference(with_options(problem, cache, {}), truth) > tolerance);
    cache.length += 1;

    CandidatePass no_self;
    no_self.attend_self = false;
    CHECK(max_difference(with_options(problem, cache, no_self), truth) > tolerance);

    REQUIRE(problem.shape().kv_heads > 1);
    for (std::int64_t layer = 0; layer < problem.shape().layers; ++layer) swap_first_heads(cache, layer);
    CHECK(max_difference(with_options(problem, cache, {}), truth) > tolerance);
  }
}

TEST_CASE("one key lost in one layer alone is noticed", "[schemes][faults]") {
  const Config config = small_config(200, 64, 4, 4);
  Filled filled(config);
  const auto& [problem, truth, tolerance, scheme] = filled;
  KvCache& cache = filled.cache();
  // Its value set to zero in one head of the last layer: the least that can be lost.
  std::fill_n(fp32_values(cache, 3) + 77 * cache.view(3).shape.value_stride(), 16, 0.0f);
  CHECK(max_difference(with_options(problem, cache, {}), truth) > tolerance);
}

TEST_CASE("sharing under a mask that forbids it is far from the truth, and by layer", "[schemes][faults]") {
  for (const Mask mask : {Mask::bidirectional, Mask::target_first_causal}) {
    const Config config = small_config(30, 32, 2, 3);
    const EngineProblem problem(config, 1);
    const StaleRun run = stale_run(problem.shape(), problem.source(), problem.history(), mask, problem.candidates(), 1);
    REQUIRE(run.true_kv.size() == 3);
    CHECK(max_difference(run.true_kv[0].k, run.stale_kv[0].k) < 1e-12);  // layer 0 reads the bare tokens
    CHECK(max_difference(run.true_kv[1].k, run.stale_kv[1].k) > 1e-3);
    CHECK(max_difference(run.true_output, run.stale_output) > 1e-3);
    CHECK(run.read_at == (mask == Mask::bidirectional ? "candidate" : "last position"));
  }
  // Where sharing is valid the same construction makes no error.
  for (const Mask mask : {Mask::causal, Mask::history_blind}) {
    const EngineProblem problem(small_config(30, 32, 2, 3), 1);
    const StaleRun run = stale_run(problem.shape(), problem.source(), problem.history(), mask, problem.candidates(), 1);
    CHECK(max_difference(run.true_output, run.stale_output) < 1e-10);
  }
}
