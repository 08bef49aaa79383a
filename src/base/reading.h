// Progress of reading a long file, such as a log of gigabytes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace kvcast {

/// share: of the file; nullopt where its length is not known.
using OnRead = std::function<void(const std::string& file, std::optional<double> share)>;

/// While it lives, tell_reading() calls `told`, which must outlive it and may be empty. One at a time in a process, on
/// the reading thread.
class ReadingScope {
 public:
  explicit ReadingScope(const OnRead& told);
  ~ReadingScope();
  ReadingScope(const ReadingScope&) = delete;
  ReadingScope& operator=(const ReadingScope&) = delete;
};

/// Call about once per block. all: bytes; 0: unknown.
void tell_reading(const std::string& file, std::uint64_t done, std::uint64_t all);

}  // namespace kvcast
