#include "engine/builtin/model/import.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <charconv>
#include <limits>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "kvcast/error.h"

namespace kvcast {
namespace {

constexpr const char* kHistory = "history";
constexpr const char* kCandidates = "candidates";
constexpr const char* kReadout = "readout";

std::string weight_name(std::int64_t layer, Tensor tensor) {
  return "layers." + std::to_string(layer) + "." + tensor_name(tensor);
}

// The layer of a weight's name; nullopt for every other name.
std::optional<std::int64_t> layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "layers.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  std::int64_t layer = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  // "layers.01" is not what weight_name() writes.
  if (error != std::errc() || std::to_string(layer) != std::string_view(name.data(), end)) return std::nullopt;
  name.remove_prefix(static_cast<std::size_t>(end - name.data()));
  const auto matches = [&](Tensor tensor) { return name.starts_with('.') && name.substr(1) == tensor_name(tensor); };
  if (layer < 0 || std::none_of(kTensors.begin(), kTensors.end(), matches)) return std::nullopt;
  return layer;
}

// Whether a name ends like a weight of a layer and begins like one, but is none: what it holds would be left out of the
// model without a word.
bool looks_like_weight(std::string_view name) {
  return name.starts_with("layer") && std::any_of(kTensors.begin(), kTensors.end(), [&](Tensor tensor) {
           return name.ends_with("." + tensor_name(tensor));
         });
}

std::string of_tensor(const SafetensorsFile& file, const FileTensor& tensor) {
  return file.path() + ": tensor " + in_quotes(tensor.name);
}

std::vector<std::int64_t> dimensions(const TensorSize& size) {
  return size.columns == 0 ? std::vector{size.rows} : std::vector{size.rows, size.columns};
}

void check_float(const SafetensorsFile& file, const FileTensor& tensor) {
  if (!tensor.numbers) {
    throw ConfigError(of_tensor(file, tensor), "dtype " + tensor.dtype + " is not read",
                      "wanted F32, F64, BF16 or F16");
  }
}

const FileTensor& weight(const SafetensorsFile& file, std::int64_t layer, Tensor tensor, std::int64_t layers) {
  const FileTensor* found = file.find(weight_name(layer, tensor));
  if (found == nullptr) {
    throw ConfigError(file.path(), "has no tensor " + in_quotes(weight_name(layer, tensor)),
                      "wanted every weight of the exported case in layers 0 to " + std::to_string(layers - 1));
  }
  check_float(file, *found);
  return *found;
}

void check_size(const SafetensorsFile& file, const FileTensor& tensor, const TensorSize& size,
                const ModelShape& shape) {
  const std::vector<std::int64_t> wanted = dimensions(size);
  if (tensor.shape == wanted) return;
  throw ConfigError(of_tensor(file, tensor),
                    "shape " + shape_text(tensor.shape) + " is not that of a model with dim " +
                        std::to_string(shape.dim) + ", kv_dim " + std::to_string(shape.kv_dim()) + " and ffn_dim " +
                        std::to_string(shape.ffn_dim),
                    "wanted " + shape_text(wanted));
}

// The length of a vector that says how wide the model is.
std::int64_t length_of(const SafetensorsFile& file, Tensor tensor, std::int64_t layers) {
  const FileTensor& found = weight(file, 0, tensor, layers);
  if (found.shape.size() != 1 || found.shape[0] < 1) {
    throw ConfigError(of_tensor(file, found), "shape " + shape_text(found.shape) + " is not that of a vector",
                      "wanted [n] with n at least 1");
  }
  return found.shape[0];
}

// The sizes that `file` implies. Heads of width 1: no tensor's size depends on how the columns are cut into heads.
ModelShape shape_in(const SafetensorsFile& file, std::int64_t layers) {
  ModelShape shape;
  shape.layers = layers;
  shape.dim = shape.heads = length_of(file, Tensor::attn_norm_weight, layers);
  shape.ffn_dim = length_of(file, Tensor::up_bias, layers);
  const std::int64_t key_value = length_of(file, Tensor::qkv_bias, layers) - shape.dim;
  if (key_value < 2 || key_value % 2 != 0) {
    const FileTensor& bias = weight(file, 0, Tensor::qkv_bias, layers);
    throw ConfigError(of_tensor(file, bias),
                      "shape " + shape_text(bias.shape) + " leaves no equal parts for k and v after " +
                          std::to_string(shape.dim) + " of q",
                      "wanted [dim + 2*kv_dim]");
  }
  shape.kv_heads = key_value / 2;
  return shape;
}

std::optional<TensorSize> matrix_size(const SafetensorsFile& file, const char* name, std::int64_t min_rows,
                                      std::optional<std::int64_t> columns) {
  const FileTensor* tensor = file.find(name);
  if (tensor == nullptr) return std::nullopt;
  check_float(file, *tensor);
  const std::vector<std::int64_t>& shape = tensor->shape;
  if (shape.size() != 2 || shape[0] < min_rows || (columns ? shape[1] != *columns : shape[1] < 1)) {
    throw ConfigError(of_tensor(file, *tensor), "shape " + shape_text(shape) + " is not one of tokens",
                      "wanted [n," + (columns ? std::to_string(*columns) : "width") + "] with n at least " +
                          std::to_string(min_rows));
  }
  return TensorSize{shape[0], shape[1]};
}

void read_finite(const SafetensorsFile& file, const FileTensor& tensor, std::int64_t first, std::span<float> values) {
  file.read(tensor, first, values);
  constexpr std::uint32_t kExponent = 0x7F800000;
  const auto not_finite = [](float value) { return (std::bit_cast<std::uint32_t>(value) & kExponent) == kExponent; };
  // No early exit, so that the scan of good weights is vectorised.
  std::uint32_t bad = 0;
  for (const float value : values) bad |= static_cast<std::uint32_t>(not_finite(value));
  if (bad == 0) return;
  const auto found = std::find_if(values.begin(), values.end(), not_finite);
  std::int64_t rest = first + (found - values.begin());
  std::vector<std::int64_t> index(tensor.shape.size());
  for (std::size_t axis = index.size(); axis-- > 0;) {
    index[axis] = rest % tensor.shape[axis];
    rest /= tensor.shape[axis];
  }
  throw ConfigError(of_tensor(file, tensor), "the value at " + shape_text(index) + " is " + format_double(*found),
                    "wanted finite numbers in the range of fp32");
}

std::vector<float> read_first(const SafetensorsFile& file, const char* name, std::int64_t elements) {
  const FileTensor* tensor = file.find(name);
  assert(tensor != nullptr && elements <= tensor->elements);
  std::vector<float> values(static_cast<std::size_t>(elements));
  read_finite(file, *tensor, 0, values);
  return values;
}
std::vector<float> read_all(const SafetensorsFile& file, const char* name) {
  return read_first(file, name, file.find(name)->elements);
}

}  // namespace

TensorSource ImportedCase::source(const ModelShape& shape) const {
  if (shape.layers != layers) {
    throw ConfigError(file->path(), "holds " + std::to_string(layers) + " layers",
                      "wanted " + std::to_string(shape.layers));
  }
  std::vector<std::array<const FileTensor*, kTensors.size()>> weights(static_cast<std::size_t>(layers));
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    for (const Tensor tensor : kTensors) {
      const FileTensor& found = weight(*file, layer, tensor, layers);
      check_size(*file, found, tensor_size(shape, tensor), shape);
      weights[static_cast<std::size_t>(layer)][static_cast<std::size_t>(tensor)] = &found;
    }
  }
  return [&from = *file, weights = std::move(weights)](std::int64_t layer, Tensor tensor, std::span<float> values) {
    const FileTensor& stored = *weights[static_cast<std::size_t>(layer)][static_cast<std::size_t>(tensor)];
    assert(static_cast<std::int64_t>(values.size()) == stored.elements);
    read_finite(from, stored, 0, values);
  };
}

std::vector<float> ImportedCase::history(std::int64_t rows) const {
  return read_first(*file, kHistory, rows * history_size->columns);
}

std::vector<float> ImportedCase::candidates() const { return read_all(*file, kCandidates); }

std::vector<float> ImportedCase::readout() const { return read_all(*file, kReadout); }

void ImportedCase::read_candidates(std::int64_t first, std::span<float> tokens) const {
  assert(candidates_size.has_value());
  read_finite(*file, *file->find(kCandidates), first * dim, tokens);
}

std::vector<float> ImportedCase::stored_outputs(const std::string& name) const {
  const FileTensor& tensor = *file->find(name);
  std::vector<float> values(static_cast<std::size_t>(tensor.elements));
  file->read(tensor, 0, values);
  return values;
}

void ImportedCase::check_values(ModelShape shape, std::int64_t history_rows) const {
  const std::int64_t used = shape.layers;
  shape.layers = layers;
  const TensorSource weights = source(shape);
  std::vector<float> values;
  for (std::int64_t layer = 0; layer < used; ++layer) {
    for (const Tensor tensor : kTensors) {
      values.resize(static_cast<std::size_t>(tensor_size(shape, tensor).elements()));
      weights(layer, tensor, values);
    }
  }
  if (history_size && history_size->rows >= history_rows) history(history_rows);
  if (candidates_size) candidates();
  if (has_readout) readout();
}

ImportedCase load_import(const std::string& path) {
  ImportedCase imported;
  imported.file = std::make_unique<const SafetensorsFile>(path);
  const SafetensorsFile& file = *imported.file;
  if (const auto config = file.metadata().find("kvcast.config"); config != file.metadata().end()) {
    imported.config_json = config->second;
  }

  std::int64_t last_layer = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    if (const auto layer = layer_of(name)) {
      last_layer = std::max(last_layer, std::min(*layer, std::numeric_limits<std::int64_t>::max() - 1));
    } else if (looks_like_weight(name)) {
      throw ConfigError(
          of_tensor(file, tensor), "is no weight of a layer by its name",
          "wanted names such as " + in_quotes(weight_name(0, Tensor::qkv_weight)) + ", layers numbered from 0");
    } else if (name.starts_with("outputs.")) {
      imported.outputs.push_back(name);
    } else if (name != kHistory && name != kCandidates && name != kReadout) {
      imported.extra_tensors.push_back(name);
    }
  }
  const std::int64_t layers = last_layer + 1;
  const ModelShape shape = shape_in(file, layers);
  // A gap ends this loop, however large the last layer's number.
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    for (const Tensor tensor : kTensors) {
      check_size(file, weight(file, layer, tensor, layers), tensor_size(shape, tensor), shape);
    }
  }
  imported.dim = shape.dim;
  imported.layers = layers;
  imported.ffn_dim = shape.ffn_dim;
  imported.kv_dim = shape.kv_dim();

  imported.history_size = matrix_size(file, kHistory, 0, std::nullopt);
  imported.candidates_size = matrix_size(file, kCandidates, 1, shape.dim);
  if (const FileTensor* readout = file.find(kReadout)) {
    check_float(file, *readout);
    check_size(file, *readout, {shape.dim, 0}, shape);
    imported.has_readout = true;
  }
  return imported;
}

}  // namespace kvcast
