// Safetensors files: the header, the values, the model in them and the config that they bring.
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/builtin/model/import.h"
#include "engine/builtin/model/safetensors.h"
#include "fuzz/effective_config.h"
#include "fuzz/memory_file.h"
#include "fuzz/target.h"
#include "kvcast/kvcast.h"

namespace kvcast::fuzz {
namespace {

/// Where one file can be written.
class Folder {
 public:
  Folder() : path_((std::filesystem::temp_directory_path() / "kvcast-fuzz-XXXXXX").string()) {
    require(::mkdtemp(path_.data()) != nullptr, "the harness can make a folder");
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file() const { return path_ + "/case.safetensors"; }

 private:
  std::string path_;
};

// An input is a file as it is, or a header up to a line end and data, whose lengths then fit: a mutation in the middle
// would else be refused for its length alone.
std::string file_of(std::string_view input) {
  if (!input.starts_with('{')) return std::string(input);
  const std::size_t end = std::min(input.find('\n'), input.size());
  std::string bytes(sizeof(std::uint64_t), '\0');
  const std::uint64_t length = end;
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes += input.substr(0, end);
  return end < input.size() ? bytes.append(input.substr(end + 1)) : bytes;
}

std::vector<float> values_of(const SafetensorsFile& file, const FileTensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements));
  file.read(tensor, 0, values);
  return values;
}

void check_written(const SafetensorsFile& file) {
  static const Folder folder;
  std::vector<StoredTensor> tensors;
  for (const auto& [name, tensor] : file.tensors()) {
    if (!tensor.numbers) continue;
    tensors.push_back({name, tensor.shape, [&file, &tensor = tensor] { return values_of(file, tensor); }, {}});
  }
  write_safetensors(folder.file(), {file.metadata().begin(), file.metadata().end()}, tensors);
  const SafetensorsFile again(folder.file());
  require(again.metadata() == file.metadata(), "metadata written and read are the same");
  require(again.tensors().size() == tensors.size(), "tensors written and read are as many");
  for (const StoredTensor& tensor : tensors) {
    const FileTensor* found = again.find(tensor.name);
    require(found != nullptr && found->shape == tensor.shape, "a tensor written and read has its shape");
    const std::vector<float> before = tensor.f32(), after = values_of(again, *found);
    // Bits: NaN is a value too.
    require(before.empty() || std::memcmp(before.data(), after.data(), before.size() * sizeof(float)) == 0,
            "values written and read are the same");
  }
}

void read_model(const std::string& path) {
  const ImportedCase found = load_import(path);
  ModelShape shape;
  shape.layers = found.layers;
  shape.dim = shape.heads = found.dim;
  shape.kv_heads = found.kv_dim;
  shape.ffn_dim = found.ffn_dim;
  const TensorSource source = found.source(shape);
  for (std::int64_t layer = 0; layer < found.layers; ++layer) {
    for (const Tensor tensor : kTensors) {
      const TensorSize size = tensor_size(shape, tensor);
      std::vector<float> values(static_cast<std::size_t>(size.rows * std::max<std::int64_t>(size.columns, 1)));
      source(layer, tensor, values);
    }
  }
  if (found.history_size) found.history(found.history_size->rows);
  if (found.candidates_size) found.candidates();
  if (found.has_readout) found.readout();
}

}  // namespace

void safetensors(std::string_view input) {
  const MemoryFile file(file_of(input));
  std::optional<SafetensorsFile> opened;
  if (!accepted([&] { opened.emplace(file.path()); })) return;
  check_written(*opened);
  accepted([&] { read_model(file.path()); });
  Config config;
  if (accepted([&] { config = parse_config(imported_config(file.path()), file.path(), {}, kHost); })) {
    check_effective(config);
  }
}

}  // namespace kvcast::fuzz
