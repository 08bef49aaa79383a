// CSV of timings: samples.csv read back, and timings of the user's own.
#pragma once

#include <string>

#include "kvcast/columns.h"
#include "kvcast/report.h"

namespace kvcast::input {

/// The text of a CSV of timings: of a samples.csv, a case per shape in the order in which they come; or of a file of
/// your own with the columns candidates, naive_seconds and shared_seconds, or those of `columns`, one case without
/// shape, every row a round. The header decides which. Times may be in other units, named by their columns. Other
/// columns are ignored, with a warning `ignored-columns`; a warning `read-as` lists deviations from RFC 4180. Errors:
/// ConfigError with line, column, value and what is allowed.
Report read_csv(const std::string& text, const std::string& where, const ColumnNames& columns = {});

}  // namespace kvcast::input
