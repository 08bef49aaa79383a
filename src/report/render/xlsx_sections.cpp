#include "report/render/xlsx_sections.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "report/layout.h"

namespace kvcast::report {
namespace {

constexpr std::size_t kLine = 130;          // characters that a line of text has room for, at least
constexpr std::uint16_t kChartColumns = 8;  // of the usual width, that a chart stands over

std::optional<double> number(const Value& value) {
  if (const auto* real = std::get_if<double>(&value)) return *real;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return static_cast<double>(*integer);
  return std::nullopt;
}

/// A cell of a spreadsheet holds one figure: an estimate is its value and its two ends.
std::vector<Value> parts(const Cell& cell) {
  if (const auto* ends = std::get_if<Interval>(&cell.value)) return {ends->lo, ends->hi};
  if (const auto* estimate = std::get_if<Estimate>(&cell.value)) {
    if (!estimate->ci95) return {estimate->value};
    return {estimate->value, estimate->ci95->lo, estimate->ci95->hi};
  }
  const bool scalar = number(cell.value) || std::holds_alternative<bool>(cell.value);
  return {scalar ? cell.value : Value{cell.text}};
}

/// Cells from the column of a table, or one of them: where they have one unit they have one scale, so that they sort.
struct Scale {
  double by = 1;
  std::string format;
};
Scale scale_of(const std::string& unit, std::vector<double> values) {
  const bool time = unit == "s";
  if (!time && unit != "bytes") return {1, number_format(unit)};
  std::erase(values, 0.0);
  std::sort(values.begin(), values.end());
  const double typical = values.empty() ? 1 : std::abs(values[values.size() / 2]);
  static const std::vector<std::string> times = {"s", "ms", "us", "ns"}, sizes = {"B", "KiB", "MiB", "GiB", "TiB"};
  const auto& names = time ? times : sizes;
  double by = 1;
  std::size_t step = 0;
  while (step + 1 < names.size() && (time ? typical * by < 1 : typical * by >= 1024)) {
    by *= time ? 1000 : 1.0 / 1024;
    ++step;
  }
  return {by, (time || step > 0 ? "#,##0.00\" " : "#,##0\" ") + names[step] + "\""};
}

/// A column of a table, over the columns of the sheet that its figures take.
struct Span {
  std::size_t width = 1;
  std::string unit;
  std::vector<double> numbers;
  bool mixed = false;
};
std::vector<Span> spans(const Table& table) {
  std::vector<Span> all(table.heads.size());
  for (const auto& row : table.rows) {
    for (std::size_t i = 0; i < std::min(row.size(), all.size()); ++i) {
      const auto values = parts(row[i]);
      all[i].width = std::max(all[i].width, values.size());
      for (const Value& value : values) {
        const auto figure = number(value);
        if (!figure) continue;
        if (all[i].numbers.empty()) all[i].unit = row[i].unit;
        all[i].mixed = all[i].mixed || all[i].unit != row[i].unit;
        all[i].numbers.push_back(*figure);
      }
    }
  }
  return all;
}

Look look_of(Emphasis emphasis) {
  Look look;
  look.bold = emphasis == Emphasis::strong || emphasis == Emphasis::bad;
  if (emphasis == Emphasis::bad) look.colour = 0xC00000;
  if (emphasis == Emphasis::warning) look.colour = 0x9C5700;
  if (emphasis == Emphasis::faint) look.colour = 0x7F7F7F;
  return look;
}

/// Writes blocks below each other.
class Writer {
 public:
  Writer(Book& book, Sheet& sheet, std::uint32_t row, std::uint16_t last, bool beside)
      : row(row), book_(book), sheet_(sheet), last_(last), beside_(beside), chart_row_(row) {}

  void title(const std::string& text, double size) {
    if (text.empty()) return;
    Look look = look_of(Emphasis::strong);
    look.size = size;
    sheet_.across({row++, 0}, last_, text, look);
  }

  void operator()(const Table& table) {
    end_lines();
    if (table.rows.empty()) return;
    title(table.title, 0);
    const auto columns = spans(table);
    std::uint16_t column = 0;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const Head& head = table.heads[i];
      const std::string name = head.group.empty() ? head.name : head.group + ": " + head.name;
      static const char* const ends[] = {"", "95% low", "95% high"};
      for (std::size_t k = 0; k < columns[i].width; ++k) {
        sheet_.head({row, column++}, k == 0 ? name : columns[i].width == 2 ? "to" : ends[k], "", head.right);
      }
    }
    ++row;
    for (const auto& cells : table.rows) {
      column = 0;
      for (std::size_t i = 0; i < columns.size(); ++i) {
        if (i < cells.size()) cell(column, cells[i], columns[i], table.heads[i].right);
        column = static_cast<std::uint16_t>(column + columns[i].width);
      }
      ++row;
    }
    if (!table.note.empty()) sheet_.across({row++, 0}, last_, table.note, look_of(Emphasis::faint));
    ++row;
  }

  void operator()(const Text& text) {
    const std::uint16_t first = text.label.empty() ? 0 : 1;
    if (first > 0) sheet_.across({row, 0}, 0, text.label, look_of(Emphasis::strong));
    for (const auto& item : text.items) sheet_.across({row++, first}, last_, item, look_of(text.emphasis));
    if (text.items.empty() && first > 0) ++row;
    lines_ = Lines::texts;
  }

  /// Code, what it says, what to do about it.
  void operator()(const Notice& notice) {
    const auto half = static_cast<std::uint16_t>(last_ / 2);
    sheet_.across({row, 0}, 0, notice.code, look_of(notice.level));
    const std::string times = notice.count > 1 ? " (" + std::to_string(notice.count) + " shapes)" : "";
    sheet_.across({row, 1}, half, notice.text + times);
    if (!notice.advice.empty()) sheet_.across({row, static_cast<std::uint16_t>(half + 1)}, last_, notice.advice);
    ++row;
    lines_ = Lines::texts;
  }

  void operator()(const Chart& chart) {
    std::vector<Curve> curves;
    for (const auto& one : chart.series) {
      std::vector<double> x, y;
      for (const auto& [at, value] : one.points) {
        x.push_back(at);
        y.push_back(value);
      }
      // One after the other: rows of a sheet ascend.
      Curve curve{one.name, book_.hidden(x), ""};
      curve.y = book_.hidden(y);
      curve.style = one.measured ? Curve::Style::marks : Curve::Style::line;
      curves.push_back(curve);
    }
    const Axis x{chart.x, "General", chart.log_x}, y{chart.y, "General", chart.log_y};
    if (beside_) {
      sheet_.chart({chart_row_, static_cast<std::uint16_t>(last_ + 2)}, 0, chart.title, x, y, curves);
      chart_row_ += kChartRows;
      return;
    }
    if (lines_ != Lines::chart) {
      end_lines();
      chart_row_ = row;
      row += kChartRows;
      lines_ = Lines::chart;
      sheet_.chart({chart_row_, 0}, 0, chart.title, x, y, curves);
    } else {
      sheet_.chart({chart_row_, 0}, kChartWidth + 20, chart.title, x, y, curves);
      lines_ = Lines::none;
    }
  }

  /// A blank row behind texts.
  void end_lines() {
    if (lines_ == Lines::texts) ++row;
    lines_ = Lines::none;
  }

  void print() {
    const std::uint16_t right = beside_ && chart_row_ > 0 ? kChartColumns : 0;
    sheet_.print({std::max({row, beside_ ? chart_row_ : 0, 1U}) - 1, static_cast<std::uint16_t>(last_ + right)});
  }

  std::uint32_t row;

 private:
  void cell(std::uint16_t column, const Cell& cell, const Span& span, bool right) {
    Look look = look_of(cell.emphasis);
    const auto values = parts(cell);
    std::vector<double> own;
    for (const Value& value : values) {
      if (const auto figure = number(value)) own.push_back(*figure);
    }
    const Scale scale = scale_of(cell.unit, span.mixed ? own : span.numbers);
    for (Value value : values) {
      const auto figure = number(value);
      look.right = right || figure;
      look.wrap = !figure;
      look.number = scale.format;
      if (figure && scale.by != 1) value = *figure * scale.by;
      if (cell.unit == "ratio" && cell.text.ends_with('x')) look.number = "0.00\"x\"";
      sheet_.put({row, column++}, value, look);
    }
  }

  Book& book_;
  Sheet& sheet_;
  std::uint16_t last_;
  bool beside_;
  std::uint32_t chart_row_;
  enum class Lines { none, texts, chart } lines_ = Lines::none;
};

}  // namespace

std::uint16_t widen_for(Sheet& sheet, const std::vector<Section>& sections) {
  std::uint16_t columns = 4;
  for (const Section& section : sections) {
    for (const Block& block : section.blocks) {
      if (const auto* text = std::get_if<Text>(&block)) sheet.widen(0, text->label.size());
      if (const auto* notice = std::get_if<Notice>(&block)) sheet.widen(0, notice->code.size());
      const auto* table = std::get_if<Table>(&block);
      if (table == nullptr || table->rows.empty()) continue;
      std::uint16_t column = 0;
      const auto all = spans(*table);
      for (std::size_t i = 0; i < all.size(); ++i) {
        for (const auto& row : table->rows) {
          if (i < row.size()) sheet.widen(column, width(row[i].text));
        }
        column = static_cast<std::uint16_t>(column + all[i].width);
      }
      columns = std::max(columns, column);
    }
  }
  std::size_t room = 0;
  for (std::uint16_t column = 0; column < columns || room < kLine; ++column) {
    room += sheet.width(column);
    columns = std::max(columns, static_cast<std::uint16_t>(column + 1));
  }
  return static_cast<std::uint16_t>(columns - 1);
}

std::uint32_t write_sections(Book& book, Sheet& sheet, std::uint32_t row, std::uint16_t last,
                             const std::vector<Section>& sections, bool beside) {
  Writer writer(book, sheet, row, last, beside);
  for (const Section& section : sections) {
    writer.title(section.title, 13);
    for (const Block& block : section.blocks) std::visit([&](const auto& one) { writer(one); }, block);
    writer.end_lines();
  }
  writer.print();
  return writer.row;
}

}  // namespace kvcast::report
