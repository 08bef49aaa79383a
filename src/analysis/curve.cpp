#include "analysis/curve.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

double at(const Line& line, std::int64_t candidates) { return line.time(static_cast<double>(candidates)); }

/// Half-width of ln(median) that the rounds leave for the next run; 0 where a single one says nothing of it.
double noise_of(const PointTimings& point) {
  const Estimate estimate = seconds_of_run(point);
  return estimate.ci95 ? std::log(estimate.ci95->hi / estimate.value) : 0;
}

}  // namespace

Curve::Curve(std::vector<Anchor> anchors, bool straight, std::optional<Line> line)
    : anchors_(std::move(anchors)), straight_(straight), line_(line) {
  assert(!anchors_.empty());
}

double Curve::operator()(std::int64_t candidates) const {
  const auto above = std::lower_bound(anchors_.begin(), anchors_.end(), candidates,
                                      [](const Anchor& anchor, std::int64_t n) { return anchor.candidates < n; });
  if (above != anchors_.end() && above->candidates == candidates) return above->value;
  if (above == anchors_.begin() || above == anchors_.end()) {
    const Anchor& edge = above == anchors_.end() ? anchors_.back() : anchors_.front();
    return line_ && at(*line_, edge.candidates) > 0 ? edge.value * at(*line_, candidates) / at(*line_, edge.candidates)
                                                    : edge.value;
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

Line time_line(const TimesByN& points) {
  // bounded_line() takes ln(N/T) for a speed-up and gives T's line.
  std::vector<LogPoint> times;
  for (const auto& [candidates, point] : points) {
    std::vector<double> logs;
    for (const Timing& timing : prevailing(point)) logs.push_back(std::log(timing.seconds));
    const auto n = static_cast<double>(candidates);
    times.push_back({n, std::log(n) - trimmed_mean(std::move(logs)).mean, 0});
  }
  return bounded_line(times);
}

Curve time_curve(const TimesByN& points, const Line& alone) {
  std::vector<Curve::Anchor> anchors = time_anchors(points);
  if (anchors.size() < 2) return {std::move(anchors), true, alone};
  const Line line = time_line(points);
  std::size_t i = 0;
  bool straight = true;
  for (const auto& [candidates, point] : points) {
    const double off = std::abs(std::log(at(line, candidates) / anchors[i++].value));
    straight = straight && off <= std::log1p(kMaxMisfit) + noise_of(point);
  }
  return {std::move(anchors), straight, line};
}

}  // namespace kvcast::analysis
