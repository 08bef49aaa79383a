// The shape of a model, which config, engine, cost model and report share.
#pragma once

#include <cstdint>

namespace kvcast {

/// An option of the model is declared here, once. Defaults: those of a config.
struct Shape {
  std::int64_t history_length = 256;  ///< L, tokens; 0 is allowed
  std::int64_t dim = 256;             ///< d, width of a token
  std::int64_t heads = 4;             ///< H, query heads; divides dim
  std::int64_t kv_heads = 0;          ///< H_kv; divides heads; 0 until resolved means "as heads"
  std::int64_t layers = 4;            ///< M
  std::int64_t ffn_factor = 4;        ///< f; FFN width is f*dim
  /// K: history tokens joined into one position of width K*d (LONGER's token merge); divides L. The transformer is of
  /// width K*d, candidates too.
  std::int64_t token_merge = 1;
  /// k: history positions next to the candidate that go on beyond layer 0, so the others are only keys of layer 0
  /// (LONGER's hybrid attention); 0, or P and more: all of them.
  std::int64_t query_tokens = 0;
  /// E, first layer that the candidate takes part in: layers 0..E-1 run the history alone.
  std::int64_t candidate_from_layer = 0;
  /// Hidden width of a base ranking MLP (d, head_width, ..., 1) that scores every candidate: what a ranker without the
  /// sequence model would be. 0 = none.
  std::int64_t head_width = 0;
  std::int64_t head_layers = 2;  ///< its hidden layers

  bool operator==(const Shape&) const = default;

  /// History positions and width of the transformer, after token merge.
  std::int64_t positions() const { return history_length / token_merge; }
  std::int64_t width() const { return dim * token_merge; }
  /// The shape that runs: of positions, each as wide as the tokens in it.
  Shape merged() const {
    Shape shape = *this;
    shape.history_length = positions();
    shape.dim = width();
    shape.token_merge = 1;
    return shape;
  }
};

}  // namespace kvcast
