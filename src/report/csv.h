// RFC 4180 in the C locale.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/columns.h"

namespace kvcast::report {

/// One text cell: valid UTF-8, quoted where the RFC asks for it. Text that a spreadsheet would run as a formula (it
/// starts with = + - @, a tab or a line end) gets a leading apostrophe.
std::string csv_text(const std::string& text);

/// One scalar cell: numbers so that they read back as the same double, unknown and not finite as an empty cell.
std::string csv_cell(const Value& value);

/// A row with its CRLF.
std::string csv_row(const std::vector<std::string>& cells);

struct CsvRow {
  std::int64_t line = 0;  ///< where it begins, from 1
  std::vector<std::string> cells;
};

/// The rows of a CSV text, lines that are blank left out. Takes a byte order mark, line ends of every system, and
/// spaces or tabs around cells, which are dropped outside quotes. `where` names the text in messages. Errors:
/// ConfigError with line (and cell) on bytes that are no text, on a quote that is not closed, follows text or is
/// followed by it.
std::vector<CsvRow> parse_csv(const std::string& text, const std::string& where);

}  // namespace kvcast::report
