// The rows of a log: in memory, or where they are many in a file without a name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/input.h"

namespace kvcast::traffic {

struct LogRow {
  std::int64_t time_ns = 0;
  std::uint64_t user = 0;
  std::int32_t history = 0, candidates = 0;
  std::int64_t line = 0;  ///< of the file that they were read from
};

class LogRows {
 public:
  /// Up to this many stay in memory: 64 MiB.
  static constexpr std::size_t kMaxInMemory = std::size_t{1} << 21;

  explicit LogRows(std::size_t max_in_memory = kMaxInMemory) : max_in_memory_(max_in_memory) {}
  ~LogRows();
  LogRows(const LogRows&) = delete;
  LogRows& operator=(const LogRows&) = delete;

  /// Before close(). Errors: IoError naming the folder of temporary files.
  void append(const LogRow& row);
  /// No more rows. Errors: as append().
  void close();
  /// Behind close(). They may be changed in place, and dropped at either end.
  std::span<LogRow> rows() noexcept { return rows_; }
  std::span<const LogRow> rows() const noexcept { return rows_; }
  void keep(std::size_t first, std::size_t count) noexcept { rows_ = rows_.subspan(first, count); }

 private:
  void flush();

  std::size_t max_in_memory_;
  std::vector<LogRow> held_;
  Descriptor file_;
  std::size_t written_ = 0;
  void* mapped_ = nullptr;
  std::span<LogRow> rows_;
};

}  // namespace kvcast::traffic
