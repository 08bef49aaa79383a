#include "analysis/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "catch.h"

namespace analysis = kvcast::analysis;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

TEST_CASE("median and quantile", "[analysis][statistics]") {
  CHECK(analysis::median({3}) == 3);
  CHECK(analysis::median({5, 1, 3}) == 3);
  CHECK(analysis::median({4, 1, 3, 2}) == 2.5);
  const std::vector<double> five = {50, 10, 40, 20, 30};
  CHECK(analysis::quantile(five, 0) == 10);
  CHECK(analysis::quantile(five, 0.25) == 20);
  CHECK(analysis::quantile(five, 1) == 50);
  // (n-1) p = 3.96 of the way.
  CHECK_THAT(analysis::quantile(five, 0.99), WithinRel(49.6, 1e-14));
}

TEST_CASE("means and variance", "[analysis][statistics]") {
  CHECK(analysis::mean({1, 2, 6}) == 3);
  CHECK_THAT(analysis::geometric_mean({2, 0.5, 8}), WithinRel(2.0, 1e-15));
  CHECK(*analysis::sample_variance({1, 2, 3, 4, 5}) == 2.5);
  CHECK_FALSE(analysis::sample_variance({1}));
  CHECK_FALSE(analysis::sample_variance({}));
}

TEST_CASE("Student factors of the printed tables", "[analysis][statistics]") {
  CHECK_THAT(analysis::student_t_factor(0.95, 1), WithinAbs(12.7062, 5e-5));
  CHECK_THAT(analysis::student_t_factor(0.95, 4), WithinAbs(2.7764, 5e-5));
  CHECK_THAT(analysis::student_t_factor(0.95, 9), WithinAbs(2.2622, 5e-5));
  CHECK_THAT(analysis::student_t_factor(0.99, 4), WithinAbs(4.6041, 5e-5));
}

TEST_CASE("Student-t interval of the mean", "[analysis][statistics]") {
  const auto interval = analysis::mean_interval({1, 2, 3, 4, 5});
  REQUIRE(interval);
  // 2.776445 · sqrt(2.5/5)
  CHECK_THAT(interval->lo, WithinAbs(3 - 1.963243, 1e-6));
  CHECK_THAT(interval->hi, WithinAbs(3 + 1.963243, 1e-6));
  CHECK_FALSE(analysis::mean_interval({7}));
  CHECK_FALSE(analysis::mean_interval({}));
  const auto equal = analysis::mean_interval({7, 7, 7});
  REQUIRE(equal);
  CHECK(equal->lo == 7);
  CHECK(equal->hi == 7);
}

TEST_CASE("interval of ratios is formed on logs", "[analysis][statistics]") {
  const std::vector<double> ratios = {1.9, 2.1, 2.3}, inverses = {1 / 1.9, 1 / 2.1, 1 / 2.3};
  const auto interval = analysis::geometric_mean_interval(ratios),
             inverse = analysis::geometric_mean_interval(inverses);
  REQUIRE(interval);
  REQUIRE(inverse);
  // Turning the ratio over turns the interval over, which no interval on the ratios themselves does.
  CHECK_THAT(interval->lo * inverse->hi, WithinRel(1.0, 1e-14));
  CHECK_THAT(interval->hi * inverse->lo, WithinRel(1.0, 1e-14));
  CHECK_THAT(std::sqrt(interval->lo * interval->hi), WithinRel(analysis::geometric_mean(ratios), 1e-14));
  CHECK_FALSE(analysis::geometric_mean_interval({2}));
  const auto wider = analysis::geometric_mean_interval(ratios, 0.99);
  REQUIRE(wider);
  CHECK(wider->lo < interval->lo);
  CHECK(wider->hi > interval->hi);
}

TEST_CASE("statistics do not depend on order, to the last bit", "[analysis][statistics]") {
  // Summed as they stand, these round differently in different orders.
  std::vector<double> values = {1e16, 1, 3.3, -1e16, 0.1, 7e-3, 1e8};
  const double mean = analysis::mean(values), variance = *analysis::sample_variance(values);
  const auto interval = *analysis::mean_interval(values);
  std::sort(values.begin(), values.end());
  do {
    REQUIRE(analysis::mean(values) == mean);
    REQUIRE(*analysis::sample_variance(values) == variance);
    REQUIRE(analysis::mean_interval(values)->lo == interval.lo);
  } while (std::next_permutation(values.begin(), values.begin() + 5));
}
