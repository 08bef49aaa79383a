// report.xlsx: the document as a workbook, the raw data beside it, and the cost model as formulas.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvcast/kvcast.h"
#include "report/columns.h"
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
constexpr std::uint32_t kPrintedRows = 40;    // of raw data: a page

// ---- documents

void write_answer(Sheet& sheet, std::uint16_t last, const Document& document) {
  CellLook look;
  look.bold = true;
  look.size = 14;
  if (document.answer_level == Emphasis::bad) look.colour = 0xC00000;
  sheet.across({0, 0}, last, document.answer.empty() ? "kvcast" : document.answer, look);
  worksheet_freeze_panes(sheet.raw(), 1, 0);
}

/// The answer over what is not on the summary.
void write_document(Book& book, Sheet& sheet, const Document& document, bool details_only) {
  std::vector<Section> sections;
  for (const Section& section : document.sections) {
    if (section.details || !details_only) sections.push_back(section);
  }
  const std::uint16_t last = widen_for(sheet, sections);
  write_answer(sheet, last, document);
  write_sections(book, sheet, last, sections);
}

/// Of a run its lines and warnings, what was measured where, its charts and tables: of one shape that of all timings,
/// in place of the few rows that a first screen has room for. The first view of anything else.
void write_summary(Book& book, Sheet& sheet, const Report& report) {
  const Document document = report_document(report);
  const bool cases = !report.cases.empty();
  bool one = report.cases.size() == 1;
  std::vector<Section> sections(1);
  std::vector<Block> tables, charts;
  const Document run = run_document(report);
  for (const Section& section : run.sections) {
    const bool first = &section == &run.sections.front();
    for (const Block& block : section.blocks) {
      const auto* text = std::get_if<Text>(&block);
      if (std::holds_alternative<Chart>(block)) {
        charts.push_back(block);
      } else if (!std::holds_alternative<Table>(block)) {
        const bool line = text == nullptr || !section.details || text->label == "machine" || text->label == "run";
        if (line) sections.front().blocks.push_back(block);
      } else if (section.details ? std::exchange(one, false) : !one || !first) {
        tables.push_back(block);
      }
    }
  }
  for (auto* blocks : {&tables, &charts}) {
    sections.front().blocks.insert(sections.front().blocks.end(), blocks->begin(), blocks->end());
  }
  for (const Section& section : document.sections) {
    if (!cases && !section.details) sections.push_back(section);
  }
  const std::uint16_t last = widen_for(sheet, sections, cases ? 95 : 130);
  const auto right = static_cast<std::uint16_t>(last + (cases ? kChartColumns : 0));
  write_answer(sheet, right, document);
  write_sections(book, sheet, right, sections, cases ? std::optional(last) : std::nullopt);
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
  sheet.print({std::min(row, kPrintedRows), last}, 1);
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
  for (const Case& one : report.cases) {
    for (const Point& point : one.points) {
      for (const SchemePoint& scheme : point.schemes) {
        if (++at.row < kMaxRows) line(shape_of(one), &point, &scheme, &report);
      }
    }
  }
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
    if (json.at(part).is_null()) continue;
    const auto flat = json.at(part).flatten();
    for (const auto& [path, value] : flat.items()) {
      sheet.value({++row, 0}, part + path);
      sheet.value({row, 1}, value_of(value));
    }
  }
  sheet.table(0, row, 1);
  worksheet_set_portrait(sheet.raw());
  sheet.print({row, 1}, 1);
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
  sheet("details", cases, [&](Sheet& to) { write_document(book, to, run_document(report), true); });
  sheet("config", true, [&](Sheet& to) { write_config(to, report); });
  sheet("points", report.cases.size() > 1, [&](Sheet& to) { write_points(to, report); });
  sheet("samples", cases, [&](Sheet& to) { write_samples(to, report); });
  return book.bytes();
}

}  // namespace kvcast::report
