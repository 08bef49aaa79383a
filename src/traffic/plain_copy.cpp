#include "traffic/plain_copy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/reading.h"
#include "base/text_decoder.h"
#include "kvcast/error.h"

namespace kvcast::traffic {

Descriptor plain_copy(const std::string& path) {
  const Descriptor file = open_input(path);
  struct stat status = {};
  // What cannot be read is said by who opens it without a copy.
  if (!file.open() || ::fstat(file.number(), &status) != 0) return {};
  const bool regular = S_ISREG(status.st_mode), standard_input = is_standard_input(path);
  if (!regular && !standard_input) return {};
  if (::isatty(file.number()) != 0) {
    throw ConfigError(input_name(path), "is a terminal", "a file or a pipe, as in zcat log.csv.gz | kvcast ...");
  }
  std::string block(std::size_t{1} << 16, '\0'), text;
  if (regular) {
    const ssize_t got = ::pread(file.number(), block.data(), 16, 0);
    if (got < 0) return {};
    if (!is_encoded({block.data(), static_cast<std::size_t>(got)})) return standard_input ? file : Descriptor();
  }
  Descriptor copy = nameless_file();
  const auto fail = [&](const std::string& problem) {
    return IoError(input_name(path), problem + std::strerror(errno));
  };
  if (!copy.open()) throw fail("cannot be copied to $TMPDIR or /tmp: ");
  TextDecoder decoder;
  const auto put = [&](bool good) {
    if (!good) throw ConfigError(input_name(path), decoder.problem(), decoder.hint());
    if (!write_all(copy, text.data(), text.size())) throw fail("cannot be copied to $TMPDIR or /tmp: ");
    text.clear();
  };
  std::uint64_t done = 0;
  for (;;) {
    const std::ptrdiff_t got = read_some(file, block.data(), block.size());
    if (got < 0) throw fail("cannot be read: ");
    if (got == 0) break;
    put(decoder.take({block.data(), static_cast<std::size_t>(got)}, text));
    done += static_cast<std::uint64_t>(got);
    tell_reading(input_name(path), done, regular ? static_cast<std::uint64_t>(status.st_size) : 0);
  }
  put(decoder.end(text));
  if (standard_input && ::dup2(copy.number(), STDIN_FILENO) < 0) throw fail("cannot be kept: ");
  return copy;
}

}  // namespace kvcast::traffic
