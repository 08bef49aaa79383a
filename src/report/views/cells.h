// Cells of a document: each figure as text for people and as a value with its unit, so that all formats show the same.
// What is unknown or not finite is "-" without a value.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
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

/// A column of a table of rows: a new figure is one of these.
template <typename Row>
struct Col {
  Head head;
  std::function<Cell(const Row& row)> cell;
};

/// Cells of members, for the columns below.
inline const auto kCount = [](const auto& value) { return count_cell(value); };
inline const auto kSeconds = [](const std::optional<double>& value) { return seconds_cell(value); };
inline const auto kBytes = [](const auto& value) { return bytes_cell(std::optional(value)); };
inline const auto kEstimate = [](const std::optional<Estimate>& value) { return estimate_cell(value); };
inline const auto kPercent = [](const std::optional<double>& value) { return percent_cell(value); };
inline const auto kHundredths = [](const std::optional<double>& percentage) {
  return share_cell(percentage ? std::optional(*percentage / 100) : std::nullopt, 1);
};
inline auto digits(int count, const char* unit = "ratio") {
  return [=](const std::optional<double>& value) { return number_cell(value, count, unit); };
}
inline auto shares(int decimals) {
  return [=](const std::optional<double>& value) { return share_cell(value, decimals); };
}
inline auto factors(int decimals) {
  return [=](const std::optional<double>& value) { return factor_cell(value, decimals); };
}

/// Numbers, by a member or a function of the row, and what makes a cell of it.
template <typename Row, typename Get, typename Make>
Col<Row> numbers(std::string name, Get get, Make make, std::string group = {}) {
  return {{std::move(name), true, std::move(group)}, [=](const Row& row) { return make(std::invoke(get, row)); }};
}
template <typename Row, typename Base, typename Member, typename Make>
Col<Row> numbers(std::string name, Member Base::*get, Make make, std::string group = {}) {
  return {{std::move(name), true, std::move(group)}, [=](const Row& row) { return make(row.*get); }};
}
/// Text, or a value of a closed set by its name.
template <typename Row, typename Member>
Col<Row> words(std::string name, Member Row::*get) {
  return {{std::move(name)}, [=](const Row& row) {
            if constexpr (std::is_same_v<Member, std::string>)
              return text_cell(row.*get);
            else
              return text_cell(to_string(row.*get));
          }};
}
/// A cell of its own making: numbers where `right`.
template <typename Row, typename Make>
Col<Row> cells(std::string name, Make make, bool right = false, std::string group = {}) {
  return {{std::move(name), right, std::move(group)}, [=](const Row& row) -> Cell { return make(row); }};
}

/// A row per item.
template <typename Row>
Table table_of(std::string title, const std::vector<Row>& rows, const std::vector<Col<Row>>& columns,
               std::string note = {}) {
  Table table{std::move(title), {}, {}, std::move(note)};
  for (const Col<Row>& column : columns) table.heads.push_back(column.head);
  for (const Row& row : rows) {
    std::vector<Cell>& line = table.rows.emplace_back();
    for (const Col<Row>& column : columns) line.push_back(column.cell(row));
  }
  return table;
}

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
