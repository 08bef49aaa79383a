#include "report/views/comparison.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kvcast/kvcast.h"
#include "report/columns.h"
#include "report/layout.h"
#include "report/views/cells.h"

namespace kvcast {
namespace report {
namespace {

// Points that the first screen holds.
constexpr std::size_t kFirstPoints = 10;

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
  std::string text = one_line(point.scheme) + " at N=" + integer(point.candidates);
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
  if (comparison.across != "schemes") text += ", scheme " + one_line(point->scheme);
  const std::string place = shapes ? place_of(comparison, *point) : "";
  return text + (place.empty() ? "" : ", " + place);
}

bool several_shapes(const Comparison& comparison) {
  const auto& points = comparison.points;
  return std::any_of(points.begin(), points.end(),
                     [&](const auto& point) { return point.shape != points.front().shape; });
}

}  // namespace
}  // namespace report

std::string comparison_answer(const Comparison& comparison) {
  const bool shapes = report::several_shapes(comparison);
  return comparison.across.empty() ? report::outcome(comparison, shapes) : report::difference(comparison, shapes);
}

namespace report {
namespace {

std::string ratio(double value) {
  if (!std::isfinite(value)) return "-";
  if (value < 0.001) return "<0.001";
  return value >= 1000 ? ">999" : fixed(value, 3);
}
Cell ratio_cell(const std::optional<Estimate>& estimate) {
  if (!estimate || !std::isfinite(estimate->value)) return text_cell("");
  return {ratio(estimate->value), estimate->value, "ratio"};
}
Cell ends_cell(const std::optional<Estimate>& estimate) {
  if (!estimate || !estimate->ci95) return text_cell("");
  return {"[" + ratio(estimate->ci95->lo) + ", " + ratio(estimate->ci95->hi) + "]", *estimate->ci95, "ratio"};
}

Cell verdict(const ComparedPoint& point, bool across) {
  if (!point.missing_in.empty()) return {point.missing_in == "A" ? "only in B" : "only in A"};
  if (!judged(point)) return {"one round"};
  if (across) return {gain(point)->told ? gain(point)->words() : "no difference"};
  if (point.regression) return {"SLOWER", {}, {}, Emphasis::bad};
  return point.improvement ? Cell{"faster"} : Cell{};
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

const std::optional<Estimate>& clocked(const ComparedPoint& point) {
  return point.normalised_ratio ? point.normalised_ratio : point.time_ratio;
}

/// Both times of a point and its speed-up; `brief`: the time at one clock alone.
Table points_table(std::string title, const std::vector<const ComparedPoint*>& points, bool across, bool brief) {
  Table table{std::move(title), {number_head("N"), {"scheme"}}, {}};
  if (!brief) table.heads.push_back(number_head("time", "B over A"));
  table.heads.push_back(number_head(brief ? "time" : "at one clock", "B over A"));
  table.heads.push_back({"95% interval", false, "B over A"});
  table.heads.push_back(number_head("speed-up", "B over A"));
  if (!brief) table.heads.push_back({"95% interval", false, "B over A"});
  table.heads.push_back({across ? "B is" : ""});
  for (const ComparedPoint* point : points) {
    const bool baseline = point->scheme == kBaseline;
    std::vector<Cell> cells = {count_cell(point->candidates), text_cell(point->scheme)};
    if (!brief) cells.push_back(ratio_cell(point->time_ratio));
    cells.push_back(ratio_cell(brief ? clocked(*point) : point->normalised_ratio));
    cells.push_back(ends_cell(clocked(*point)));
    cells.push_back(baseline ? Cell{} : ratio_cell(point->speedup_ratio));
    if (!brief) cells.push_back(baseline ? Cell{} : ends_cell(point->speedup_ratio));
    cells.push_back(verdict(*point, across));
    table.rows.push_back(std::move(cells));
  }
  return table;
}

/// Those that moved most, in the order of the comparison.
std::vector<const ComparedPoint*> telling_points(const Comparison& comparison) {
  std::vector<const ComparedPoint*> points;
  for (const ComparedPoint& point : comparison.points) points.push_back(&point);
  if (points.size() <= kFirstPoints) return points;
  const auto moved = [](const ComparedPoint* point) {
    const auto slow = slow_down(*point);
    return slow && slow->value > 0 ? std::abs(std::log(slow->value)) + (point->regression ? 100 : 0) : -1;
  };
  std::vector<const ComparedPoint*> order = points;
  std::stable_sort(order.begin(), order.end(), [&](const auto* a, const auto* b) { return moved(a) > moved(b); });
  order.resize(kFirstPoints);
  std::erase_if(points, [&](const auto* point) { return std::find(order.begin(), order.end(), point) == order.end(); });
  return points;
}

}  // namespace

Document comparison_document(const Comparison& comparison) {
  const auto& points = comparison.points;
  const bool across = !comparison.across.empty(), shapes = several_shapes(comparison);
  // No name of a type or scheme gets a capital.
  const std::string answer = comparison_answer(comparison);
  Document document{across ? answer + "." : sentence(answer),
                    comparison.regression        ? Emphasis::bad
                    : !comparison.doubts.empty() ? Emphasis::warning
                                                 : Emphasis::strong,
                    {}};
  Section first{"", false, {}};
  for (const std::string& doubt : comparison.doubts) first.blocks.push_back(Notice{Emphasis::warning, "", doubt, ""});
  const std::vector<const ComparedPoint*> telling = telling_points(comparison);
  const bool all = telling.size() == points.size();
  const auto same_group = [](const ComparedPoint& a, const ComparedPoint& b) {
    return a.shape == b.shape && a.in_a == b.in_a && a.in_b == b.in_b;
  };
  const std::string title = points.empty() ? ""
                            : all && same_group(points.front(), points.back())
                                ? title_of(comparison, points.front(), shapes)
                            : all ? "all points"
                                  : "the points that moved most";
  if (!points.empty()) first.blocks.push_back(points_table(title, telling, across, true));
  for (const std::string& difference : comparison.differences) {
    first.blocks.push_back(Text{"differs", {one_line(difference)}});
  }
  add_section(document, std::move(first));
  Section every{"every point", true, {}};
  for (auto from = points.begin(); from != points.end();) {
    const auto to = std::find_if(from, points.end(), [&](const auto& point) { return !same_group(point, *from); });
    std::vector<const ComparedPoint*> group;
    std::transform(from, to, std::back_inserter(group), [](const ComparedPoint& point) { return &point; });
    every.blocks.push_back(points_table(title_of(comparison, *from, shapes), group, across, false));
    from = to;
  }
  every.blocks.push_back(Text{"time", {"above 1: B takes longer"}});
  every.blocks.push_back(
      Text{"at one clock",
           {"each time multiplied by the FMA peak of its own run; without a peak -, and the interval "
            "is that of the time"}});
  every.blocks.push_back(Text{"speed-up", {"over naive; below 1: B gains less"}});
  if (std::any_of(points.begin(), points.end(), [](const auto& p) { return p.missing_in.empty() && !judged(p); })) {
    every.blocks.push_back(Text{"one round", {"no interval can be formed, so the point could not be judged"}});
  }
  if (!points.empty()) document.sections.push_back(std::move(every));
  return document;
}

}  // namespace report
}  // namespace kvcast
