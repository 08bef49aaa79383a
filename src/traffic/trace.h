// Traces: delimited text of requests with the columns timestamp_ms, user_id, history_len and n_candidates, in blocks.
// A first pass checks every row and keeps an index to seek by, so that no trace is ever in memory as a whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/delimited.h"
#include "base/input.h"
#include "kvcast/columns.h"

namespace kvcast::traffic {

/// Largest history_len and n_candidates of a row.
inline constexpr std::int64_t kMaxTokens = 1'000'000'000;
/// Largest line of a trace, in bytes.
inline constexpr std::size_t kMaxLineBytes = 65536;
/// Block of a reader that is alone.
inline constexpr std::size_t kReadBytes = std::size_t{1} << 18;

enum class TraceColumn { timestamp, user, history, candidates, ignored };

struct TraceFormat;

/// A file that is open for reading at any offset.
class TraceFile {
 public:
  /// Errors: IoError, also for what is no regular file (a trace is read more than once).
  explicit TraceFile(const std::string& path) : TraceFile(path, {}) {}
  explicit TraceFile(const TraceFormat& format);
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  /// Fewer bytes only at the end. Errors: IoError.
  std::size_t read(std::uint64_t offset, char* into, std::size_t bytes) const;
  std::uint64_t bytes() const noexcept { return bytes_; }
  std::int64_t changed_ns() const noexcept { return changed_ns_; }

 private:
  TraceFile(const std::string& path, Descriptor plain);
  std::string path_;
  Descriptor descriptor_;
  std::uint64_t bytes_ = 0;
  std::int64_t changed_ns_ = 0;
};

/// What the header line says, and what a reader is to do with the rows.
struct TraceFormat {
  std::string file;                  ///< as messages call it
  std::vector<TraceColumn> columns;  ///< of each cell of a row
  Heading heading;
  Notation numbers;
  ColumnNames names;  ///< of its columns, where they have others
  Descriptor plain;   ///< open where it is read instead of the file (plain_copy())
  bool skip_bad_rows = false;
  std::uint64_t bytes = 0;      ///< of the file, so that a change between two passes is noticed
  std::int64_t changed_ns = 0;  ///< time of its last change
};
/// needed: columns that the file must have; any other is not read, nor checked. columns: their names in this file, by
/// kTraceRoles, where they have others. Errors: IoError; ConfigError "<file>:1: ..." naming the column that is missing
/// or there twice.
TraceFormat read_format(const std::string& file, const std::vector<TraceColumn>& needed, bool skip_bad_rows,
                        const ColumnNames& columns = {});

struct TraceRow {
  double timestamp_ms = 0;  ///< whatever it counts from; never below the row before
  std::uint64_t user = 0;   ///< a canonical decimal as such, other text by its hash
  std::int64_t history = 0, candidates = 0;
  std::int64_t number = 0;  ///< rows before this one, without the bad ones
  std::int64_t line = 0;    ///< of the file, from 1
};

/// A place between two rows.
struct TraceMark {
  std::uint64_t offset = 0;
  std::int64_t line = 2;
  std::int64_t number = 0;
  double previous_ms = 0;  ///< timestamp of the row before; 0 at the start
};

/// Rows one by one. Holds one block of the file.
class TraceReader {
 public:
  /// Starts at the first row. block_bytes: of the buffer, which grows when a line is longer.
  TraceReader(const TraceFormat& format, const TraceFile& file, std::size_t block_bytes);

  /// False at the end, and then row holds nothing. Blank lines, rows of empty cells and lines that begin with # are
  /// passed over. Errors: IoError; ConfigError
  /// "<file>:<line>: ..." for a bad row unless those are skipped.
  bool next(TraceRow& row);
  void seek(const TraceMark& mark);
  TraceMark mark() const noexcept;
  std::int64_t skipped() const noexcept { return skipped_; }
  std::int64_t comments() const noexcept { return comments_; }  ///< lines that begin with #
  std::size_t buffer_bytes() const noexcept { return buffer_.size(); }

 private:
  enum class Line { whole, too_long, none };
  Line take_line(const char*& begin, const char*& end);
  bool fast(const char* at, const char* end, TraceRow& row) const noexcept;
  bool careful(const char* begin, const char* end, TraceRow& row);
  bool bad(const std::string& problem, const std::string& hint);

  const TraceFormat* format_;
  const TraceFile* file_;
  std::vector<char> buffer_;
  std::size_t at_ = 0, filled_ = 0;  // in buffer_
  std::uint64_t buffer_offset_ = 0;  // of buffer_ in the file
  bool file_ended_ = false;
  std::int64_t line_ = 1, number_ = 0, skipped_ = 0, comments_ = 0;
  double previous_ms_ = 0;
};

/// What a first pass over a trace leaves.
struct Trace {
  TraceFormat format;
  std::vector<TraceMark> marks;  ///< the start, and places some KiB apart; at most 65537
  std::int64_t rows = 0, skipped_rows = 0;
  std::int64_t comment_lines = 0;  ///< with those above the header
  double first_ms = 0, last_ms = 0;
  std::int64_t unrecorded = 0;       ///< rows with 0 candidates
  std::int64_t unrecorded_line = 0;  ///< the first of them

  double span_ms() const noexcept { return last_ms - first_ms; }
  /// Time after which a trace that repeats begins anew: its span and one mean gap.
  double period_ms() const noexcept {
    return rows > 1 ? span_ms() * (static_cast<double>(rows) / static_cast<double>(rows - 1)) : 0;
  }
  /// 0 when all rows have the same time.
  double requests_per_s() const noexcept {
    return period_ms() > 0 ? static_cast<double>(rows) / period_ms() * 1000 : 0;
  }
  /// The last mark before all rows at or after this time since the first row.
  const TraceMark& mark_before(double since_first_ms) const noexcept;
};
/// Reads and checks all rows. Errors: those of the readers; ConfigError when there are none.
Trace index_trace(const TraceFormat& format);

/// Opens what was indexed. Errors: IoError when the file is not the one that was.
void check_unchanged(const TraceFormat& format, const TraceFile& file);

}  // namespace kvcast::traffic
