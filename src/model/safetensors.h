// Writing tensors in the safetensors format.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace kvcast {

/// A tensor of a file. Its values are asked for when it is written, so that a large model need not be held twice.
struct StoredTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::function<std::vector<float>()> f32;  ///< one of the two is set
  std::function<std::vector<double>()> f64;
};

/// Writes to a temporary name and renames. metadata: string pairs of the header's __metadata__.
/// Little-endian, as the format says. Errors: IoError.
/// Source: https://github.com/huggingface/safetensors (format section of the README).
void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, std::string>>& metadata,
                       const std::vector<StoredTensor>& tensors);

}  // namespace kvcast
