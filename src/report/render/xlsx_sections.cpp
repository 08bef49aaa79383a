#include "report/render/xlsx_sections.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/text.h"
#include "report/layout.h"

namespace kvcast::report {
namespace {

constexpr std::size_t kLastWidth = 13;
constexpr std::size_t kBrief = 60;  // characters of an item that shares its line

std::optional<double> number(const Value& value) {
  if (const auto* real = std::get_if<double>(&value); real != nullptr && std::isfinite(*real)) return *real;
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
  return {number(cell.value) ? cell.value : Value{cell.text}};
}

/// A step of a unit that suits these numbers: cells of one unit in a column share it, so that they sort.
struct Scale {
  double by = 1;
  std::string suffix;
};
Scale scale_of(const Cell& cell, std::vector<double> values) {
  const bool time = cell.unit == "s";
  if (!time && cell.unit != "bytes") {
    if (cell.unit == "1/s" && cell.text.find("/s") != std::string::npos) return {1, "/s"};
    if (cell.unit == "ratio" && cell.text.ends_with('x')) return {1, "x"};
    return {1, cell.unit == "%" ? "%" : ""};
  }
  std::erase(values, 0.0);
  std::sort(values.begin(), values.end());
  const double typical = values.empty() ? 1 : std::abs(values[values.size() / 2]);
  static const std::vector<std::string> times = {" s", " ms", " us", " ns"}, sizes = {" B", " KiB", " MiB", " GiB"};
  const auto& names = time ? times : sizes;
  double by = 1;
  std::size_t step = 0;
  while (step + 1 < names.size() && (time ? typical * by < 1 : typical * by >= 1024)) {
    by *= time ? 1000 : 1.0 / 1024;
    ++step;
  }
  return {by, names[step]};
}

/// Shows `value`, scaled, with as many digits as the text of its cell has.
std::string format_of(const Cell& cell, double value, const Scale& scale) {
  const std::size_t first = cell.text.find_first_of("0123456789");
  if (first == std::string::npos) return number_format(cell.unit);
  const std::string digits = cell.text.substr(first, cell.text.find_first_not_of("0123456789.,", first) - first);
  const std::size_t point = digits.find('.');
  auto decimals = point == std::string::npos ? 0 : static_cast<int>(digits.size() - point - 1);
  if (scale.by != 1 && value != 0) {
    const std::size_t leading = std::min(digits.find_first_not_of("0.,"), digits.size());
    const auto known = std::count_if(digits.begin() + static_cast<std::ptrdiff_t>(leading), digits.end(),
                                     [](char c) { return c >= '0'; });
    decimals = static_cast<int>(known) - 1 - static_cast<int>(std::floor(std::log10(std::abs(value))));
  }
  std::string format = cell.unit == "0..1" ? "0" : "#,##0";
  if (decimals > 0) format += "." + std::string(static_cast<std::size_t>(std::min(decimals, 9)), '0');
  // "at least 2,000"
  const std::string words = cell.text.substr(0, first);
  if (words == "at least ") format = "\"" + words + "\"" + format;
  if (cell.unit == "0..1") return format + "%";
  return scale.suffix.empty() ? format : format + "\"" + scale.suffix + "\"";
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

CellLook look_of(Emphasis emphasis) {
  CellLook look;
  look.bold = emphasis == Emphasis::strong || emphasis == Emphasis::bad;
  if (emphasis == Emphasis::bad) look.colour = 0xC00000;
  if (emphasis == Emphasis::warning) look.colour = 0x9C5700;
  if (emphasis == Emphasis::faint) look.colour = 0x7F7F7F;
  return look;
}

/// Writes blocks below each other.
class Writer {
 public:
  Writer(Book& book, Sheet& sheet, std::uint16_t last, std::optional<std::uint16_t> beside)
      : book_(book), sheet_(sheet), last_(last), beside_(beside) {}

  void title(const std::string& text, double size) {
    if (text.empty()) return;
    CellLook look = look_of(Emphasis::strong);
    look.size = size;
    sheet_.across({row++, 0}, last_, text, look);
  }

  void operator()(const Table& table) {
    end_lines();
    if (table.rows.empty()) return;
    if (beside_ && chart_row_ == 0) chart_row_ = row;
    title(table.title, 0);
    const auto columns = spans(table);
    std::uint16_t column = 0;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const Head& head = table.heads[i];
      const std::string name = head.group.empty() ? head.name : head.group + ": " + head.name;
      static const std::string ends[] = {"", " low", " high"};
      const std::size_t from = columns[i].width == 2 ? 1 : 0;  // an interval
      for (std::size_t k = 0; k < columns[i].width; ++k) {
        sheet_.head({row, column++}, name + ends[k + from], "", head.right || from > 0);
      }
    }
    ++row;
    for (const auto& cells : table.rows) {
      column = 0;
      for (std::size_t i = 0; i < columns.size(); ++i) {
        const bool rest = i + 1 == columns.size() && !table.heads[i].right && columns[i].numbers.empty();
        if (i < cells.size() && rest) {
          sheet_.across({row, column}, std::max(column, beside_.value_or(last_)), cells[i].text,
                        look_of(cells[i].emphasis));
        } else if (i < cells.size()) {
          cell(column, cells[i], columns[i], table.heads[i].right);
        }
        column = static_cast<std::uint16_t>(column + columns[i].width);
      }
      ++row;
    }
    if (!table.note.empty()) sheet_.across({row++, 0}, beside_.value_or(last_), table.note, look_of(Emphasis::faint));
    ++row;
  }

  void operator()(const Text& text) {
    const std::uint16_t first = text.label.empty() ? 0 : 1;
    if (first > 0) sheet_.across({row, 0}, 0, text.label, look_of(Emphasis::strong));
    const bool brief = std::all_of(text.items.begin(), text.items.end(),
                                   [](const std::string& item) { return width(item) <= kBrief; });
    for (const auto& item : brief ? std::vector{join(text.items, " | ")} : text.items) {
      sheet_.across({row++, first}, last_, item, look_of(text.emphasis));
    }
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
      sheet_.chart({chart_row_, static_cast<std::uint16_t>(*beside_ + 2)}, 0, chart.title, x, y, curves);
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
    const std::uint32_t rows = std::max(row, chart_row_);
    sheet_.print({rows - 1, last_}, static_cast<std::uint16_t>(1 + rows / kPageRows));
  }

  std::uint32_t row = 2;

 private:
  void cell(std::uint16_t column, const Cell& cell, const Span& span, bool right) {
    CellLook look = look_of(cell.emphasis);
    const auto values = parts(cell);
    std::vector<double> own;
    for (const Value& value : values) {
      if (const auto figure = number(value)) own.push_back(*figure);
    }
    const Scale scale = scale_of(cell, span.mixed ? own : span.numbers);
    for (const Value& value : values) {
      const auto figure = number(value);
      look.right = right || figure || span.width > 1;
      look.wrap = !figure;
      if (figure) look.number = format_of(cell, *figure * scale.by, scale);
      sheet_.put({row, column++}, figure && scale.by != 1 ? Value{*figure * scale.by} : value, look);
    }
  }

  Book& book_;
  Sheet& sheet_;
  std::uint16_t last_;
  std::optional<std::uint16_t> beside_;
  std::uint32_t chart_row_ = 0;  ///< of the next one
  enum class Lines { none, texts, chart } lines_ = Lines::none;
};

}  // namespace

std::uint16_t widen_for(Sheet& sheet, const std::vector<Section>& sections, std::size_t room) {
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
        // Text in the last column goes on over the others.
        const std::size_t most = i + 1 < all.size() ? std::string::npos : kLastWidth;
        for (const auto& row : table->rows) {
          if (i < row.size()) sheet.widen(column, std::min(width(row[i].text), most));
        }
        column = static_cast<std::uint16_t>(column + all[i].width);
      }
      columns = std::max(columns, column);
    }
  }
  std::size_t taken = 0;
  for (std::uint16_t column = 0; column < columns || taken < room; ++column) {
    sheet.widen(column, 0);
    taken += sheet.width(column);
    columns = std::max(columns, static_cast<std::uint16_t>(column + 1));
  }
  return static_cast<std::uint16_t>(columns - 1);
}

void write_sections(Book& book, Sheet& sheet, std::uint16_t last, const std::vector<Section>& sections,
                    std::optional<std::uint16_t> beside) {
  Writer writer(book, sheet, last, beside);
  for (const Section& section : sections) {
    writer.title(section.title, 13);
    for (const Block& block : section.blocks) std::visit([&](const auto& one) { writer(one); }, block);
    writer.end_lines();
  }
  writer.print();
}

}  // namespace kvcast::report
