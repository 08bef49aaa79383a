// A comparison of two runs: for a terminal, as JSON under the contract kvcast.comparison/1, as CSV.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kvcast/error.h"
#include "kvcast/kvcast.h"
#include "report/columns.h"
#include "report/csv.h"
#include "report/format.h"
#include "report/json.h"
#include "report/layout.h"

namespace kvcast {
namespace report {
namespace {

/// How much slower B is at a point: by its time at the same clock or by its speed-up, whichever is worse. 0.05: 5%.
std::optional<Estimate> slow_down(const ComparedPoint& point) {
  std::optional<Estimate> worst;
  const auto take = [&](const Estimate& factor) {
    if (worst && !(factor.value > worst->value)) return;
    worst = factor;
  };
  if (const auto& time = point.normalised_ratio ? point.normalised_ratio : point.time_ratio) take(*time);
  if (point.speedup_ratio && point.speedup_ratio->value > 0) {
    const Estimate& gain = *point.speedup_ratio;
    Estimate inverse{1 / gain.value, std::nullopt};
    if (gain.ci95) inverse.ci95 = Interval{1 / gain.ci95->hi, 1 / gain.ci95->lo};
    take(inverse);
  }
  return worst;
}

/// "1.2%" of 1.012.
std::string excess(double factor) { return fixed(100 * (factor - 1), 1) + "%"; }

std::string at(const ComparedPoint& point, bool shapes) {
  std::string text = clipped(point.scheme, kSchemeWidth) + " at N=" + integer(point.candidates);
  if (shapes && point.shape) {
    text += ", L=" + integer(point.shape->history_length) + ", layers=" + integer(point.shape->layers);
  }
  return text;
}

bool judged(const ComparedPoint& point) { return point.time_ratio && point.time_ratio->ci95; }

/// The outcome in one sentence.
std::string sentence(const Comparison& comparison, bool shapes) {
  std::int64_t both = 0, regressions = 0, improvements = 0;
  const ComparedPoint* worst = nullptr;
  for (const ComparedPoint& point : comparison.points) {
    if (!point.missing_in.empty()) continue;
    ++both;
    regressions += point.regression ? 1 : 0;
    improvements += point.improvement ? 1 : 0;
    if (point.regression != comparison.regression || !slow_down(point)) continue;
    if (worst == nullptr || slow_down(point)->value > slow_down(*worst)->value) worst = &point;
  }
  const std::string beyond = " beyond " + format_significant(100 * comparison.threshold, 3) + "%: ";
  std::string text = comparison.regression
                         ? "REGRESSION" + beyond + integer(regressions) + " of " + counted(both, "point")
                         : "no regression" + beyond + counted(both, "point");
  if (worst != nullptr) {
    const Estimate most = *slow_down(*worst);
    if (most.value > 1) {
      text += ", largest slow-down " + excess(most.value);
      if (most.ci95) text += " [" + excess(most.ci95->lo) + ", " + excess(most.ci95->hi) + "]";
      text += " (" + at(*worst, shapes) + ")";
    } else {
      text += ", none of them slower";
    }
  }
  if (improvements > 0) text += "; " + integer(improvements) + " faster by as much";
  return text;
}

std::string ratio(double value) {
  if (!std::isfinite(value)) return "-";
  if (value < 0.001) return "<0.001";
  return value >= 1000 ? ">999" : fixed(value, 3);
}
std::string ratio(const std::optional<Estimate>& estimate) { return estimate ? ratio(estimate->value) : "-"; }
std::string ends(const std::optional<Estimate>& estimate) {
  if (!estimate || !estimate->ci95) return "-";
  return "[" + ratio(estimate->ci95->lo) + ", " + ratio(estimate->ci95->hi) + "]";
}

std::string verdict(const ComparedPoint& point) {
  if (!point.missing_in.empty()) return point.missing_in == "A" ? "only in B" : "only in A";
  if (point.regression) return emphasised("SLOWER", Emphasis::bad);
  if (point.improvement) return "faster";
  return judged(point) ? "" : "one round";
}

std::string shape_of(const ComparedPoint& point) {
  if (!point.shape) return "timings without a shape\n";
  return "L=" + integer(point.shape->history_length) + ", layers=" + integer(point.shape->layers) + "\n";
}

std::string render_comparison_table(const Comparison& comparison) {
  const auto& points = comparison.points;
  const bool shapes =
      std::any_of(points.begin(), points.end(), [&](const auto& point) { return point.shape != points.front().shape; });
  std::string text = emphasised(paragraph("", sentence(comparison, shapes), 0),
                                comparison.regression ? Emphasis::bad : Emphasis::strong);
  if (!points.empty()) text += "\n";
  for (auto from = points.begin(); from != points.end();) {
    const auto to = std::find_if(from, points.end(), [&](const auto& point) { return point.shape != from->shape; });
    Grid grid({{"", "N", true},
               {"", "scheme", false},
               {"time", "B/A", true},
               {"at one clock", "B/A", true},
               {"", "95% interval", false},
               {"speed-up", "B/A", true},
               {"", "95% interval", false},
               {"", "", false}});
    for (auto point = from; point != to; ++point) {
      const bool baseline = point->scheme == kBaseline;
      grid.add(
          {integer(point->candidates), clipped(point->scheme, kSchemeWidth), ratio(point->time_ratio),
           ratio(point->normalised_ratio), ends(point->normalised_ratio ? point->normalised_ratio : point->time_ratio),
           baseline ? "" : ratio(point->speedup_ratio), baseline ? "" : ends(point->speedup_ratio), verdict(*point)});
    }
    if (shapes) text += shape_of(*from);
    text += grid.text("") + "\n";
    from = to;
  }
  constexpr std::size_t kMargin = 14;
  text += paragraph("time", "above 1: B takes longer. The interval beside it is that of the next column", kMargin);
  text += paragraph("at one clock",
                    "each time multiplied by the FMA peak of its own run; where a peak is unknown, -, and "
                    "the interval is that of the time",
                    kMargin);
  text += paragraph("speed-up", "over naive; below 1: B gains less", kMargin);
  if (std::any_of(points.begin(), points.end(), [](const auto& p) { return p.missing_in.empty() && !judged(p); })) {
    text += paragraph("one round", "no interval can be formed, so the point could not be judged", kMargin);
  }
  for (const std::string& difference : comparison.differences) {
    text += paragraph("differs", one_line(difference), kMargin);
  }
  return text;
}

std::string render_comparison_json(const Comparison& comparison) {
  Json root;
  root["schema"] = kComparisonSchema;
  root["threshold"] = to_json(Value(comparison.threshold));
  root["regression"] = comparison.regression;
  root["differences"] = to_json(Value(comparison.differences));
  Json& points = root["points"] = Json::array();
  for (const ComparedPoint& point : comparison.points) {
    Json item;
    item["shape"] = point.shape ? to_json(shape_columns(), *point.shape) : Json(nullptr);
    item.update(to_json(compared_point_columns(), point));
    points.push_back(std::move(item));
  }
  return root.dump(2) + "\n";
}

std::string render_comparison_csv(const Comparison& comparison) {
  std::vector<std::string> cells = flat_names(shape_columns());
  for (std::string& name : flat_names(compared_point_columns())) cells.push_back(std::move(name));
  std::string text = csv_row(cells);
  for (const ComparedPoint& point : comparison.points) {
    cells.clear();
    const std::vector<Value> shape = point.shape ? flat_values(shape_columns(), *point.shape)
                                                 : std::vector<Value>(flat_names(shape_columns()).size());
    for (const Value& value : shape) cells.push_back(csv_cell(value));
    for (const Value& value : flat_values(compared_point_columns(), point)) cells.push_back(csv_cell(value));
    text += csv_row(cells);
  }
  return text;
}

}  // namespace
}  // namespace report

std::string render(const Comparison& comparison, const std::string& format, bool colour) {
  if (format == "table") return report::shown(report::render_comparison_table(comparison), colour);
  if (format == "json") return report::render_comparison_json(comparison);
  if (format == "csv") return report::render_comparison_csv(comparison);
  throw ConfigError("--format", "unknown format '" + format + "'", "one of table, json, csv");
}

}  // namespace kvcast
