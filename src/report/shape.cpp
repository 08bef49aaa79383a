#include "report/shape.h"

#include "report/columns.h"
#include "report/csv.h"

namespace kvcast::report {

Shape shape_of(const Config& config) {
  const ModelConfig& model = config.model;
  Shape shape;
  shape.history_length = model.history_length;
  shape.dim = model.dim;
  shape.heads = model.heads;
  shape.kv_heads = model.kv_heads;
  shape.layers = model.layers;
  shape.ffn_factor = model.ffn_factor;
  shape.token_merge = model.token_merge;
  if (model.query_tokens > 0) shape.query_tokens = model.query_tokens;
  shape.candidate_from_layer = model.candidate_from_layer;
  shape.dtype = config.run.dtype;
  shape.kv_dtype = config.run.kv_dtype;
  shape.threads = config.run.threads;
  shape.mask = to_string(model.mask);
  shape.trim = config.run.trim;
  if (model.head_width > 0) shape.head_width = model.head_width;
  shape.head_layers = model.head_layers;
  return shape;
}

Config config_of(const Shape& shape) {
  Config config;
  ModelConfig& m = config.model;
  m.history_length = shape.history_length;
  m.dim = shape.dim;
  m.heads = shape.heads;
  m.kv_heads = shape.kv_heads;
  m.layers = shape.layers;
  m.ffn_factor = shape.ffn_factor;
  m.token_merge = shape.token_merge;
  m.query_tokens = shape.query_tokens.value_or(0);
  m.candidate_from_layer = shape.candidate_from_layer;
  for (const Mask mask : {Mask::causal, Mask::history_blind, Mask::target_first_causal, Mask::bidirectional}) {
    if (to_string(mask) == shape.mask) m.mask = mask;
  }
  config.run.dtype = shape.dtype;
  config.run.kv_dtype = shape.kv_dtype;
  config.run.threads = shape.threads;
  config.run.trim = shape.trim;
  m.head_width = shape.head_width.value_or(0);
  m.head_layers = shape.head_layers;
  return config;
}

std::string shape_key(const std::optional<Shape>& shape) {
  std::string key;
  if (!shape) return key;
  for (const auto& column : shape_columns()) key += csv_cell(column.value(*shape)) + ",";
  return key;
}

bool same_shape(const std::optional<Shape>& a, const std::optional<Shape>& b) { return shape_key(a) == shape_key(b); }

}  // namespace kvcast::report
