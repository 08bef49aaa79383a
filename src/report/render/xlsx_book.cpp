#include "report/render/xlsx_book.h"

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
constexpr std::size_t kNarrowColumn = 9, kWideColumn = 44;
constexpr double kFont = 11, kLineHeight = 1.37, kMaxHeight = 409;  // points
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
  if (unit == "bytes" || unit == "candidates") return "#,##0";
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

void Sheet::input(At at, const Value& value, const std::string& unit) {
  CellLook look{number_format(unit)};
  look.input = true;
  put(at, value, look);
}

void Sheet::put(At at, const Value& value, CellLook look) {
  const auto number = [&](double of, std::size_t characters) {
    worksheet_write_number(raw_, at.row, at.column, of, book_.format(look));
    widen(at.column, characters);
  };
  if (const auto* text = std::get_if<std::string>(&value)) {
    const std::string safe = cell_text(*text);
    if (safe.empty()) return;
    look.number.clear();
    worksheet_write_string(raw_, at.row, at.column, safe.c_str(), book_.format(look));
    widen(at.column, report::width(safe));
    if (look.wrap) heighten(at.row, safe, static_cast<double>(width(at.column)), look);
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    worksheet_write_boolean(raw_, at.row, at.column, *flag ? 1 : 0, nullptr);
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    if (*integer > kExactIntegers || *integer < -kExactIntegers) return put(at, std::to_string(*integer), look);
    look.number = "#,##0";
    number(static_cast<double>(*integer), std::to_string(*integer).size() * 4 / 3);
  } else if (const auto* real = std::get_if<double>(&value); real != nullptr && std::isfinite(*real)) {
    number(*real, 10);
  } else if (look.input) {
    worksheet_write_blank(raw_, at.row, at.column, book_.format(look));
  }
}

void Sheet::head(At at, const std::string& name, const std::string& unit, bool right) {
  CellLook look;
  look.bold = look.head = look.wrap = true;
  look.right = right;
  const std::string text = cell_text(unit.empty() ? name : name + " [" + unit + "]");
  for (std::size_t start = 0, end = 0; start < text.size(); start = end + 1) {
    end = std::min(text.find(' ', start), text.size());
    widen(at.column, report::width(text.substr(start, end - start)) + 2);  // the arrow of the filter
  }
  worksheet_write_string(raw_, at.row, at.column, text.c_str(), book_.format(look));
  heighten(at.row, text, static_cast<double>(width(at.column)), look);
}

void Sheet::across(At at, std::uint16_t last, const std::string& text, CellLook look) {
  const std::string safe = cell_text(text);
  look.wrap = true;
  double room = 0;
  for (std::uint16_t column = at.column; column <= last; ++column) room += static_cast<double>(width(column));
  if (last > at.column) {
    worksheet_merge_range(raw_, at.row, at.column, at.row, last, safe.c_str(), book_.format(look));
  } else {
    worksheet_write_string(raw_, at.row, at.column, safe.c_str(), book_.format(look));
  }
  heighten(at.row, safe, room, look);
}

void Sheet::heighten(std::uint32_t row, const std::string& text, double room, const CellLook& look) {
  const double font = look.size > 0 ? look.size : kFont;
  // Words do not fill their lines, and bold ones are wider.
  const double columns = static_cast<double>(report::width(text)) * (look.bold ? 1.15 : 1.05) * font / kFont;
  const double lines = std::max(1.0, std::ceil(columns / room - 0.15));
  if (height_.first != row) height_ = {row, kFont * kLineHeight};
  const double height = std::min(kMaxHeight, lines * font * kLineHeight);
  if (height <= height_.second) return;
  height_.second = height;
  worksheet_set_row(raw_, row, height, nullptr);
}

void Sheet::formula(At at, const std::string& formula, std::optional<double> result, const std::string& unit) {
  lxw_format* format = book_.format({number_format(unit)});
  if (result && std::isfinite(*result)) {
    worksheet_write_formula_num(raw_, at.row, at.column, formula.c_str(), format, *result);
  } else {
    worksheet_write_formula_str(raw_, at.row, at.column, formula.c_str(), format, "");
  }
  widen(at.column, 10);
}

void Sheet::chart(At at, int x_offset, const std::string& title, const Axis& x, const Axis& y,
                  const std::vector<Curve>& curves) {
  if (curves.empty()) return;
  // The library takes what begins with = for a formula, which may name a file anywhere.
  const auto safe = [](const std::string& text) {
    const std::string name = cell_text(text);
    return name.starts_with('=') ? " " + name : name;
  };
  lxw_chart* chart = book_.chart(LXW_CHART_SCATTER_STRAIGHT_WITH_MARKERS);
  for (const Curve& one : curves) {
    lxw_chart_series* series = chart_add_series(chart, one.x.c_str(), one.y.c_str());
    chart_series_set_name(series, safe(one.name).c_str());
    if (one.style == Curve::Style::line) {
      chart_series_set_marker_type(series, LXW_CHART_MARKER_NONE);
      continue;
    }
    const bool ends = one.style == Curve::Style::ends;
    lxw_chart_line none = {};
    none.none = 1;
    chart_series_set_line(series, &none);
    chart_series_set_marker_type(series, ends ? LXW_CHART_MARKER_LONG_DASH : LXW_CHART_MARKER_CIRCLE);
    chart_series_set_marker_size(series, ends ? 5 : 7);
    if (!ends) continue;
    lxw_chart_line grey = {};
    grey.color = 0x808080;
    chart_series_set_marker_line(series, &grey);
  }
  lxw_chart_font font = {};
  font.size = kFont;
  font.bold = 1;
  chart_title_set_name(chart, safe(title).c_str());
  chart_title_set_name_font(chart, &font);
  for (const auto& [axis, wanted] : {std::pair{chart->x_axis, &x}, {chart->y_axis, &y}}) {
    chart_axis_set_name(axis, safe(wanted->name).c_str());
    chart_axis_set_num_format(axis, wanted->format.c_str());
    if (wanted->log) chart_axis_set_log_base(axis, 10);
  }
  chart_axis_major_gridlines_set_visible(chart->x_axis, 1);
  chart_legend_set_position(chart, LXW_CHART_LEGEND_BOTTOM);
  chart_show_blanks_as(chart, LXW_CHART_BLANKS_AS_GAP);
  lxw_chart_options options = {};
  options.x_scale = kChartWidth / 480.0;  // 480 x 288 pixels as they come
  options.y_scale = (kChartRows - 1) * 20 / 288.0;
  options.x_offset = x_offset;
  worksheet_insert_chart_opt(raw_, at.row, at.column, chart, &options);
}

std::string Sheet::range(At first, At last) const {
  return fmt::format("={}!{}:{}", name_, absolute(first), absolute(last));
}

void Sheet::widen(std::uint16_t column, std::size_t characters) {
  std::size_t& widest = widths_.try_emplace(column, kNarrowColumn).first->second;
  widest = std::max(widest, std::min(characters, kWideColumn));
}
std::size_t Sheet::width(std::uint16_t column) const {
  const auto found = widths_.find(column);
  return (found == widths_.end() ? kNarrowColumn : found->second) + 1;
}

void Sheet::table(std::uint32_t head, std::uint32_t last_row, std::uint16_t last_column) {
  worksheet_autofilter(raw_, head, 0, std::max(last_row, head + 1), last_column);
  worksheet_repeat_rows(raw_, head, head);
  worksheet_freeze_panes(raw_, head + 1, 0);
}

void Sheet::print(At last, std::uint16_t pages) {
  worksheet_print_area(raw_, 0, 0, last.row, last.column);
  worksheet_fit_to_pages(raw_, 1, pages);
}

void Sheet::lay_out() {
  worksheet_set_paper(raw_, 9);  // A4
  worksheet_set_footer(raw_, "&L&A&R&P / &N");
  for (const auto& [column, characters] : widths_) {
    worksheet_set_column(raw_, column, column, static_cast<double>(characters + 1), nullptr);
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
  worksheet_set_landscape(sheet);
  return {*this, sheet, name};
}

void Book::name(const std::string& name, const Sheet& sheet, At at) {
  workbook_define_name(raw_, name.c_str(), fmt::format("={}!{}", sheet.name(), absolute(at)).c_str());
}

lxw_format* Book::format(const CellLook& look) {
  lxw_format*& format = formats_[fmt::format("{}|{}{}{}{}{}|{}|{}", look.number, look.bold, look.wrap, look.input,
                                             look.head, look.right, look.size, look.colour)];
  if (format != nullptr) return format;
  format = workbook_add_format(raw_);
  format_set_align(format, LXW_ALIGN_VERTICAL_TOP);
  if (!look.number.empty()) format_set_num_format(format, look.number.c_str());
  if (look.bold) format_set_bold(format);
  if (look.size > 0) format_set_font_size(format, look.size);
  if (look.colour != 0) format_set_font_color(format, look.colour);
  if (look.right) format_set_align(format, LXW_ALIGN_RIGHT);
  if (look.wrap) {
    format_set_text_wrap(format);
    if (!look.right) format_set_indent(format, 1);
  }
  if (look.input) format_set_bg_color(format, 0xFFF2CC);
  if (look.head) {
    format_set_bg_color(format, 0xDDE6F0);
    format_set_bottom(format, LXW_BORDER_THIN);
  }
  return format;
}

std::string Book::hidden(const std::vector<double>& numbers) {
  if (!hidden_) {
    hidden_.emplace(add("data"));
    worksheet_hide(hidden_->raw());
  }
  const std::uint32_t first = hidden_rows_;
  for (const double number : numbers) hidden_->value({hidden_rows_++, 0}, number);
  return hidden_->range({first, 0}, {std::max(first + 1, hidden_rows_) - 1, 0});
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
