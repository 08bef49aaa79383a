#include "report/plot.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "kvcast/cost_model.h"
#include "report/layout.h"

namespace kvcast::report {
namespace {

constexpr std::size_t kColumns = 64, kRows = 12, kLabel = 9;

/// An axis of whole cells, logarithmic.
struct PlotAxis {
  double least, most;
  std::size_t cells;
  std::optional<std::size_t> cell(double value) const {
    const double share = (std::log(value) - std::log(least)) / (std::log(most) - std::log(least));
    // Not a number where value or axis are none that a logarithm takes.
    if (!(share >= -1e-9 && share <= 1 + 1e-9)) return std::nullopt;
    return static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * static_cast<double>(cells - 1)));
  }
  double value(std::size_t at) const {
    return least * std::pow(most / least, static_cast<double>(at) / static_cast<double>(cells - 1));
  }
};

/// Nothing where no model describes the data.
std::optional<double> modelled(const Fit& fit, double candidates) {
  const FittedModel* model = fit.in_use();
  return model == nullptr ? std::nullopt : std::optional(modelled_speedup(*model, candidates));
}

std::vector<std::pair<double, double>> measured(const Case& one, const std::string& scheme) {
  std::vector<std::pair<double, double>> points;
  for (const Point& point : one.points) {
    for (const SchemePoint& row : point.schemes) {
      if (row.scheme != scheme || !row.speedup || !(row.speedup->value > 0)) continue;
      points.emplace_back(static_cast<double>(point.candidates), row.speedup->value);
    }
  }
  return points;
}

}  // namespace

std::string speedup_plot(const Case& one, const Fit& fit) {
  const auto points = measured(one, fit.scheme);
  if (points.size() < 3 || !fit.r) return "";
  double lowest = 1, highest = 2;
  for (const auto& [n, value] : points) {
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
  }
  const PlotAxis x{points.front().first, points.back().first, kColumns}, y{lowest, highest, kRows};
  std::vector<std::string> cells(kRows, std::string(kColumns, ' '));
  const auto put = [&](double n, double value, char mark) {
    const auto column = x.cell(n), row = y.cell(value);
    if (column && row) cells[kRows - 1 - *row][*column] = mark;
  };
  for (std::size_t column = 0; column < kColumns; ++column) {
    if (const auto value = modelled(fit, x.value(column))) put(x.value(column), *value, '.');
  }
  for (const auto& [n, value] : points) put(n, value, 'o');

  std::string text = padded("speed-up", kLabel, true) + "\n";
  for (std::size_t row = 0; row < kRows; ++row) {
    const bool labelled = row % 3 == 0 || row + 1 == kRows;
    const std::string label = labelled ? factor(y.value(kRows - 1 - row), 1) : "";
    std::string line = padded(label, kLabel, true) + (labelled ? " +" : " |") + cells[row];
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  text += std::string(kLabel + 1, ' ') + "+" + std::string(kColumns, '-') + "\n";
  const std::string first = whole(x.least), last = whole(x.most);
  const std::string form = fit.in_use() == nullptr ? "" : ", . " + clipped(fit.preferred, 20) + " form";
  const std::string title = "N, log scale; o measured" + form;
  std::string axis = std::string(kLabel + 2, ' ') + first;
  const std::size_t room = kLabel + 2 + kColumns - last.size();
  axis += padded(title, (room > axis.size() ? (room - axis.size() + title.size()) / 2 : 0), true);
  return text + padded(axis, room, false) + last + "\n";
}

}  // namespace kvcast::report
