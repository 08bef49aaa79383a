#include "report/xlsx_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>
#include <variant>

#include "base/text.h"
#include "kvcast/error.h"
#include "report/layout.h"

namespace kvcast::report {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxUnits = 32767;
constexpr std::int64_t kExactIntegers = std::int64_t{1} << 53;
constexpr std::size_t kNarrow = 9, kWide = 44;
// 2000-01-01: a report has no date, and the same report gives the same bytes.
constexpr std::time_t kCreated = 946684800;

/// Readers take _x0041_ for an A.
bool looks_escaped(const std::string& text, std::size_t at) {
  if (text.compare(at, 2, "_x") != 0 || at + 6 >= text.size() || text[at + 6] != '_') return false;
  return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(at) + 2,
                     text.begin() + static_cast<std::ptrdiff_t>(at) + 6,
                     [](char c) { return std::strchr("0123456789abcdefABCDEF", c) != nullptr && c != '\0'; });
}

std::string column_name(std::uint16_t column) {
  std::string name;
  for (unsigned left = column + 1U; left > 0; left = (left - 1) / 26) {
    name.insert(name.begin(), static_cast<char>('A' + (left - 1) % 26));
  }
  return name;
}

}  // namespace

std::string number_format(const std::string& unit) {
  if (unit == "0..1") return "0.0%";
  if (unit == "-1..1") return "0.000";
  if (unit == "ratio") return "0.0000";
  if (unit == "%") return "0.00";
  if (unit == "s") return "[<0.001]0.000E+00;0.000000";
  if (unit == "1/s" || unit == "GFLOP/s" || unit == "GB/s") return "#,##0.00";
  if (unit == "FLOP") return "0.000E+00";
  if (unit == "bytes") return "#,##0";
  return "";
}

std::string cell_text(const std::string& text) {
  const std::string safe = one_line(text);
  std::string result;
  std::size_t units = 0;
  for (std::size_t i = 0; i < safe.size();) {
    const auto byte = static_cast<unsigned char>(safe[i]);
    const std::size_t length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    std::string character = safe.substr(i, length);
    // No characters of XML.
    if (character == "\xEF\xBF\xBE" || character == "\xEF\xBF\xBF") character = "\xEF\xBF\xBD";
    if (looks_escaped(safe, i)) character = "_x005F_";
    units += character.size() > 4 ? character.size() : length == 4 ? 2 : 1;
    if (units > kMaxUnits) break;
    result += character;
    i += length;
  }
  return result;
}

std::string absolute(At at) { return fmt::format("${}${}", column_name(at.column), at.row + 1); }
std::string relative(At at) { return fmt::format("{}{}", column_name(at.column), at.row + 1); }

void Sheet::put(At at, const Value& value, const std::string& unit, bool input) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    const std::string safe = cell_text(*text);
    if (safe.empty()) return;
    worksheet_write_string(raw_, at.row, at.column, safe.c_str(), input ? book_.format("", false, true) : nullptr);
    widen(at.column, width(safe));
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    worksheet_write_boolean(raw_, at.row, at.column, *flag ? 1 : 0, nullptr);
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    if (*integer > kExactIntegers || *integer < -kExactIntegers) {
      put(at, std::to_string(*integer), unit, input);
      return;
    }
    worksheet_write_number(raw_, at.row, at.column, static_cast<double>(*integer), book_.format("#,##0", false, input));
    widen(at.column, std::to_string(*integer).size() * 4 / 3);
  } else if (const auto* number = std::get_if<double>(&value); number != nullptr && std::isfinite(*number)) {
    worksheet_write_number(raw_, at.row, at.column, *number, book_.format(number_format(unit), false, input));
    widen(at.column, 10);
  } else if (input) {
    worksheet_write_blank(raw_, at.row, at.column, book_.format(number_format(unit), false, true));
  }
}

void Sheet::value(At at, const Value& value, const std::string& unit) { put(at, value, unit, false); }
void Sheet::input(At at, const Value& value, const std::string& unit) { put(at, value, unit, true); }
void Sheet::text(At at, const std::string& text) { put(at, text, "", false); }

void Sheet::title(At at, const std::string& text) {
  worksheet_write_string(raw_, at.row, at.column, cell_text(text).c_str(), book_.format("", true));
}
void Sheet::note(At at, const std::string& text) {
  worksheet_write_string(raw_, at.row, at.column, cell_text(text).c_str(), nullptr);
}

void Sheet::head(At at, const std::string& name, const std::string& unit) {
  const std::string text = cell_text(unit.empty() ? name : name + " [" + unit + "]");
  worksheet_write_string(raw_, at.row, at.column, text.c_str(), book_.format("", true, false, true));
  widen(at.column, width(text) + 2);  // the arrow of the filter
}

void Sheet::formula(At at, const std::string& formula, std::optional<double> result, const std::string& unit) {
  lxw_format* format = book_.format(number_format(unit));
  if (result && std::isfinite(*result)) {
    worksheet_write_formula_num(raw_, at.row, at.column, formula.c_str(), format, *result);
  } else {
    worksheet_write_formula_str(raw_, at.row, at.column, formula.c_str(), format, "");
  }
  widen(at.column, 10);
}

std::string Sheet::range(At first, At last) const {
  return fmt::format("={}!{}:{}", name_, absolute(first), absolute(last));
}

void Sheet::widen(std::uint16_t column, std::size_t characters) {
  std::size_t& widest = widths_.try_emplace(column, kNarrow).first->second;
  widest = std::max(widest, std::min(characters, kWide));
}

void Sheet::lay_out(bool one_page_wide) {
  worksheet_set_landscape(raw_);
  worksheet_set_paper(raw_, 9);  // A4
  if (one_page_wide) worksheet_fit_to_pages(raw_, 1, 0);
  for (const auto& [column, characters] : widths_) {
    worksheet_set_column(raw_, column, column, static_cast<double>(characters) + 1, nullptr);
  }
}

Book::Book(bool large) {
  std::error_code error;
  const fs::path parent = fs::temp_directory_path(error);
  if (error) throw IoError("TMPDIR", "no folder for temporary files: " + error.message());
  std::string folder = (parent / "kvcast-xlsx-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) {
    throw IoError(parent.string(), std::string("cannot make a temporary folder: ") + std::strerror(errno));
  }
  folder_ = folder;
  temporary_.emplace_back(folder);
  temporary_.emplace_back((folder_ / "report.xlsx").string());
  lxw_workbook_options options = {};
  options.constant_memory = large ? 1 : 0;
  options.tmpdir = folder.data();
  raw_ = workbook_new_opt((folder_ / "report.xlsx").c_str(), &options);
  if (raw_ == nullptr) {
    fs::remove_all(folder_, error);
    throw std::bad_alloc();
  }
  lxw_doc_properties properties = {};
  std::string title = "kvcast report";
  properties.title = title.data();
  properties.created = kCreated;
  workbook_set_properties(raw_, &properties);
}

Book::~Book() {
  if (raw_ != nullptr) lxw_workbook_free(raw_);
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

Sheet Book::add(const std::string& name) {
  lxw_worksheet* sheet = workbook_add_worksheet(raw_, name.c_str());
  if (sheet == nullptr) throw IoError(folder_.string(), "cannot add sheet " + name);
  return {*this, sheet, name};
}

void Book::name(const std::string& name, const Sheet& sheet, At at) {
  workbook_define_name(raw_, name.c_str(), fmt::format("={}!{}", sheet.name(), absolute(at)).c_str());
}

lxw_format* Book::format(const std::string& number, bool bold, bool input, bool head) {
  lxw_format*& format = formats_[fmt::format("{}|{}{}{}", number, bold, input, head)];
  if (format != nullptr) return format;
  format = workbook_add_format(raw_);
  if (!number.empty()) format_set_num_format(format, number.c_str());
  if (bold) format_set_bold(format);
  if (input) format_set_bg_color(format, 0xFFF2CC);
  if (head) {
    format_set_bg_color(format, 0xDDE6F0);
    format_set_bottom(format, LXW_BORDER_THIN);
  }
  return format;
}

std::string Book::bytes() {
  const lxw_error error = workbook_close(std::exchange(raw_, nullptr));
  const fs::path path = folder_ / "report.xlsx";
  if (error != LXW_NO_ERROR) throw IoError(path.string(), std::string("cannot write: ") + lxw_strerror(error));
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file || bytes.empty()) throw IoError(path.string(), "cannot read back");
  return bytes;
}

}  // namespace kvcast::report
