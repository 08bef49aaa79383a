// THE reader of a whole CSV text; why it is not a library's: ADR 0010.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/delimited.h"

namespace kvcast::input {

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

}  // namespace kvcast::input
