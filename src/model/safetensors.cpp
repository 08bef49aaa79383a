#include "model/safetensors.h"

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "kvcast/error.h"

namespace kvcast {
namespace {

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, std::string>>& metadata,
                       const std::vector<StoredTensor>& tensors) {
  static_assert(std::endian::native == std::endian::little, "the format is little-endian");
  std::string header = "{\"__metadata__\":{";
  for (std::size_t i = 0; i < metadata.size(); ++i) {
    header += (i == 0 ? "" : ",") + json_string(metadata[i].first) + ":" + json_string(metadata[i].second);
  }
  header += "}";
  std::uint64_t offset = 0;
  for (const StoredTensor& tensor : tensors) {
    std::uint64_t elements = 1;
    std::string shape;
    for (const std::int64_t n : tensor.shape) {
      elements *= static_cast<std::uint64_t>(n);
      shape += (shape.empty() ? "" : ",") + std::to_string(n);
    }
    const std::uint64_t end = offset + elements * (tensor.f64 ? sizeof(double) : sizeof(float));
    header += "," + json_string(tensor.name) + ":{\"dtype\":\"" + (tensor.f64 ? "F64" : "F32") + "\",\"shape\":[" +
              shape + "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  header += "}";
  // Data must start at a multiple of 8.
  header.append((8 - header.size() % 8) % 8, ' ');

  const std::string temporary = path + ".tmp";
  const auto fail = [&](const char* what) {
    const std::string reason = std::strerror(errno);
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw IoError(path, std::string(what) + ": " + reason);
  };
  {
    errno = 0;
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    if (!out) fail("cannot be opened for writing");
    const std::uint64_t size = header.size();
    out.write(reinterpret_cast<const char*>(&size), sizeof size);
    out.write(header.data(), static_cast<std::streamsize>(header.size()));
    const auto put = [&out](const auto& values) {
      out.write(reinterpret_cast<const char*>(values.data()),
                static_cast<std::streamsize>(values.size() * sizeof(values[0])));
    };
    for (const StoredTensor& tensor : tensors) {
      if (tensor.f64) {
        put(tensor.f64());
      } else {
        put(tensor.f32());
      }
      if (!out) fail("cannot be written");
    }
    out.flush();
    if (!out) fail("cannot be written");
  }
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  if (error) {
    errno = error.value();
    fail("cannot be renamed into place");
  }
}

}  // namespace kvcast
