// RFC 4180 in the C locale.
#pragma once

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

}  // namespace kvcast::report
