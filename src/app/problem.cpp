#include "app/problem.h"

#include <algorithm>
#include <cmath>

namespace kvcast::app {

ModelShape model_shape(const ModelConfig& m) { return {m.dim, m.heads, m.kv_heads, m.layers, m.ffn_factor * m.dim}; }

WorkShape work_shape(const Config& config) {
  const ModelConfig& m = config.model;
  WorkShape w;
  w.history_length = m.history_length;
  w.dim = m.dim;
  w.heads = m.heads;
  w.kv_heads = m.kv_heads;
  w.layers = m.layers;
  w.ffn_factor = m.ffn_factor;
  w.trim = config.run.trim;
  w.causal = m.mask != Mask::bidirectional;
  w.bytes = sizeof(float);
  return w;
}

Shape report_shape(const Config& config) {
  const ModelConfig& m = config.model;
  return {m.history_length,
          m.dim,
          m.heads,
          m.kv_heads,
          m.layers,
          m.ffn_factor,
          config.run.dtype,
          config.run.dtype,
          config.run.threads,
          to_string(m.mask),
          config.run.trim};
}

Problem::Problem(const Config& config, std::int64_t candidates)
    : config_(config),
      shape_(model_shape(config.model)),
      source_(
          seeded_weights(shape_, static_cast<std::uint64_t>(config.run.seed), static_cast<int>(config.run.threads))),
      model_(shape_, source_),
      history_(static_cast<std::size_t>(config.model.history_length * config.model.dim)),
      readout_(static_cast<std::size_t>(config.model.dim)),
      candidates_(candidates * config.model.dim) {
  const auto seed = static_cast<std::uint64_t>(config.run.seed);
  seeded_history(seed, config.model.history_length, shape_.dim, history_);
  seeded_candidates(seed, 0, candidates, shape_.dim, candidates_.span());
  seeded_readout(seed, shape_.dim, readout_);
}

std::unique_ptr<Scheme> Problem::make(const SchemeEntry& entry, std::int64_t max_candidates) const {
  SchemeContext context;
  context.model = &model_;
  context.history = history_;
  context.history_length = config_.model.history_length;
  context.mask = config_.model.mask;
  context.trim = config_.run.trim;
  context.threads = static_cast<int>(config_.run.threads);
  context.max_candidates = max_candidates;
  return entry.make(context);
}

double Problem::score(std::span<const double> output) const {
  double score = 0;
  for (std::size_t i = 0; i < output.size(); ++i) score += output[i] * static_cast<double>(readout_[i]);
  return score;
}

std::vector<std::int64_t> sampled_candidates(std::int64_t n, std::int64_t k) {
  k = std::min(n, k);
  std::vector<std::int64_t> sample;
  for (std::int64_t i = 0; i < k; ++i) sample.push_back(k == 1 ? n - 1 : i * (n - 1) / (k - 1));
  return sample;
}

double reference_budget(double seconds, std::int64_t threads) {
  // The plain loops reach about 2 GFLOP/s a thread.
  return seconds * 2e9 * static_cast<double>(threads);
}

}  // namespace kvcast::app
