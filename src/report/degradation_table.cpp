#include "report/degradation_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/text.h"
#include "report/layout.h"

namespace kvcast::report {
namespace {

constexpr std::size_t kDropMargin = 10;

std::string ends(const Estimate& drop) {
  return drop.ci95 ? fmt::format("[{}, {}]", share(drop.ci95->lo, 1), share(drop.ci95->hi, 1)) : "-";
}

/// The cells that every row ends with.
const std::vector<Grid::Head> kDropHeads = {
    {"", "scheme", false},       {"head", "alone", true},  {"behind", "scheme", true}, {"", "drop", true},
    {"", "95% interval", false}, {"seed's", "rule", true}, {"", "exact", true}};

std::vector<std::string> drop_cells(const Degradation& row) {
  return {clipped(row.scheme, kSchemeWidth),
          seconds(row.head_s),
          seconds(row.with_s),
          share(row.drop.value, 1),
          ends(row.drop),
          row.drop_design_note ? share(row.drop_design_note, 1) : "",
          row.drop_exact ? share(row.drop_exact, 1) : ""};
}

Grid drop_grid(std::vector<Grid::Head> first) {
  first.insert(first.end(), kDropHeads.begin(), kDropHeads.end());
  return Grid(std::move(first));
}

void add_row(Grid& grid, std::vector<std::string> first, const Degradation& row) {
  std::vector<std::string> cells = drop_cells(row);
  std::move(cells.begin(), cells.end(), std::back_inserter(first));
  grid.add(first);
}

constexpr const char* kTitle = "throughput drop of the ranker: its head behind the scheme against the head alone";

std::string notes() {
  return "\n" + paragraph("rule", "the design note's: naive's drop over the speed-up; exact: by throughput algebra",
                          kDropMargin);
}

}  // namespace

std::string degradation_block(const std::vector<Degradation>& rows, const Case& one) {
  Grid grid = drop_grid({{"", "N", true}});
  std::int64_t last = 0;  // N of the row above
  for (const Degradation& row : rows) {
    const bool of_case = one.shape ? row.history_length == one.shape->history_length && row.layers == one.shape->layers
                                   : !row.history_length && !row.layers;
    if (!of_case) continue;
    add_row(grid, {row.candidates == last ? "" : integer(row.candidates)}, row);
    last = row.candidates;
  }
  return grid.empty() ? "" : emphasised(kTitle, Emphasis::strong) + "\n" + grid.text("") + notes();
}

std::string degradation_summary(const std::vector<Degradation>& rows) {
  Grid grid = drop_grid({{"", "L", true}, {"", "layers", true}, {"", "N", true}});
  for (const Degradation& row : rows) {
    const bool larger = std::any_of(rows.begin(), rows.end(), [&](const Degradation& other) {
      return other.history_length == row.history_length && other.layers == row.layers && other.scheme == row.scheme &&
             other.candidates > row.candidates;
    });
    if (larger) continue;
    const auto size = [](const std::optional<std::int64_t>& value) { return value ? integer(*value) : "-"; };
    add_row(grid, {size(row.history_length), size(row.layers), integer(row.candidates)}, row);
  }
  return grid.empty() ? "" : emphasised(kTitle, Emphasis::strong) + "\n" + grid.text("") + notes();
}

std::string resident_line(const std::vector<ResidentMemory>& memory) {
  const auto find = [&](const char* scheme) {
    return std::find_if(memory.begin(), memory.end(), [&](const ResidentMemory& row) { return row.scheme == scheme; });
  };
  const auto shared = find("shared"), copies = find("shared-copy");
  if (shared == memory.end() || copies == memory.end()) return "";
  const auto taken = [](const ResidentMemory& row, bool count) {
    return one_line(row.scheme) + " " + bytes(row.resident_bytes) + (count ? " at N=" + integer(row.candidates) : "");
  };
  return paragraph(
      "resident",
      fmt::format("{}, {} (measured)", taken(*shared, shared->candidates != copies->candidates), taken(*copies, true)),
      kDropMargin);
}

}  // namespace kvcast::report
