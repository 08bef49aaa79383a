// report.xlsx: the report as a workbook, with the cost model as formulas over cells that people may change.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kvcast/cost_model.h"
#include "kvcast/kvcast.h"
#include "report/columns.h"
#include "report/conclusion.h"
#include "report/format.h"
#include "report/layout.h"
#include "report/xlsx_book.h"
#include "report/xlsx_time.h"

namespace kvcast::report {
namespace {

constexpr std::uint32_t kMaxRows = 1048576;   // of a sheet
constexpr std::int64_t kManySamples = 20000;  // beyond, rows are not kept in memory
// N of a model beyond any that kvcast sizes; measured N that a formula can hold.
constexpr std::int64_t kMaxCandidates = 1'000'000'000;
constexpr std::size_t kMaxBreakpoints = 50;
constexpr double kDesignNoteDrop = 0.4, kTail = 0.99;
// In pixels, and the rows below it with a gap.
constexpr std::uint16_t kChartWidth = 640, kChartHeight = 380, kChartGap = 20, kChartRows = 20;

std::uint16_t next(std::uint16_t column, std::size_t steps = 1) { return static_cast<std::uint16_t>(column + steps); }

// ---- tables by columns

template <typename Row>
std::uint16_t heads(Sheet& sheet, At at, const std::vector<Column<Row>>& columns) {
  for (const auto& column : columns) {
    for (const auto& name : flat_names(column.name, column.kind)) {
      const bool count = column.kind == Kind::seconds && name == column.name + "_samples";
      sheet.head(at, name, count ? "" : column.unit);
      at.column = next(at.column);
    }
  }
  return at.column;
}

/// Returns the column after the last.
template <typename Row>
std::uint16_t cells(Sheet& sheet, At at, const std::vector<Column<Row>>& columns, const Row* row) {
  for (const auto& column : columns) {
    if (row == nullptr) {
      at.column = next(at.column, flat_names(column.name, column.kind).size());
      continue;
    }
    for (const auto& value : flat_values(column.kind, column.value(*row))) {
      sheet.value(at, value, column.unit);
      at.column = next(at.column);
    }
  }
  return at.column;
}

template <typename Row>
const Row* pointer(const std::optional<Row>& row) {
  return row ? &*row : nullptr;
}

/// Title, heads and rows from `at` on; returns the row after a blank one. Nothing without rows.
template <typename Row>
std::uint32_t table(Sheet& sheet, At at, const std::string& title, const std::vector<Column<Row>>& columns,
                    const std::vector<Row>& rows) {
  if (rows.empty()) return at.row;
  sheet.title(at, title);
  heads(sheet, {at.row + 1, at.column}, columns);
  at.row += 2;
  for (const Row& row : rows) cells(sheet, {at.row++, at.column}, columns, &row);
  return at.row + 1;
}

/// A row per field: name with unit, value.
template <typename Row>
std::uint32_t fields(Sheet& sheet, std::uint32_t at, const std::string& prefix, const std::vector<Column<Row>>& columns,
                     const Row& row) {
  for (const auto& column : columns) {
    const auto names = flat_names(column.name, column.kind);
    const auto values = flat_values(column.kind, column.value(row));
    for (std::size_t i = 0; i < names.size(); ++i) {
      sheet.text({at, 0}, prefix + names[i] + (column.unit.empty() ? "" : " [" + column.unit + "]"));
      sheet.value({at++, 1}, values[i], column.unit);
    }
  }
  return at;
}

// ---- summary

void write_summary(Sheet& sheet, const Report& report) {
  std::string sentence = conclusion(report);
  if (sentence.empty() && report.sizing) sentence = sizing_answer(*report.sizing);
  if (sentence.empty() && report.traffic) sentence = traffic_answer(*report.traffic);
  sheet.title({0, 0}, sentence.empty() ? "kvcast" : sentence);
  sheet.note({1, 0}, "Machine: " + (report.machine ? machine_text(*report.machine) : std::string("unknown")));
  sheet.note({2, 0},
             "Conditions: " + (report.conditions ? conditions_text(*report.conditions) : std::string("unknown")));
  std::string warnings;
  for (const Warning& warning : report.warnings) {
    warnings += (warnings.empty() ? "" : "; ") + warning.code + ": " + warning.text;
  }
  sheet.note({3, 0}, "Warnings (advice in sheet config): " + (warnings.empty() ? "none" : warnings));
  std::uint32_t row = 5;
  if (report.cases.empty()) {
    if (!report.traffic) return;
    row = table(sheet, {row, 0}, "latencies", traffic_latency_columns(), report.traffic->latencies);
    table(sheet, {row, 0}, "figures", traffic_figure_columns(), report.traffic->figures);
    return;
  }
  const auto middle = heads(sheet, {row, 0}, shape_columns());
  const auto whole = heads(sheet, {row, heads(sheet, {row, middle}, point_columns())}, scheme_point_columns());
  const auto last = heads(sheet, {row, whole}, summary_columns());
  for (const Case& one : report.cases) {
    for (const Point& point : one.points) {
      for (const SchemePoint& scheme : point.schemes) {
        if (row + 1 >= kMaxRows) break;
        ++row;
        cells(sheet, {row, 0}, shape_columns(), pointer(one.shape));
        cells(sheet, {row, cells(sheet, {row, middle}, point_columns(), &point)}, scheme_point_columns(), &scheme);
        cells(sheet, {row, whole}, summary_columns(), &report);
      }
    }
  }
  worksheet_autofilter(sheet.raw(), 5, 0, std::max<std::uint32_t>(row, 6), static_cast<lxw_col_t>(last - 1));
  worksheet_freeze_panes(sheet.raw(), 6, 0);
}

// ---- samples

std::int64_t sample_count(const Report& report) {
  std::int64_t count = 0;
  for (const Case& one : report.cases) count += static_cast<std::int64_t>(one.samples.size());
  return count;
}

void write_samples(Sheet& sheet, const Report& report) {
  const auto middle = heads(sheet, {0, 0}, shape_columns());
  const auto last = heads(sheet, {0, middle}, sample_columns());
  const std::int64_t count = sample_count(report);
  // Beside the table: a row below would be sorted and filtered with it.
  if (count > kMaxRows - 1) {
    sheet.title({0, next(last)}, integer(count - (kMaxRows - 1)) + " samples are left out; all are in samples.csv");
  }
  std::uint32_t row = 0;
  for (const Case& one : report.cases) {
    for (const Sample& sample : one.samples) {
      if (row + 1 >= kMaxRows) break;
      ++row;
      cells(sheet, {row, 0}, shape_columns(), pointer(one.shape));
      cells(sheet, {row, middle}, sample_columns(), &sample);
    }
  }
  worksheet_autofilter(sheet.raw(), 0, 0, std::max<std::uint32_t>(row, 1), static_cast<lxw_col_t>(last - 1));
  worksheet_freeze_panes(sheet.raw(), 1, 0);
}

// ---- charts

struct Series {
  std::string name, x, y;
  enum class Look { line, marks, naive_marks, ends } look = Look::line;
};

/// Side by side from one cell on, whatever the columns' widths.
struct Place {
  At at;
  int index = 0;
};

struct Axis {
  const char* name;
  const char* format;
  bool log = false;
  std::optional<double> min = std::nullopt, max = std::nullopt;
};

void set_axis(lxw_chart_axis* axis, const Axis& wanted) {
  chart_axis_set_name(axis, wanted.name);
  chart_axis_set_num_format(axis, wanted.format);
  if (wanted.log) chart_axis_set_log_base(axis, 10);
  if (wanted.min) chart_axis_set_min(axis, *wanted.min);
  if (wanted.max) chart_axis_set_max(axis, *wanted.max);
}

void insert_chart(Book& book, Sheet& sheet, const Place& place, const char* title, const Axis& x, const Axis& y,
                  const std::vector<Series>& series) {
  if (series.empty()) return;
  lxw_chart* chart = book.chart(LXW_CHART_SCATTER_STRAIGHT_WITH_MARKERS);
  for (const Series& one : series) {
    lxw_chart_series* added = chart_add_series(chart, one.x.c_str(), one.y.c_str());
    // The library takes what begins with = for a formula, which may name a file anywhere.
    const std::string name = cell_text(one.name);
    chart_series_set_name(added, (name.starts_with('=') ? " " + name : name).c_str());
    if (one.look == Series::Look::line) {
      chart_series_set_marker_type(added, LXW_CHART_MARKER_NONE);
    } else {
      lxw_chart_line none = {};
      none.none = 1;
      chart_series_set_line(added, &none);
      const bool ends = one.look == Series::Look::ends;
      chart_series_set_marker_type(added, ends ? LXW_CHART_MARKER_LONG_DASH : LXW_CHART_MARKER_CIRCLE);
      chart_series_set_marker_size(added, ends ? 5 : 7);
      lxw_chart_line line = {};
      line.color = ends ? 0x808080 : one.look == Series::Look::marks ? 0x1F4E79 : 0xC55A11;
      chart_series_set_marker_line(added, &line);
      lxw_chart_fill fill = {};
      fill.color = line.color;
      chart_series_set_marker_fill(added, &fill);
    }
  }
  chart_title_set_name(chart, title);
  set_axis(chart->x_axis, x);
  set_axis(chart->y_axis, y);
  chart_axis_major_gridlines_set_visible(chart->x_axis, 1);
  chart_legend_set_position(chart, LXW_CHART_LEGEND_BOTTOM);
  chart_show_blanks_as(chart, LXW_CHART_BLANKS_AS_GAP);
  lxw_chart_options options = {};
  // 480 x 288 pixels as they come.
  options.x_scale = kChartWidth / 480.0;
  options.y_scale = kChartHeight / 288.0;
  options.x_offset = place.index * (kChartWidth + kChartGap);
  worksheet_insert_chart_opt(sheet.raw(), place.at.row, place.at.column, chart, &options);
}

const Axis kByCandidates = {"N, candidates (log)", "General", true, 1};

// ---- the live model

const SchemePoint* scheme_at(const Case& one, std::int64_t candidates, const std::string& scheme) {
  for (const Point& point : one.points) {
    if (point.candidates != candidates) continue;
    for (const SchemePoint& row : point.schemes) {
      if (row.scheme == scheme) return &row;
    }
  }
  return nullptr;
}

/// Of the case's shape.
const Degradation* drop_at(const Report& report, const Case& one, std::optional<std::int64_t> candidates,
                           const std::string& scheme) {
  const Degradation* found = nullptr;
  for (const Degradation& row : report.degradation) {
    const bool of_case = one.shape ? row.history_length == one.shape->history_length && row.layers == one.shape->layers
                                   : !row.history_length && !row.layers;
    if (of_case && row.scheme == scheme && (!candidates || row.candidates == *candidates)) found = &row;
  }
  return found;
}

/// Where the live block stands. Its columns: N, measured, its ends, a column per model, then these.
struct Live {
  At first, last;                   ///< its rows of N: of the N and of the last column
  std::vector<std::string> models;  ///< their formulas
  bool drops = false;

  std::uint16_t after(std::uint16_t place) const { return static_cast<std::uint16_t>(kModels + models.size() + place); }
  std::uint16_t seed() const { return after(0); }
  std::uint16_t improvement() const { return after(1); }
  std::uint16_t seed_rule() const { return after(2); }
  std::uint16_t exact() const { return after(3); }
  std::uint16_t drop_naive() const { return after(4); }
  std::uint16_t drop_scheme() const { return after(5); }

  static constexpr std::uint16_t kN = 0, kMeasured = 1, kLow = 2, kHigh = 3, kModels = 4;
};

/// A formula of a model in cells: N by `n`, a symbol by the name of its input.
std::string in_cells(const std::string& formula, const std::map<std::string, std::string>& names,
                     const std::string& n) {
  std::string text;
  for (std::size_t i = 0; i < formula.size();) {
    std::size_t end = i;
    while (end < formula.size() && (std::isalnum(static_cast<unsigned char>(formula[end])) || formula[end] == '_'))
      ++end;
    const std::string word = formula.substr(i, std::max<std::size_t>(1, end - i));
    const auto found = names.find(word);
    text += word == "N" ? n : found == names.end() ? word : found->second;
    i += word.size();
  }
  return text;
}
std::string or_empty(const std::string& formula) { return "=IFERROR(" + formula + ",\"\")"; }

/// Names of the inputs that a model's symbols stand for. Models share a symbol that has the same value in both.
std::vector<std::map<std::string, std::string>> names_of(const std::vector<FittedModel>& models) {
  std::map<std::string, double> taken;
  std::vector<std::map<std::string, std::string>> names;
  for (const FittedModel& model : models) {
    auto& own = names.emplace_back();
    for (const FittedParameter& one : model.parameters) {
      std::string name = "model_" + one.symbol;
      const auto found = taken.find(name);
      if (found != taken.end() && found->second != one.value) name += std::to_string(names.size());
      taken.emplace(name, one.value);
      own[one.symbol] = name;
    }
  }
  return names;
}

struct Inputs {
  Estimate drop;
  std::string drop_source;
  std::vector<std::map<std::string, std::string>> names;  ///< by model
};

Inputs inputs_of(const Report& report, const Case& one, const Fit& fit) {
  Inputs inputs{{kDesignNoteDrop, std::nullopt}, "assumed: the design note's 40%", names_of(fit.models)};
  if (const Degradation* measured = drop_at(report, one, std::nullopt, kBaseline)) {
    inputs.drop = measured->drop;
    inputs.drop_source = "measured at N = " + integer(measured->candidates);
  } else if (report.sizing && report.sizing->drop) {
    inputs.drop = *report.sizing->drop;
    inputs.drop_source = to_string(report.sizing->drop_source) + " for the sizing";
  }
  return inputs;
}

std::uint32_t write_inputs(Book& book, Sheet& sheet, std::uint32_t row, const Fit& fit, const Inputs& inputs) {
  const char* const names[] = {"input", "value", "95% low", "95% high", "unit", "name", "what"};
  for (std::uint16_t column = 0; const char* const name : names) sheet.head({row, column++}, name);
  const auto add = [&](const char* label, const char* name, const Value& value, const std::optional<Interval>& ends,
                       const char* unit, const std::string& what) {
    ++row;
    sheet.text({row, 0}, label);
    sheet.input({row, 1}, value, unit);
    if (ends) {
      sheet.value({row, 2}, ends->lo, unit);
      sheet.value({row, 3}, ends->hi, unit);
    }
    sheet.text({row, 4}, unit);
    sheet.text({row, 5}, name);
    sheet.note({row, 6}, what);
    book.name(name, sheet, {row, 1});
  };
  std::set<std::string> written;
  for (std::size_t i = 0; i < fit.models.size(); ++i) {
    for (const FittedParameter& one : fit.models[i].parameters) {
      const std::string& name = inputs.names[i].at(one.symbol);
      if (!written.insert(name).second) continue;
      add(one.symbol.c_str(), name.c_str(), one.value, one.symbol == "r" && i == 0 ? fit.r->ci95 : std::nullopt,
          one.unit.c_str(), one.name + " of the model " + fit.models[i].formula);
    }
  }
  add("drop of naive", "model_drop", inputs.drop.value, inputs.drop.ci95, "0..1", inputs.drop_source);
  add("r of the design note", "model_r_design_note", kDesignNoteR, std::nullopt, "ratio", "for comparison");
  const FittedModel* model = fit.in_use();
  const auto derived = [&](const char* label, const std::string& formula, std::optional<double> value,
                           const std::string& what) {
    ++row;
    sheet.text({row, 0}, label);
    if (value) {
      sheet.formula({row, 1}, formula, value, "ratio");
    } else {
      sheet.text({row, 1}, "-");
    }
    sheet.note({row, 6}, model == nullptr ? "no model describes these timings"
                         : value          ? what
                                          : "not known from these N");
  };
  std::string limit, for_90, of_model;
  if (model != nullptr) {
    const auto& inputs_of_model = inputs.names[static_cast<std::size_t>(model - fit.models.data())];
    limit = in_cells(model->limit, inputs_of_model, "");
    for_90 = in_cells(model->for_90, inputs_of_model, "");
    of_model = " of the model in use, " + model->formula;
  }
  derived("limit of the speed-up", or_empty(limit), fit.asymptote, (model != nullptr ? model->limit : "") + of_model);
  const auto ninety = fit.candidates_for_90 ? std::optional(static_cast<double>(*fit.candidates_for_90)) : std::nullopt;
  derived("N for 90% of it", or_empty("MAX(1,ROUNDUP((" + for_90 + ")*(1-1E-9),0))"), ninety, "rounded up," + of_model);
  return row + 1;
}

/// From the top of the sheet; returns the row after.
std::uint32_t write_live(Book& book, Sheet& sheet, const Report& report, const Case& one, const Fit& fit, Live& live) {
  std::string which = fit.scheme;
  if (one.shape) which += ", L=" + integer(one.shape->history_length) + ", layers=" + integer(one.shape->layers);
  sheet.title({0, 0}, "Live model of " + which + ": change a coloured cell, and table and charts follow");
  const Inputs inputs = inputs_of(report, one, fit);
  std::uint32_t row = write_inputs(book, sheet, 1, fit, inputs) + 1;

  std::vector<std::pair<std::string, const char*>> heads_of_model = {
      {"N", "candidates"}, {"measured", "ratio"}, {"95% low", "ratio"}, {"95% high", "ratio"}};
  for (const FittedModel& model : fit.models) {
    live.models.push_back(model.formula);
    heads_of_model.emplace_back(model.formula, "ratio");
  }
  for (const auto& [head, unit] : {std::pair{"at model_r_design_note", "ratio"},
                                   {"improvement", "0..1"},
                                   {"drop, seed rule", "0..1"},
                                   {"drop, exact", "0..1"},
                                   {"naive drop", "0..1"},
                                   {"drop measured", "0..1"}}) {
    heads_of_model.emplace_back(head, unit);
  }
  for (std::uint16_t column = 0; const auto& [head, unit] : heads_of_model) sheet.head({row, column++}, head, unit);
  std::set<std::int64_t> all = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};
  for (const Point& point : one.points) all.insert(point.candidates);
  live.first = {row + 1, 0};
  const FittedModel* used = fit.in_use();
  const std::uint16_t column_in_use =
      used == nullptr ? Live::kMeasured : static_cast<std::uint16_t>(Live::kModels + (used - fit.models.data()));
  const double drop = inputs.drop.value;
  for (const std::int64_t candidates : all) {
    ++row;
    const auto n = static_cast<double>(candidates);
    const std::string cell = relative({row, Live::kN});
    sheet.input({row, Live::kN}, candidates);
    std::optional<double> measured;
    if (const SchemePoint* point = scheme_at(one, candidates, fit.scheme); point != nullptr && point->speedup) {
      measured = point->speedup->value;
      sheet.value({row, Live::kMeasured}, point->speedup->value, "ratio");
      if (point->speedup->ci95) {
        sheet.value({row, Live::kLow}, point->speedup->ci95->lo, "ratio");
        sheet.value({row, Live::kHigh}, point->speedup->ci95->hi, "ratio");
      }
    }
    for (std::size_t i = 0; i < fit.models.size(); ++i) {
      const FittedModel& model = fit.models[i];
      sheet.formula({row, static_cast<std::uint16_t>(Live::kModels + i)},
                    or_empty(in_cells(model.formula, inputs.names[i], cell)), modelled_speedup(model, n), "ratio");
    }
    sheet.formula({row, live.seed()}, "=" + cell + "/(1+(" + cell + "-1)*model_r_design_note)",
                  speedup(n, kDesignNoteR), "ratio");
    // By the model in use; where there is none, of what was measured.
    const std::optional<double> in_use = used != nullptr ? std::optional(modelled_speedup(*used, n)) : measured;
    const std::string by = relative({row, column_in_use});
    const auto formula = [&](std::uint16_t column, const std::string& text, const auto& value) {
      if (in_use) sheet.formula({row, column}, "=IF(" + by + "=\"\",\"\"," + text + ")", value(*in_use), "0..1");
    };
    formula(live.improvement(), "1-1/" + by, [](double s) { return 1 - 1 / s; });
    formula(live.seed_rule(), "model_drop/" + by, [&](double s) { return drop_design_note(drop, s); });
    formula(live.exact(), "IF(model_drop>0,1/(1+" + by + "*(1-model_drop)/model_drop),0)",
            [&](double s) { return drop > 0 ? drop_exact(drop, s) : 0; });
    const auto dropped = [&](std::uint16_t column, const std::string& scheme) {
      if (const Degradation* lost = drop_at(report, one, candidates, scheme)) {
        sheet.value({row, column}, lost->drop.value, "0..1");
        live.drops = true;
      }
    };
    dropped(live.drop_naive(), kBaseline);
    dropped(live.drop_scheme(), fit.scheme);
  }
  live.last = {row, live.drop_scheme()};
  sheet.note({row + 1, 0}, "measured: over naive's throughput. Improvement, and drops of the ranker: by the speed-up " +
                               (used != nullptr ? used->formula : "measured") + "; docs/model.md 2-3.");
  return row + 3;
}

std::vector<Series> live_series(const Sheet& fit, const Live& live, const std::vector<Series>& columns,
                                const std::vector<std::uint16_t>& at) {
  std::vector<Series> series = columns;
  for (std::size_t i = 0; i < series.size(); ++i) {
    series[i].x = fit.range({live.first.row, Live::kN}, {live.last.row, Live::kN});
    series[i].y = fit.range({live.first.row, at[i]}, {live.last.row, at[i]});
  }
  return series;
}

void speedup_chart(Book& book, Sheet& sheet, const Place& place, const Sheet& fit, const Live& live) {
  using Look = Series::Look;
  std::vector<Series> columns = {
      {"measured", "", "", Look::marks}, {"95% low", "", "", Look::ends}, {"95% high", "", "", Look::ends}};
  std::vector<std::uint16_t> cells = {Live::kMeasured, Live::kLow, Live::kHigh};
  for (std::size_t i = 0; i < live.models.size(); ++i) {
    columns.push_back({live.models[i], "", "", Look::line});
    cells.push_back(static_cast<std::uint16_t>(Live::kModels + i));
  }
  columns.push_back({"r = 0.15 (design note)", "", "", Look::line});
  cells.push_back(live.seed());
  insert_chart(book, sheet, place, "Speed-up over naive", kByCandidates, {"speed-up (log)", "General", true},
               live_series(fit, live, columns, cells));
}

void drop_chart(Book& book, Sheet& sheet, const Place& place, const Sheet& fit, const Live& live) {
  using Look = Series::Look;
  std::vector<Series> columns = {{"with sharing, seed's rule", "", "", Look::line},
                                 {"with sharing, exact", "", "", Look::line}};
  std::vector<std::uint16_t> cells = {live.seed_rule(), live.exact()};
  if (live.drops) {
    columns.push_back({"naive, measured", "", "", Look::naive_marks});
    columns.push_back({"with sharing, measured", "", "", Look::marks});
    cells.insert(cells.end(), {live.drop_naive(), live.drop_scheme()});
  }
  insert_chart(book, sheet, place, "Throughput drop of the ranker", kByCandidates, {"drop", "0%"},
               live_series(fit, live, columns, cells));
}

// ---- fit

/// each(fit, write) calls write(lead, row) for every row of a table behind shape, scheme and, where it has a head,
/// lead.
template <typename Row, typename Each>
std::uint32_t rows_of_fits(Sheet& sheet, std::uint32_t row, const std::string& title, const Report& report,
                           const std::string& lead, const std::vector<Column<Row>>& columns, const Each& each) {
  const std::uint32_t top = row++;
  const std::uint16_t own = lead.empty() ? 3 : 4;
  const std::uint32_t head = row++;
  for (const Case& one : report.cases) {
    for (const Fit& fit : one.fits) {
      each(fit, [&](const std::string& name, const Row& value) {
        if (one.shape) {
          sheet.value({row, 0}, one.shape->history_length);
          sheet.value({row, 1}, one.shape->layers);
        }
        sheet.text({row, 2}, fit.scheme);
        if (!lead.empty()) sheet.text({row, 3}, name);
        cells(sheet, {row++, own}, columns, &value);
      });
    }
  }
  if (row == head + 1) return top;
  sheet.title({top, 0}, title);
  sheet.head({head, 0}, "case history_length", "tokens");
  sheet.head({head, 1}, "case layers");
  sheet.head({head, 2}, "scheme");
  if (!lead.empty()) sheet.head({head, 3}, lead);
  heads(sheet, {head, own}, columns);
  return row + 1;
}
/// A table of what every fit of every case has, behind shape and scheme.
template <typename Row, typename Get>
std::uint32_t fit_table(Sheet& sheet, std::uint32_t row, const std::string& title, const Report& report,
                        const std::vector<Column<Row>>& columns, const Get& get) {
  return rows_of_fits(sheet, row, title, report, {}, columns, [&](const Fit& fit, const auto& write) {
    for (const Row& value : get(fit)) write("", value);
  });
}
/// Of what every model of every fit has, behind its name.
template <typename Row>
std::uint32_t model_table(Sheet& sheet, std::uint32_t row, const std::string& title, const Report& report,
                          const std::vector<Column<Row>>& columns, std::vector<Row> FittedModel::*list) {
  return rows_of_fits(sheet, row, title, report, "model", columns, [&](const Fit& fit, const auto& write) {
    for (const FittedModel& model : fit.models) {
      for (const Row& value : model.*list) write(model.name, value);
    }
  });
}

std::optional<Live> write_fit(Book& book, Sheet& sheet, const Report& report) {
  std::uint32_t row = 0;
  std::optional<Live> live;
  if (const Case* one = main_case(report)) {
    row = write_live(book, sheet, report, *one, *main_fit(*one), live.emplace());
    speedup_chart(book, sheet, {{row, 0}, 0}, sheet, *live);
    drop_chart(book, sheet, {{row, 0}, 1}, sheet, *live);
    row += kChartRows + 1;
    worksheet_print_area(sheet.raw(), 0, 0, row - 1, live->drop_scheme());
  }
  sheet.title({row++, 0}, "Fits");
  heads(sheet, {row, heads(sheet, {row, 0}, fit_columns())}, shape_columns());
  for (const Case& one : report.cases) {
    for (const Fit& fit : one.fits) {
      ++row;
      cells(sheet, {row, cells(sheet, {row, 0}, fit_columns(), &fit)}, shape_columns(), pointer(one.shape));
    }
  }
  row = fit_table(sheet, row + 2, "Models", report, fitted_model_columns(),
                  [](const Fit& fit) -> const std::vector<FittedModel>& { return fit.models; });
  row = fit_table(sheet, row, "Observed speed-ups", report, observed_speedup_columns(),
                  [](const Fit& fit) -> const std::vector<ObservedSpeedup>& { return fit.observed; });
  row =
      model_table(sheet, row, "Parameters of the models", report, fitted_parameter_columns(), &FittedModel::parameters);
  row = model_table(sheet, row, "Residuals of the models", report, model_residual_columns(), &FittedModel::residuals);
  row = fit_table(sheet, row, "Predictions", report, prediction_columns(),
                  [](const Fit& fit) -> const std::vector<Prediction>& { return fit.predictions; });
  table(sheet, {row, 0}, "Throughput drop of the ranker, measured", degradation_columns(), report.degradation);
  return live;
}

// ---- sizing

/// N from a latency budget by the time of the sized model; returns the row after. Nothing where times are unknown, and
/// where these cells would not come to what the sizing says: there is no formula of a queue.
std::uint32_t write_live_sizing(Book& book, Sheet& sheet, std::uint32_t row, const Sizing& sizing) {
  const auto sized = std::find_if(sizing.models.begin(), sizing.models.end(), [&](const SizingModel& model) {
    return model.history_length == sizing.history_length && model.layers == sizing.layers;
  });
  const bool timed = std::any_of(sizing.points.begin(), sizing.points.end(),
                                 [](const SizingPoint& point) { return point.scheme_s.has_value(); });
  if (sized == sizing.models.end() || !timed || !(sized->candidate_s > 0) || sized->block_s) return row;
  TimeCells time{sized->prefill_s, sized->candidate_s, {}, sized->straight};
  for (std::size_t i = 0; i < sized->measured_candidates.size(); ++i) {
    time.breakpoints.push_back({sized->measured_candidates[i], sized->measured_s[i], ""});
  }
  double tail = 1;
  if (!sizing.residuals.empty()) {
    const auto count = static_cast<double>(sizing.residuals.size());
    const auto rank = static_cast<std::size_t>(std::ceil(kTail * count - 1e-9 * count));
    tail = sizing.residuals[std::max<std::size_t>(rank, 1) - 1];
  }
  const auto budget = std::find_if(sizing.budgets.begin(), sizing.budgets.end(),
                                   [](const SizingBudget& one) { return one.name == "p99"; });
  const bool stated = budget != sizing.budgets.end();
  const double limit = stated ? budget->limit : 2 * tail * time.seconds(1.0);
  // As in the sizing, a budget that is met exactly is met, and nothing is said beyond what is known.
  const double most = static_cast<double>(sizing.known_to.value_or(kMaxCandidates));
  const double exact = time.candidates(limit / tail);
  const double candidates = std::clamp(std::floor(exact * (1 + 1e-9)), 0.0, most);
  const bool rate = std::any_of(sizing.budgets.begin(), sizing.budgets.end(),
                                [](const SizingBudget& one) { return one.name == "qps"; });
  const bool rises =
      std::adjacent_find(time.breakpoints.begin(), time.breakpoints.end(), [](const auto& low, const auto& high) {
        return !(low.seconds < high.seconds);
      }) == time.breakpoints.end();
  const bool same = !stated || budget->expected_candidates.value_or(-1) == static_cast<std::int64_t>(candidates);
  if (rate || !rises || !same || time.breakpoints.size() > kMaxBreakpoints) {
    sheet.note({row++, 0},
               rate ? "No live model: the wait at a rate of requests is no formula of a cell. kvcast size, or the "
                      "page, sizes again."
                    : "No live model: the times are none that a formula follows. kvcast size sizes again.");
    return row + 1;
  }
  sheet.title({row++, 0}, "Live: N from a P99 budget by the time of a request; nothing waits");
  const auto add = [&](const std::string& label, const char* name, double value, const char* unit,
                       const std::string& what) {
    sheet.text({row, 0}, label + " [" + unit + "]");
    sheet.input({row, 1}, value, unit);
    sheet.text({row, 2}, name);
    sheet.note({row, 3}, what);
    if (*name != '\0') book.name(name, sheet, {row, 1});
    return relative({row++, 1});
  };
  add("P99 budget", "size_budget", limit, "s", stated ? "stated" : "example: none was stated");
  add("tail", "size_tail", tail, "ratio", "99% of the timings are at most this many times the time of their N");
  for (TimeCells::Breakpoint& breakpoint : time.breakpoints) {
    breakpoint.cell =
        add("time at N = " + whole(breakpoint.candidates), "", breakpoint.seconds, "s",
            time.straight ? "measured; between two a straight line" : "measured; between two a line of the logs");
  }
  const std::string where = time.breakpoints.empty() ? "of a request's time a + b N"
                                                     : "of a + b N, beyond the measured N scaled to meet them";
  add("a", "size_a", sized->prefill_s, "s", where);
  add("b", "size_b", sized->candidate_s, "s", "of it");
  const auto derived = [&](const char* label, const std::string& formula, double value, const char* unit) {
    sheet.text({row, 0}, label);
    sheet.formula({row, 1}, "=" + formula, value, unit);
    return At{row++, 1};
  };
  const At within = derived("time within the budget [s]", "size_budget/size_tail", limit / tail, "s");
  const At unrounded = derived("N, not rounded", time.candidates(relative(within)), exact, "");
  const std::string bounded = "MAX(0,MIN(" + format_double(most) + ",INT(" + relative(unrounded) + "*(1+1E-9))))";
  const At answer = derived("N [candidates]", bounded, candidates, "");
  sheet.text(At{answer.row, 2}, "size_n");
  sheet.note(At{answer.row, 3}, sizing.known_to ? "largest that meets it, up to the largest N that anything is known of"
                                                : "largest that meets it");
  book.name("size_n", sheet, answer);
  const At there = derived("time there [s]", time.seconds(relative(answer)), time.seconds(candidates), "s");
  derived("P99 there [s]", "size_tail*" + relative(there), tail * time.seconds(candidates), "s");
  return row + 1;
}

struct MemoryColumns {
  At first, last;
};

std::optional<MemoryColumns> write_sizing(Book& book, Sheet& sheet, const Report& report) {
  if (!report.sizing) {
    sheet.note({0, 0}, "Not sized: kvcast size PATH -o DIR does.");
    return std::nullopt;
  }
  const Sizing& sizing = *report.sizing;
  std::uint32_t row = 0;
  sheet.title({row++, 0}, sizing_answer(sizing));
  for (const std::string& caveat : sizing.caveats) sheet.note({row++, 0}, caveat);
  row = write_live_sizing(book, sheet, row + 1, sizing);
  sheet.title({row++, 0}, "sizing");
  row = fields(sheet, row, "", sizing_columns(), sizing) + 1;
  std::optional<MemoryColumns> memory;
  visit_lists(sizing, [&](const std::string& name, const auto& columns, const auto& rows) {
    const std::uint32_t start = row;
    row = table(sheet, {row, 0}, name, columns, rows);
    if (name == "points" && !rows.empty()) {
      memory = MemoryColumns{{start + 2, 0}, {start + 1 + static_cast<std::uint32_t>(rows.size()), 0}};
    }
  });
  return memory;
}

// ---- traffic

/// A column of a table as a series over its first.
Series over_first(const Sheet& sheet, At head, std::size_t rows, std::uint16_t column, const std::string& name,
                  Series::Look look) {
  const std::uint32_t first = head.row + 1, last = head.row + static_cast<std::uint32_t>(rows);
  return {name, sheet.range({first, head.column}, {last, head.column}), sheet.range({first, column}, {last, column}),
          look};
}

/// Answer, charts, parts and lists.
void write_traffic(Book& book, Sheet& sheet, const Report& report) {
  using Look = Series::Look;
  const Traffic& traffic = *report.traffic;
  sheet.title({0, 0}, traffic_answer(traffic));
  const bool any = !traffic.cdf.empty() || !traffic.hit_rates.empty() || !traffic.capacity.empty();
  std::uint32_t row = any ? 2 + kChartRows + 1 : 2;
  sheet.title({row++, 0}, "traffic");
  row = fields(sheet, row, "", traffic_columns(), traffic) + 1;
  visit_traffic_parts(traffic, [&](const std::string& name, const auto& columns, const auto& part) {
    sheet.title({row++, 0}, name);
    row = fields(sheet, row, "", columns, part) + 1;
  });
  std::map<std::string, At> table_heads;
  visit_traffic_lists(traffic, [&](const std::string& name, const auto& columns, const auto& rows) {
    table_heads[name] = {row + 1, 0};
    row = table(sheet, {row, 0}, name, columns, rows);
  });
  Place place{{2, 0}, 0};
  const auto chart = [&](const std::string& list, std::size_t rows, const std::vector<std::string>& columns,
                         const std::vector<std::string>& names, const char* title, const Axis& x, const Axis& y,
                         Look look) {
    if (rows == 0) return;
    std::vector<Series> series;
    for (const auto& wanted : columns) {
      const auto at = std::find(names.begin(), names.end(), wanted) - names.begin();
      const bool end = wanted.ends_with("_lo") || wanted.ends_with("_hi");
      series.push_back(
          over_first(sheet, table_heads[list], rows, static_cast<std::uint16_t>(at), wanted, end ? Look::ends : look));
    }
    insert_chart(book, sheet, place, title, x, y, series);
    ++place.index;
  };
  chart("cdf", traffic.cdf.size(), {"share"}, flat_names(latency_point_columns()),
        "Share of the requests answered within a time", {"seconds from arrival (log)", "General", true},
        {"requests", "0%", false, 0, 1}, Look::line);
  chart("hit_rates", traffic.hit_rates.size(), {"lru", "che", "belady", "bound"}, flat_names(hit_rate_columns()),
        "Requests that find their user in the cache", {"cache, bytes (log)", "0E+00", true},
        {"requests", "0%", false, 0}, Look::line);
  chart("capacity", traffic.capacity.size(), {"p99_s", "p99_s_lo", "p99_s_hi"}, flat_names(capacity_columns()),
        "P99 of the same fleet at other rates", {"requests/s", "#,##0"}, {"P99, seconds (log)", "General", true},
        Look::marks);
}

// ---- charts

/// Candidates per second, a column per scheme, of the main case, and the charts beside it.
void write_charts(Book& book, Sheet& sheet, const Report& report, const std::optional<Sheet>& fit,
                  const std::optional<Live>& live, const std::optional<Sheet>& sizing,
                  const std::optional<MemoryColumns>& memory) {
  const Case* one = main_case(report);
  if (one == nullptr && !report.cases.empty()) one = &report.cases.front();
  std::vector<Series> throughput;
  std::uint16_t last = 1;
  if (one != nullptr && !one->points.empty()) {
    sheet.title({0, 0}, "Candidates per second" + (one->shape ? ", L=" + integer(one->shape->history_length) +
                                                                    ", layers=" + integer(one->shape->layers)
                                                              : std::string()));
    std::vector<std::string> schemes;
    for (const Point& point : one->points) {
      for (const SchemePoint& row : point.schemes) {
        if (std::find(schemes.begin(), schemes.end(), row.scheme) == schemes.end()) schemes.push_back(row.scheme);
      }
    }
    sheet.head({1, 0}, "N", "candidates");
    for (const std::string& scheme : schemes) sheet.head({1, last++}, scheme, "1/s");
    std::uint32_t row = 1;
    for (const Point& point : one->points) {
      sheet.value({++row, 0}, point.candidates);
      for (const SchemePoint& scheme : point.schemes) {
        const auto at = std::find(schemes.begin(), schemes.end(), scheme.scheme) - schemes.begin();
        if (scheme.candidates_per_s) sheet.value({row, next(1, at)}, *scheme.candidates_per_s, "1/s");
      }
    }
    for (std::uint16_t column = 1; column < last; ++column) {
      throughput.push_back({schemes[column - 1U], sheet.range({2, 0}, {row, 0}),
                            sheet.range({2, column}, {row, column}), Series::Look::line});
    }
  }
  const At top{0, next(last)}, below{kChartRows + 1, next(last)};
  if (live) speedup_chart(book, sheet, {top, 0}, *fit, *live);
  insert_chart(book, sheet, {top, 1}, "Throughput by scheme", kByCandidates,
               {"candidates per second (log)", "#,##0", true}, throughput);
  if (live) drop_chart(book, sheet, {below, 0}, *fit, *live);
  if (!memory) return;
  std::vector<Series> bytes;
  std::uint16_t column = 0;
  for (const auto& name : flat_names(sizing_point_columns())) {
    const bool known = std::any_of(report.sizing->points.begin(), report.sizing->points.end(),
                                   [](const SizingPoint& point) { return point.memory_bytes.has_value(); });
    if (known && (name == "memory_bytes" || name == "copies_memory_bytes" || name == "naive_memory_bytes")) {
      bytes.push_back({name, sizing->range(memory->first, memory->last),
                       sizing->range({memory->first.row, column}, {memory->last.row, column}), Series::Look::line});
    }
    column = next(column);
  }
  insert_chart(book, sheet, {below, 1}, "Memory of a process", kByCandidates, {"bytes (log)", "0.0E+00", true}, bytes);
}

// ---- config

Value value_of(const nlohmann::json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX) return json.dump();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_null()) return {};
  return json.dump();
}

void write_config(Sheet& sheet, const Report& report) {
  sheet.head({0, 0}, "path");
  sheet.head({0, 1}, "value");
  std::uint32_t row = fields(sheet, 1, "tool/", tool_columns(), report.tool);
  for (const auto& [name, version] : report.tool.dependencies) {
    sheet.text({row, 0}, "tool/dependencies/" + name);
    sheet.text({row++, 1}, version);
  }
  if (report.machine) row = fields(sheet, row, "machine/", machine_columns(), *report.machine);
  if (report.conditions) row = fields(sheet, row, "conditions/", conditions_columns(), *report.conditions);
  if (report.config) {
    const auto flat = nlohmann::json::parse(config_to_json(*report.config)).flatten();
    for (const auto& [path, value] : flat.items()) {
      sheet.text({row, 0}, "config" + path);
      sheet.value({row++, 1}, value_of(value));
    }
  }
  table(sheet, {row + 1, 0}, "warnings", warning_columns(), report.warnings);
  worksheet_freeze_panes(sheet.raw(), 1, 0);
}

}  // namespace

std::string render_xlsx(const Report& report) {
  Book book(sample_count(report) > kManySamples);
  // Without cases (traffic, a sizing from r alone) the sheets of runs would be heads over nothing.
  const bool cases = !report.cases.empty();
  std::optional<Sheet> charts, samples, fit, sizing, traffic;
  Sheet summary = book.add("summary");
  if (cases || report.sizing) charts.emplace(book.add("charts"));
  if (cases) samples.emplace(book.add("samples"));
  if (cases || !report.degradation.empty()) fit.emplace(book.add("fit"));
  if (cases || report.sizing) sizing.emplace(book.add("sizing"));
  if (report.traffic) traffic.emplace(book.add("traffic"));
  Sheet config = book.add("config");

  write_summary(summary, report);
  if (samples) write_samples(*samples, report);
  std::optional<Live> live;
  if (fit) live = write_fit(book, *fit, report);
  std::optional<MemoryColumns> memory;
  if (sizing) memory = write_sizing(book, *sizing, report);
  if (traffic) write_traffic(book, *traffic, report);
  if (charts) write_charts(book, *charts, report, fit, live, sizing, memory);
  write_config(config, report);
  summary.lay_out(!cases);
  if (samples) samples->lay_out(false);
  for (std::optional<Sheet>* sheet : {&charts, &fit, &sizing, &traffic}) {
    if (*sheet) (*sheet)->lay_out(true);
  }
  config.lay_out(true);
  return book.bytes();
}

}  // namespace kvcast::report
