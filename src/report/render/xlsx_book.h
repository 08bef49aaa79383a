// A workbook in the making: sheets, their cells and charts, and its bytes.
#pragma once

#include <xlsxwriter.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/temporary.h"
#include "report/columns.h"

namespace kvcast::report {

/// The format to show a number of this unit with; empty: as it is.
std::string number_format(const std::string& unit);

/// Text that a cell can hold and every reader reads back: valid UTF-8 without control characters, cut to 32767 UTF-16
/// units.
std::string cell_text(const std::string& text);

/// Cell of a sheet, from 0.
struct At {
  std::uint32_t row = 0;
  std::uint16_t column = 0;
};
/// "$B$4".
std::string absolute(At at);
/// "B4".
std::string relative(At at);

/// How a cell looks. `number`: as number_format().
struct CellLook {
  std::string number = {};
  bool bold = false, wrap = false, input = false, head = false, right = false;
  double size = 0;           ///< of the font, points; 0: as it comes
  std::uint32_t colour = 0;  ///< of the font; 0: black
};

/// A curve of a chart; x and y are ranges.
struct Curve {
  std::string name, x, y;
  enum class Style { line, marks, ends } style = Style::line;
};
struct Axis {
  std::string name, format = "General";
  bool log = false;
};

class Book;

/// Cells are written by ascending row. Texts are never formulas.
class Sheet {
 public:
  Sheet(Book& book, lxw_worksheet* raw, std::string name) : book_(book), raw_(raw), name_(std::move(name)) {}

  /// Numbers with the format of `unit`. Nothing for what is unknown.
  void value(At at, const Value& value, const std::string& unit = "") { put(at, value, {number_format(unit)}); }
  /// An input that people may change.
  void input(At at, const Value& value, const std::string& unit = "");
  void put(At at, const Value& value, CellLook look);
  void head(At at, const std::string& name, const std::string& unit = "", bool right = false);
  /// Text over the columns from `at` to `last`, wrapped, in a row as high as it needs.
  void across(At at, std::uint16_t last, const std::string& text, CellLook look = {});
  /// `result` is what it comes to now, for readers that do not calculate; nullopt: an empty text.
  void formula(At at, const std::string& formula, std::optional<double> result, const std::string& unit = "");
  /// In front of `at`, its size in pixels; nothing without curves.
  void chart(At at, int x_offset, const std::string& title, const Axis& x, const Axis& y,
             const std::vector<Curve>& curves);

  /// "=fit!$A$4:$A$9".
  std::string range(At first, At last) const;
  const std::string& name() const { return name_; }
  lxw_worksheet* raw() { return raw_; }
  /// At least so wide: before what is written across it, so that its height is right.
  void widen(std::uint16_t column, std::size_t characters);
  std::size_t width(std::uint16_t column) const;
  /// A table with a filter whose heads stay in view and are repeated on every page.
  void table(std::uint32_t head, std::uint32_t last_row, std::uint16_t last_column);
  /// What is printed: rows and columns up to `last`, a page wide and at most so many high; 0: any.
  void print(At last, std::uint16_t pages = 0);
  /// Widths of columns. Once all cells are there.
  void lay_out();

 private:
  /// No reader makes a row higher for a text over several columns, and some for none.
  void heighten(std::uint32_t row, const std::string& text, double room, const CellLook& look);

  Book& book_;
  lxw_worksheet* raw_;
  std::string name_;
  std::map<std::uint16_t, std::size_t> widths_;
  std::pair<std::uint32_t, double> height_;  ///< of the row that was made higher last
};

/// Rows that a printed page can take.
inline constexpr std::uint32_t kPageRows = 75;
/// Size of a chart, pixels, and the rows that it stands over.
inline constexpr int kChartWidth = 460;
inline constexpr std::uint32_t kChartRows = 17;

/// Errors: IoError when the temporary files cannot be written. They are gone when the book is.
class Book {
 public:
  /// large: keeps one row of a sheet in memory, not all.
  explicit Book(bool large);
  ~Book();
  Book(const Book&) = delete;
  Book& operator=(const Book&) = delete;

  Sheet add(const std::string& name);
  /// "model_r" for the cell of a sheet.
  void name(const std::string& name, const Sheet& sheet, At at);
  lxw_chart* chart(std::uint8_t type) { return workbook_add_chart(raw_, type); }
  /// Made once.
  lxw_format* format(const CellLook& look);
  /// Numbers that only charts need, in a hidden sheet; their range.
  std::string hidden(const std::vector<double>& numbers);
  /// Finishes it.
  std::string bytes();

 private:
  std::filesystem::path folder_;
  std::vector<Temporary> temporary_;  ///< it and its file
  lxw_workbook* raw_ = nullptr;
  std::map<std::string, lxw_format*> formats_;
  std::optional<Sheet> hidden_;
  std::uint32_t hidden_rows_ = 0;
};

}  // namespace kvcast::report
