// CSV of lists of different kinds in one file: a row per number, each with its unit and source.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "report/columns.h"
#include "report/csv.h"

namespace kvcast::report {

/// Source of one number, given its section, its quantity and the source of its row.
using SourceOf =
    std::function<std::string(const std::string& section, const std::string& quantity, const std::string& source)>;
struct QuantityRules {
  bool items = true;    ///< the first column names the row
  std::string source;   ///< of rows that do not tell theirs
  SourceOf own_source;  ///< for those that come from elsewhere than their row; empty: all come from where it does
};

inline std::vector<std::string> quantity_head() {
  return {"section", "row", "item", "quantity", "value", "lo", "hi", "text", "unit", "source"};
}

/// The rows of one list; `unit` and `source` columns of a row are those of its numbers.
template <typename Row>
std::string quantity_rows(const std::string& section, const std::vector<Column<Row>>& columns,
                          const std::vector<Row>& rows, const QuantityRules& rules) {
  std::string text;
  std::int64_t index = 0;
  for (const auto& row : rows) {
    std::string item, unit, source = rules.source;
    for (const auto& column : columns) {
      const Value first = flat_values(column.kind, column.value(row)).front();
      const auto* words = std::get_if<std::string>(&first);
      if (item.empty() && rules.items) item = csv_cell(first);
      if (column.name == "unit" && words != nullptr) unit = *words;
      if (column.name == "source" && words != nullptr && !words->empty()) source = *words;
    }
    for (const auto& column : columns) {
      if (column.name == "unit" || column.name == "source") continue;
      const std::vector<Value> values = flat_values(column.kind, column.value(row));
      const bool words = column.kind == Kind::text || column.kind == Kind::name || column.kind == Kind::texts ||
                         column.kind == Kind::numbers || column.kind == Kind::boolean;
      std::vector<std::string> cells(4);  // value, lo, hi, text
      const std::size_t first = words ? 3 : column.kind == Kind::interval ? 1 : 0;
      for (std::size_t i = 0; i < values.size() && first + i < cells.size(); ++i) {
        cells[first + i] = csv_cell(values[i]);
      }
      std::vector<std::string> line = {csv_text(section), std::to_string(index), item, csv_text(column.name)};
      line.insert(line.end(), cells.begin(), cells.end());
      line.push_back(csv_text(words ? "" : column.unit.empty() ? unit : column.unit));
      line.push_back(csv_text(rules.own_source ? rules.own_source(section, column.name, source) : source));
      text += csv_row(line);
    }
    ++index;
  }
  return text;
}

}  // namespace kvcast::report
