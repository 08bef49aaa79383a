#include "input/timings.h"

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

#include "base/column_name.h"
#include "base/delimited.h"
#include "base/text.h"
#include "input/csv.h"
#include "input/former_names.h"
#include "kvcast/error.h"
#include "report/columns.h"
#include "report/shape.h"

namespace kvcast::input {
namespace {

using namespace report;

// Words that stand beside role and unit in the name of a time.
constexpr std::string_view kTimeWords[] = {"time",    "times", "t",     "latency", "duration",
                                           "elapsed", "wall",  "total", "request"};
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

double seconds_above_zero(const Cell& cell, const TimeUnit& unit = {1, "seconds"}) {
  const std::string allowed = unit.per_second == 1 ? kAboveZero : unit.name + " above 0, such as 12.5";
  const double value = finite_number(cell, allowed) / unit.per_second;
  if (!(value > 0)) cell.fail(in_quotes(cell.text) + " is not above 0", allowed);
  return value;
}

/// Text as it was before csv_text kept spreadsheets from running it.
std::string unprotected(const std::string& text) {
  const bool was_protected =
      text.size() > 1 && text[0] == '\'' && std::string_view("=+-@\t\r\n").find(text[1]) != std::string_view::npos;
  return was_protected ? text.substr(1) : text;
}

Value read_cell(const Cell& cell, Kind kind, bool nullable, const std::vector<std::string>& names) {
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
    case Kind::name:
      if (const std::string word = current_word(cell.text);
          std::find(names.begin(), names.end(), word) != names.end()) {
        return word;
      }
      cell.fail(in_quotes(cell.text) + " is unknown", join(names, ", "));
    case Kind::texts:
    case Kind::numbers:
    case Kind::interval:
    case Kind::estimate:
    case Kind::seconds:
    case Kind::errors:
      break;
  }
  return {};  // of several cells; no column that is read here
}

class Table {
 public:
  Table(const std::string& text, const std::string& where) : where_(where), csv_(parse_csv(text, where)) {
    const std::vector<std::string>& names = head();
    if (names.empty()) throw ConfigError(where, "is empty", "a CSV needs a header and rows");
    std::set<std::string_view> known;  // a line may hold millions
    for (const std::string& name : names) {
      if (!name.empty() && !known.insert(name).second) {
        throw ConfigError(head_place(), "the column " + in_quotes(name) + " appears twice", "keep one of them");
      }
    }
    used_.assign(names.size(), false);
    for (const CsvRow& row : csv_.rows) {
      if (row.cells.size() == names.size()) continue;
      throw ConfigError(where + ": line " + std::to_string(row.line),
                        std::to_string(row.cells.size()) + (row.cells.size() == 1 ? " cell" : " cells") +
                            ", but the header has " + std::to_string(names.size()),
                        why_ragged(row));
    }
  }

  const std::vector<std::string>& head() const { return csv_.heading.names; }
  std::size_t rows() const { return csv_.rows.size(); }
  /// The names of earlier versions by those of today. A file with both is of neither.
  void use_current_names() {
    for (std::string& name : csv_.heading.names) {
      if (const std::string now = current_column(name); now != name && !has(now)) name = now;
    }
  }
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
    if (!problem.empty()) throw ConfigError(where_, problem, "write 1234.5, without thousands separators");
  }

  Cell cell(std::size_t row, std::size_t column) const {
    return {csv_.rows[row].cells[column], where_, csv_.rows[row].line, head()[column], numbers_};
  }

  void require_rows() const {
    if (rows() == 0) throw ConfigError(where_, "no rows", "one row per timing below the header");
  }

  /// What find() does, for a place that is known.
  void use(std::size_t column) { used_[column] = true; }

  [[noreturn]] void refuse_head(const std::string& problem, const std::string& hint) const {
    const std::string why = why_one_cell(csv_.heading);
    throw ConfigError(head_place(), problem, why.empty() ? hint : why);
  }

  /// "it has 'n', 't_ms'": names that are there, as far as a line holds them.
  std::string what_it_has() const {
    std::vector<std::string> names;
    for (const std::string& name : head()) {
      if (names.size() == 12) {
        names.emplace_back("...");
        break;
      }
      if (!name.empty()) names.push_back(in_quotes(name));
    }
    return "it has " + join(names, ", ");
  }

  /// Reports how the file was read, and which columns were ignored.
  void warn(Report& report, const std::vector<std::string>& units) const {
    std::string taken = taken_for(csv_.heading, numbers_, csv_.heading.comments);
    for (const std::string& unit : units) taken += (taken.empty() ? "" : ", ") + unit;
    if (!taken.empty()) report.warnings.push_back({"read-as", printable(where_, 200) + ": read with " + taken, ""});
    std::vector<std::string> ignored;
    for (std::size_t i = 0; i < used_.size(); ++i) {
      if (!used_[i]) ignored.push_back(in_quotes(head()[i]));
    }
    if (ignored.empty()) return;
    report.warnings.push_back({"ignored-columns", printable(where_, 200) + ": not used: " + join(ignored, ", "), ""});
  }

 private:
  std::string why_ragged(const CsvRow& row) const {
    if (row.line == csv_.rows.front().line && head().size() == 1) {
      return "line " + std::to_string(csv_.heading.line) + " is taken for the header: lines above it must begin with #";
    }
    const bool commas = csv_.heading.separator == "," && row.cells.size() > head().size();
    return commas ? "as many as the header; with decimal commas, separate cells by semicolons"
                  : "as many as the header";
  }

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
      if (index) column->set(result, read_cell(table.cell(row, *index), column->kind, column->nullable, column->names));
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
  std::optional<Located<CaseShape>> shape_at;
  if (with_shape) shape_at.emplace(table, shape_columns(), needed);
  table.require_rows();
  std::vector<std::pair<std::size_t, bool>> numbers;
  sample_at.add_numbers(numbers);
  if (shape_at) shape_at->add_numbers(numbers);
  table.find_notation(numbers);

  const std::size_t seconds = table.find("measured_seconds", needed), n = table.find("candidates", needed),
                    measured = table.find("measured_candidates", needed), scheme = table.find("scheme", needed);
  const std::size_t parts[] = {table.find("prefill_s", needed), table.find("scoring_s", needed)};
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
      std::optional<CaseShape> shape;
      if (shape_at && !shape_at->all_empty(table, row)) shape = shape_at->read(table, row);
      const auto [found, is_new] = homes.emplace(shape_key(shape), report.cases.size());
      home = found->second;
      if (is_new) report.cases.emplace_back().shape = shape;
    }
    report.cases[home].samples.push_back(sample_at.read(table, row));
  }
  return report;
}

/// A column of times of one's own.
struct TimeColumn {
  std::size_t index = 0;
  TimeUnit unit;
};

bool is_of(const std::vector<std::string>& words, const std::string& role) {
  return !words.empty() && words.front() == role;
}

/// Whether a name says nothing but whose time it is and in what unit.
bool is_plain_time(const std::vector<std::string>& words) {
  return std::all_of(words.begin() + 1, words.end(), [](const std::string& word) {
    return time_unit(word) || std::find(std::begin(kTimeWords), std::end(kTimeWords), word) != std::end(kTimeWords);
  });
}

class OwnColumns {
 public:
  OwnColumns(Table& table, const ColumnNames& names) : table_(table), names_(names) {}

  std::size_t candidates() {
    if (const std::string* name = given("candidates")) return there(*name);
    const std::string role = "candidates";
    for (const std::string& name : table_.head()) {
      if (!table_.has(role) && words_of(name) == std::vector<std::string>{role}) return there(name);
    }
    if (!table_.has(role)) missing(role, "the candidates per request", role + "=NAME");
    return there(role);
  }

  /// Errors: ConfigError when none, or several, may be the time of a whole request in a unit that is known.
  TimeColumn time(const std::string& role) {
    if (const std::string* name = given(role)) return named(role, *name);
    if (table_.has(role + "_seconds")) return {there(role + "_seconds"), {1, "seconds"}};
    std::vector<std::string> found;
    for (const std::string& name : table_.head()) {
      const std::vector<std::string> words = words_of(name);
      if (!is_of(words, role)) continue;
      if (names_a_rate(words)) {
        table_.refuse_head(
            "the column " + in_quotes(name) + " holds a rate, or times of a part of a request",
            "needed: the time of a request with all its candidates, as " + role + "_seconds or " + role + "_ms");
      }
      if (is_plain_time(words)) found.push_back(name);
    }
    if (found.empty()) missing(role, "the time of a request with " + role, role + "=NAME:ms");
    if (found.size() > 1) {
      table_.refuse_head("the columns " + in_quotes(found[0]) + " and " + in_quotes(found[1]) + " may both be " + role,
                         "--columns " + role + "=" + printable(found[0]) + " picks one");
    }
    return named(role, found[0]);
  }

  /// "'naive_ms' in milliseconds" of each that is not in seconds.
  const std::vector<std::string>& units() const { return units_; }

 private:
  const std::string* given(const std::string& role) const {
    for (const auto& [known, name] : names_) {
      if (known == role) return &name;
    }
    return nullptr;
  }

  std::size_t there(const std::string& name) {
    const std::vector<std::string>& head = table_.head();
    const auto found = std::find(head.begin(), head.end(), name);
    if (found == head.end()) table_.refuse_head("has no column " + in_quotes(name), table_.what_it_has());
    const auto index = static_cast<std::size_t>(found - head.begin());
    table_.use(index);
    return index;
  }

  /// The unit is in the name, or behind it where the whole is no name.
  TimeColumn named(const std::string& role, std::string name) {
    std::optional<TimeUnit> unit;
    const std::size_t colon = name.rfind(':');
    if (!table_.has(name) && colon != std::string::npos) {
      const std::string word = name.substr(colon + 1);
      unit = time_unit(word);
      name.resize(colon);
      if (!unit) throw ConfigError("--columns", in_quotes(word) + " is not a time unit", "s, ms, us, ns");
    }
    const std::size_t index = there(name);
    if (!unit) {
      const std::vector<std::string> words = words_of(name);
      unit = time_unit(words);
      if (!unit) {
        table_.refuse_head("the column " + in_quotes(name) + " does not name one time unit",
                           "--columns " + role + "=" + printable(name) + ":ms sets it, or :s, :us, :ns");
      }
    }
    if (unit->per_second != 1) units_.push_back(in_quotes(name) + " in " + unit->name);
    return {index, *unit};
  }

  [[noreturn]] void missing(const std::string& role, const std::string& what, const std::string& example) {
    table_.refuse_head("no column for " + what,
                       table_.what_it_has() + "; --columns " + example + " names it if it is not called " +
                           (role == "candidates" ? "'candidates'" : "'" + role + "_seconds' or '" + role + "_ms'"));
  }

  Table& table_;
  const ColumnNames& names_;
  std::vector<std::string> units_;
};

Report own_timings(Table& table, const ColumnNames& names) {
  OwnColumns columns(table, names);
  const std::size_t n = columns.candidates();
  const TimeColumn naive = columns.time(kBaseline), shared = columns.time("shared");
  table.require_rows();
  table.find_notation({{n, true}, {naive.index, false}, {shared.index, false}});
  Report report;
  Case& one = report.cases.emplace_back();
  for (std::size_t row = 0; row < table.rows(); ++row) {
    Sample sample;
    sample.candidates = whole_number(table.cell(row, n), 1);
    sample.measured_candidates = sample.candidates;
    sample.round = static_cast<std::int64_t>(row);
    sample.scheme = kBaseline;
    sample.measured_seconds = seconds_above_zero(table.cell(row, naive.index), naive.unit);
    one.samples.push_back(sample);
    sample.scheme = "shared";
    sample.measured_seconds = seconds_above_zero(table.cell(row, shared.index), shared.unit);
    one.samples.push_back(sample);
  }
  table.warn(report, columns.units());
  return report;
}

}  // namespace

Report read_csv(const std::string& text, const std::string& where, const ColumnNames& columns) {
  Table table(text, where);
  const bool own =
      !columns.empty() || std::any_of(table.head().begin(), table.head().end(), [](const std::string& name) {
        const std::vector<std::string> words = words_of(name);
        return is_of(words, kBaseline) || is_of(words, "shared");
      });
  if (own || !(table.has("measured_seconds") || table.has("scheme"))) return own_timings(table, columns);
  table.use_current_names();
  Report report = samples(table);
  table.warn(report, {});
  return report;
}

}  // namespace kvcast::input
