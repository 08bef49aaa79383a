// A problem small enough for float64, and the schemes on it.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "catch.h"
#include "engine/builtin/builtin.h"
#include "engine/builtin/schemes/sharing.h"
#include "engine/problem.h"
#include "faulty/faults.h"

namespace kvcast::testing {

inline Config small_config(std::int64_t length, std::int64_t dim, std::int64_t heads, std::int64_t layers) {
  Config config;
  config.model.history_length = length;
  config.model.dim = dim;
  config.model.heads = heads;
  config.model.kv_heads = heads;
  config.model.layers = layers;
  config.run.threads = 1;
  config.run.seed = 3;
  return config;
}

inline ModelShape plain_shape(std::int64_t dim, std::int64_t heads, std::int64_t layers) {
  ModelShape shape;
  shape.dim = dim;
  shape.heads = shape.kv_heads = heads;
  shape.layers = layers;
  shape.ffn_dim = 4 * dim;
  return shape;
}

/// A problem with the engine's own weights behind it, for tests that drive a scheme themselves.
class EngineProblem : public Problem {
 public:
  EngineProblem(const Config& config, std::int64_t candidates)
      : Problem(config, candidates), model_(shape(), source()) {}
  const Model& model() const { return model_; }
  std::unique_ptr<Scheme> make(const SchemeInstance& instance, std::int64_t max_candidates) const {
    return instance.entry->make(scheme_context(*this, model_, instance.options, max_candidates));
  }

 private:
  Model model_;
};

inline std::vector<float> run_scheme(Scheme& scheme, const EngineProblem& problem, std::int64_t count) {
  std::vector<float> outputs(static_cast<std::size_t>(count * problem.shape().dim));
  scheme.prepare(std::vector<std::int64_t>{count});
  scheme.prefill();
  scheme.candidate_pass(problem.candidates().data(), count, outputs.data());
  return outputs;
}

/// A scheme of the list; `append` with a third of the history.
inline SchemeInstance instance_of(const std::string& name, const Config& config) {
  SchemeOptions options;
  if (name == "append") options.append = std::min(config.model.positions(), config.model.positions() / 3 + 1);
  return {name, find_scheme(name), options};
}

/// Every scheme that can run under the config's mask, the baseline first; packed also in small micro-batches.
inline std::vector<SchemeInstance> all_instances(const Config& config) {
  std::vector<SchemeInstance> instances;
  for (const SchemeEntry& entry : scheme_list()) {
    if (!why_not(entry, config.model).empty()) continue;
    instances.push_back(instance_of(entry.name, config));
    if (entry.name == "packed") instances.push_back({"packed-2", &entry, {0, 2}});
  }
  return instances;
}

inline std::vector<float> run_instance(const SchemeInstance& instance, const EngineProblem& problem,
                                       std::int64_t count) {
  const auto scheme = problem.make(instance, count);
  return run_scheme(*scheme, problem, count);
}

inline std::vector<float> run_named(const std::string& name, const EngineProblem& problem, std::int64_t count) {
  return run_instance(instance_of(name, problem.config()), problem, count);
}

/// K and V of one head of one block, as bytes: for tampering.
inline void swap_first_heads(KvCache& cache, std::int64_t layer) {
  const kernels::KvShape block = cache.view(layer).shape;
  std::swap_ranges(cache.keys(layer), cache.keys(layer) + block.key_bytes_per_head(),
                   cache.keys(layer) + block.key_bytes_per_head());
  std::swap_ranges(cache.values(layer), cache.values(layer) + block.value_bytes_per_head(),
                   cache.values(layer) + block.value_bytes_per_head());
}
inline float* fp32_values(KvCache& cache, std::int64_t layer, std::int64_t sequence = 0) {
  return reinterpret_cast<float*>(cache.values(layer, sequence));
}

inline std::vector<double> reference_of(const EngineProblem& problem, std::int64_t count) {
  return reference_outputs(problem.shape(), problem.source(), problem.history(), problem.config().model.mask,
                           problem.candidates().first(static_cast<std::size_t>(count * problem.shape().dim)), 1);
}

template <typename A, typename B>
double max_difference(const A& a, const B& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = worse(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return worst;
}

}  // namespace kvcast::testing
