// One problem made concrete, whatever engine runs it: shapes, weights as they are asked for, tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "engine/builtin/model/import.h"
#include "engine/builtin/model/ranking_head.h"
#include "engine/builtin/schemes/check.h"
#include "engine/builtin/schemes/scheme.h"
#include "kvcast/config.h"
#include "kvcast/error.h"
#include "kvcast/report.h"

namespace kvcast {

/// Errors: ConfigError for a type of weights or cache that has no such name, here and below.
ModelShape model_shape(const Config& config);
WorkShape work_shape(const Config& config);
/// To be asked where a report has been read, so that the error names the file, `path`.
void require_types(const Report& report, const std::string& path);
/// Of the ranking head behind that model; without a head its width is 0.
RankingHeadShape head_shape(const Config& config);

class Problem {
 public:
  /// Tokens and weights of config.model, and `candidates` candidate tokens. Errors: std::bad_alloc.
  Problem(const Config& config, std::int64_t candidates);

  /// The seeded model of `config` with these tokens. history: [history_length][dim]; candidates: [count][dim].
  Problem(const Config& config, std::vector<float> history, std::span<const float> candidates);

  const Config& config() const { return config_; }
  const ModelShape& shape() const { return shape_; }
  const TensorSource& source() const { return source_; }
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

  /// readout · output.
  double score(std::span<const double> output) const;

 private:
  void take_tokens();

  Config config_;
  ModelShape shape_;
  std::optional<ImportedCase> imported_;
  TensorSource source_;
  std::vector<float> history_, readout_;
  Buffer<float> candidates_;
  std::vector<std::string> seeded_parts_;
};

/// The baseline of the list.
SchemeInstance baseline();
/// `config` with its model cut to what the reference can run.
Config cut_config(Config config, const ReferenceShape& cut);
/// Sizes of a scheme's memory and work for passes of up to `candidates`.
SchemeSize scheme_size(const Config& config, const SchemeOptions& options, std::int64_t candidates);
/// Fewest of up to `most` candidates that run at the speed of many; 1 where few are no slower.
std::int64_t fair_count(const Config& config, const SchemeInstance& instance, std::int64_t most);

}  // namespace kvcast
