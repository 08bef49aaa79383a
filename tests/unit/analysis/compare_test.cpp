#include "analysis/compare.h"

#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "catch.h"
#include "rows.h"
#include "statistics/statistics.h"

namespace analysis = kvcast::analysis;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using kvcast::Case;
using kvcast::CaseShape;
using kvcast::ComparedPoint;
using kvcast::Comparison;
using kvcast::Report;
using kvcast::Status;

namespace {

CaseShape shape_of_length(std::int64_t history_length) {
  return CaseShape{{history_length, 64, 2, 2, 2}, "fp32", "fp32", 2, "causal", true};
}

/// Seconds by round of naive and shared at N = 10.
Report report_of(const std::vector<double>& naive, const std::vector<double>& shared, double peak = 100) {
  Report report;
  report.machine.emplace();
  report.machine->cpu_model = "CPU";
  report.machine->threads = 2;
  report.machine->peak_gflops = peak;
  Case& one = report.cases.emplace_back();
  one.shape = shape_of_length(64);
  one.points = {{10, {{}, {}}}};
  one.points[0].schemes[0].scheme = "naive";
  one.points[0].schemes[1].scheme = "shared";
  for (std::size_t i = 0; i < naive.size(); ++i) {
    one.samples.push_back(kvcast::testing::row("naive", 10, static_cast<std::int64_t>(i), Status::measured, naive[i]));
  }
  for (std::size_t i = 0; i < shared.size(); ++i) {
    one.samples.push_back(
        kvcast::testing::row("shared", 10, static_cast<std::int64_t>(i), Status::measured, shared[i]));
  }
  return report;
}

std::vector<double> times(std::vector<double> values, double factor) {
  for (double& value : values) value *= factor;
  return values;
}

const ComparedPoint& point_of(const Comparison& comparison, const std::string& scheme) {
  for (const ComparedPoint& point : comparison.points) {
    if (point.scheme == scheme) return point;
  }
  FAIL("no point of " << scheme);
  return comparison.points.front();
}

Comparison compare(const Report& a, const Report& b, double threshold, bool any_machine) {
  return analysis::compare(a, b, analysis::same_shapes(a, b, any_machine), threshold);
}
std::vector<std::string> machine_differences(const Report& a, const Report& b) {
  return analysis::machine_differences(a, b, analysis::same_shapes(a, b, true));
}

const std::vector<double> kNaive = {1.00, 1.01, 0.99, 1.002}, kShared = {0.2, 0.201, 0.199, 0.2005};

}  // namespace

TEST_CASE("a run against itself is no regression and its ratios are 1", "[analysis][compare]") {
  const Report report = report_of(kNaive, kShared);
  const Comparison comparison = compare(report, report, 0.05, false);
  REQUIRE(comparison.points.size() == 2);
  CHECK_FALSE(comparison.regression);
  for (const ComparedPoint& point : comparison.points) {
    CHECK_THAT(point.time_ratio->value, WithinRel(1.0, 1e-15));
    CHECK(point.time_ratio->ci95->lo < 1);
    CHECK(point.time_ratio->ci95->hi > 1);
    CHECK_FALSE(point.regression);
    CHECK_FALSE(point.improvement);
  }
  CHECK_FALSE(point_of(comparison, "naive").speedup_ratio);
}

TEST_CASE("the interval is Welch's on logs below five rounds", "[analysis][compare]") {
  // Two values each: means 0 and x, variances u^2/2 and v^2/2 of the two, so squared errors u^2/4 and v^2/4, 1 degree
  // each.
  const double u = 0.02, v = 0.06, x = 0.1;
  const Report a = report_of({std::exp(-u / 2), std::exp(u / 2)}, {});
  const Report b = report_of({std::exp(x - v / 2), std::exp(x + v / 2)}, {});
  const ComparedPoint point = point_of(compare(a, b, 0.05, false), "naive");
  const double error = std::sqrt(kvcast::run_inflation(2) * (u * u + v * v) / 4);
  const double degrees = std::pow(u * u + v * v, 2) / (std::pow(u, 4) + std::pow(v, 4));
  const double half = kvcast::student_t_factor(0.95, degrees) * error;
  CHECK_THAT(std::log(point.time_ratio->value), WithinAbs(x, 1e-12));
  CHECK_THAT(std::log(point.time_ratio->ci95->lo), WithinAbs(x - half, 1e-10));
  CHECK_THAT(std::log(point.time_ratio->ci95->hi), WithinAbs(x + half, 1e-10));
}

TEST_CASE("a time beyond threshold and interval is a regression, its mirror an improvement", "[analysis][compare]") {
  const Report a = report_of(kNaive, kShared), b = report_of(kNaive, times(kShared, 1.12));
  const Comparison worse = compare(a, b, 0.05, false);
  CHECK(worse.regression);
  CHECK(point_of(worse, "shared").regression);
  CHECK_FALSE(point_of(worse, "naive").regression);
  CHECK_THAT(point_of(worse, "shared").time_ratio->value, WithinRel(1.12, 1e-12));
  CHECK_THAT(point_of(worse, "shared").speedup_ratio->value, WithinRel(1 / 1.12, 1e-12));

  const Comparison better = compare(b, a, 0.05, false);
  CHECK_FALSE(better.regression);
  CHECK(point_of(better, "shared").improvement);
  CHECK_FALSE(point_of(better, "naive").improvement);

  // Within the threshold.
  CHECK_FALSE(compare(a, b, 0.15, false).regression);
  // Beyond it, but within the noise.
  const Report noisy = report_of(kNaive, {0.15, 0.3, 0.19, 0.28});
  CHECK(point_of(compare(a, noisy, 0.05, false), "shared").time_ratio->value > 1.1);
  CHECK_FALSE(compare(a, noisy, 0.05, false).regression);
}

TEST_CASE("the clock of a run is taken out where both peaks are known", "[analysis][compare]") {
  const Report a = report_of(kNaive, kShared, 100);
  Report b = report_of(times(kNaive, 1.25), times(kShared, 1.25), 80);
  Comparison comparison = compare(a, b, 0.05, false);
  const ComparedPoint point = point_of(comparison, "shared");
  CHECK_THAT(point.time_ratio->value, WithinRel(1.25, 1e-12));
  CHECK_THAT(point.normalised_ratio->value, WithinRel(1.0, 1e-12));
  CHECK_THAT(point.normalised_ratio->ci95->hi, WithinRel(point.time_ratio->ci95->hi / 1.25, 1e-12));
  CHECK_FALSE(comparison.regression);

  b.machine->peak_gflops.reset();
  comparison = compare(a, b, 0.05, false);
  CHECK_FALSE(point_of(comparison, "shared").normalised_ratio);
  CHECK(point_of(comparison, "shared").regression);
}

TEST_CASE("a lost speed-up is a regression although no time is", "[analysis][compare]") {
  // shared keeps its time while naive became faster.
  const Report a = report_of(kNaive, kShared), b = report_of(times(kNaive, 0.8), kShared);
  const Comparison comparison = compare(a, b, 0.05, false);
  CHECK(point_of(comparison, "naive").improvement);
  CHECK(point_of(comparison, "shared").regression);
  CHECK_FALSE(point_of(comparison, "shared").improvement);
}

TEST_CASE("a single round gives no interval and judges nothing", "[analysis][compare]") {
  const Comparison comparison = compare(report_of({1}, {0.2}), report_of({2}, {0.6}), 0.05, false);
  CHECK_THAT(point_of(comparison, "shared").time_ratio->value, WithinRel(3.0, 1e-12));
  CHECK_FALSE(point_of(comparison, "shared").time_ratio->ci95);
  CHECK_FALSE(comparison.regression);
}

TEST_CASE("points of one run alone are listed and are no regression", "[analysis][compare]") {
  Report a = report_of(kNaive, kShared), b = report_of(kNaive, {});
  a.cases.push_back(report_of(kNaive, {}).cases[0]);
  a.cases[1].shape = shape_of_length(128);
  b.cases.push_back(a.cases[1]);
  b.cases[1].shape = shape_of_length(256);
  const Comparison comparison = compare(a, b, 0.05, false);
  REQUIRE(comparison.points.size() == 4);
  CHECK(comparison.points[0].missing_in.empty());
  CHECK(comparison.points[1].missing_in == "B");
  CHECK(comparison.points[2].missing_in == "B");
  CHECK(comparison.points[2].shape->history_length == 128);
  CHECK(comparison.points[3].missing_in == "A");
  CHECK(comparison.points[3].shape->history_length == 256);
  CHECK_FALSE(comparison.points[1].time_ratio);
  CHECK_FALSE(comparison.regression);
}

TEST_CASE("threads tell shapes apart unless any machine will do", "[analysis][compare]") {
  const Report a = report_of(kNaive, kShared);
  Report b = a;
  b.cases[0].shape->threads = 8;
  CHECK(compare(a, b, 0.05, false).points.size() == 4);
  CHECK(compare(a, b, 0.05, true).points.size() == 2);
}

TEST_CASE("across something nothing is a regression and every pair says what differs", "[analysis][compare]") {
  const Report a = report_of(kNaive, kShared, 100), b = report_of(times(kNaive, 2), times(kShared, 2), 50);
  const std::vector<analysis::CasePair> pairs = {{&a.cases[0], &b.cases[0], "fp32", "bf16"}};
  const Comparison comparison = analysis::compare(a, b, pairs, 0.05);
  REQUIRE(comparison.points.size() == 2);
  CHECK_FALSE(comparison.regression);
  const ComparedPoint& point = point_of(comparison, "shared");
  CHECK(point.in_a == "fp32");
  CHECK(point.in_b == "bf16");
  CHECK_FALSE(point.regression);
  CHECK_THAT(point.time_ratio->value, WithinRel(2.0, 1e-12));
  CHECK_THAT(point.normalised_ratio->value, WithinRel(1.0, 1e-12));
  // A peak over other threads is no clock.
  CHECK_FALSE(point_of(analysis::compare(a, b, pairs, 0.05, false), "shared").normalised_ratio);
}

TEST_CASE("schemes stand beside each other, of one report by their rounds", "[analysis][compare]") {
  // packed is twice as long in every round; the rounds themselves differ by far more.
  const std::vector<double> rounds = {0.1, 0.2, 0.4, 0.8};
  Report a = report_of({1, 2, 4, 8}, rounds), b = a;
  const auto add = [](Report& report, const std::vector<double>& seconds) {
    report.cases[0].points[0].schemes.emplace_back().scheme = "packed";
    for (std::size_t i = 0; i < seconds.size(); ++i) {
      report.cases[0].samples.push_back(
          kvcast::testing::row("packed", 10, static_cast<std::int64_t>(i), Status::measured, seconds[i]));
    }
  };
  add(a, times(rounds, 2));
  const Comparison own = analysis::compare_schemes(a, a, analysis::same_shapes(a, a, false));
  REQUIRE(own.points.size() == 1);  // each two once, and naive is what speed-ups are over
  CHECK(own.points[0].in_a == "shared");
  CHECK(own.points[0].in_b == "packed");
  CHECK_THAT(own.points[0].time_ratio->value, WithinRel(2.0, 1e-12));
  CHECK_THAT(own.points[0].time_ratio->ci95->hi, WithinRel(2.0, 1e-9));
  CHECK_FALSE(own.points[0].normalised_ratio);
  CHECK_THAT(own.points[0].speedup_ratio->value, WithinRel(0.5, 1e-12));
  // Of two reports the rounds are apart.
  const Comparison other = analysis::compare_schemes(b, a, analysis::same_shapes(b, a, false));
  REQUIRE(other.points.size() == 1);
  CHECK(other.points[0].time_ratio->ci95->hi > 4);
  // Where nothing else is there, naive.
  Report naive = report_of(kNaive, {}), shared = report_of({}, kShared);
  const Comparison with_naive = analysis::compare_schemes(naive, shared, analysis::same_shapes(naive, shared, false));
  REQUIRE(with_naive.points.size() == 1);
  CHECK(with_naive.points[0].in_a == "naive");
  CHECK_THAT(with_naive.points[0].time_ratio->value, WithinRel(0.2, 0.01));
  // An N that one of them lacks.
  b.cases[0].samples.push_back(kvcast::testing::row("shared", 20, 0, Status::measured, 1));
  b.cases[0].points.push_back({20, {{}}});
  b.cases[0].points[1].schemes[0].scheme = "shared";
  const Comparison lacking = analysis::compare_schemes(b, a, analysis::same_shapes(b, a, false));
  REQUIRE(lacking.points.size() == 2);
  CHECK(lacking.points[1].missing_in == "B");
}

TEST_CASE("machines differ in what both know", "[analysis][compare]") {
  const Report a = report_of(kNaive, kShared);
  Report b = a;
  b.machine->peak_gflops = 7;
  b.machine->memory_bytes = 1 << 30;
  CHECK(machine_differences(a, b).empty());
  b.machine->cpu_model = "other";
  b.cases[0].machine = b.machine;
  b.cases[0].machine->threads = 4;
  CHECK(machine_differences(a, b) ==
        std::vector<std::string>{"CPU: 'CPU' in A, 'other' in B", "CPUs: '2' in A, '4' in B"});
  b.cases[0].machine.reset();
  b.machine.reset();
  CHECK(machine_differences(a, b).empty());
}

TEST_CASE("two runs of the same thing are called different as often as they should be", "[analysis][compare]") {
  // Log-normal times with sd 3%, seven rounds each, of which trimming keeps five, in runs that differ by the state of
  // the machine, a tenth of that variance; the interval must miss 1 in 5% of pairs: of 2000, 5% +- 4 binomial standard
  // errors (0.49%) and the 1% by which Yuen's test is known to err.
  const kvcast::RandomStream random(11, 3);
  std::uint64_t next = 0;
  const auto normal = [&] {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += (static_cast<double>(random.bits(next++) >> 11) + 0.5) * 0x1p-53;
    return sum;
  };
  int missed = 0;
  constexpr int kPairs = 2000;
  for (int pair = 0; pair < kPairs; ++pair) {
    std::vector<double> before, after;
    const double state_before = std::sqrt(kvcast::kRunVariance) * 0.03 * normal();
    const double state_after = std::sqrt(kvcast::kRunVariance) * 0.03 * normal();
    for (int round = 0; round < 7; ++round) {
      before.push_back(std::exp(state_before + 0.03 * normal()));
      after.push_back(std::exp(state_after + 0.03 * normal()));
    }
    const auto ratio = point_of(compare(report_of(before, {}), report_of(after, {}), 0.05, false), "naive").time_ratio;
    if (ratio->ci95->lo > 1 || ratio->ci95->hi < 1) ++missed;
  }
  CHECK_THAT(static_cast<double>(missed) / kPairs, WithinAbs(0.05, 4 * 0.0049 + 0.01));
}
