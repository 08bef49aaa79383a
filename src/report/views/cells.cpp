#include "report/views/cells.h"

#include <algorithm>
#include <cmath>

#include "report/layout.h"

namespace kvcast::report {
namespace {

Cell unknown_cell() { return {"-"}; }

bool known(const std::optional<double>& value) { return value && std::isfinite(*value); }

}  // namespace

Cell text_cell(const std::string& text, Emphasis emphasis) {
  return text.empty() ? unknown_cell() : Cell{text, text, {}, emphasis};
}

Cell count_cell(const std::optional<std::int64_t>& count, const char* unknown, const char* unit) {
  return count ? Cell{integer(*count), *count, unit} : Cell{unknown};
}

Cell number_cell(const std::optional<double>& value, int digits, const char* unit) {
  return known(value) ? Cell{significant(*value, digits), *value, unit} : unknown_cell();
}

Cell seconds_cell(const std::optional<double>& value) {
  return known(value) ? Cell{seconds(*value), *value, "s"} : unknown_cell();
}

Cell bytes_cell(const std::optional<double>& value) {
  return known(value) ? Cell{bytes(*value), *value, "bytes"} : unknown_cell();
}

Cell bytes_cell(const std::optional<std::int64_t>& value) {
  return value ? Cell{bytes(*value), *value, "bytes"} : unknown_cell();
}

Cell share_cell(const std::optional<double>& value, int decimals) {
  return known(value) ? Cell{share(*value, decimals), *value, "0..1"} : unknown_cell();
}

Cell percent_cell(const std::optional<double>& value) {
  return known(value) ? Cell{percent(value), *value, "%"} : unknown_cell();
}

Cell factor_cell(const std::optional<double>& value, int decimals) {
  return known(value) ? Cell{factor(*value, decimals), *value, "ratio"} : unknown_cell();
}

Cell factor_cell(const std::optional<Estimate>& estimate, int digits) {
  return estimate ? factor_cell(std::optional(estimate->value), estimate_decimals(*estimate, digits)) : unknown_cell();
}

Cell estimate_cell(const std::optional<Estimate>& estimate, int digits) {
  if (!estimate || !std::isfinite(estimate->value)) return unknown_cell();
  return {fixed(estimate->value, estimate_decimals(*estimate, digits)), estimate->value, "ratio"};
}

Cell interval_cell(const std::optional<Estimate>& estimate, int digits) {
  if (!estimate || !estimate->ci95) return unknown_cell();
  return {interval(*estimate, estimate_decimals(*estimate, digits)), *estimate->ci95, "ratio"};
}

std::string rate(double per_second) {
  const double per_day = 86400 * per_second;
  if (per_second > 0 && per_second < 1e-3) return per_day < 1e-3 ? "under 0.001/day" : significant(per_day, 4) + "/day";
  return significant(per_second, 4) + "/s";
}

std::string amount(double value, const std::string& unit) {
  if (!std::isfinite(value)) return "-";
  if (unit == "s") return seconds(value);
  if (unit == "bytes") return bytes(value);
  if (unit == "1/s") return rate(value);
  if (unit == "0..1") return share(value, 2);
  if (unit == "tokens/s") return significant(value, 4) + " tokens/s";
  if (unit != "ratio" && std::floor(value) == value && std::abs(value) < 1e15) return whole(value);
  return significant(value, 4);
}

Cell amount_cell(const std::optional<double>& value, const std::string& unit) {
  return known(value) ? Cell{amount(*value, unit), *value, unit} : unknown_cell();
}

Cell amount_interval_cell(const std::optional<Interval>& interval, const std::string& unit) {
  if (!interval) return unknown_cell();
  return {"[" + amount(interval->lo, unit) + ", " + amount(interval->hi, unit) + "]", *interval, unit};
}

void add_section(Document& document, Section section) {
  if (!section.blocks.empty()) document.sections.push_back(std::move(section));
}

void add_table(Document& document, const std::string& section, bool details, Table table) {
  if (!table.rows.empty()) document.sections.push_back({section, details, {std::move(table)}});
}

}  // namespace kvcast::report
