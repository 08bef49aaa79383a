// report.xlsx: the document as a workbook, the raw data beside it, and the cost model as formulas.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kvcast/kvcast.h"
#include "report/columns.h"
#include "report/conclusion.h"
#include "report/format.h"
#include "report/layout.h"
#include "report/render/xlsx_book.h"
#include "report/render/xlsx_model.h"
#include "report/render/xlsx_sections.h"
#include "report/views/run.h"
#include "report/views/sizing.h"
#include "report/views/traffic.h"

namespace kvcast::report {
namespace {

constexpr std::uint32_t kMaxRows = 1048576;   // of a sheet
constexpr std::int64_t kManySamples = 20000;  // beyond, rows are not kept in memory
constexpr std::size_t kSummaryRows = 1000;    // of the summary; all are in the sheet points
constexpr std::uint32_t kPrintedRows = 40;    // of raw data: a page

// ---- summary

void each_row(const Report& report, const std::function<void(const Case&, const Point&, const SchemePoint&)>& visit) {
  for (const Case& one : report.cases) {
    for (const Point& point : one.points) {
      for (const SchemePoint& scheme : point.schemes) visit(one, point, scheme);
    }
  }
}

Cell cell(const Value& value, const std::string& unit = "") {
  const auto* text = std::get_if<std::string>(&value);
  return {text != nullptr ? one_line(*text) : "", value, unit};
}
template <typename T>
Cell cell(const std::optional<T>& value, const std::string& unit = "") {
  return value ? cell(Value{*value}, unit) : Cell{"-"};
}

/// What differs from row to row, and what is the same in all.
std::pair<Table, Table> results(const Report& report) {
  Table table, same{"Same in every row", {{"setting"}, {"value"}}};
  std::vector<const Column<CaseShape>*> varying;
  for (const auto& column : shape_columns()) {
    std::set<Value> values;
    for (const Case& one : report.cases) values.insert(one.shape ? column.value(*one.shape) : Value{});
    const std::string name = column.name + (column.unit.empty() ? "" : " [" + column.unit + "]");
    if (values.size() > 1) {
      varying.push_back(&column);
      table.heads.push_back({name});
    } else if (!values.empty() && !std::holds_alternative<std::monostate>(*values.begin())) {
      same.rows.push_back({cell(name), cell(*values.begin())});
    }
  }
  for (const Head& head : std::vector<Head>{{"N", true},
                                            {"scheme"},
                                            {"time", true},
                                            {"candidates/s", true},
                                            {"speed-up", true},
                                            {"improvement", true},
                                            {"status"}}) {
    table.heads.push_back(head);
  }
  std::size_t rows = 0;
  each_row(report, [&](const Case& one, const Point& point, const SchemePoint& scheme) {
    if (++rows > kSummaryRows) return;
    auto& row = table.rows.emplace_back();
    for (const auto* column : varying) row.push_back(cell(one.shape ? column->value(*one.shape) : Value{}));
    const std::string status = to_string(scheme.status);
    const auto time = scheme.seconds ? std::optional(scheme.seconds->median) : std::nullopt;
    Cell speedup = cell(scheme.speedup, "ratio");
    if (scheme.speedup) speedup.text = "x";
    for (Cell& next : std::vector<Cell>{cell(point.candidates), cell(scheme.scheme), cell(time, "s"),
                                        cell(scheme.candidates_per_s, "1/s"), speedup, cell(scheme.improvement, "0..1"),
                                        cell(scheme.reason ? status + ": " + *scheme.reason : status)}) {
      row.push_back(std::move(next));
    }
  });
  if (rows > kSummaryRows) {
    table.note = "The first " + integer(kSummaryRows) + " of " + integer(static_cast<std::int64_t>(rows)) +
                 " rows; all are in the sheet points.";
  }
  return {table, same};
}

/// A curve per scheme of one case.
Chart chart_of(const Case& one, const std::string& title, const std::string& y,
               const std::function<std::optional<double>(const SchemePoint&)>& value) {
  Chart chart{title, "N, candidates", y};
  std::map<std::string, Chart::Series> series;
  for (const Point& point : one.points) {
    for (const SchemePoint& scheme : point.schemes) {
      const auto known = value(scheme);
      if (known) series[scheme.scheme].points.emplace_back(static_cast<double>(point.candidates), *known);
    }
  }
  for (auto& [name, one_series] : series) {
    one_series.name = name;
    one_series.measured = false;
    chart.series.push_back(one_series);
  }
  return chart;
}
