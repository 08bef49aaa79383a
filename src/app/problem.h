// One problem made concrete: weights, tokens, and the schemes on them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/builtin/model/import.h"
#include "engine/builtin/model/model.h"
#include "engine/builtin/model/ranking_head.h"
#include "engine/builtin/model/reference.h"
#include "engine/builtin/schemes/check.h"
#include "engine/builtin/schemes/scheme.h"
#include "kvcast/kvcast.h"

namespace kvcast::app {

/// Errors: ConfigError for a type of weights or cache that has no such name, here and below.
ModelShape model_shape(const Config& config);
WorkShape work_shape(const Config& config);
/// To be asked where a report has been read, so that the error names the file, `path`.
void require_types(const Report& report, const std::string& path);
/// Of the ranking head behind that model; without a head its width is 0.
RankingHeadShape head_shape(const Config& config);

class Problem {
 public:
  /// Weights of config.model and `candidates` candidate tokens. Errors: std::bad_alloc.
  Problem(const Config& config, std::int64_t candidates);

  const Config& config() const { return config_; }
  const ModelShape& shape() const { return shape_; }
  const TensorSource& source() const { return source_; }
  const Model& model() const { return model_; }
  std::span<const float> history() const { return history_; }
  std::span<const float> candidates() const { return candidates_.span(); }
  std::span<const float> readout() const { return readout_; }
  /// What an imported file did not have and was seeded instead: "history", "candidates", "readout"; empty without
  /// import.
  const std::vector<std::string>& seeded_parts() const { return seeded_parts_; }
  /// Null without import.
  const ImportedCase* imported() const { return imported_ ? &*imported_ : nullptr; }
  /// Layers that an imported file has beyond the model's.
  std::int64_t unused_layers() const { return imported_ ? imported_->layers - shape_.layers : 0; }

  /// A scheme made for candidate passes up to `max_candidates`.
  std::unique_ptr<Scheme> make(const SchemeInstance& instance, std::int64_t max_candidates) const;

  /// readout · output.
  double score(std::span<const double> output) const;

 private:
  void take_tokens();

  Config config_;
  ModelShape shape_;
  std::optional<ImportedCase> imported_;
  TensorSource source_;
  Model model_;
  std::vector<float> history_, readout_;
  Buffer<float> candidates_;
  std::vector<std::string> seeded_parts_;
};

/// A scheme made for and prepared with candidate passes of `batch`.
struct NamedScheme {
  SchemeInstance instance;
  Scheme* scheme;
  std::int64_t batch;
};
/// Second name of a scheme in a self-check.
inline constexpr const char* kAgain = "/again";
/// What a run of one case times: the schemes that its config asks for, in a self-check each of them twice.
std::vector<SchemeInstance> measured_instances(const Config& config, const RunOptions& options);
/// The baseline of the list.
SchemeInstance baseline();
/// `config` with its model cut to what the reference can run.
Config cut_config(Config config, const ReferenceShape& cut);
/// Sizes of a scheme's memory and work for passes of up to `candidates`.
SchemeSize scheme_size(const Config& config, const SchemeOptions& options, std::int64_t candidates);

/// Errors of every scheme against float64 and against the first, which must be the baseline. `checked` candidates,
/// spread over a scheme's batch, are compared at the full shape. reference_flops: what the reference may cost.
/// nullopt when stop_requested (polled between schemes) said so.
std::optional<Equivalence> check_equality(const Problem& problem, const std::vector<NamedScheme>& schemes,
                                          std::int64_t checked, double reference_flops,
                                          const std::function<bool()>& stop_requested);

/// Tokens of these candidates, one behind the other: [picked][dim].
std::vector<float> tokens_of(const Problem& problem, std::span<const std::int64_t> picked);

/// Makes each part of `worst` the larger of its own and that of `error`; NaN stays.
void take_worse(ErrorPair& worst, const ErrorPair& error);
/// Errors of one vector; max_rel over the largest |truth|. Shapes: both [n].
ErrorPair vector_error(std::span<const double> values, std::span<const double> truth);

/// Candidates of a batch of n that are sampled when k are: spread evenly, first and last among them.
std::vector<std::int64_t> sampled_candidates(std::int64_t n, std::int64_t k);

/// FLOPs that the float64 reference gets for a check of this many seconds.
double reference_budget(double seconds, std::int64_t threads);

}  // namespace kvcast::app
