// CSV of timings: samples.csv and people's own; and CSV as such.
#include <algorithm>
#include <vector>

#include "fuzz/properties.h"
#include "fuzz/target.h"
#include "input/csv.h"
#include "input/timings.h"
#include "kvcast/kvcast.h"
#include "report/csv.h"

namespace kvcast::fuzz {
namespace {

// Cells that a spreadsheet would run are written with an apostrophe; only readers of known columns take it off.
std::string written(const std::vector<std::string>& row) {
  std::vector<std::string> cells;
  for (const std::string& cell : row) cells.push_back(report::csv_text(cell));
  return report::csv_row(cells);
}

bool same(const std::vector<std::string>& before, const std::vector<std::string>& after) {
  return std::equal(before.begin(), before.end(), after.begin(), after.end(),
                    [](const std::string& a, const std::string& b) { return b == a || b == "'" + a; });
}

void check_cells(const input::CsvTable& table) {
  if (table.heading.names.empty()) return;
  // Whatever the names hold: they are separated by commas.
  std::string text = "sep=,\r\n" + written(table.heading.names);
  for (const input::CsvRow& row : table.rows) text += written(row.cells);
  const input::CsvTable again = input::parse_csv(text, "what was written");
  require(same(table.heading.names, again.heading.names), "names written and read are the same");
  require(again.rows.size() == table.rows.size(), "rows written and read are as many");
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    require(same(table.rows[i].cells, again.rows[i].cells),
            "cells written and read are the same, in line " + std::to_string(table.rows[i].line));
  }
}

}  // namespace

void samples(std::string_view input) {
  const std::string text(input);
  input::CsvTable table;
  if (!accepted([&] { table = input::parse_csv(text, "fuzz.csv"); })) return;
  check_cells(table);
  Report report;
  if (!accepted([&] { report = input::read_csv(text, "fuzz.csv"); })) return;
  const std::string written = render(report, "samples.csv");
  require(render(input::read_csv(written, "what was written"), "samples.csv") == written,
          "samples written and read are the same");
}

}  // namespace kvcast::fuzz
