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

/// Decimals that show `digits` significant ones of `value`.
int decimals_for(double value, int digits) {
  if (value == 0 || !std::isfinite(value)) return 0;
  return std::clamp(digits - 1 - static_cast<int>(std::floor(std::log10(std::fabs(value)))), 0, 12);
}

}  // namespace

// ---- text

std::size_t width(const std::string& text) { return columns_of(text); }

std::string prefix(const std::string& text, std::size_t columns) {
  return text.substr(0, first_columns(text, columns).size());
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

std::string stopped_text(const Conditions& conditions, const Config* config) {
  switch (conditions.stopped_by) {
    case StoppedBy::precision:
      return "stopped: target precision " +
             (config != nullptr ? "(±" + format_significant(100 * config->measure.precision, 3) + "%) " : "") +
             "reached";
    case StoppedBy::budget:
      return "stopped: time budget spent";
    case StoppedBy::rounds:
      return "stopped: all rounds done";
    case StoppedBy::interrupt:
      return "stopped: interrupted";
    case StoppedBy::end:
      return "stopped: end of the log";
    case StoppedBy::unknown:
      break;
  }
  return "stopped: -";
}

}  // namespace kvcast::report
