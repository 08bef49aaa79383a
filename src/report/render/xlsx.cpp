// report.xlsx: the document as a workbook, the raw data beside it, and the cost model as formulas.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kvcast/kvcast.h"
#include "report/columns.h"
#include "report/conclusion.h"
#include "report/csv.h"
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
    std::map<std::string, Value> values;
    for (const Case& one : report.cases) {
      const Value value = one.shape ? column.value(*one.shape) : Value{};
      values.emplace(csv_cell(value), value);
    }
    const std::string name = column.name + (column.unit.empty() ? "" : " [" + column.unit + "]");
    if (values.size() > 1) {
      varying.push_back(&column);
      table.heads.push_back({name});
    } else if (!values.empty() && !values.begin()->first.empty()) {
      same.rows.push_back({cell(name), cell(values.begin()->second)});
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

/// Sections of a document, those of its first view or its details.
std::vector<Section> sections_of(const Document& document, bool details) {
  std::vector<Section> found;
  for (const Section& section : document.sections) {
    if (section.details == details) found.push_back(section);
  }
  return found;
}

void write_answer(Sheet& sheet, std::uint16_t last, const Document& document) {
  Look look;
  look.bold = true;
  look.size = 14;
  if (document.answer_level == Emphasis::bad) look.colour = 0xC00000;
  sheet.across({0, 0}, last, document.answer.empty() ? "kvcast" : document.answer, look);
}

/// The answer over sections; those of the first view stand on the summary of a report without cases.
void write_document(Book& book, Sheet& sheet, const Document& document, bool details_only) {
  const auto sections = details_only ? sections_of(document, true) : document.sections;
  const std::uint16_t last = widen_for(sheet, sections);
  write_answer(sheet, last, document);
  write_sections(book, sheet, 2, last, sections);
}

void write_summary(Book& book, Sheet& sheet, const Report& report) {
  const Document document = report_document(report);
  std::vector<Section> sections(1);
  auto& blocks = sections.front().blocks;
  if (report.machine) blocks.push_back(Text{"machine", {machine_text(*report.machine)}});
  if (report.conditions) blocks.push_back(Text{"conditions", {conditions_text(*report.conditions)}});
  for (const Section& section : document.sections) {
    for (const Block& block : section.blocks) {
      if (const auto* notice = std::get_if<Notice>(&block); notice != nullptr && !report.cases.empty()) {
        blocks.push_back(*notice);
      }
    }
  }
  if (report.cases.empty()) {
    for (Section& section : sections_of(document, false)) sections.push_back(std::move(section));
  } else {
    auto [table, same] = results(report);
    blocks.push_back(std::move(table));
    blocks.push_back(std::move(same));
    const Case* main = main_case(report);
    const Case& one = main != nullptr ? *main : report.cases.front();
    const std::string shape =
        one.shape ? ", L=" + integer(one.shape->history_length) + ", layers=" + integer(one.shape->layers) : "";
    blocks.push_back(chart_of(one, "Speed-up over naive" + shape, "speed-up", [](const SchemePoint& scheme) {
      return scheme.speedup ? std::optional(scheme.speedup->value) : std::nullopt;
    }));
    blocks.push_back(chart_of(one, "Candidates per second" + shape, "candidates/s",
                              [](const SchemePoint& scheme) { return scheme.candidates_per_s; }));
  }
  const std::uint16_t last = widen_for(sheet, sections);
  write_answer(sheet, last, document);
  write_sections(book, sheet, 2, last, sections, !report.cases.empty());
}

// ---- raw data: the columns of the CSV files

/// The values of a row, the heads where there is none; nothing where a row lacks this part of it.
template <typename Row>
void cells(Sheet& sheet, At& at, const std::vector<Column<Row>>& columns, const Row* row) {
  for (const auto& column : columns) {
    const auto names = flat_names(column.name, column.kind);
    const auto values = row != nullptr ? flat_values(column.kind, column.value(*row)) : std::vector<Value>();
    for (std::size_t i = 0; i < names.size(); ++i, ++at.column) {
      if (at.row == 0) sheet.head(at, names[i], names[i].ends_with("_samples") ? "" : column.unit);
      if (!values.empty()) sheet.value(at, values[i], column.unit);
    }
  }
}

const CaseShape* shape_of(const Case& one) { return one.shape ? &*one.shape : nullptr; }

/// Up to the row and before the column; prints the first page.
void finish_data(Sheet& sheet, At end) {
  const auto last = static_cast<std::uint16_t>(end.column - 1);
  const std::uint32_t row = std::min(end.row, kMaxRows - 1);
  sheet.table(0, row, last);
  sheet.print({std::min(row, kPrintedRows), last});
}

void write_points(Sheet& sheet, const Report& report) {
  At at;
  const auto line = [&](const CaseShape* shape, const Point* point, const SchemePoint* scheme, const Report* of) {
    at.column = 0;
    cells(sheet, at, shape_columns(), shape);
    cells(sheet, at, point_columns(), point);
    cells(sheet, at, scheme_point_columns(), scheme);
    cells(sheet, at, summary_columns(), of);
  };
  line(nullptr, nullptr, nullptr, nullptr);
  each_row(report, [&](const Case& one, const Point& point, const SchemePoint& scheme) {
    if (++at.row < kMaxRows) line(shape_of(one), &point, &scheme, &report);
  });
  finish_data(sheet, at);
}

std::int64_t sample_count(const Report& report) {
  std::int64_t count = 0;
  for (const Case& one : report.cases) count += static_cast<std::int64_t>(one.samples.size());
  return count;
}

void write_samples(Sheet& sheet, const Report& report) {
  At at;
  const auto line = [&](const CaseShape* shape, const Sample* sample) {
    at.column = 0;
    cells(sheet, at, shape_columns(), shape);
    cells(sheet, at, sample_columns(), sample);
  };
  line(nullptr, nullptr);
  const std::int64_t left_out = sample_count(report) - (kMaxRows - 1);
  // Beside the table: a row below would be sorted and filtered with it.
  if (left_out > 0) {
    sheet.value({0, static_cast<std::uint16_t>(at.column + 1)},
                integer(left_out) + " samples are left out; all are in samples.csv");
  }
  for (const Case& one : report.cases) {
    for (const Sample& sample : one.samples) {
      if (++at.row < kMaxRows) line(shape_of(one), &sample);
    }
  }
  finish_data(sheet, at);
}

// ---- config

Value value_of(const nlohmann::json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX) return json.dump();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  return json.is_null() ? Value{} : json.dump();
}

/// Parts of report.json, a path and a value per row.
void write_config(Sheet& sheet, const Report& report) {
  sheet.head({0, 0}, "path");
  sheet.head({0, 1}, "value");
  Report parts;
  parts.tool = report.tool;
  parts.machine = report.machine;
  parts.conditions = report.conditions;
  parts.config = report.config;
  const auto json = nlohmann::json::parse(render_json(parts));
  std::uint32_t row = 0;
  for (const char* const part : {"tool", "machine", "conditions", "config"}) {
    const auto flat = json.value(part, nlohmann::json()).flatten();
    for (const auto& [path, value] : flat.items()) {
      sheet.value({++row, 0}, part + path);
      sheet.value({row, 1}, value_of(value));
    }
  }
  sheet.table(0, row, 1);
  sheet.print({row, 1});
}

}  // namespace

std::string render_xlsx(const Report& report) {
  Book book(sample_count(report) > kManySamples);
  // Without cases (traffic, a sizing from r alone) the sheets of runs would be heads over nothing.
  const bool cases = !report.cases.empty();
  const auto sheet = [&](const char* name, bool wanted, const auto& write) {
    if (!wanted) return;
    Sheet added = book.add(name);
    write(added);
    added.lay_out();
  };
  sheet("summary", true, [&](Sheet& to) { write_summary(book, to, report); });
  sheet("sizing", report.sizing.has_value(),
        [&](Sheet& to) { write_document(book, to, sizing_document(report), !cases); });
  sheet("traffic", report.traffic.has_value(),
        [&](Sheet& to) { write_document(book, to, traffic_document(report), !cases); });
  sheet("model", has_live_model(report), [&](Sheet& to) { write_live_model(book, to, report); });
  sheet("details", cases, [&](Sheet& to) { write_document(book, to, run_document(report), false); });
  sheet("config", true, [&](Sheet& to) { write_config(to, report); });
  sheet("points", cases, [&](Sheet& to) { write_points(to, report); });
  sheet("samples", cases, [&](Sheet& to) { write_samples(to, report); });
  return book.bytes();
}

}  // namespace kvcast::report
