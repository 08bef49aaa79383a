#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include "base/text.h"
#include "kvcast/error.h"
#include "report/read.h"

namespace kvcast::report {
namespace {

// Far above any report; below what reading a device or the wrong file would take.
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
// Far above a round of the largest grid, and a report on one line; below what would fill a machine when it is parsed.
constexpr std::size_t kMaxLineBytes = std::size_t{128} << 20;

}  // namespace

std::string read_file(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) throw IoError(path, "is a directory, not a file");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw IoError(path, std::string("cannot open: ") + std::strerror(errno == 0 ? EIO : errno));
  const std::uintmax_t size =
      std::filesystem::is_regular_file(path, ignored) ? std::filesystem::file_size(path, ignored) : 0;
  if (!ignored && size > kMaxBytes) throw IoError(path, "is larger than 1 GiB");
  std::string text;
  std::size_t line = 0, line_begin = 0;
  std::string block(std::size_t{1} << 20, '\0');
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0) {
    const std::string_view read(block.data(), static_cast<std::size_t>(file.gcount()));
    line += static_cast<std::size_t>(std::count(read.begin(), read.end(), '\n'));
    if (const std::size_t end = read.rfind('\n'); end != std::string_view::npos) line_begin = text.size() + end + 1;
    text += read;
    if (text.size() > kMaxBytes) throw IoError(path, "is larger than 1 GiB");
    if (text.size() - line_begin > kMaxLineBytes) {
      throw ConfigError(printable(path, 200) + ": line " + std::to_string(line + 1), "is longer than 128 MiB",
                        "is this a file of kvcast?");
    }
  }
  if (file.bad()) throw IoError(path, "cannot read");
  return text;
}

}  // namespace kvcast::report
