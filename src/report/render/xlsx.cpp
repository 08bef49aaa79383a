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
#include "kvcast/words.h"
#include "report/columns.h"
#include "report/csv.h"
#include "report/format.h"
#include "report/layout.h"
#include "report/render/xlsx_book.h"
#include "report/render/xlsx_model.h"
#include "report/render/xlsx_sections.h"
#include "report/views/cells.h"
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

/// A setting for people.
Cell setting(const Value& value) {
  if (const auto* count = std::get_if<std::int64_t>(&value)) return count_cell(*count);
  if (const auto* flag = std::get_if<bool>(&value)) return text_cell(*flag ? "true" : "false");
  const auto* text = std::get_if<std::string>(&value);
  return text_cell(text != nullptr ? one_line(*text) : "");
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
      same.rows.push_back({text_cell(name), setting(values.begin()->second)});
    }
  }
  for (const Head& head : {number_head("N"), Head{"scheme"}, number_head("time"), number_head("candidates/s"),
                           number_head("speed-up"), number_head("95%"), number_head("improvement"), Head{"status"}}) {
    table.heads.push_back(head);
  }
  const bool usable = no_result(report).empty();
  std::size_t rows = 0;
  each_row(report, [&](const Case& one, const Point& point, const SchemePoint& scheme) {
    if (++rows > kSummaryRows) return;
    auto& row = table.rows.emplace_back();
    for (const auto* column : varying) row.push_back(setting(one.shape ? column->value(*one.shape) : Value{}));
    const auto speedup = usable ? scheme.speedup : std::nullopt;
    const std::string reason = scheme.reason ? ": " + one_line(*scheme.reason) : "";
    for (const Cell& next :
         {count_cell(point.candidates), text_cell(one_line(scheme.scheme)),
          seconds_cell(scheme.seconds ? std::optional(scheme.seconds->median) : std::nullopt),
          number_cell(scheme.candidates_per_s, 4, "1/s"), factor_cell(speedup), interval_cell(speedup),
          share_cell(speedup ? scheme.improvement : std::nullopt, 1), text_cell(to_string(scheme.status) + reason)}) {
      row.push_back(next);
    }
  });
  if (rows > kSummaryRows) {
    table.note = "The first " + integer(kSummaryRows) + " of " + integer(static_cast<std::int64_t>(rows)) +
                 " rows; all are in the sheet points.";
  }
  return {table, same};
}

void write_answer(Sheet& sheet, std::uint16_t last, const Document& document) {
  CellLook look;
  look.bold = true;
  look.size = 14;
  if (document.answer_level == Emphasis::bad) look.colour = 0xC00000;
  sheet.across({0, 0}, last, document.answer.empty() ? "kvcast" : document.answer, look);
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

/// Of a run what was measured where, every line and warning of its first view, and in place of its tables all rows; the
/// first view of anything else.
void write_summary(Book& book, Sheet& sheet, const Report& report) {
  const Document document = report_document(report);
  const bool cases = !report.cases.empty();
  std::vector<Section> sections(1);
  auto& blocks = sections.front().blocks;
  std::vector<Block> charts;
  for (const Section& section : run_document(report).sections) {
    for (const Block& block : section.blocks) {
      const auto* text = std::get_if<Text>(&block);
      if (std::holds_alternative<Chart>(block)) charts.push_back(block);
      const bool line = text != nullptr && (!section.details || text->label == "machine" || text->label == "run");
      if (line || std::holds_alternative<Notice>(block)) blocks.push_back(block);
    }
  }
  if (cases) {
    auto [table, same] = results(report);
    blocks.push_back(std::move(table));
    blocks.push_back(std::move(same));
    blocks.insert(blocks.end(), charts.begin(), charts.end());
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
