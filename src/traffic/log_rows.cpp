#include "traffic/log_rows.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "kvcast/error.h"

namespace kvcast::traffic {
namespace {

// Of a file of rows: what is written at a time.
constexpr std::size_t kBlockRows = std::size_t{1} << 15;

[[noreturn]] void fail(const char* what) {
  throw IoError("$TMPDIR or /tmp",
                std::string("the rows of a long log cannot be ") + what + " there: " + std::strerror(errno));
}

}  // namespace

LogRows::~LogRows() {
  if (mapped_ != nullptr) ::munmap(mapped_, written_ * sizeof(LogRow));
}

void LogRows::append(const LogRow& row) {
  if (held_.size() == (file_.open() ? kBlockRows : max_in_memory_)) flush();
  held_.push_back(row);
}

void LogRows::flush() {
  const bool first = !file_.open();
  if (first) file_ = nameless_file();
  if (!file_.open() || !write_all(file_, reinterpret_cast<const char*>(held_.data()), held_.size() * sizeof(LogRow))) {
    fail("kept");
  }
  written_ += held_.size();
  if (first) {
    held_ = {};
    held_.reserve(kBlockRows);
  }
  held_.clear();
}

void LogRows::close() {
  if (!file_.open()) {
    rows_ = held_;
    return;
  }
  flush();
  held_ = {};
  void* mapped = ::mmap(nullptr, written_ * sizeof(LogRow), PROT_READ | PROT_WRITE, MAP_SHARED, file_.number(), 0);
  if (mapped == MAP_FAILED) fail("read");
  mapped_ = mapped;
  rows_ = {static_cast<LogRow*>(mapped), written_};
}

}  // namespace kvcast::traffic
