// A problem small enough for float64, and the schemes on it.
#pragma once

#include <memory>
#include <vector>

#include "app/problem.h"
#include "catch.h"
#include "schemes/sharing.h"

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

inline std::vector<float> run_scheme(Scheme& scheme, const app::Problem& problem, std::int64_t count) {
  std::vector<float> outputs(static_cast<std::size_t>(count * problem.shape().dim));
  scheme.prepare(std::vector<std::int64_t>{count});
  scheme.user_pass();
  scheme.candidate_pass(problem.candidates().data(), count, outputs.data());
  return outputs;
}

inline std::vector<float> run_named(const std::string& name, const app::Problem& problem, std::int64_t count) {
  const auto scheme = problem.make(*find_scheme(name), count);
  return run_scheme(*scheme, problem, count);
}

inline std::vector<double> reference_of(const app::Problem& problem, std::int64_t count) {
  return reference_outputs(problem.shape(), problem.source(), problem.history(), problem.config().model.mask,
                           problem.candidates().first(static_cast<std::size_t>(count * problem.shape().dim)), 1);
}

template <typename A, typename B>
double max_difference(const A& a, const B& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = app::worse(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return worst;
}

}  // namespace kvcast::testing
