// Traces: delimited text of requests with the columns timestamp_ms, user_id, history_len and n_candidates, in blocks,
// row by row as they stand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/delimited.h"
#include "base/input.h"
#include "kvcast/columns.h"
#include "traffic/timestamps.h"

namespace kvcast::traffic {

/// Largest history_len and n_candidates of a row.
inline constexpr std::int64_t kMaxTokens = 1'000'000'000;
/// Largest line of a trace, in bytes.
inline constexpr std::size_t kMaxLineBytes = 65536;
/// Block size of a single reader.
inline constexpr std::size_t kReadBytes = std::size_t{1} << 18;

enum class TraceColumn { timestamp, user, history, candidates, ignored };

struct TraceFormat;

/// A file that is open for reading at any offset.
class TraceFile {
 public:
  /// Errors: IoError, also for anything but a regular file (its head is read twice).
  explicit TraceFile(const std::string& path) : TraceFile(path, {}) {}
  explicit TraceFile(const TraceFormat& format);
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  /// Fewer bytes only at the end. Errors: IoError.
  std::size_t read(std::uint64_t offset, char* into, std::size_t bytes) const;
  std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  TraceFile(const std::string& path, Descriptor plain);
  std::string path_;
  Descriptor descriptor_;
  std::uint64_t bytes_ = 0;
};

/// The header line, and how to read the rows.
struct TraceFormat {
  std::string file;                  ///< its name in messages
  std::vector<TraceColumn> columns;  ///< of each cell of a row
  Heading heading;
  Notation numbers;
  ColumnNames names;                ///< of its columns, where they have others
  bool timestamps_guessed = false;  ///< their column was guessed from its name
  Descriptor plain;                 ///< open where it is read instead of the file (plain_copy())
  /// Share of the rows that may be bad and are then skipped; nullopt: none.
  std::optional<double> skip_bad_rows;

  std::string name(TraceColumn column) const;  ///< of a column, printable
};
/// needed: columns that the file must have; others are neither read nor checked. columns: their names in this file, by
/// kTraceRoles, where they differ. Without one, timestamps are in timestamp_ms, or else in the one column with the name
/// of a timestamp (timestamps.h). Errors: IoError; ConfigError "<file>:1: ..." naming the missing or repeated column.
TraceFormat read_format(const std::string& file, const std::vector<TraceColumn>& needed,
                        std::optional<double> skip_bad_rows, const ColumnNames& columns = {});

struct TraceRow {
  Stamp stamp;
  std::uint64_t user = 0;  ///< a canonical decimal as such, other text by its hash
  std::int64_t history = 0, candidates = 0;
  std::int64_t line = 0;  ///< of the file, from 1
};

/// Skipped rows.
struct BadRows {
  std::int64_t count = 0, line = 0;  ///< line: of the first
  std::string problem;               ///< of the first
  void add(std::int64_t at_line, const std::string& why, std::int64_t rows = 1);
};
/// Errors: ConfigError when none of the rows is good, or more are bad than the format allows.
void check_bad_rows(const TraceFormat& format, const BadRows& bad, std::int64_t good);

/// Rows one by one. Holds one block of the file.
class TraceReader {
 public:
  /// Starts at the first row. block_bytes: of the buffer, which grows when a line is longer.
  TraceReader(const TraceFormat& format, const TraceFile& file, std::size_t block_bytes);

  /// False at the end, and then row holds nothing. Blank lines, rows of empty cells and lines that begin with # are
  /// passed over. Errors: IoError; ConfigError
  /// "<file>:<line>: ..." for a bad row unless those are skipped.
  bool next(TraceRow& row);
  const BadRows& skipped() const noexcept { return skipped_; }
  std::int64_t comments() const noexcept { return comments_; }  ///< lines that begin with #
  std::size_t buffer_bytes() const noexcept { return buffer_.size(); }

 private:
  enum class Line { whole, too_long, none };
  Line take_line(const char*& begin, const char*& end);
  bool fast(const char* at, const char* end, TraceRow& row) const;
  bool careful(const char* begin, const char* end, TraceRow& row);
  bool bad(const std::string& problem, const std::string& hint);

  const TraceFormat* format_;
  const TraceFile* file_;
  std::vector<char> buffer_;
  std::size_t at_ = 0, filled_ = 0;  // in buffer_
  std::uint64_t buffer_offset_ = 0;  // of buffer_ in the file
  bool file_ended_ = false;
  std::int64_t line_ = 1, comments_ = 0;
  BadRows skipped_;
};

}  // namespace kvcast::traffic
