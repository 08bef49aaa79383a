// Safetensors files for tests: made byte by byte, and the fault that a reader finds in them.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "catch.h"
#include "kvcast/error.h"

namespace kvcast::testing {

/// A name for a file in a folder of its own; both are gone with the object.
class TemporaryFile {
 public:
  TemporaryFile() {
    std::string name = (std::filesystem::temp_directory_path() / "kvcast-file-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
  }
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  std::string path() const { return folder_ + "/case.safetensors"; }
  std::string folder() const { return folder_; }
  std::string bytes() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& bytes) const {
    std::ofstream file(path(), std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    REQUIRE(file.flush());
  }

 private:
  std::string folder_;
};

/// Values as they lie in memory; little-endian, like the format.
template <typename T>
std::string raw(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}

inline std::string stored(const std::string& header, const std::string& data) {
  return raw({static_cast<std::uint64_t>(header.size())}) + header + data;
}

/// The message of the ConfigError that `action` throws, without the path before it.
template <typename Action>
std::string fault(const std::string& path, Action action) {
  try {
    action();
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    REQUIRE(text.starts_with(path + ": "));
    return text.substr(path.size() + 2);
  }
  return "no fault";
}

}  // namespace kvcast::testing
