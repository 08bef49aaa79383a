#include "analysis/curve.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// Half-width of ln(median) that the rounds leave for the next run; 0 where a single one says nothing of it.
double noise_of(const PointTimings& point) {
  const Estimate estimate = seconds_of_run(point);
  return estimate.ci95 ? std::log(estimate.ci95->hi / estimate.value) : 0;
}

}  // namespace

Curve::Curve(std::vector<Anchor> anchors, bool straight, std::function<double(double)> beyond)
    : anchors_(std::move(anchors)), straight_(straight), beyond_(std::move(beyond)) {
  assert(!anchors_.empty());
}

double Curve::operator()(std::int64_t candidates) const {
  const auto above = std::lower_bound(anchors_.begin(), anchors_.end(), candidates,
                                      [](const Anchor& anchor, std::int64_t n) { return anchor.candidates < n; });
  if (above != anchors_.end() && above->candidates == candidates) return above->value;
  if (above == anchors_.begin() || above == anchors_.end()) {
    const Anchor& edge = above == anchors_.end() ? anchors_.back() : anchors_.front();
    const double there = beyond_ ? beyond_(static_cast<double>(edge.candidates)) : 0;
    return there > 0 ? edge.value * beyond_(static_cast<double>(candidates)) / there : edge.value;
  }
  const Anchor &low = *std::prev(above), &high = *above;
  const auto part = [&](double n, double from, double to) { return (n - from) / (to - from); };
  const auto n = static_cast<double>(candidates), from = static_cast<double>(low.candidates),
             to = static_cast<double>(high.candidates);
  if (straight_) return low.value + (high.value - low.value) * part(n, from, to);
  return low.value * std::pow(high.value / low.value, part(std::log(n), std::log(from), std::log(to)));
}

Estimate seconds_of_run(const PointTimings& point) {
  std::vector<double> seconds;
  for (const Timing& timing : prevailing(point)) seconds.push_back(timing.seconds);
  return ratio_of_run(std::move(seconds));
}

std::vector<Curve::Anchor> time_anchors(const TimesByN& points) {
  std::vector<Curve::Anchor> anchors;
  for (const auto& [candidates, point] : points) anchors.push_back({candidates, median_seconds(prevailing(point))});
  return anchors;
}

std::optional<Line> time_line(const TimesByN& points) {
  // The affine form takes ln(N/T) for a speed-up and gives T's line.
  std::vector<LogPoint> times;
  for (const auto& [candidates, point] : points) {
    std::vector<double> logs;
    for (const Timing& timing : prevailing(point)) logs.push_back(std::log(timing.seconds));
    const auto n = static_cast<double>(candidates);
    times.push_back({n, std::log(n) - trimmed_mean(std::move(logs)).mean, 0});
  }
  const std::optional<Constants> constants = affine_form().bounded(times);
  return constants ? std::optional(Line{(*constants)[0], (*constants)[1]}) : std::nullopt;
}

Curve time_curve(const TimesByN& points, std::function<double(double)> alone) {
  std::vector<Curve::Anchor> anchors = time_anchors(points);
  const std::optional<Line> line = time_line(points);
  if (!line) return {std::move(anchors), true, std::move(alone)};
  std::size_t i = 0;
  bool straight = true;
  for (const auto& [candidates, point] : points) {
    const double off = std::abs(std::log(line->time(static_cast<double>(candidates)) / anchors[i++].value));
    straight = straight && off <= std::log1p(kMaxMisfit) + noise_of(point);
  }
  return {std::move(anchors), straight, [line = *line](double candidates) { return line.time(candidates); }};
}

}  // namespace kvcast::analysis
