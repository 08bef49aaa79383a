// Bytes of files and of standard input.
#pragma once

#include <cstddef>
#include <string>

namespace kvcast {

/// Stands for standard input in place of a file.
inline constexpr const char* kStandardInput = "-";
inline bool is_standard_input(const std::string& path) { return path == kStandardInput; }
/// The name in messages.
inline std::string input_name(const std::string& path) { return is_standard_input(path) ? "standard input" : path; }

/// An open file. A copy owns the same file independently; the last owner closes it.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  /// Without the file where the process has too many open.
  Descriptor(const Descriptor& other);
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor other) noexcept;
  ~Descriptor();

  bool open() const noexcept { return number_ >= 0; }
  int number() const noexcept { return number_; }

 private:
  int number_ = -1;
};

/// Opened for reading; standard input for "-". On failure not open, with errno.
Descriptor open_input(const std::string& path);

/// A new file without a name in $TMPDIR or /tmp, for reading and writing. On failure not open, with
/// errno.
Descriptor nameless_file();

/// Reads up to `bytes` from the current position, fewer only at the end. -1, and errno, on failure.
std::ptrdiff_t read_some(const Descriptor& file, char* into, std::size_t bytes);

/// All of them. False, and errno, when they cannot be written.
bool write_all(const Descriptor& file, const char* from, std::size_t bytes);

}  // namespace kvcast
