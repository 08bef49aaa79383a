// JSON of rows by their columns, for every file of ours that holds JSON: written by to_json, read back by from_json.
#pragma once

#include <string>
#include <vector>

#include "input/text/json.h"
#include "report/columns.h"

namespace kvcast::report {

Json to_json(const Value& value);

/// Row as an object. baseline: without the columns that have no meaning for it.
template <typename Row>
Json to_json(const std::vector<Column<Row>>& columns, const Row& row, bool baseline = false) {
  Json result = Json::object();
  for (const auto& column : columns) {
    if (column.role == Role::key || (baseline && column.role == Role::sharing_only)) continue;
    result[column.name] = to_json(column.value(row));
  }
  return result;
}
template <typename Row>
Json to_json(const std::vector<Column<Row>>& columns, const std::vector<Row>& rows) {
  Json result = Json::array();
  for (const auto& row : rows) result.push_back(to_json(columns, row));
  return result;
}

/// With its dependencies, name to version.
Json tool_json(const ToolInfo& tool);

/// A value of this kind; nothing when it is null and may be. Parts of the compound kinds may be null: NaN.
/// Errors: as JsonPlace.
Value read_value(const JsonPlace& place, Kind kind, bool nullable, const std::vector<std::string>& names = {});

/// The members of an object into `row`, those of derived columns apart. Members without a column are passed over. A
/// member that is missing is unknown, which its column must allow.
template <typename Row>
void from_json(const JsonPlace& place, const std::vector<Column<Row>>& columns, Row& row) {
  place.object();
  for (const auto& column : columns) {
    if (!column.set || column.role == Role::key) continue;
    if (column.role == Role::added && !place.value().contains(column.name)) continue;
    column.set(row, read_value(place.at(column.name), column.kind, column.nullable, column.names));
  }
}
template <typename Row>
std::vector<Row> rows_from_json(const JsonPlace& place, const std::vector<Column<Row>>& columns) {
  std::vector<Row> rows;
  for (const auto& item : place.items()) from_json(item, columns, rows.emplace_back());
  return rows;
}

ToolInfo tool_from_json(const JsonPlace& place);

/// An effective config. Fields that this version does not know are passed over. Nothing of this machine enters it.
Config config_from_json(const JsonPlace& place);

}  // namespace kvcast::report
