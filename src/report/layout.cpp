#include "report/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

#include "base/text.h"
#include "base/width.h"

namespace kvcast::report {
namespace {

std::string without_trailing_spaces(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

// Stands for a space at which a paragraph must not break; one_line() keeps it out of other text.
constexpr char kNoBreak = '\x01';

// Marks of emphasis: one begins each kind, in the order of Emphasis, one ends them all.
constexpr char kFirstMark = '\x02', kEndMark = '\x06';
constexpr const char* kColours[] = {"1", "31", "33", "2"};

std::string with_spaces(std::string text) {
  std::replace(text.begin(), text.end(), kNoBreak, ' ');
  return text;
}

bool is_mark(char c) { return c >= kFirstMark && c <= kEndMark; }

/// Decimals that show `digits` significant ones of `value`.
int decimals_for(double value, int digits) {
  if (value == 0 || !std::isfinite(value)) return 0;
  return std::clamp(digits - 1 - static_cast<int>(std::floor(std::log10(std::fabs(value)))), 0, 12);
}

}  // namespace

// ---- text

std::string emphasised(const std::string& text, Emphasis emphasis) {
  std::string result;
  // By line: a pager forgets at its end.
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) {
      result += static_cast<char>(kFirstMark + static_cast<int>(emphasis) - 1) + text.substr(at, end - at) + kEndMark;
    }
    if (end < text.size()) result += '\n';
    at = end + 1;
  }
  return result;
}

std::string shown(const std::string& marked, bool colour) {
  std::string result;
  for (const char c : marked) {
    if (!is_mark(c)) {
      result += c;
    } else if (colour) {
      result += fmt::format("\x1b[{}m", c == kEndMark ? "0" : kColours[c - kFirstMark]);
    }
  }
  return result;
}

std::size_t width(const std::string& text) { return columns_of(with_spaces(text)); }

std::string prefix(const std::string& text, std::size_t columns) {
  return text.substr(0, first_columns(with_spaces(text), columns).size());
}

std::string one_line_or_dash(const std::string& text) { return text.empty() ? "-" : one_line(text); }

std::string clipped(const std::string& text, std::size_t columns) {
  const std::string safe = one_line(text);
  return width(safe) <= columns ? safe : prefix(safe, columns - 1) + "~";
}

std::string inert(const std::string& markdown) {
  std::string result;
  for (std::size_t i = 0; i < markdown.size(); ++i) {
    const char c = markdown[i];
    const bool may_link = i + 1 < markdown.size() && std::string_view("([:").find(markdown[i + 1]) != std::string::npos;
    if (c == '<') {
      result += "&lt;";
    } else if (c == '`') {
      result += "&#96;";
    } else if (c == ']' && may_link) {
      result += "&#93;";
    } else {
      result += c;
    }
  }
  return result;
}

std::string padded(const std::string& text, std::size_t columns, bool right) {
  const std::size_t used = width(text);
  const std::string fill(used < columns ? columns - used : 0, ' ');
  return right ? fill + text : text + fill;
}

std::string sentence(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text + ".";
}

std::string paragraph(const std::string& label, const std::string& text, std::size_t indent) {
  const std::size_t room = kWidth - indent;
  std::vector<std::string> lines = {""};
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    std::string word = text.substr(at, end - at);
    at = end + 1;
    if (word.empty()) {
      if (!lines.back().empty()) lines.back() += ' ';
      continue;
    }
    std::string& line = lines.back();
    const std::size_t gap = line.empty() ? 0 : 1;
    if (width(line) + gap + width(word) <= room) {
      line += std::string(gap, ' ') + word;
      continue;
    }
    if (!line.empty()) lines.emplace_back();
    while (width(word) > room) {
      lines.back() = prefix(word, room);
      word.erase(0, lines.back().size());
      lines.emplace_back();
    }
    lines.back() = word;
  }
  std::string result;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    result += without_trailing_spaces(padded(i == 0 ? label : "", indent, false) + lines[i]) + "\n";
  }
  return result;
}

std::string paragraph_of_items(const std::string& label, const std::vector<std::string>& items, std::size_t indent) {
  std::string text;
  for (std::string item : items) {
    std::replace(item.begin(), item.end(), ' ', kNoBreak);
    text += (text.empty() ? "" : std::string(1, kNoBreak) + "| ") + item;
  }
  return with_spaces(paragraph(label, text, indent));
}

// ---- numbers

std::string integer(std::int64_t value) { return grouped(fmt::format("{}", value)); }

std::string whole(double value) {
  return std::fabs(value) < 0x1p63 ? integer(std::llround(value)) : significant(value, 4);
}

std::string counted(std::int64_t count, const char* noun) {
  return integer(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string fixed(double value, int decimals) {
  if (!std::isfinite(value)) return "-";
  const double size = std::fabs(value);
  if (size != 0 && (size < 1e-4 || size >= 1e8)) {
    if (size >= 1e-6 && size < 1e9) return format_significant(value, 3);
    std::string text = format_power(value, 3);
    std::erase(text, ' ');  // cells are narrow
    return text;
  }
  return grouped(fmt::format("{:.{}f}", value, decimals));
}

std::string significant(double value, int digits) {
  return std::isfinite(value) ? fixed(value, decimals_for(value, digits)) : "-";
}
std::string significant(const std::optional<double>& value, int digits) {
  return value ? significant(*value, digits) : "-";
}

std::string with_unit(const std::optional<double>& value, int digits, const char* unit) {
  return value && std::isfinite(*value) ? significant(*value, digits) + unit : "-";
}

std::string percent(const std::optional<double>& value) {
  // Rounding error is not worth fourteen zeros.
  if (value && std::fabs(*value) < 0.005) return "0.00%";
  return with_unit(value, 2, "%");
}

int estimate_decimals(const Estimate& estimate, int digits) {
  const int base = decimals_for(estimate.value, digits);
  if (!estimate.ci95) return base;
  const double half = (estimate.ci95->hi - estimate.ci95->lo) / 2;
  if (!(half > 0) || !std::isfinite(half)) return base;
  // Nor more digits than an interval that wide supports.
  const int least = half > kWideInterval * std::fabs(estimate.value) ? std::max(base - 1, 0) : base;
  return std::clamp(decimals_for(half, 1), least, base + 2);
}

std::string factor(double value, int decimals) { return std::isfinite(value) ? fixed(value, decimals) + "x" : "-"; }

std::string interval(const Estimate& estimate, int decimals) {
  if (!estimate.ci95) return "-";
  return "[" + fixed(estimate.ci95->lo, decimals) + ", " + fixed(estimate.ci95->hi, decimals) + "]";
}

std::string seconds(double value) {
  if (!std::isfinite(value)) return "-";
  const double size = std::fabs(value);
  // Nobody reads 10^8 s, nor can they be told from the next number.
  constexpr double kYear = 365.25 * 86400;
  if (size >= kYear) return size < 1e4 * kYear ? significant(value / kYear, 3) + " years" : "over 10,000 years";
  if (size < 1e-12) return "0 s";
  if (size >= 1) return significant(value, 3) + " s";
  if (size >= 1e-3) return significant(value * 1e3, 3) + " ms";
  if (size >= 1e-6) return significant(value * 1e6, 3) + " us";
  if (size >= 1e-9) return significant(value * 1e9, 3) + " ns";
  return significant(value * 1e12, 3) + " ps";
}

std::string bytes(double value) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double scaled = value;
  std::size_t unit = 0;
  while (scaled >= 1024 && unit + 1 < std::size(kUnits)) {
    scaled /= 1024;
    ++unit;
  }
  return significant(scaled, 3) + " " + kUnits[unit];
}
std::string bytes(std::int64_t value) { return bytes(static_cast<double>(value)); }

std::string share(double fraction, int decimals) {
  if (std::fabs(fraction) < 1e-6) fraction = 0;  // fixed() would show its exponent
  return std::isfinite(fraction) ? fixed(100 * fraction, decimals) + "%" : "-";
}

std::string share(const std::optional<double>& fraction, int decimals) {
  return fraction ? share(*fraction, decimals) : "-";
}

std::string machine_text(const MachineInfo& machine) {
  std::string text = one_line_or_dash(machine.cpu_model) + ", " + one_line_or_dash(machine.isa) + ", " +
                     counted(machine.threads, "CPU");
  if (machine.peak_gflops) text += ", FMA peak " + with_unit(machine.peak_gflops, 4, " GFLOP/s");
  if (machine.read_gb_per_s) text += ", DRAM read " + with_unit(machine.read_gb_per_s, 3, " GB/s");
  return text;
}

std::string conditions_text(const Conditions& conditions) {
  return counted(conditions.rounds, "round") + ", stopped by " + one_line_or_dash(to_string(conditions.stopped_by)) +
         ", " + seconds(conditions.measured_s);
}

// ---- grid

namespace {

std::string plain_between_marks(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = static_cast<std::size_t>(
        std::find_if(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(), is_mark) - text.begin());
    result += one_line(text.substr(at, end - at));
    if (end < text.size()) result += text[end];
    at = end + 1;
  }
  return result;
}

}  // namespace

Grid::Grid(std::vector<Head> heads) : heads_(std::move(heads)) {
  for (Head& head : heads_) {
    head.top = plain_between_marks(head.top);
    head.bottom = plain_between_marks(head.bottom);
  }
}

void Grid::add(const std::vector<std::string>& cells) {
  std::vector<std::string>& row = rows_.emplace_back();
  for (const std::string& cell : cells) row.push_back(plain_between_marks(cell));
}

std::string Grid::text(const std::string& margin) const {
  std::vector<std::size_t> widths;
  std::size_t total = margin.size();
  for (std::size_t c = 0; c < heads_.size(); ++c) {
    std::size_t widest = std::max(width(heads_[c].top), width(heads_[c].bottom));
    for (const auto& row : rows_) widest = std::max(widest, width(row[c]));
    widths.push_back(widest);
    total += widest;
  }
  const std::size_t gaps = heads_.size() - 1;
  const std::string gap(total + 2 * gaps <= kWidth ? 2 : 1, ' ');
  total += gap.size() * gaps;

  const auto line = [&](const auto& cell) {
    std::string result = margin;
    for (std::size_t c = 0; c < heads_.size(); ++c) {
      result += (c > 0 ? gap : "") + padded(cell(c), widths[c], heads_[c].right);
    }
    return without_trailing_spaces(result) + "\n";
  };
  std::string head;
  if (std::any_of(heads_.begin(), heads_.end(), [](const Head& one) { return !one.top.empty(); })) {
    head += line([&](std::size_t c) { return heads_[c].top; });
  }
  head += line([&](std::size_t c) { return heads_[c].bottom; });
  std::string result = emphasised(head, Emphasis::strong);
  result += margin + std::string(total - margin.size(), '-') + "\n";
  for (const auto& row : rows_) result += line([&](std::size_t c) { return row[c]; });
  return result;
}

std::string Grid::markdown() const {
  const auto line = [&](const auto& cell) {
    std::string result = "|";
    for (std::size_t c = 0; c < heads_.size(); ++c) {
      std::string text = one_line(cell(c));  // no marks either
      // Not a backslash: one before it would take that away again.
      for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos;) text.replace(at, 1, "&#124;");
      result += " " + text + " |";
    }
    return result + "\n";
  };
  std::string result = line([&](std::size_t c) {
    const auto& [top, bottom, right] = heads_[c];
    if (top.ends_with('-')) return top.substr(0, top.size() - 1) + bottom;  // one word, broken
    return top + (top.empty() || bottom.empty() ? "" : " ") + bottom;
  });
  result += line([&](std::size_t c) { return std::string(heads_[c].right ? "--:" : "---"); });
  for (const auto& row : rows_) result += line([&](std::size_t c) { return row[c]; });
  return result;
}

}  // namespace kvcast::report
