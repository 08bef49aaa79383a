#include "engine/problem.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/input.h"
#include "base/text.h"

namespace kvcast {

namespace {

// A model may use the first layers of a file only: a shorter reference does.
TensorSource imported_source(const ImportedCase& file, ModelShape shape) {
  shape.layers = std::max(shape.layers, file.layers);
  return file.source(shape);
}

kernels::Element element(const std::string& where, const std::string& name) {
  if (const auto found = kernels::element_of(name)) return *found;
  std::string allowed;
  for (const std::string_view known : kernels::kElementNames)
    allowed += (allowed.empty() ? "" : ", ") + std::string(known);
  throw ConfigError(where, in_quotes(name) + " is unknown", "allowed: " + allowed);
}

// "auto" stands in a config that was not parsed.
kernels::Element kv_element(const Config& config) {
  return element("run.kv_dtype", config.run.kv_dtype == "auto" ? config.run.dtype : config.run.kv_dtype);
}

}  // namespace

ModelShape model_shape(const Config& config) {
  ModelShape shape{config.model.merged()};
  shape.ffn_dim = shape.ffn_factor * shape.dim;
  shape.element = element("run.dtype", config.run.dtype);
  shape.kv_element = kv_element(config);
  return shape;
}

WorkShape work_shape(const Config& config) {
  WorkShape work{config.model.merged()};
  work.trim = config.run.trim;
  work.causal = config.model.mask != Mask::bidirectional;
  work.candidate_sees_history = config.model.mask != Mask::target_first_causal;
  work.bytes = kernels::element_bytes(kv_element(config));
  return work;
}

void require_types(const Report& report, const std::string& path) {
  for (const Case& one : report.cases) {
    if (!one.shape) continue;
    const std::string file = printable(input_name(path), 200);
    element(file + ": dtype", one.shape->dtype);
    element(file + ": kv_dtype", one.shape->kv_dtype);
    if (one.shape->mask.empty() || named<Mask>(one.shape->mask)) continue;
    throw ConfigError(file + ": mask", in_quotes(printable(one.shape->mask, 60)) + " is unknown",
                      "allowed: " + join(names_of<Mask>(), ", "));
  }
}

RankingHeadShape head_shape(const Config& config) {
  return {config.model.width(), config.model.head_width, config.model.head_layers,
          element("run.dtype", config.run.dtype)};
}

SchemeInstance baseline() { return {scheme_list().front().name, &scheme_list().front(), {}}; }

Config cut_config(Config config, const ReferenceShape& cut) {
  config.model.history_length = cut.history_length * config.model.token_merge;
  config.model.layers = cut.layers;
  config.model.query_tokens = cut.query_tokens;
  config.model.candidate_from_layer = cut.candidate_from_layer;
  return config;
}

SchemeSize scheme_size(const Config& config, const SchemeOptions& options, std::int64_t candidates) {
  return {config.model.positions(), candidates, static_cast<int>(config.run.threads), options};
}

std::int64_t fair_count(const Config& config, const SchemeInstance& instance, std::int64_t most) {
  return std::clamp<std::int64_t>(instance.entry->unit(scheme_size(config, instance.options, most)), 1, most);
}

Problem::Problem(const Config& config, std::int64_t candidates)
    : config_(config),
      shape_(model_shape(config)),
      imported_(config.model.import.empty() ? std::nullopt : std::optional(load_import(config.model.import))),
      source_(imported_ ? imported_source(*imported_, shape_)
                        : seeded_weights(shape_, static_cast<std::uint64_t>(config.run.seed),
                                         static_cast<int>(config.run.threads))),
      history_(static_cast<std::size_t>(config.model.history_length * config.model.dim)),
      readout_(static_cast<std::size_t>(shape_.dim)),
      candidates_(candidates * shape_.dim) {
  const auto seed = static_cast<std::uint64_t>(config.run.seed);
  seeded_history(seed, config.model.positions(), shape_.dim, history_);
  seeded_candidates(seed, 0, candidates, shape_.dim, candidates_.span());
  seeded_readout(seed, shape_.dim, readout_);
  if (imported_) take_tokens();
}

Problem::Problem(const Config& config, std::vector<float> history, std::span<const float> candidates)
    : config_(config),
      shape_(model_shape(config)),
      source_(
          seeded_weights(shape_, static_cast<std::uint64_t>(config.run.seed), static_cast<int>(config.run.threads))),
      history_(std::move(history)),
      readout_(static_cast<std::size_t>(shape_.dim)),
      candidates_(static_cast<std::int64_t>(candidates.size())) {
  std::copy(candidates.begin(), candidates.end(), candidates_.data());
  seeded_readout(static_cast<std::uint64_t>(config.run.seed), shape_.dim, readout_);
}

// Real tokens as far as the file has them. A history is taken whole or not at all: half of one is nobody's.
void Problem::take_tokens() {
  const std::optional<TensorSize>& stored = imported_->history_size;
  if (stored && stored->columns != config_.model.dim) {
    throw ConfigError(config_.model.import, "history tokens are " + std::to_string(stored->columns) + " wide",
                      "wanted " + std::to_string(config_.model.dim) + ", the dim of the model");
  }
  if (stored && stored->rows >= config_.model.history_length) {
    history_ = imported_->history(config_.model.history_length);
  } else {
    seeded_parts_.emplace_back("history");
  }
  const std::int64_t wanted = candidates_.size() / shape_.dim;
  const std::int64_t have = imported_->candidates_size ? std::min(imported_->candidates_size->rows, wanted) : 0;
  if (have > 0) imported_->read_candidates(0, candidates_.span().first(static_cast<std::size_t>(have * shape_.dim)));
  if (have < wanted) seeded_parts_.emplace_back("candidates");
  if (imported_->has_readout) {
    readout_ = imported_->readout();
  } else {
    seeded_parts_.emplace_back("readout");
  }
}

double Problem::score(std::span<const double> output) const {
  double score = 0;
  for (std::size_t i = 0; i < output.size(); ++i) score += output[i] * static_cast<double>(readout_[i]);
  return score;
}

}  // namespace kvcast
