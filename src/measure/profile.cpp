#include "measure/profile.h"

#include <algorithm>

#include "base/clock.h"
#include "base/parallel.h"
#include "measure/machine.h"

namespace kvcast::measure {
namespace {

double middle(std::vector<double> values) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace

void StepClock::restart() noexcept {
  std::fill(seconds_.begin(), seconds_.end(), 0.0);
  std::fill(marks_.begin(), marks_.end(), 0);
  last_ = clock_seconds();
}

void StepClock::mark(std::size_t kind) noexcept {
  const double time = clock_seconds();
  seconds_[kind] += time - last_;
  ++marks_[kind];
  last_ = time;
}

StepTimes time_steps(StepClock& clock, const std::function<void()>& pass, double min_s) {
  constexpr std::size_t kLeast = 5, kMost = 1000;
  constexpr double kLongPass = 1;
  const std::size_t kinds = clock.seconds().size();
  std::vector<std::vector<double>> times(kinds);
  std::vector<double> totals;
  const double begin = clock_seconds();
  const auto enough = [&] {
    if (!totals.empty() && totals.back() >= kLongPass) return true;
    return totals.size() >= kLeast && (clock_seconds() - begin >= min_s || totals.size() >= kMost);
  };
  while (!enough()) {
    clock.restart();
    const double start = clock_seconds();
    pass();
    totals.push_back(clock_seconds() - start);
    for (std::size_t kind = 0; kind < kinds; ++kind) times[kind].push_back(clock.seconds()[kind]);
  }
  StepTimes result;
  result.total = middle(totals);
  for (const auto& values : times) result.seconds.push_back(middle(values));
  result.marks = clock.marks();
  return result;
}

double empty_region_seconds(int threads) {
  constexpr int kRepeats = 200;
  std::vector<double> times;
  for (int i = 0; i < kRepeats; ++i) {
    const double start = clock_seconds();
    parallel_for(threads, threads, [](std::int64_t, int) {});
    times.push_back(clock_seconds() - start);
  }
  return middle(times);
}

}  // namespace kvcast::measure
