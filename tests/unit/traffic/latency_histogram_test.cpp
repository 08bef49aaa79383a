#include "traffic/latency_histogram.h"

#include <utility>

#include "catch.h"

namespace kvcast::traffic {

TEST_CASE("histograms added up are one of all their times, in either order", "[traffic]") {
  LatencyHistogram quick, slow, all;
  for (int i = 1; i <= 100; ++i) {
    for (const auto& [part, seconds] : {std::pair(&quick, i * 1e-3), {&slow, i * 1.0}}) {
      part->add(seconds);
      all.add(seconds);
    }
  }
  const auto together = [](LatencyHistogram sum, const LatencyHistogram& other) {
    sum.add(other);
    return sum;
  };
  for (const LatencyHistogram& sum :
       {together(quick, slow), together(slow, quick), together({}, all), together(all, {})}) {
    CHECK(sum.count() == 200);
    CHECK(sum.most() == 100);
    for (const double probability : {0.0, 0.001, 0.25, 0.5, 0.501, 0.75, 0.99, 1.0}) {
      CHECK(sum.quantile(probability) == all.quantile(probability));
    }
  }
  CHECK(all.quantile(0) == Approx(1e-3).epsilon(0.004));
}

TEST_CASE("a time that many requests take is told to the last bit", "[traffic]") {
  LatencyHistogram times;
  constexpr double kService = 0.01;
  for (int i = 0; i < 990; ++i) times.add(kService);
  for (int i = 0; i < 10; ++i) times.add(0.02 + 0.001 * i);
  for (const double probability : {0.01, 0.5, 0.98, 0.99}) CHECK(times.quantile(probability) == kService);
  CHECK(times.quantile(0.991) == 0.02);
  CHECK(times.share_beyond(kService) == Approx(0.01));
  CHECK(times.share_beyond(0.009) == 1);
  CHECK(times.share_beyond(1) == 0);
  CHECK(times.least() == kService);
  CHECK(times.most() == Approx(0.029));
  // No request waits, and most do not.
  LatencyHistogram waits;
  for (int i = 0; i < 90; ++i) waits.add(0);
  for (int i = 0; i < 10; ++i) waits.add(1);
  CHECK(waits.quantile(0.5) == 0);
  CHECK(waits.quantile(0.9) == 0);
  CHECK(waits.quantile(0.95) == 1);
  CHECK(waits.share_beyond(0) == Approx(0.1));
  const WindowHistogram wider(times);
  CHECK(wider.count() == 1000);
  CHECK(wider.quantile(0.99) == kService);
  CHECK(wider.share_beyond(kService) == Approx(0.01));
}

}  // namespace kvcast::traffic
