// The formats of a comparison; its JSON is under the contract kvcast.comparison/1.
#include "report/views/comparison.h"

#include <string>
#include <utility>
#include <vector>

#include "kvcast/error.h"
#include "kvcast/kvcast.h"
#include "report/columns.h"
#include "report/csv.h"
#include "report/format.h"
#include "report/json.h"
#include "report/render/markdown.h"
#include "report/render/terminal.h"
#include "report/text.h"

namespace kvcast {
namespace report {
namespace {

std::string render_comparison_json(const Comparison& comparison) {
  Json root;
  root["schema"] = kComparisonSchema;
  root["answer"] = valid_utf8(comparison_answer(comparison));
  root["across"] = comparison.across.empty() ? Json(nullptr) : Json(comparison.across);
  root["threshold"] = to_json(Value(comparison.threshold));
  root["regression"] = comparison.regression;
  root["differences"] = to_json(Value(comparison.differences));
  root["doubts"] = to_json(Value(comparison.doubts));
  Json& points = root["points"] = Json::array();
  for (const ComparedPoint& point : comparison.points) {
    Json item;
    item["shape"] = point.shape ? to_json(shape_columns(), *point.shape) : Json(nullptr);
    item.update(to_json(compared_point_columns(), point));
    points.push_back(std::move(item));
  }
  return root.dump(2) + "\n";
}

std::string render_comparison_csv(const Comparison& comparison) {
  std::vector<std::string> cells = flat_names(shape_columns());
  for (std::string& name : flat_names(compared_point_columns())) cells.push_back(std::move(name));
  std::string text = csv_row(cells);
  for (const ComparedPoint& point : comparison.points) {
    cells.clear();
    const std::vector<Value> shape = point.shape ? flat_values(shape_columns(), *point.shape)
                                                 : std::vector<Value>(flat_names(shape_columns()).size());
    for (const Value& value : shape) cells.push_back(csv_cell(value));
    for (const Value& value : flat_values(compared_point_columns(), point)) cells.push_back(csv_cell(value));
    text += csv_row(cells);
  }
  return text;
}

}  // namespace
}  // namespace report

std::string render(const Comparison& comparison, const std::string& format, bool colour, bool details) {
  using namespace report;
  if (format == "table") return render_terminal(comparison_document(comparison), {colour, details});
  if (format == "md") return render_markdown(comparison_document(comparison), "Comparison");
  if (format == "json") return render_comparison_json(comparison);
  if (format == "csv") return render_comparison_csv(comparison);
  throw ConfigError("--format", "unknown format '" + format + "'", "one of table, json, csv, md");
}

}  // namespace kvcast
