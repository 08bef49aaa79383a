#include "measure/profile.h"

#include <numeric>

#include "base/clock.h"
#include "catch.h"

using namespace kvcast::measure;

namespace {

void wait(double seconds) {
  const double end = kvcast::clock_seconds() + seconds;
  while (kvcast::clock_seconds() < end) {
  }
}

}  // namespace

TEST_CASE("a step clock gives the time between marks to the kind that ended", "[measure][profile]") {
  StepClock clock(3);
  clock.restart();
  wait(2e-3);
  clock.mark(1);
  wait(1e-3);
  clock.mark(2);
  clock.mark(1);
  CHECK(clock.marks() == std::vector<std::int64_t>{0, 2, 1});
  CHECK(clock.seconds()[0] == 0);
  CHECK(clock.seconds()[1] >= 2e-3);
  CHECK(clock.seconds()[2] >= 1e-3);
  clock.restart();
  CHECK(clock.marks() == std::vector<std::int64_t>{0, 0, 0});
  CHECK(clock.seconds() == std::vector<double>{0, 0, 0});
}

TEST_CASE("a profile is of one pass, and its steps are within it", "[measure][profile]") {
  StepClock clock(2);
  int passes = 0;
  const StepTimes times = time_steps(
      clock,
      [&] {
        ++passes;
        wait(1e-4);
        clock.mark(0);
        clock.mark(1);
        clock.mark(0);
      },
      0);
  CHECK(passes >= 5);
  CHECK(times.marks == std::vector<std::int64_t>{2, 1});
  CHECK(times.seconds[0] >= 1e-4);
  // Medians of the parts and of the whole: each part is within each pass.
  CHECK(times.seconds[0] <= times.total);
  CHECK(times.seconds[1] <= times.total);
}

TEST_CASE("an empty region takes some time", "[measure][profile]") {
  CHECK(empty_region_seconds(2) > 0);
  CHECK(empty_region_seconds(1) >= 0);
}
