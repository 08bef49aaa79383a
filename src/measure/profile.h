// Where the time of one pass goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace kvcast::measure {

/// Adds up the time since the last mark, by kind of step.
class StepClock {
 public:
  explicit StepClock(std::size_t kinds) : seconds_(kinds), marks_(kinds) {}
  void restart() noexcept;
  /// What has passed since the last mark or restart was of this kind.
  void mark(std::size_t kind) noexcept;

  const std::vector<double>& seconds() const noexcept { return seconds_; }
  const std::vector<std::int64_t>& marks() const noexcept { return marks_; }

 private:
  std::vector<double> seconds_;
  std::vector<std::int64_t> marks_;
  double last_ = 0;
};

/// One pass, seconds: medians over the repeats, each kind on its own.
struct StepTimes {
  double total = 0;
  std::vector<double> seconds;      ///< by kind
  std::vector<std::int64_t> marks;  ///< by kind, in one pass
};
/// Runs `pass`, which marks `clock`, at least five times and until `min_s` is full; a pass of a second or more once.
StepTimes time_steps(StepClock& clock, const std::function<void()>& pass, double min_s);

/// Seconds that starting and joining a parallel region without work takes on `threads` threads, median.
double empty_region_seconds(int threads);

}  // namespace kvcast::measure
