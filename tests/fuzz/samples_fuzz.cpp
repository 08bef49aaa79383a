// CSV of timings: samples.csv and people's own; and CSV as such.
#include <algorithm>
#include <vector>

#include "fuzz/properties.h"
#include "fuzz/target.h"
#include "kvcast/kvcast.h"
#include "report/csv.h"
#include "report/read.h"

namespace kvcast::fuzz {
namespace {

// Cells that a spreadsheet would run are written with an apostrophe; only readers of known columns take it off.
void check_cells(const std::vector<report::CsvRow>& rows) {
  // A byte order mark of its own: the first cell may begin with one.
  std::string written = "\xef\xbb\xbf";
  for (const report::CsvRow& row : rows) {
    std::vector<std::string> cells;
    for (const std::string& cell : row.cells) cells.push_back(report::csv_text(cell));
    // A row of one empty cell is a blank line, unless it is quoted.
    written += row.cells == std::vector<std::string>{""} ? "\"\"\r\n" : report::csv_row(cells);
  }
  const std::vector<report::CsvRow> again = report::parse_csv(written, "what was written");
  require(again.size() == rows.size(), "rows written and read are as many");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool same = std::equal(
        rows[i].cells.begin(), rows[i].cells.end(), again[i].cells.begin(), again[i].cells.end(),
        [](const std::string& before, const std::string& after) { return after == before || after == "'" + before; });
    require(same, "cells written and read are the same, in line " + std::to_string(rows[i].line));
  }
}

}  // namespace

void samples(std::string_view input) {
  const std::string text(input);
  std::vector<report::CsvRow> rows;
  if (!accepted([&] { rows = report::parse_csv(text, "fuzz.csv"); })) return;
  check_cells(rows);
  Report report;
  if (!accepted([&] { report = report::read_csv(text, "fuzz.csv"); })) return;
  const std::string written = render(report, "samples.csv");
  require(render(report::read_csv(written, "what was written"), "samples.csv") == written,
          "samples written and read are the same");
}

}  // namespace kvcast::fuzz
