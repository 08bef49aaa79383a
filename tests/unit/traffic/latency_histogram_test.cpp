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

}  // namespace kvcast::traffic
