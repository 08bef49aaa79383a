// A model and its inputs from a safetensors file: the exported case of docs/model.md §1, written by anyone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/builtin/model/safetensors.h"
#include "engine/builtin/model/weights.h"

namespace kvcast {

/// What a file's header says of the model in it, and access to the values, which stay in the file until asked for.
/// Every value must be finite in fp32. Const member functions may be called by several threads at once.
struct ImportedCase {
  std::optional<std::string> config_json;                     ///< metadata kvcast.config, as stored: not parsed
  std::int64_t dim = 0, layers = 0, ffn_dim = 0, kv_dim = 0;  ///< from the shapes of the weights, at least 1
  /// [L][d] as stored. With token merge its columns are not `dim`; only the caller knows what they must be.
  std::optional<TensorSize> history_size;
  std::optional<TensorSize> candidates_size;  ///< [N][dim], N at least 1
  bool has_readout = false;                   ///< [dim]
  std::vector<std::string> outputs;           ///< names of the tensors outputs.*, ascending
  std::vector<std::string> extra_tensors;     ///< of those that are no part of an exported case, and so are ignored
  /// Where the values are. Its address stays when the case moves: sources hold on to it.
  std::unique_ptr<const SafetensorsFile> file;

  /// The weights. The source borrows `file` and must not outlive it.
  /// Errors: ConfigError, naming the tensor, the shape found and the one wanted, when the stored weights are not those
  /// of `shape`; the source itself: as read().
  TensorSource source(const ModelShape& shape) const;

  /// All values of a tensor that the file has (a precondition), row-major.
  /// Errors: ConfigError, naming tensor and index, when one is not finite; IoError when the file has been cut
  /// meanwhile.
  std::vector<float> history(std::int64_t rows) const;  ///< the first of them
  std::vector<float> candidates() const;
  std::vector<float> readout() const;
  /// All values of a tensor of `outputs`, as they are: also what is not finite. It must have `numbers`.
  std::vector<float> stored_outputs(const std::string& name) const;
  /// Reads every value that a model of `shape` (layers: at most those of the file) and `history_rows` tokens would
  /// take. Errors: as source() and history().
  void check_values(ModelShape shape, std::int64_t history_rows) const;
  /// Candidates first .. first + tokens.size()/dim - 1, [count][dim]. Errors: as candidates().
  void read_candidates(std::int64_t first, std::span<float> tokens) const;
};

/// Opens a file and reads its header.
/// Errors: IoError when it cannot be opened; ConfigError when it is no safetensors file, or a weight that a layer needs
/// is missing or has another shape or type than the rest of the model implies, or a tensor has a weight's name in a
/// layer that is misspelt ("layers.01.attn.qkv.weight").
ImportedCase load_import(const std::string& path);

}  // namespace kvcast
