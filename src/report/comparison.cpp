// A comparison of two runs: for a terminal, as JSON under the contract kvcast.comparison/1, as CSV, as Markdown.
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
#include "report/text.h"

namespace kvcast {
namespace report {
namespace {

Estimate inverse(const Estimate& factor_of) {
  Estimate result{1 / factor_of.value, std::nullopt};
  if (factor_of.ci95) result.ci95 = Interval{1 / factor_of.ci95->hi, 1 / factor_of.ci95->lo};
  return result;
}

/// How much slower B is at a point: by its time at the same clock or by its speed-up, whichever is worse. 0.05: 5%.
std::optional<Estimate> slow_down(const ComparedPoint& point) {
  std::optional<Estimate> worst;
  const auto take = [&](const Estimate& factor) {
    if (worst && !(factor.value > worst->value)) return;
    worst = factor;
  };
  if (const auto& time = point.normalised_ratio ? point.normalised_ratio : point.time_ratio) take(*time);
  if (point.speedup_ratio && point.speedup_ratio->value > 0) {
    take(inverse(*point.speedup_ratio));
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

/// The outcome of like with like in one sentence.
std::string outcome(const Comparison& comparison, bool shapes) {
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

/// How B differs from A at a point, across something.
struct Gain {
  Estimate times;      ///< at least 1
  bool faster = true;  ///< B is
  bool told = false;   ///< from chance
  /// Two digits, three where the interval leaves room for them.
  int decimals() const {
    const bool narrow = times.ci95 && times.ci95->hi - times.ci95->lo < 0.1 * times.value;
    return std::max(0, (narrow ? 2 : 1) - static_cast<int>(std::floor(std::log10(times.value))));
  }
  std::string words() const { return factor(times.value, decimals()) + (faster ? " faster" : " slower"); }
};
/// nullopt where a side lacks the point.
std::optional<Gain> gain(const ComparedPoint& point) {
  const auto& time = point.normalised_ratio ? point.normalised_ratio : point.time_ratio;
  if (!time || !(time->value > 0)) return std::nullopt;
  Gain gain;
  gain.faster = time->value <= 1;
  gain.times = gain.faster ? inverse(*time) : *time;
  gain.told = !time->ci95 || time->ci95->lo > 1 || time->ci95->hi < 1;
  return gain;
}

/// The points that a sentence is about: of the scheme that stands for a report, the largest N that can be judged.
const ComparedPoint* telling(const Comparison& comparison) {
  const auto rank = [](const ComparedPoint& point) {
    return point.scheme == "shared" ? 2 : point.scheme == kBaseline ? 0 : 1;
  };
  const ComparedPoint* best = nullptr;
  for (const ComparedPoint& point : comparison.points) {
    if (!gain(point)) continue;
    const auto better = [&](const ComparedPoint& than) {
      const auto sure = [](const ComparedPoint& one) { return gain(one)->times.ci95.has_value(); };
      if (sure(point) != sure(than)) return sure(point);
      if (rank(point) != rank(than)) return rank(point) > rank(than);
      return point.candidates >= than.candidates;
    };
    if (best == nullptr || better(*best)) best = &point;
  }
  return best;
}

/// Whether a field of the shape is the same on both sides of a comparison.
bool fixed_field(const Comparison& comparison, const char* field) {
  return comparison.across != field && comparison.across != "shape";
}

std::string place_of(const Comparison& comparison, const ComparedPoint& point) {
  if (!point.shape) return "";
  std::string text;
  if (fixed_field(comparison, "history_length")) text += "L=" + integer(point.shape->history_length);
  if (fixed_field(comparison, "layers")) {
    text += (text.empty() ? "" : ", ") + std::string("layers=") + integer(point.shape->layers);
  }
  return text;
}

/// "bf16 is 1.8x faster at N=50 [1.7, 1.9] than fp32, scheme shared".
std::string difference(const Comparison& comparison, bool shapes) {
  const ComparedPoint* point = telling(comparison);
  if (point == nullptr) return "nothing to compare";
  const Gain most = *gain(*point);
  const std::string in_a = one_line(point->in_a), in_b = one_line(point->in_b);
  const std::string where = " at N=" + integer(point->candidates);
  const std::string ends =
      most.times.ci95 ? " " + interval(most.times, most.decimals()) : " (one round, so no interval)";
  std::string text = most.told ? in_b + " is " + most.words() + where + ends + " than " + in_a
                               : "no difference between " + in_a + " and " + in_b + where +
                                     " that is no chance: " + in_b + " is " + most.words() + ends;
  if (comparison.across != "schemes") text += ", scheme " + clipped(point->scheme, kSchemeWidth);
  const std::string place = shapes ? place_of(comparison, *point) : "";
  return text + (place.empty() ? "" : ", " + place);
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

std::string verdict(const ComparedPoint& point, bool across) {
  if (!point.missing_in.empty()) return point.missing_in == "A" ? "only in B" : "only in A";
  if (!judged(point)) return "one round";
  if (across) return gain(point)->told ? gain(point)->words() : "no difference told";
  if (point.regression) return emphasised("SLOWER", Emphasis::bad);
  return point.improvement ? "faster" : "";
}

/// Points of one pair of shapes, or of one pair of schemes at a shape.
struct Group {
  std::string title;
  Grid grid;
};

bool same_group(const ComparedPoint& a, const ComparedPoint& b) {
  return a.shape == b.shape && a.in_a == b.in_a && a.in_b == b.in_b;
}

bool several_shapes(const Comparison& comparison) {
  const auto& points = comparison.points;
  return std::any_of(points.begin(), points.end(),
                     [&](const auto& point) { return point.shape != points.front().shape; });
}

std::string title_of(const Comparison& comparison, const ComparedPoint& point, bool shapes) {
  if (comparison.across.empty()) {
    if (!shapes) return "";
    return point.shape ? "L=" + integer(point.shape->history_length) + ", layers=" + integer(point.shape->layers)
                       : "timings without a shape";
  }
  const std::string place = shapes ? place_of(comparison, point) : "";
  return "A " + one_line(point.in_a) + ", B " + one_line(point.in_b) + (place.empty() ? "" : "; " + place);
}

std::vector<Group> groups(const Comparison& comparison) {
  const auto& points = comparison.points;
  const bool shapes = several_shapes(comparison), across = !comparison.across.empty();
  std::vector<Group> result;
  for (auto from = points.begin(); from != points.end();) {
    const auto to = std::find_if(from, points.end(), [&](const auto& point) { return !same_group(point, *from); });
    Grid grid({{"", "N", true},
               {"", "scheme", false},
               {"time", "B/A", true},
               {"at one clock", "B/A", true},
               {"", "95% interval", false},
               {"speed-up", "B/A", true},
               {"", "95% interval", false},
               {"", across ? "B is" : "", false}});
    for (auto point = from; point != to; ++point) {
      const bool baseline = point->scheme == kBaseline;
      grid.add({integer(point->candidates), clipped(point->scheme, kSchemeWidth), ratio(point->time_ratio),
                ratio(point->normalised_ratio),
                ends(point->normalised_ratio ? point->normalised_ratio : point->time_ratio),
                baseline ? "" : ratio(point->speedup_ratio), baseline ? "" : ends(point->speedup_ratio),
                verdict(*point, across)});
    }
    result.push_back({title_of(comparison, *from, shapes), std::move(grid)});
    from = to;
  }
  return result;
}

std::string render_comparison_table(const Comparison& comparison) {
  const auto& points = comparison.points;
  std::string text = emphasised(paragraph("", comparison_answer(comparison), 0),
                                comparison.regression ? Emphasis::bad : Emphasis::strong);
  if (!points.empty()) text += "\n";
  for (const Group& group : groups(comparison)) {
    if (!group.title.empty()) text += paragraph("", group.title, 0);
    text += group.grid.text("") + "\n";
  }
  constexpr std::size_t kComparedMargin = 14;
  text +=
      paragraph("time", "above 1: B takes longer. The interval beside it is that of the next column", kComparedMargin);
  text += paragraph("at one clock",
                    "each time multiplied by the FMA peak of its own run; where a peak is unknown, -, and "
                    "the interval is that of the time",
                    kComparedMargin);
  text += paragraph("speed-up", "over naive; below 1: B gains less", kComparedMargin);
  if (std::any_of(points.begin(), points.end(), [](const auto& p) { return p.missing_in.empty() && !judged(p); })) {
    text += paragraph("one round", "no interval can be formed, so the point could not be judged", kComparedMargin);
  }
  for (const std::string& difference : comparison.differences) {
    text += paragraph("differs", one_line(difference), kComparedMargin);
  }
  return text;
}

std::string render_comparison_markdown(const Comparison& comparison) {
  const std::string answer = comparison_answer(comparison);
  // No name of a type or scheme gets a capital.
  std::string text = "## Comparison\n\n**" + (comparison.across.empty() ? sentence(answer) : answer + ".") + "**\n";
  for (const Group& group : groups(comparison)) {
    text += "\n" + (group.title.empty() ? "" : "### " + group.title + "\n\n") + group.grid.markdown();
  }
  text += "\nRatios are B over A; of times the interval is that at one clock, where the peaks are known.\n";
  for (const std::string& difference : comparison.differences) text += "\n- differs: " + one_line(difference);
  return inert(text + (comparison.differences.empty() ? "" : "\n"));
}

std::string render_comparison_json(const Comparison& comparison) {
  Json root;
  root["schema"] = kComparisonSchema;
  root["answer"] = valid_utf8(comparison_answer(comparison));
  root["across"] = comparison.across.empty() ? Json(nullptr) : Json(comparison.across);
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

std::string comparison_answer(const Comparison& comparison) {
  const bool shapes = report::several_shapes(comparison);
  return comparison.across.empty() ? report::outcome(comparison, shapes) : report::difference(comparison, shapes);
}

std::string render(const Comparison& comparison, const std::string& format, bool colour) {
  if (format == "table") return report::shown(report::render_comparison_table(comparison), colour);
  if (format == "md") return report::render_comparison_markdown(comparison);
  if (format == "json") return report::render_comparison_json(comparison);
  if (format == "csv") return report::render_comparison_csv(comparison);
  throw ConfigError("--format", "unknown format '" + format + "'", "one of table, json, csv, md");
}

}  // namespace kvcast
