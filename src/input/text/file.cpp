#include "input/text/file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "base/input.h"
#include "base/text.h"
#include "base/text_decoder.h"
#include "kvcast/error.h"

namespace kvcast {
namespace {

// Far above any report; below what reading a device or the wrong file would take.
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
// Far above a round of the largest grid, and a report on one line; below what would fill a machine when it is parsed.
constexpr std::size_t kMaxSamplesLineBytes = std::size_t{128} << 20;

}  // namespace

std::string read_file(const std::string& path) {
  std::error_code ignored;
  const std::string name = input_name(path);
  if (std::filesystem::is_directory(path, ignored)) throw IoError(path, "is a directory, not a file");
  const Descriptor file = open_input(path);
  if (!file.open()) throw IoError(name, std::string("cannot open: ") + std::strerror(errno));
  if (::isatty(file.number()) != 0) throw ConfigError(name, "is a terminal", "a file or a pipe");
  const std::uintmax_t size =
      std::filesystem::is_regular_file(path, ignored) ? std::filesystem::file_size(path, ignored) : 0;
  if (!ignored && size > kMaxBytes) throw IoError(name, "is larger than 1 GiB");
  std::string text, block(std::size_t{1} << 16, '\0');
  std::size_t line = 0, line_begin = 0, read = 0;
  TextDecoder decoder;
  const auto check = [&](bool good) {
    if (!good) throw ConfigError(printable(name, 200), decoder.problem(), decoder.hint());
    const std::string_view more = std::string_view(text).substr(read);
    line += static_cast<std::size_t>(std::count(more.begin(), more.end(), '\n'));
    if (const std::size_t end = more.rfind('\n'); end != std::string_view::npos) line_begin = read + end + 1;
    read = text.size();
    if (text.size() > kMaxBytes) throw IoError(name, "is larger than 1 GiB");
    if (text.size() - line_begin > kMaxSamplesLineBytes) {
      throw ConfigError(printable(name, 200) + ": line " + std::to_string(line + 1), "is longer than 128 MiB",
                        "is this a file of kvcast?");
    }
  };
  for (;;) {
    const std::ptrdiff_t got = read_some(file, block.data(), block.size());
    if (got < 0) throw IoError(name, std::string("cannot read: ") + std::strerror(errno));
    if (got == 0) break;
    check(decoder.take({block.data(), static_cast<std::size_t>(got)}, text));
  }
  check(decoder.end(text));
  return text;
}

}  // namespace kvcast
