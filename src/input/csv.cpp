#include "input/csv.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/delimited.h"
#include "base/text.h"
#include "kvcast/error.h"

namespace kvcast::input {
namespace {

// A row of ours has some 200 bytes and 30 cells, and a run two million rows at most.
constexpr std::size_t kMaxLineBytes = std::size_t{1} << 20, kMaxCells = 50'000'000;

std::string place(const std::string& where, std::int64_t line) { return where + ": line " + std::to_string(line); }

void require_text(const std::string& text, const std::string& where) {
  if (text.find('\0') == std::string::npos && is_utf8(text)) return;
  std::int64_t line = 1;
  std::string_view rest = text;
  for (std::size_t end = 0; (end = rest.find('\n')) != std::string_view::npos; ++line) {
    const std::string_view this_line = rest.substr(0, end);
    if (this_line.find('\0') != std::string_view::npos || !is_utf8(this_line)) break;
    rest.remove_prefix(end + 1);
  }
  throw ConfigError(place(where, line), "has bytes that are not text", "save the CSV as UTF-8");
}

void require_short_lines(std::string_view text, const std::string& where) {
  std::int64_t line = 1;
  for (std::size_t at = 0; at < text.size(); ++line) {
    const std::size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    if (end - at > kMaxLineBytes) throw ConfigError(place(where, line), "is longer than 1 MiB", "a row is short");
    at = end + (text.substr(end).starts_with("\r\n") ? 2 : 1);
  }
}

}  // namespace

CsvTable parse_csv(const std::string& text, const std::string& where) {
  require_text(text, where);
  require_short_lines(text, where);
  CsvTable table{read_heading(text), {}};
  Heading& heading = table.heading;
  if (!heading.problem.empty()) throw ConfigError(place(where, heading.line), heading.problem, heading.hint);
  if (heading.names.empty()) return table;
  std::size_t cells = 0;
  const std::string_view rows = std::string_view(text).substr(heading.rows_at);
  Records records(rows, heading.separator, heading.rows_line);
  for (Record record; records.next(record);) {
    if (!record.problem.empty()) {
      throw ConfigError(place(where, record.fault_line) + ", cell " + std::to_string(record.cells.size()),
                        record.problem, kQuotesHint);
    }
    if (record.comment) ++heading.comments;
    if (!record.comment && !record.blank()) {
      record.trim_to(heading.names.size());
      table.rows.push_back({record.line, std::move(record.cells)});
      if ((cells += table.rows.back().cells.size()) > kMaxCells) {
        throw ConfigError(where, "more than " + std::to_string(kMaxCells) + " cells", "a part of its rows");
      }
    }
  }
  return table;
}

}  // namespace kvcast::input
