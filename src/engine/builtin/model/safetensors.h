// Tensors in the safetensors format: writing and reading.
// Source: https://github.com/huggingface/safetensors (format section of the README, validate() of its reader).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/builtin/kernels/element.h"

namespace kvcast {

/// A tensor of a file. Its values are asked for when it is written, so that a large model need not be held twice.
struct StoredTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::function<std::vector<float>()> f32;  ///< one of the two is set
  std::function<std::vector<double>()> f64;
  kernels::Element element = kernels::Element::f32;  ///< how the floats are stored; bf16 rounds to nearest even
};

/// Writes to a temporary name and renames. metadata: string pairs of the header's __metadata__.
/// Little-endian, as the format says. Errors: IoError.
void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, std::string>>& metadata,
                       const std::vector<StoredTensor>& tensors);

/// Types of numbers that are read.
enum class FloatType { f32, f64, bf16, f16 };

/// What a file's header says of a tensor.
struct FileTensor {
  std::string name;
  std::string dtype;                 ///< as the format names it: "F32"
  std::optional<FloatType> numbers;  ///< that dtype where SafetensorsFile::read takes it
  std::vector<std::int64_t> shape;
  std::int64_t elements = 0;
  std::int64_t begin = 0, end = 0;  ///< bytes, from the start of the file's data
};

/// "[192,64]": for messages.
std::string shape_text(const std::vector<std::int64_t>& shape);

/// A file, mapped for reading. The header is checked when it is opened: every tensor lies inside the file, has the size
/// that its type and shape give, and together they cover the data without overlap or hole. Values are not looked at.
/// Const member functions may be called by several threads at once.
class SafetensorsFile {
 public:
  using Tensors = std::map<std::string, FileTensor, std::less<>>;

  /// Errors: IoError when the file cannot be opened or mapped; ConfigError, naming the tensor, for every other fault.
  explicit SafetensorsFile(std::string path);

  const std::string& path() const { return path_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const Tensors& tensors() const { return tensors_; }
  /// nullptr when the file has none of this name.
  const FileTensor* find(std::string_view name) const;

  /// Elements first .. first + values.size() - 1, row-major, of a tensor of this file that has `numbers`. Those of F64
  /// are rounded; beyond the range of fp32 they become inf. Errors: IoError when the file has been cut since it was
  /// opened.
  void read(const FileTensor& tensor, std::int64_t first, std::span<float> values) const;

 private:
  // An object of its own, so that it is unmapped when the rest of the constructor throws.
  class Mapping {
   public:
    explicit Mapping(const std::string& path);
    ~Mapping();
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    const std::byte* data() const { return data_; }  ///< nullptr when the file is empty
    std::int64_t bytes() const { return bytes_; }
    /// Whether the file still reaches as far as when it was mapped.
    bool is_whole() const;

   private:
    int descriptor_ = -1;
    const std::byte* data_ = nullptr;
    std::int64_t bytes_ = 0;
  };

  std::string path_;
  Mapping map_;
  std::int64_t data_begin_ = 0;  ///< byte of the file
  std::map<std::string, std::string> metadata_;
  Tensors tensors_;
};

}  // namespace kvcast
