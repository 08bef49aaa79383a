// A document of titled tables, for a terminal and as Markdown.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "report/layout.h"

namespace kvcast::report {

struct Section {
  std::string title;
  Grid grid;
  std::string below;  ///< what the table needs to be read
};

using Rows = std::vector<std::vector<std::string>>;

inline Section section(std::string title, std::vector<Grid::Head> heads, const Rows& rows, std::string below = "") {
  Grid grid(std::move(heads));
  for (const auto& row : rows) grid.add(row);
  return {std::move(title), std::move(grid), std::move(below)};
}

/// A row of cells per item.
template <typename Item, typename Cells>
Rows rows_of(const std::vector<Item>& items, const Cells& cells) {
  Rows rows;
  for (const Item& item : items) rows.push_back(cells(item));
  return rows;
}

std::string sections_text(const std::vector<Section>& sections);
std::string sections_markdown(const std::vector<Section>& sections);

}  // namespace kvcast::report
