#include "base/input.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace kvcast {

Descriptor::Descriptor(const Descriptor& other)
    : number_(other.open() ? ::fcntl(other.number_, F_DUPFD_CLOEXEC, 3) : -1) {}

Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

Descriptor::~Descriptor() {
  if (open()) ::close(number_);
}

Descriptor open_input(const std::string& path) {
  return Descriptor(is_standard_input(path) ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                            : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

Descriptor nameless_file() {
  const char* const wanted = std::getenv("TMPDIR");
  std::string path = std::string(wanted != nullptr && *wanted != '\0' ? wanted : "/tmp") + "/kvcast-XXXXXX";
  Descriptor file(::mkostemp(path.data(), O_CLOEXEC));
  if (file.open()) ::unlink(path.c_str());
  return file;
}

std::ptrdiff_t read_some(const Descriptor& file, char* into, std::size_t bytes) {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t got = ::read(file.number(), into + done, bytes - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return static_cast<std::ptrdiff_t>(done);
}

bool write_all(const Descriptor& file, const char* from, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t put = ::write(file.number(), from, bytes);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    from += put;
    bytes -= static_cast<std::size_t>(put);
  }
  return true;
}

}  // namespace kvcast
