// A time over N that goes through what was measured: a form speaks only beyond it. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "analysis/composition.h"
#include "analysis/levels.h"

namespace kvcast::analysis {

/// A time a + b N.
struct Line {
  double history = 0, candidate = 0;
  double time(double candidates) const { return history + candidate * candidates; }
};

/// A positive function of N through its anchors; between them it neither overshoots nor undershoots.
///
/// straight: a straight line in N between two anchors, as a form that describes the data has it. Otherwise a straight
/// line of the logs, a power of N in every stretch: nothing else is known of data that no form describes.
/// Beyond the anchors `beyond` goes on, scaled to meet the outermost one; without one the value stays as it is there.
class Curve {
 public:
  struct Anchor {
    std::int64_t candidates = 0;
    double value = 0;
  };

  Curve() = default;
  /// anchors: ascending N, positive values, at least one.
  Curve(std::vector<Anchor> anchors, bool straight, std::function<double(double)> beyond);

  double operator()(std::int64_t candidates) const;
  const std::vector<Anchor>& anchors() const { return anchors_; }
  bool straight() const { return straight_; }

 private:
  std::vector<Anchor> anchors_;
  bool straight_ = true;
  std::function<double(double)> beyond_;
};

/// How far a form may be off at a measured N beyond that N's own noise, as a share, and still describe the data.
inline constexpr double kMaxMisfit = 0.10;

/// How far beyond the largest measured N a model is believed, as a factor.
inline constexpr std::int64_t kReach = 4;

/// Times of one scheme by N.
using TimesByN = std::map<std::int64_t, PointTimings>;

/// Seconds of the prevailing timings of one N, with the interval of the next run's: ratio_of_run.
Estimate seconds_of_run(const PointTimings& point);
/// Median seconds of the prevailing timings at each N: the figure that a report gives for the point.
std::vector<Curve::Anchor> time_anchors(const TimesByN& points);
/// a + b N by relative least squares over trimmed mean times, a and b not negative; nullopt below two N.
std::optional<Line> time_line(const TimesByN& points);
/// The curve of one scheme's time: straight where a line in N is within kMaxMisfit and the noise of every median, and
/// that line beyond. Needs one N; with one, beyond it by `alone`, which is known otherwise.
Curve time_curve(const TimesByN& points, std::function<double(double)> alone);

}  // namespace kvcast::analysis
