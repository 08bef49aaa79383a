// Bytes of files and of standard input.
#pragma once

#include <cstddef>
#include <string>

namespace kvcast {

/// What stands for standard input where a file is asked for.
inline constexpr const char* kStandardInput = "-";
inline bool is_standard_input(const std::string& path) { return path == kStandardInput; }
/// As messages call it.
inline std::string input_name(const std::string& path) { return is_standard_input(path) ? "standard input" : path; }

/// A file that is open, closed with its last owner: a copy is an owner of its own of the same file.
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

/// Opened for reading; standard input for "-". errno says why it is not open.
Descriptor open_input(const std::string& path);

/// A new file without a name in $TMPDIR or /tmp, for reading and writing. errno says why it is not open.
Descriptor nameless_file();

/// As many bytes as there are up to `bytes`, fewer only at the end; -1, and errno, when they cannot be read. From where
/// the file stands.
std::ptrdiff_t read_some(const Descriptor& file, char* into, std::size_t bytes);

/// All of them. False, and errno, when they cannot be written.
bool write_all(const Descriptor& file, const char* from, std::size_t bytes);

}  // namespace kvcast
