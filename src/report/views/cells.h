// Cells of a document: each figure as text for people and as a value with its unit, so that all formats show the same.
// What is unknown or not finite is "-" without a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/document.h"

namespace kvcast::report {

/// "-" when empty.
Cell text_cell(const std::string& text, Emphasis emphasis = Emphasis::none);
/// unknown: what stands in place of a count that is not known.
Cell count_cell(const std::optional<std::int64_t>& count, const char* unknown = "-", const char* unit = "");
Cell number_cell(const std::optional<double>& value, int digits, const char* unit = "");
Cell seconds_cell(const std::optional<double>& value);
Cell bytes_cell(const std::optional<double>& value);
Cell bytes_cell(const std::optional<std::int64_t>& value);
/// Of a share in 0..1, as a percentage.
Cell share_cell(const std::optional<double>& share, int decimals);
/// Of what is a percentage already.
Cell percent_cell(const std::optional<double>& value);
/// Speed-ups and other ratios: "9.56x".
Cell factor_cell(const std::optional<double>& value, int decimals);
Cell factor_cell(const std::optional<Estimate>& estimate, int digits = 3);
/// The value of an estimate, and its 95% interval, with the digits that the interval supports.
Cell estimate_cell(const std::optional<Estimate>& estimate, int digits = 3);
Cell interval_cell(const std::optional<Estimate>& estimate, int digits = 3);
/// "8.00 GiB", "240.5/s", "75.00%": a value in a unit of the contract.
std::string amount(double value, const std::string& unit);
Cell amount_cell(const std::optional<double>& value, const std::string& unit);
/// The interval of an amount.
Cell amount_interval_cell(const std::optional<Interval>& interval, const std::string& unit);
/// Requests per second, or per day where they are few.
std::string rate(double per_second);

/// A row of cells per item.
template <typename Item, typename Cells>
std::vector<std::vector<Cell>> rows_of(const std::vector<Item>& items, const Cells& cells) {
  std::vector<std::vector<Cell>> rows;
  for (const Item& item : items) rows.push_back(cells(item));
  return rows;
}

/// Of a column of numbers.
inline Head number_head(std::string name, std::string group = {}) { return {std::move(name), true, std::move(group)}; }

/// Adds a section with one table unless it has no rows.
void add_table(Document& document, const std::string& section, bool details, Table table);
/// Adds a section unless it has no blocks.
void add_section(Document& document, Section section);

}  // namespace kvcast::report
