#include "report/render/plot.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>

#include "report/layout.h"

namespace kvcast::report {
namespace {

constexpr std::size_t kColumns = 64, kRows = 12, kLabel = 9;

/// An axis of whole cells, logarithmic.
struct PlotAxis {
  double min, max;
  std::size_t cells;
  std::optional<std::size_t> cell(double value) const {
    const double share = (std::log(value) - std::log(min)) / (std::log(max) - std::log(min));
    // Not a number where value or axis are none that a logarithm takes.
    if (!(share >= -1e-9 && share <= 1 + 1e-9)) return std::nullopt;
    return static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * static_cast<double>(cells - 1)));
  }
  double value(std::size_t at) const {
    return min * std::pow(max / min, static_cast<double>(at) / static_cast<double>(cells - 1));
  }
};

/// Between the points of a curve, straight in the logarithms.
std::optional<double> value_at(const std::vector<std::pair<double, double>>& curve, double x) {
  for (std::size_t i = 0; i + 1 < curve.size(); ++i) {
    const auto& [x0, y0] = curve[i];
    const auto& [x1, y1] = curve[i + 1];
    if (!(x >= x0 * (1 - 1e-9) && x <= x1 * (1 + 1e-9)) || !(x1 > x0)) continue;
    return y0 * std::pow(y1 / y0, std::log(x / x0) / std::log(x1 / x0));
  }
  return std::nullopt;
}

}  // namespace

std::string plot_text(const Chart& chart) {
  std::vector<std::pair<double, double>> marks;
  for (const Chart::Series& series : chart.series) {
    if (series.measured) marks.insert(marks.end(), series.points.begin(), series.points.end());
  }
  if (marks.size() < 3) return "";
  double lowest = 1, highest = 2;
  for (const auto& [x, y] : marks) {
    lowest = std::min(lowest, y);
    highest = std::max(highest, y);
  }
  const PlotAxis x{marks.front().first, marks.back().first, kColumns}, y{lowest, highest, kRows};
  std::vector<std::string> cells(kRows, std::string(kColumns, ' '));
  const auto put = [&](double at, double value, char mark) {
    const auto column = x.cell(at), row = y.cell(value);
    if (column && row) cells[kRows - 1 - *row][*column] = mark;
  };
  std::string title = chart.x + ", log scale; o measured";
  for (const Chart::Series& series : chart.series) {
    if (series.measured) continue;
    title += ", . " + clipped(series.name, 20);
    for (std::size_t column = 0; column < kColumns; ++column) {
      if (const auto value = value_at(series.points, x.value(column))) put(x.value(column), *value, '.');
    }
  }
  for (const auto& [at, value] : marks) put(at, value, 'o');

  std::string text = padded(chart.y, kLabel, true) + "\n";
  for (std::size_t row = 0; row < kRows; ++row) {
    const bool labelled = row % 3 == 0 || row + 1 == kRows;
    const std::string label = labelled ? significant(y.value(kRows - 1 - row), 2) : "";
    std::string line = padded(label, kLabel, true) + (labelled ? " +" : " |") + cells[row];
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  text += std::string(kLabel + 1, ' ') + "+" + std::string(kColumns, '-') + "\n";
  const std::string first = whole(x.min), last = whole(x.max);
  std::string axis = std::string(kLabel + 2, ' ') + first;
  const std::size_t room = kLabel + 2 + kColumns - last.size();
  axis += padded(title, (room > axis.size() ? (room - axis.size() + title.size()) / 2 : 0), true);
  return text + padded(axis, room, false) + last + "\n";
}

}  // namespace kvcast::report
