// How far a file that takes long is read: a log of gigabytes says so while it is.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace kvcast {

/// share: of the file; nullopt where its length is not known.
using OnRead = std::function<void(const std::string& file, std::optional<double> share)>;

/// While it lives, tell_reading() calls `told`, which must outlive it. Empty: nobody is told. One at a time in a
/// process, on the thread that reads.
class ReadingScope {
 public:
  explicit ReadingScope(const OnRead& told);
  ~ReadingScope();
  ReadingScope(const ReadingScope&) = delete;
  ReadingScope& operator=(const ReadingScope&) = delete;
};

/// To be called every block or so. all: bytes; 0: not known.
void tell_reading(const std::string& file, std::uint64_t done, std::uint64_t all);

}  // namespace kvcast
