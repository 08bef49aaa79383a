// RFC 4180 in the C locale.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/delimited.h"
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

struct CsvTable {
  Heading heading;
  std::vector<CsvRow> rows;  ///< below it, without rows of empty cells
};

/// A CSV text, as base/delimited.h reads it. heading.comments counts all lines that begin with #. Empty cells at the
/// end of a row, beyond those of the head, are dropped. `where` names the text in messages. Errors: ConfigError with
/// line (and cell) on bytes that are no text, on a quote that is not closed, follows text or is followed by it.
CsvTable parse_csv(const std::string& text, const std::string& where);

}  // namespace kvcast::report
