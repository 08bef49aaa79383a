// A time over N that goes through what was measured: a form speaks only beyond it. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/composition.h"
#include "analysis/forms.h"

namespace kvcast::analysis {

/// A positive function of N through its anchors; between them it neither overshoots nor undershoots.
///
/// straight: a straight line in N between two anchors, as a form that describes the data has it. Otherwise a straight
/// line of the logs, a power of N in every stretch: nothing else is known of data that no form describes.
/// Beyond the anchors `line` goes on, scaled to meet the outermost one; without a line the value stays as it is there.
class Curve {
 public:
  struct Anchor {
    std::int64_t candidates = 0;
    double value = 0;
  };

  Curve() = default;
  /// anchors: ascending N, positive values, at least one.
  Curve(std::vector<Anchor> anchors, bool straight, std::optional<Line> line);

  double operator()(std::int64_t candidates) const;
  const std::vector<Anchor>& anchors() const { return anchors_; }
  bool straight() const { return straight_; }
  const std::optional<Line>& line() const { return line_; }

 private:
  std::vector<Anchor> anchors_;
  bool straight_ = true;
  std::optional<Line> line_;
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
/// a + b N by relative least squares over trimmed mean times, a and b not negative. Needs two N.
Line time_line(const TimesByN& points);
/// The curve of one scheme's time: straight where a line in N is within kMaxMisfit and the noise of every median, and
/// that line beyond. Needs one N; with one, beyond it by `alone`, the line that is known otherwise.
Curve time_curve(const TimesByN& points, const Line& alone);

}  // namespace kvcast::analysis
