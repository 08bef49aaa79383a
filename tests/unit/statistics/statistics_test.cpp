#include "statistics/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "catch.h"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

TEST_CASE("median and quantile", "[statistics]") {
  CHECK(kvcast::median({3}) == 3);
  CHECK(kvcast::median({5, 1, 3}) == 3);
  CHECK(kvcast::median({4, 1, 3, 2}) == 2.5);
  const std::vector<double> five = {50, 10, 40, 20, 30};
  CHECK(kvcast::quantile(five, 0) == 10);
  CHECK(kvcast::quantile(five, 0.25) == 20);
  CHECK(kvcast::quantile(five, 1) == 50);
  // (n-1) p = 3.96 of the way.
  CHECK_THAT(kvcast::quantile(five, 0.99), WithinRel(49.6, 1e-14));
}

TEST_CASE("means and variance", "[statistics]") {
  CHECK(kvcast::mean({1, 2, 6}) == 3);
  CHECK(*kvcast::sample_variance({1, 2, 3, 4, 5}) == 2.5);
  CHECK_FALSE(kvcast::sample_variance({1}));
  CHECK_FALSE(kvcast::sample_variance({}));
  CHECK_THAT(kvcast::standard_error({1, 2, 3, 4, 5}).value(), WithinRel(std::sqrt(0.5), 1e-15));
  CHECK_FALSE(kvcast::standard_error({1}));
}

TEST_CASE("Student factors of the printed tables", "[statistics]") {
  CHECK_THAT(kvcast::student_t_factor(0.95, 1), WithinAbs(12.7062, 5e-5));
  CHECK_THAT(kvcast::student_t_factor(0.95, 4), WithinAbs(2.7764, 5e-5));
  CHECK_THAT(kvcast::student_t_factor(0.95, 9), WithinAbs(2.2622, 5e-5));
  CHECK_THAT(kvcast::student_t_factor(0.95, 4.0), WithinAbs(2.7764, 5e-5));
  CHECK(kvcast::student_t_factor(0.95, 4.5) < 2.7764);
  CHECK(kvcast::student_t_factor(0.95, 4.5) > 2.5706);
  CHECK_THAT(kvcast::student_t_factor(0.99, 4), WithinAbs(4.6041, 5e-5));
}

TEST_CASE("normal quantiles of the printed tables", "[statistics]") {
  CHECK(kvcast::normal_quantile(0.5) == 0);
  CHECK_THAT(kvcast::normal_quantile(0.975), WithinAbs(1.959964, 5e-7));
  CHECK(kvcast::normal_quantile(0.25) == -kvcast::normal_quantile(0.75));
}

TEST_CASE("Student-t interval of the mean", "[statistics]") {
  const auto interval = kvcast::mean_interval({1, 2, 3, 4, 5});
  REQUIRE(interval);
  // 2.776445 · sqrt(2.5/5)
  CHECK_THAT(interval->lo, WithinAbs(3 - 1.963243, 1e-6));
  CHECK_THAT(interval->hi, WithinAbs(3 + 1.963243, 1e-6));
  CHECK_FALSE(kvcast::mean_interval({7}));
  CHECK_FALSE(kvcast::mean_interval({}));
  const auto equal = kvcast::mean_interval({7, 7, 7});
  REQUIRE(equal);
  CHECK(equal->lo == 7);
  CHECK(equal->hi == 7);
}

TEST_CASE("the trimmed mean is that of the middle three fifths", "[statistics]") {
  // Of ten, two are cut at either end; sorted: -50 1 | 2 3 4 5 6 7 | 8 100.
  const auto ten = kvcast::trimmed_mean({100, 1, 2, 3, 4, 5, 6, 7, 8, -50});
  CHECK_THAT(ten.mean, WithinRel(4.5, 1e-15));
  CHECK(ten.degrees == 5);
  // Winsorised 2 2 2 3 4 5 6 7 7 7: squares about 4.5 are 42.5, over 6·5.
  CHECK_THAT(ten.standard_error.value(), WithinRel(std::sqrt(42.5 / 30), 1e-14));

  // Five lose one at either end, four lose none.
  CHECK(kvcast::trimmed_mean({1, 2, 3, 4, 1000}).mean == 3);
  CHECK(kvcast::trimmed_mean({1, 2, 3, 1000}).mean == 251.5);
  const auto four = kvcast::trimmed_mean({1, 2, 3, 4});
  CHECK(four.degrees == 3);
  CHECK_THAT(four.standard_error.value(), WithinRel(std::sqrt(5.0 / 3 / 4), 1e-15));
  CHECK_FALSE(kvcast::trimmed_mean({7}).standard_error);
}

TEST_CASE("pseudo-values stand for the trimmed mean", "[statistics]") {
  for (const std::size_t count : {2, 4, 5, 7, 10, 23}) {
    std::vector<double> values;
    for (std::size_t i = 0; i < count; ++i) values.push_back(std::sin(double(i * i)) * (i == 3 ? 100 : 1));
    CAPTURE(count);
    const std::vector<double> pseudo = kvcast::trimmed_pseudo_values(values);
    const auto trimmed = kvcast::trimmed_mean(values);
    REQUIRE(pseudo.size() == count);
    CHECK_THAT(kvcast::mean(pseudo), WithinRel(trimmed.mean, 1e-12));
    const double plain = *kvcast::sample_variance(pseudo) / double(count);
    CHECK_THAT(std::sqrt(plain * kvcast::trimmed_inflation(count)), WithinRel(*trimmed.standard_error, 1e-12));
    // In the order of the values, not sorted.
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < count; ++j) {
        if (values[i] < values[j]) CHECK(pseudo[i] <= pseudo[j]);
      }
    }
  }
}

TEST_CASE("ratio with wild timings", "[statistics]") {
  const auto estimate = kvcast::trimmed_ratio({4.0, 4.1, 3.9, 4.0, 1.3, 4.05, 12.0});
  // One of seven cut at either end: 3.9 4 4 4.05 4.1.
  CHECK_THAT(estimate.value, WithinRel(std::pow(3.9 * 4 * 4 * 4.05 * 4.1, 0.2), 1e-14));
  REQUIRE(estimate.ci95);
  CHECK(estimate.ci95->lo > 3.8);
  CHECK(estimate.ci95->hi < 4.25);
  CHECK(kvcast::trimmed_ratio({4.0, 4.1}, 0.99).ci95->hi > kvcast::trimmed_ratio({4.0, 4.1}).ci95->hi);
  const auto inverse = kvcast::trimmed_ratio({1 / 4.0, 1 / 4.1, 1 / 3.9, 1 / 4.0, 1 / 1.3, 1 / 4.05, 1 / 12.0});
  CHECK_THAT(inverse.value * estimate.value, WithinRel(1.0, 1e-14));
  CHECK_THAT(inverse.ci95->lo * estimate.ci95->hi, WithinRel(1.0, 1e-14));
}

TEST_CASE("statistics do not depend on order, to the last bit", "[statistics]") {
  // Summed as they stand, these round differently in different orders.
  std::vector<double> values = {1e16, 1, 3.3, -1e16, 0.1, 7e-3, 1e8};
  const double mean = kvcast::mean(values), variance = *kvcast::sample_variance(values);
  const auto interval = *kvcast::mean_interval(values);
  const auto trimmed = kvcast::trimmed_mean(values);
  std::sort(values.begin(), values.end());
  do {
    REQUIRE(kvcast::mean(values) == mean);
    REQUIRE(*kvcast::sample_variance(values) == variance);
    REQUIRE(kvcast::mean_interval(values)->lo == interval.lo);
    REQUIRE(kvcast::trimmed_mean(values).mean == trimmed.mean);
    REQUIRE(kvcast::trimmed_mean(values).standard_error == trimmed.standard_error);
  } while (std::next_permutation(values.begin(), values.begin() + 5));
}

TEST_CASE("the ratio of a run is worth at most ten rounds", "[statistics]") {
  std::vector<double> ratios;
  for (int i = 0; i < 40; ++i) ratios.push_back(std::exp(0.01 * std::sin(1.7 * i)));
  const kvcast::Estimate within = kvcast::trimmed_ratio(ratios);
  const kvcast::Estimate run = kvcast::ratio_of_run(ratios);
  CHECK(run.value == within.value);
  // 1 + 40/10 times the variance.
  CHECK(std::log(run.ci95->hi / run.value) == Approx(std::sqrt(5.0) * std::log(within.ci95->hi / within.value)));
  CHECK(std::log(run.value / run.ci95->lo) == Approx(std::sqrt(5.0) * std::log(within.value / within.ci95->lo)));
  CHECK_FALSE(kvcast::ratio_of_run({2.0}).ci95.has_value());
}
