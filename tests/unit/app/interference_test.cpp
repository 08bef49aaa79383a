#include "app/interference.h"

#include <cmath>
#include <vector>

#include "catch.h"
#include "kvcast/kvcast.h"

namespace {

using kvcast::measure::CpuTimes;

/// A hundred requests of 10 ms by one worker, in ten windows, one after the other.
kvcast::traffic::ReplayResult replayed() {
  kvcast::traffic::ReplayResult result;
  for (std::size_t i = 0; i < 100; ++i) {
    kvcast::traffic::ReplayedRequest served;
    served.start_s = 0.1 * static_cast<double>(i);
    served.end_s = served.start_s + 0.01;
    result.requests.push_back(served);
  }
  for (std::size_t w = 0; w < 10; ++w) {
    kvcast::traffic::ReplayWindow window;
    window.first = 10 * w;
    window.count = 10;
    window.canary_ratio = 1;
    result.windows.push_back(window);
  }
  return result;
}

std::vector<double> ratios(double swing) {
  std::vector<double> values;
  for (int w = 0; w < 10; ++w) values.push_back(std::pow(swing, std::cos(2.4 * w)));
  return values;
}

/// Ten seconds of two CPUs, of which this process had `own_s` and others `foreign_s` and `stolen_s`.
std::string judged(double own_s, double foreign_s, double swing, double stolen_s = 0, std::int64_t threads = 1) {
  const CpuTimes from{100, 50, 3, 7}, to{120, 50 + own_s + foreign_s, 3 + stolen_s, 7 + own_s};
  return kvcast::app::interference(replayed(), ratios(swing), threads, from, to);
}

}  // namespace

TEST_CASE("a replay whose services others took the time of has no result", "[app][replay]") {
  // Others that fill the idle time of the workers take nothing of theirs.
  CHECK(judged(1, 19, 4).empty());
  CHECK(judged(1.2, 18, 4).empty());
  // A second was asked for. Half of it was not there, and windows disagree.
  CHECK(judged(0.5, 18, 4) == "No usable result: other processes used 90% of the CPUs");
  CHECK(judged(0.5, 18, 1.2).empty());
  CHECK(judged(0.1, 18, 1) == "No usable result: other processes used 90% of the CPUs");
  // Threads that wait for each other are the program's own.
  CHECK(judged(0.5, 0.05, 4).empty());
  CHECK(judged(1, 0.05, 4, 0, 2).empty());
  CHECK(judged(1, 18, 4, 0, 2) == "No usable result: other processes used 90% of the CPUs");
  CHECK(judged(0.5, 0, 4, 6) == "No usable result: the hypervisor took 30% of the CPUs' time");
}

TEST_CASE("slow canaries of a replay's windows speak as those of a run", "[app][replay]") {
  const CpuTimes from{0, 0, 0, 0}, to{20, 1, 0, 1};
  kvcast::traffic::ReplayResult slowed = replayed();
  for (std::size_t w = 0; w < 4; ++w) slowed.windows[w].canary_ratio = 0.5;
  slowed.windows[9].canary_ratio.reset();
  CHECK(kvcast::app::interference(slowed, ratios(4), 1, from, to) ==
        "No usable result: 44% of the timings ran while the CPU was slowed");
  CHECK(kvcast::app::interference(slowed, ratios(1.1), 1, from, to).empty());
  // Two windows do not tell whether they agree.
  CHECK(kvcast::app::interference(slowed, {0.2, 3}, 1, from, to).empty());
}

TEST_CASE("traffic without a result says so in place of its figures, and with a doubt asks first",
          "[report][traffic]") {
  kvcast::Traffic traffic;
  traffic.latencies.push_back({"p99", kvcast::Estimate{0.04, {}}, kvcast::Estimate{0.01, {}}, ""});
  CHECK(kvcast::traffic_holds(traffic));
  const std::string answer = kvcast::traffic_answer(traffic);
  CHECK_THAT(answer, Catch::StartsWith("P99 40.0 ms"));
  traffic.doubt = "Are the columns swapped? shared takes 50 times as long";
  CHECK(kvcast::traffic_answer(traffic) == traffic.doubt + ". If the columns are right: " + answer);
  traffic.no_result = "No usable result: other processes used 90% of the CPUs";
  CHECK(kvcast::traffic_answer(traffic) == traffic.no_result);
  CHECK_FALSE(kvcast::traffic_holds(traffic));
}
