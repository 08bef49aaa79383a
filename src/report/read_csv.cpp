// CSV read back: samples.csv, and timings of the user's own.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/delimited.h"
#include "base/text.h"
#include "kvcast/error.h"
#include "report/columns.h"
#include "report/csv.h"
#include "report/read.h"
#include "report/shape.h"

namespace kvcast::report {
namespace {

constexpr const char* kOwnColumns[] = {"candidates", "naive_seconds", "shared_seconds"};
constexpr const char* kAboveZero = "seconds above 0, such as 0.0125";

/// One cell of a table and where it stands.
struct Cell {
  const std::string& text;
  const std::string& where;
  std::int64_t line;
  const std::string& column;
  const Notation& numbers;

  [[noreturn]] void fail(const std::string& problem, const std::string& allowed) const {
    throw ConfigError(where + ": line " + std::to_string(line) + ", column '" + printable(column) + "'",
                      text.empty() ? "is empty" : problem, "allowed: " + allowed);
  }
};

std::int64_t whole_number(const Cell& cell, std::int64_t least) {
  std::int64_t value = 0;
  const std::string text = plain_whole_number(cell.text, cell.numbers);
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  const std::string allowed =
      least == INT64_MIN ? "a whole number" : "a whole number, at least " + std::to_string(least);
  if (error == std::errc::result_out_of_range) cell.fail(in_quotes(cell.text) + " is out of range", allowed);
  if (error != std::errc{} || stop != end) cell.fail(in_quotes(cell.text) + " is not a whole number", allowed);
  if (value < least) cell.fail(in_quotes(cell.text) + " is less than " + std::to_string(least), allowed);
  return value;
}

double finite_number(const Cell& cell, const std::string& allowed) {
  double value = 0;
  const std::string text = plain_number(cell.text, cell.numbers);
  const char* end = text.data() + text.size();
  // Correctly rounded.
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range) cell.fail(in_quotes(cell.text) + " is out of range", allowed);
  if (error != std::errc{} || stop != end) cell.fail(in_quotes(cell.text) + " is not a number", allowed);
  if (!std::isfinite(value)) cell.fail(in_quotes(cell.text) + " is not finite", allowed);
  return value;
}

double seconds_above_zero(const Cell& cell) {
  const double value = finite_number(cell, kAboveZero);
  if (!(value > 0)) cell.fail(in_quotes(cell.text) + " is not above 0", kAboveZero);
  return value;
}

/// Text as it was before csv_text kept spreadsheets from running it.
std::string unprotected(const std::string& text) {
  const bool was_protected =
      text.size() > 1 && text[0] == '\'' && std::string_view("=+-@\t\r\n").find(text[1]) != std::string_view::npos;
  return was_protected ? text.substr(1) : text;
}

Value read_cell(const Cell& cell, Kind kind, bool nullable) {
  if (nullable && cell.text.empty()) return {};
  switch (kind) {
    case Kind::boolean:
      // Spreadsheets write capitals.
      if (cell.text == "true" || cell.text == "TRUE") return true;
      if (cell.text != "false" && cell.text != "FALSE") cell.fail(in_quotes(cell.text) + " is neither", "true, false");
      return false;
    case Kind::integer:
      return whole_number(cell, INT64_MIN);
    case Kind::number:
      return finite_number(cell, nullable ? "a number, or nothing when it is unknown" : "a number");
    case Kind::text:
      return unprotected(cell.text);
    case Kind::status: {
      std::vector<std::string> names;
      for (const Status status : kStatuses) names.push_back(to_string(status));
      if (!status_of(cell.text)) cell.fail(in_quotes(cell.text) + " is unknown", join(names, ", "));
      return cell.text;
    }
    case Kind::texts:
    case Kind::numbers:
    case Kind::interval:
    case Kind::estimate:
    case Kind::seconds:
    case Kind::errors:
    case Kind::affine:
      break;
  }
  return {};  // of several cells; no column that is read here
}

class Table {
 public:
  Table(const std::string& text, const std::string& where) : where_(where), csv_(parse_csv(text, where)) {
    const std::vector<std::string>& names = head();
    if (names.empty()) throw ConfigError(where, "is empty", "a CSV has a head and rows");
    std::set<std::string_view> known;  // a line may hold millions
    for (const std::string& name : names) {
      if (!name.empty() && !known.insert(name).second) {
        throw ConfigError(head_place(), "the column " + in_quotes(name) + " is there twice", "keep one of them");
      }
    }
    used_.assign(names.size(), false);
    for (const CsvRow& row : csv_.rows) {
      if (row.cells.size() == names.size()) continue;
      throw ConfigError(where + ": line " + std::to_string(row.line),
                        std::to_string(row.cells.size()) + (row.cells.size() == 1 ? " cell" : " cells") +
                            " where the head has " + std::to_string(names.size()),
                        "as many as the head");
    }
  }

  const std::vector<std::string>& head() const { return csv_.heading.names; }
  std::size_t rows() const { return csv_.rows.size(); }
  bool has(std::string_view name) const { return std::find(head().begin(), head().end(), name) != head().end(); }

  /// Place of a column in every row. Errors: ConfigError when there is none of this name.
  std::size_t find(const std::string& name, const std::vector<std::string>& needed) {
    const auto found = std::find(head().begin(), head().end(), name);
    if (found == head().end()) {
      std::vector<std::string> others;
      for (const std::string& other : head()) {
        if (std::find(needed.begin(), needed.end(), other) == needed.end()) others.push_back(printable(other));
      }
      const std::string slip = nearest_name(name, others), why = why_one_cell(csv_.heading);
      std::string hint = slip.empty() ? "" : "did you mean '" + name + "' where it has '" + slip + "'? ";
      if (!why.empty()) hint = why + ". ";
      throw ConfigError(head_place(), "has no column '" + name + "'", hint + "needed: " + join(needed, ", "));
    }
    const auto index = static_cast<std::size_t>(found - head().begin());
    used_[index] = true;
    return index;
  }

  /// Finds out how the numbers of these columns are written. Errors: ConfigError when nothing tells.
  void find_notation(const std::vector<std::pair<std::size_t, bool>>& columns_and_whether_whole) {
    NotationFinder finder;
    for (const CsvRow& row : csv_.rows) {
      for (const auto& [column, whole] : columns_and_whether_whole) finder.see(row.cells[column], whole, row.line);
    }
    std::string problem;
    numbers_ = finder.find(csv_.heading.separator, problem);
    if (!problem.empty()) throw ConfigError(where_, problem, "write 1234.5 without marks between thousands");
  }

  Cell cell(std::size_t row, std::size_t column) const {
    return {csv_.rows[row].cells[column], where_, csv_.rows[row].line, head()[column], numbers_};
  }

  void require_rows() const {
    if (rows() == 0) throw ConfigError(where_, "no rows", "a row per timing below the head");
  }

  /// Says what the file was taken for, and which columns nobody asked for.
  void warn(Report& report) const {
    const std::string taken = taken_for(csv_.heading, numbers_, csv_.heading.comments);
    if (!taken.empty()) report.warnings.push_back({"read-as", printable(where_, 200) + ": read with " + taken, ""});
    std::vector<std::string> ignored;
    for (std::size_t i = 0; i < used_.size(); ++i) {
      if (!used_[i]) ignored.push_back(in_quotes(head()[i]));
    }
    if (ignored.empty()) return;
    report.warnings.push_back({"ignored-columns", printable(where_, 200) + ": not used: " + join(ignored, ", "), ""});
  }

 private:
  std::string head_place() const { return where_ + ": line " + std::to_string(csv_.heading.line); }

  const std::string& where_;
  CsvTable csv_;
  std::vector<bool> used_;
  Notation numbers_;
};

/// Columns of a row type and where they stand; nothing for one that older files lack.
template <typename Row>
struct Located {
  std::vector<std::pair<const Column<Row>*, std::optional<std::size_t>>> columns;

  Located(Table& table, const std::vector<Column<Row>>& wanted, const std::vector<std::string>& needed) {
    for (const auto& column : wanted) {
      const bool absent = column.role == Role::added && !table.has(column.name);
      columns.emplace_back(&column, absent ? std::nullopt : std::optional(table.find(column.name, needed)));
    }
  }
  void add_numbers(std::vector<std::pair<std::size_t, bool>>& numbers) const {
    for (const auto& [column, index] : columns) {
      if (index && (column->kind == Kind::integer || column->kind == Kind::number)) {
        numbers.emplace_back(*index, column->kind == Kind::integer);
      }
    }
  }
  Row read(const Table& table, std::size_t row) const {
    Row result;
    for (const auto& [column, index] : columns) {
      if (index) column->set(result, read_cell(table.cell(row, *index), column->kind, column->nullable));
    }
    return result;
  }
  bool same_cells(const Table& table, std::size_t a, std::size_t b) const {
    return std::all_of(columns.begin(), columns.end(), [&](const auto& entry) {
      return !entry.second || table.cell(a, *entry.second).text == table.cell(b, *entry.second).text;
    });
  }
  bool all_empty(const Table& table, std::size_t row) const {
    return std::all_of(columns.begin(), columns.end(),
                       [&](const auto& entry) { return !entry.second || table.cell(row, *entry.second).text.empty(); });
  }
};

Report samples(Table& table) {
  std::vector<std::string> needed = flat_names(shape_columns());
  for (const auto& column : sample_columns()) {
    if (column.role != Role::added) needed.push_back(column.name);
  }
  const Located<Sample> sample_at(table, sample_columns(), needed);
  const bool with_shape = std::any_of(shape_columns().begin(), shape_columns().end(),
                                      [&](const auto& column) { return table.has(column.name); });
  std::optional<Located<Shape>> shape_at;
  if (with_shape) shape_at.emplace(table, shape_columns(), needed);
  table.require_rows();
  std::vector<std::pair<std::size_t, bool>> numbers;
  sample_at.add_numbers(numbers);
  if (shape_at) shape_at->add_numbers(numbers);
  table.find_notation(numbers);

  const std::size_t seconds = table.find("measured_seconds", needed), n = table.find("candidates", needed),
                    measured = table.find("measured_candidates", needed), scheme = table.find("scheme", needed);
  const std::size_t parts[] = {table.find("user_seconds", needed), table.find("fusion_seconds", needed)};
  Report report;
  std::map<std::string, std::size_t> homes;  // cases by their shape; a file may hold as many as rows
  std::size_t home = 0;                      // of the row
  for (std::size_t row = 0; row < table.rows(); ++row) {
    whole_number(table.cell(row, n), 1);
    whole_number(table.cell(row, measured), 1);
    seconds_above_zero(table.cell(row, seconds));
    if (table.cell(row, scheme).text.empty()) table.cell(row, scheme).fail("", "the name of a scheme");
    for (const std::size_t part : parts) {
      const Cell cell = table.cell(row, part);
      if (!cell.text.empty() && finite_number(cell, "seconds, or nothing") < 0) {
        cell.fail(in_quotes(cell.text) + " is negative", "seconds, or nothing");
      }
    }
    // Rows of a case stand together, so that looking for its shape anew is rare.
    if (row == 0 || (shape_at && !shape_at->same_cells(table, row, row - 1))) {
      std::optional<Shape> shape;
      if (shape_at && !shape_at->all_empty(table, row)) shape = shape_at->read(table, row);
      const auto [found, is_new] = homes.emplace(shape_key(shape), report.cases.size());
      home = found->second;
      if (is_new) report.cases.emplace_back().shape = shape;
    }
    report.cases[home].samples.push_back(sample_at.read(table, row));
  }
  return report;
}

Report own_timings(Table& table) {
  const std::vector<std::string> needed(std::begin(kOwnColumns), std::end(kOwnColumns));
  const std::size_t n = table.find(needed[0], needed), naive = table.find(needed[1], needed),
                    shared = table.find(needed[2], needed);
  table.require_rows();
  table.find_notation({{n, true}, {naive, false}, {shared, false}});
  Report report;
  Case& one = report.cases.emplace_back();
  for (std::size_t row = 0; row < table.rows(); ++row) {
    Sample sample;
    sample.candidates = whole_number(table.cell(row, n), 1);
    sample.measured_candidates = sample.candidates;
    sample.round = static_cast<std::int64_t>(row);
    sample.scheme = kBaseline;
    sample.measured_seconds = seconds_above_zero(table.cell(row, naive));
    one.samples.push_back(sample);
    sample.scheme = "shared";
    sample.measured_seconds = seconds_above_zero(table.cell(row, shared));
    one.samples.push_back(sample);
  }
  return report;
}

}  // namespace

Report read_csv(const std::string& text, const std::string& where) {
  Table table(text, where);
  const bool own = table.has("naive_seconds") || table.has("shared_seconds");
  const bool ours = !own && (table.has("measured_seconds") || table.has("scheme"));
  Report report = ours ? samples(table) : own_timings(table);
  table.warn(report);
  return report;
}

}  // namespace kvcast::report
