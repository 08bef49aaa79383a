// A workbook in the making: sheets whose cells take the values of columns, and its bytes.
#pragma once

#include <xlsxwriter.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
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

class Book;

/// Cells are written by ascending row. Texts are never formulas.
class Sheet {
 public:
  Sheet(Book& book, lxw_worksheet* raw, std::string name) : book_(book), raw_(raw), name_(std::move(name)) {}

  void value(At at, const Value& value, const std::string& unit = "");
  /// An input that people may change.
  void input(At at, const Value& value, const std::string& unit = "");
  void text(At at, const std::string& text);
  /// In bold; does not widen its column.
  void title(At at, const std::string& text);
  /// Likewise, not in bold.
  void note(At at, const std::string& text);
  void head(At at, const std::string& name, const std::string& unit = "");
  /// `result` is what it comes to now, for readers that do not calculate; nullopt: an empty text.
  void formula(At at, const std::string& formula, std::optional<double> result, const std::string& unit = "");

  /// "=fit!$A$4:$A$9".
  std::string range(At first, At last) const;
  const std::string& name() const { return name_; }
  lxw_worksheet* raw() { return raw_; }
  /// Widths of columns and the printed page, one of which may be as wide as the sheet. Once all cells are there.
  void lay_out(bool one_page_wide);

 private:
  void put(At at, const Value& value, const std::string& unit, bool input);
  void widen(std::uint16_t column, std::size_t characters);

  Book& book_;
  lxw_worksheet* raw_;
  std::string name_;
  std::map<std::uint16_t, std::size_t> widths_;
};

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
  /// Made once; numbers, inputs and heads.
  lxw_format* format(const std::string& number, bool bold = false, bool input = false, bool head = false);
  /// Finishes it.
  std::string bytes();

 private:
  std::filesystem::path folder_;
  std::vector<Temporary> temporary_;  ///< it and its file
  lxw_workbook* raw_ = nullptr;
  std::map<std::string, lxw_format*> formats_;
};

}  // namespace kvcast::report
