// Traces: in every choice of columns that somebody reads, with and without bad rows.
#include <optional>
#include <string>
#include <vector>

#include "fuzz/memory_file.h"
#include "fuzz/target.h"
#include "traffic/log.h"
#include "traffic/trace.h"

namespace kvcast::fuzz {
namespace {

using namespace traffic;

const std::vector<TraceColumn> kAll = {TraceColumn::timestamp, TraceColumn::user, TraceColumn::history,
                                       TraceColumn::candidates};

std::vector<TraceRow> rows_from(const TraceFormat& format, std::size_t block_bytes) {
  const TraceFile file(format);
  TraceReader reader(format, file, block_bytes);
  std::vector<TraceRow> rows;
  for (TraceRow row; reader.next(row);) rows.push_back(row);
  return rows;
}

template <typename Row>
void require_same(const std::vector<Row>& a, const std::vector<Row>& b, const std::string& property,
                  const auto& same_values) {
  require(std::equal(a.begin(), a.end(), b.begin(), b.end(), same_values), property);
}
bool same_text(const TraceRow& a, const TraceRow& b) {
  return a.stamp.whole == b.stamp.whole && a.stamp.billionths == b.stamp.billionths && a.stamp.date == b.stamp.date &&
         a.user == b.user && a.history == b.history && a.candidates == b.candidates && a.line == b.line;
}
bool same_row(const LogRow& a, const LogRow& b) {
  return a.time_ns == b.time_ns && a.user == b.user && a.history == b.history && a.candidates == b.candidates;
}

void check_rows(const Log& log) {
  std::int64_t previous_ns = 0, line = 1;
  for (const LogRow& row : log.rows()) {
    require(row.time_ns >= previous_ns, "rows are in order of time");
    require(row.time_ns > previous_ns || row.line > line || line == 1, "and of the file where their times are equal");
    for (const std::int64_t tokens : {row.history, row.candidates}) {
      require(tokens >= 0 && tokens <= kMaxTokens, "lengths are within their limits");
    }
    previous_ns = row.time_ns;
    line = row.line;
  }
}

/// As a program would write them, or with quotes, which the slow path alone reads.
std::string written(const std::vector<LogRow>& rows, const std::string& quote) {
  std::string text = "timestamp_ns,user_id,history_len,n_candidates\n";
  for (const LogRow& row : rows) {
    text += quote + std::to_string(row.time_ns) + quote + "," + quote + std::to_string(row.user) + quote + "," + quote +
            std::to_string(row.history) + quote + "," + quote + std::to_string(row.candidates) + quote + "\n";
  }
  return text;
}

std::optional<std::vector<LogRow>> read(const std::string& path, const std::vector<TraceColumn>& columns, bool skip,
                                        std::optional<StampUnit> unit = std::nullopt) {
  std::optional<Log> log;
  LogOptions options;
  options.unit = unit;
  const std::optional<double> most = skip ? std::optional(1.0) : std::nullopt;
  if (!accepted([&] { log = read_log(read_format(path, columns, most), options); })) return std::nullopt;
  const TraceFormat format = read_format(path, columns, most);
  require_same(rows_from(format, 64), rows_from(format, 4096), "small blocks give the rows of large ones", same_text);
  check_rows(*log);
  for (const Spread spread : {Spread::random, Spread::even}) {
    options.spread = spread;
    std::optional<Log> apart;
    if (accepted([&] { apart = read_log(format, options); })) check_rows(*apart);
    require(!apart || apart->size() == log->size(), "spreading leaves all rows");
  }
  return std::vector<LogRow>(log->rows().begin(), log->rows().end());
}

/// Whether there was something to read.
bool check(const std::string& path, const std::vector<TraceColumn>& columns) {
  const auto strict = read(path, columns, false), lenient = read(path, columns, true);
  if (strict) {
    require(lenient.has_value(), "a good trace is one too where bad rows are passed over");
    require_same(*lenient, *strict, "a good trace has no bad rows", same_row);
  }
  if (!lenient || columns != kAll) return lenient.has_value();
  for (const char* quote : {"", "\""}) {
    const MemoryFile copy(written(*lenient, quote));
    const auto again = read(copy.path(), kAll, false, StampUnit::ns);
    require(again.has_value(), "rows written are good rows");
    require_same(*again, *lenient, "rows written and read are the same", same_row);
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
