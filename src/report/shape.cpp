#include "report/shape.h"

#include <algorithm>
#include <cstddef>

#include "base/text.h"
#include "report/columns.h"
#include "report/csv.h"

namespace kvcast::report {

CaseShape shape_of(const Config& config) {
  const Shape& shape = config.model;
  return {shape,           config.run.dtype,  config.run.kv_dtype, config.run.threads, to_string(config.model.mask),
          config.run.trim, config.run.workers};
}

Config config_of(const CaseShape& shape) {
  Config config;
  static_cast<Shape&>(config.model) = static_cast<const Shape&>(shape);
  config.model.mask = named<Mask>(shape.mask).value_or(config.model.mask);
  config.run.dtype = shape.dtype;
  config.run.kv_dtype = shape.kv_dtype;
  config.run.threads = shape.threads;
  config.run.trim = shape.trim;
  config.run.workers = shape.workers;
  return config;
}

std::string shape_key(const std::optional<CaseShape>& shape) {
  std::string key;
  if (!shape) return key;
  for (const auto& column : shape_columns()) key += csv_cell(column.value(*shape)) + ",";
  return key;
}

namespace {

/// The field that another is what it is because of, where it is; empty: none.
const char* leader_of(const std::string& field, const CaseShape& shape) {
  if (field == "kv_dtype" && shape.kv_dtype == shape.dtype) return "dtype";
  if (field == "kv_heads" && shape.kv_heads == shape.heads) return "heads";
  return "";
}

std::string value_text(const CaseShape& shape, const std::string& field) {
  for (const auto& column : shape_columns()) {
    if (column.name == field) return csv_cell(column.value(shape));
  }
  return "";
}

}  // namespace

std::string shape_key_without(const CaseShape& shape, const std::vector<std::string>& columns) {
  std::string key;
  for (const auto& column : shape_columns()) {
    if (std::find(columns.begin(), columns.end(), column.name) == columns.end()) {
      key += csv_cell(column.value(shape)) + ",";
    }
  }
  return key;
}

std::vector<std::string> shape_fields() {
  std::vector<std::string> names;
  for (const auto& column : shape_columns()) names.push_back(column.name);
  return names;
}

std::string shape_words(const CaseShape& shape, const std::string& field) {
  const std::string value = value_text(shape, field);
  if (field == "dtype" || field == "mask") return value;
  const std::string name = field == "history_length" ? "L" : field == "dim" ? "d" : field;
  return name + "=" + (value.empty() ? "none" : value);
}

std::vector<std::string> shape_differences(const CaseShape& a, const CaseShape& b) {
  std::vector<std::string> fields;
  for (const std::string& field : shape_fields()) {
    if (value_text(a, field) == value_text(b, field)) continue;
    const std::string leader = leader_of(field, a);
    if (leader.empty() || leader != leader_of(field, b)) fields.push_back(field);
  }
  return fields;
}

std::vector<std::string> shape_titles(const std::vector<std::vector<CaseShape>>& lists) {
  std::vector<std::string> titles(lists.size());
  if (std::any_of(lists.begin(), lists.end(), [](const auto& shapes) { return shapes.empty(); })) return titles;
  for (const std::string& field : shape_fields()) {
    // Of each list its values in order of appearance; what is because of another field is no value of its own.
    std::vector<std::vector<std::string>> values, shown;
    for (const std::vector<CaseShape>& shapes : lists) {
      std::vector<std::string>&own = values.emplace_back(), &words = shown.emplace_back();
      for (const CaseShape& shape : shapes) {
        const std::string leader = leader_of(field, shape), value = leader.empty() ? value_text(shape, field) : leader;
        if (std::find(own.begin(), own.end(), value) != own.end()) continue;
        own.push_back(value);
        words.push_back(words.empty() ? shape_words(shape, field) : value_text(shape, field));
      }
    }
    if (std::all_of(values.begin(), values.end(), [&](const auto& own) { return own == values.front(); })) continue;
    for (std::size_t i = 0; i < lists.size(); ++i) {
      titles[i] += (titles[i].empty() ? "" : ", ") + join(shown[i], "/");
    }
  }
  return titles;
}

bool same_shape(const std::optional<CaseShape>& a, const std::optional<CaseShape>& b) {
  return shape_key(a) == shape_key(b);
}

}  // namespace kvcast::report
