// summary.csv and samples.csv.
#include "report/csv.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "report/format.h"
#include "report/text.h"

namespace kvcast::report {
namespace {

void append(std::vector<std::string>& cells, const std::vector<Value>& values) {
  for (const auto& value : values) cells.push_back(csv_cell(value));
}

void append(std::vector<std::string>& cells, std::vector<std::string> names) {
  for (auto& name : names) cells.push_back(csv_text(name));
}

}  // namespace

std::string csv_text(const std::string& text) {
  std::string cell = valid_utf8(text);
  std::replace(cell.begin(), cell.end(), '\0', ' ');  // ends the file for many a reader
  if (!cell.empty() && std::string("=+-@\t\r\n").find(cell.front()) != std::string::npos) cell.insert(0, 1, '\'');
  // Quotes keep spaces at the ends from readers that drop them.
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  // And a # at the start from those that take it for a comment.
  const bool padded = !cell.empty() && (blank(cell.front()) || blank(cell.back()) || cell.front() == '#');
  if (!padded && cell.find_first_of("\",\r\n") == std::string::npos) return cell;
  std::string quoted = "\"";
  for (const char c : cell) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string csv_cell(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return csv_text(*text);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return std::to_string(*integer);
  if (const auto* number = std::get_if<double>(&value)) {
    return std::isfinite(*number) ? format_double(*number) : std::string();
  }
  return {};
}

std::string csv_row(const std::vector<std::string>& cells) { return join(cells, ",") + "\r\n"; }

std::string render_summary_csv(const Report& report) {
  std::vector<std::string> head;
  append(head, flat_names(shape_columns()));
  append(head, flat_names(point_columns()));
  append(head, flat_names(scheme_point_columns()));
  append(head, flat_names(summary_columns()));
  std::string text = csv_row(head);
  for (const auto& one : report.cases) {
    for (const auto& point : one.points) {
      for (const auto& scheme : point.schemes) {
        std::vector<std::string> cells;
        append(cells, one.shape ? flat_values(shape_columns(), *one.shape)
                                : std::vector<Value>(flat_names(shape_columns()).size()));
        append(cells, flat_values(point_columns(), point));
        append(cells, flat_values(scheme_point_columns(), scheme));
        append(cells, flat_values(summary_columns(), report));
        text += csv_row(cells);
      }
    }
  }
  return text;
}

std::string render_samples_csv(const Report& report) {
  std::vector<std::string> head;
  append(head, flat_names(shape_columns()));
  append(head, flat_names(sample_columns()));
  std::string text = csv_row(head);
  for (const auto& one : report.cases) {
    for (const auto& sample : one.samples) {
      std::vector<std::string> cells;
      append(cells, one.shape ? flat_values(shape_columns(), *one.shape)
                              : std::vector<Value>(flat_names(shape_columns()).size()));
      append(cells, flat_values(sample_columns(), sample));
      text += csv_row(cells);
    }
  }
  return text;
}

}  // namespace kvcast::report
