#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "kvcast/error.h"
#include "report/read.h"

namespace kvcast::report {
namespace {

// Far above any report; below what reading a device or the wrong file would take.
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

}  // namespace

std::string read_file(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) throw IoError(path, "is a directory, not a file");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw IoError(path, std::string("cannot open: ") + std::strerror(errno == 0 ? EIO : errno));
  std::string text;
  std::string block(std::size_t{1} << 20, '\0');
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0) {
    text.append(block, 0, static_cast<std::size_t>(file.gcount()));
    if (text.size() > kMaxBytes) throw IoError(path, "is larger than 1 GiB");
  }
  if (file.bad()) throw IoError(path, "cannot read");
  return text;
}

}  // namespace kvcast::report
