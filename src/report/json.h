// JSON of rows by their columns, for every file of ours that holds JSON: written by to_json, read back by from_json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "report/columns.h"

namespace kvcast::report {

using Json = nlohmann::ordered_json;

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

/// One JSON text. Errors: ConfigError "where: line 3, column 5: ..." (no line when the text is one line) on bad syntax,
/// a repeated key, a NUL byte, nesting beyond 64 levels, or more than 20 million keys and values.
Json parse_json(const std::string& text, const std::string& where);

/// A value and where it stands. What it refuses is a ConfigError "where: /pointer: problem; what is allowed".
class JsonPlace {
 public:
  JsonPlace(const Json& value, std::string where, std::string pointer = "")
      : value_(&value), where_(std::move(where)), pointer_(std::move(pointer)) {}

  const Json& value() const { return *value_; }
  std::string path() const { return pointer_.empty() ? where_ : where_ + ": " + pointer_; }
  [[noreturn]] void fail(const std::string& problem, const std::string& allowed) const;

  /// Refuses anything but an object.
  const JsonPlace& object() const;
  /// A member of an object, JSON null when it is missing.
  JsonPlace at(const std::string& key) const;
  /// The members of an object; none when it is null.
  std::vector<std::pair<std::string, JsonPlace>> members() const;
  /// The items of a list; none when it is null.
  std::vector<JsonPlace> items() const;
  std::int64_t integer() const;
  std::string text() const;
  /// A value of this kind; nothing when it is null and may be. Parts of the compound kinds may be null: NaN.
  Value read(Kind kind, bool nullable) const;

 private:
  const Json* value_;
  std::string where_, pointer_;
};

/// The members of an object into `row`, those of derived columns apart. Members without a column are passed over. A
/// member that is missing is unknown, which its column must allow.
template <typename Row>
void from_json(const JsonPlace& place, const std::vector<Column<Row>>& columns, Row& row) {
  place.object();
  for (const auto& column : columns) {
    if (!column.set || column.role == Role::key) continue;
    if (column.role == Role::added && !place.value().contains(column.name)) continue;
    column.set(row, place.at(column.name).read(column.kind, column.nullable));
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
