// Traces: in every choice of columns that somebody reads, with and without bad rows.
#include <optional>
#include <string>
#include <vector>

#include "fuzz/memory_file.h"
#include "fuzz/target.h"
#include "traffic/trace.h"

namespace kvcast::fuzz {
namespace {

using namespace traffic;

const std::vector<TraceColumn> kAll = {TraceColumn::timestamp, TraceColumn::user, TraceColumn::history,
                                       TraceColumn::candidates};

std::vector<TraceRow> rows_from(const TraceFormat& format, std::size_t block_bytes, const TraceMark* mark = nullptr) {
  const TraceFile file(format);
  TraceReader reader(format, file, block_bytes);
  if (mark != nullptr) reader.seek(*mark);
  std::vector<TraceRow> rows;
  for (TraceRow row; reader.next(row);) rows.push_back(row);
  return rows;
}

bool same_values(const TraceRow& a, const TraceRow& b) {
  return a.timestamp_ms == b.timestamp_ms && a.user == b.user && a.history == b.history &&
         a.candidates == b.candidates && a.number == b.number;
}

void require_same(const std::vector<TraceRow>& a, const std::vector<TraceRow>& b, const std::string& property) {
  require(std::equal(a.begin(), a.end(), b.begin(), b.end(), same_values), property);
}

void check_rows(const Trace& trace, const std::vector<TraceRow>& rows) {
  require(static_cast<std::int64_t>(rows.size()) == trace.rows, "the index counts the rows");
  double previous_ms = 0;
  std::int64_t line = 1;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const TraceRow& row = rows[i];
    require(row.number == static_cast<std::int64_t>(i) && row.line > line, "rows are counted");
    require(row.timestamp_ms >= previous_ms && row.timestamp_ms <= 0x1p53, "rows are in order of time");
    for (const std::int64_t tokens : {row.history, row.candidates}) {
      require(tokens >= 0 && tokens <= kMaxTokens, "lengths are within their limits");
    }
    previous_ms = row.timestamp_ms;
    line = row.line;
  }
  require(trace.first_ms == rows.front().timestamp_ms && trace.last_ms == previous_ms, "the index knows the span");
  require_same(rows_from(trace.format, 64), rows, "small blocks give the rows of large ones");
  for (const TraceMark& mark : trace.marks) {
    require_same(rows_from(trace.format, 64, &mark), {rows.begin() + mark.number, rows.end()},
                 "a mark leads to the rows behind it");
  }
}

/// As a program would write them, or with quotes, which the slow path alone reads.
std::string written(const std::vector<TraceRow>& rows, const std::string& quote) {
  std::string text = "timestamp_ms,user_id,history_len,n_candidates\n";
  for (const TraceRow& row : rows) {
    text += quote + format_double(row.timestamp_ms) + quote + "," + quote + std::to_string(row.user) + quote + "," +
            quote + std::to_string(row.history) + quote + "," + quote + std::to_string(row.candidates) + quote + "\n";
  }
  return text;
}

std::optional<std::vector<TraceRow>> read(const std::string& path, const std::vector<TraceColumn>& columns, bool skip) {
  Trace trace;
  if (!accepted([&] { trace = index_trace(read_format(path, columns, skip)); })) return std::nullopt;
  const std::vector<TraceRow> rows = rows_from(trace.format, 4096);
  check_rows(trace, rows);
  return rows;
}

/// Whether there was something to read.
bool check(const std::string& path, const std::vector<TraceColumn>& columns) {
  const auto strict = read(path, columns, false), lenient = read(path, columns, true);
  if (strict) {
    require(lenient.has_value(), "a good trace is one too where bad rows are passed over");
    require_same(*lenient, *strict, "a good trace has no bad rows");
  }
  if (!lenient || columns != kAll) return lenient.has_value();
  for (const char* quote : {"", "\""}) {
    const MemoryFile copy(written(*lenient, quote));
    const auto again = read(copy.path(), kAll, false);
    require(again.has_value(), "rows written are good rows");
    require_same(*again, *lenient, "rows written and read are the same");
  }
  return true;
}

}  // namespace

void trace(std::string_view input) {
  const MemoryFile file(input);
  if (check(file.path(), kAll)) return;
  for (const TraceColumn column : kAll) check(file.path(), {column});
}

}  // namespace kvcast::fuzz
