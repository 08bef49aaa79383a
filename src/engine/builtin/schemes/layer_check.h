// Judges every layer of a naive pass at the full shape by samples: float64 from the layer's own inputs.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/builtin/model/step_listener.h"
#include "engine/builtin/model/weights.h"
#include "engine/builtin/schemes/literal.h"
#include "kvcast/mask.h"

namespace kvcast {

/// Listens to the first stack of sequences that `naive` runs, and judges the last of them. In every layer:
///  - the inputs: a token that enters is the problem's, bit by bit, and a vector that goes on is the one that came out;
///  - K and V of every position by a random projection, so that no key is left out. Source: Freivalds, "Probabilistic
///    machines can use less running time", 1977;
///  - the outputs of some positions with all that they attend to: the candidate, the first and the last, those at
///    borders of tiles, panels and blocks, and random ones.
/// Errors are in units of what rounding explains (docs/model.md §7).
class LayerCheck final : public StepListener {
 public:
  /// history: [length][dim] in time order; candidates: [count][dim], those that naive is about to run.
  /// rows: outputs to judge in each layer. Errors: std::bad_alloc.
  LayerCheck(const ModelShape& shape, const TensorSource& source, Mask mask, std::span<const float> history,
             std::span<const float> candidates, std::int64_t rows, int threads);

  void layer_begins(std::int64_t layer, std::span<const float> x) noexcept override;
  void layer_ends(std::int64_t layer, std::span<const float> x, const KvCache& cache) noexcept override;

  struct Error {
    double ratio = 0;   ///< error ÷ allowed; NaN is the worst
    std::string where;  ///< "V at position 4,096 of layer 3"
  };
  /// What has been heard. Errors: what went wrong while listening.
  struct Result {
    std::int64_t layers = 0, outputs_judged = 0, keys = 0;  ///< outputs and keys: of all layers
    Error inputs, keys_and_values, key_drift, outputs, drift;
    Error worst;  ///< of them
  };
  Result result() const;

  /// Bytes that the check of a shape takes.
  static double bytes(const ModelShape& shape, std::int64_t history_length);
  /// Rows in each layer that this many FLOPs pay for: at least 2.
  static std::int64_t rows_for(const ModelShape& shape, std::int64_t history_length, double flops);

 private:
  /// Errors that all go one way, however small each is.
  struct Drift {
    double sum = 0, squares = 0, sizes = 0;
    void add(double error_along, double size_squared) {
      sum += error_along;
      squares += error_along * error_along;
      sizes += size_squared;
    }
    double ratio(double rounding) const;
  };
  struct Norm {
    std::vector<float> scale, shift;
  };
  struct Product {
    std::int64_t in = 0;
    std::vector<float> weight, bias;  ///< [out][in], [out]
  };
  void begin(std::int64_t layer, std::span<const float> x);
  void end(std::int64_t layer, std::span<const float> x, const KvCache& cache);
  std::vector<std::int64_t> positions(std::int64_t layer) const;
  std::vector<std::int64_t> sample(std::int64_t layer, std::int64_t kept) const;
  std::vector<float> load(std::int64_t layer, Tensor tensor) const;
  Product product_of(std::int64_t layer, Tensor weight, Tensor bias) const;
  std::vector<double> dense(const Product& product, std::int64_t count, const std::vector<double>& x) const;
  void judge_keys(std::int64_t layer, const Norm& norm, const Product& qkv, const std::vector<std::int64_t>& keys,
                  const std::vector<float>& kv);
  /// kept: indices of the keys whose rows are in `out`.
  void judge_outputs(std::int64_t layer, const Norm& norm, const Product& qkv, const std::vector<std::int64_t>& keys,
                     const std::vector<std::size_t>& kept, const std::vector<float>& kv, std::span<const float> out);

  ModelShape shape_;
  TensorSource source_;
  LiteralSequence sequence_;
  std::span<const float> history_, candidates_;
  std::int64_t rows_;
  int threads_;
  std::vector<float> in_;    ///< of the judged sequence, [active positions][dim]
  std::vector<float> out_;   ///< the same rows behind the layer before, [those that go on][dim]
  std::int64_t judged_ = 0;  ///< which sequence of the stack
  Drift drift_;              ///< of the outputs along what a layer adds
  Result result_;
  std::exception_ptr failure_;
};

}  // namespace kvcast
