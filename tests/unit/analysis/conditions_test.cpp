#include "analysis/conditions.h"

#include <cmath>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "analysis/self_check.h"
#include "catch.h"

namespace {

using kvcast::Case;
using kvcast::Conditions;
using kvcast::Sample;

Sample timing(const std::string& scheme, std::int64_t n, std::int64_t round, double seconds, double canary = 100) {
  Sample sample;
  sample.scheme = scheme;
  sample.candidates = sample.measured_candidates = n;
  sample.round = round;
  sample.measured_seconds = seconds;
  sample.canary_gflops = canary;
  return sample;
}

/// A ripple of a percent that has no trend.
double ripple(std::int64_t round) { return 1 + 0.01 * std::sin(2.4 * static_cast<double>(round)); }

/// naive takes 1 s in every round, shared 1/speedup(round).
template <typename Speedup>
Case case_of(std::int64_t rounds, const Speedup& speedup) {
  Case one;
  for (std::int64_t round = 0; round < rounds; ++round) {
    one.samples.push_back(timing("naive", 10, round, 1));
    one.samples.push_back(timing("shared", 10, round, 1 / speedup(round)));
  }
  return one;
}

Conditions diagnosed(const Case& one) {
  Conditions conditions;
  kvcast::analysis::diagnose(conditions, {one});
  return conditions;
}

}  // namespace

TEST_CASE("watched values are ratios over naive, times without it", "[analysis][conditions]") {
  const Case both = case_of(3, [](std::int64_t round) { return 4.0 + static_cast<double>(round); });
  const auto ratios = kvcast::analysis::watched_values(kvcast::analysis::tabulate(both.samples));
  REQUIRE(ratios.size() == 1);
  REQUIRE(ratios[0].size() == 3);
  CHECK(ratios[0][2].first == 2);
  CHECK(ratios[0][2].second == Approx(6));
  // A round that naive lacks is in no ratio; naive alone is watched by its times.
  const auto without = kvcast::analysis::watched_values(
      kvcast::analysis::tabulate({timing("naive", 10, 0, 1), timing("shared", 10, 1, 0.5)}));
  REQUIRE(without.size() == 1);
  CHECK(without[0].empty());
  const auto alone = kvcast::analysis::watched_values(
      kvcast::analysis::tabulate({timing("naive", 10, 0, 1), timing("naive", 20, 0, 3)}));
  REQUIRE(alone.size() == 2);
  CHECK(alone[1][0].second == 3);
}

TEST_CASE("a trend over the rounds is drift, a ripple is none", "[analysis][conditions]") {
  const Conditions steady = diagnosed(case_of(24, [](std::int64_t round) { return 40 * ripple(round); }));
  CHECK(steady.drift_pct == 0.0);
  const Conditions rising = diagnosed(
      case_of(24, [](std::int64_t round) { return 40 * ripple(round) * std::exp(0.1 * double(round) / 23); }));
  CHECK(*rising.drift_pct == Approx(100 * std::expm1(0.1)).margin(1.5));  // the ripple's own slope
  const Conditions falling = diagnosed(
      case_of(24, [](std::int64_t round) { return 40 * ripple(round) * std::exp(-0.1 * double(round) / 23); }));
  CHECK(*falling.drift_pct == Approx(100 * std::expm1(-0.1)).margin(1.5));
  CHECK_FALSE(diagnosed(case_of(7, [](std::int64_t) { return 4.0; })).drift_pct.has_value());
}

TEST_CASE("outliers are counted by robust distance", "[analysis][conditions]") {
  const auto speedup = [](std::int64_t round) { return round % 10 == 3 ? 20.0 : 40 * ripple(round); };
  CHECK(*diagnosed(case_of(20, speedup)).outlier_pct == Approx(10));
  CHECK(diagnosed(case_of(20, [](std::int64_t round) { return 40 * ripple(round); })).outlier_pct == 0.0);
  CHECK_FALSE(diagnosed(case_of(4, speedup)).outlier_pct.has_value());
}

TEST_CASE("the canary's spread is between its deciles, whatever its unit", "[analysis][conditions]") {
  Case one = case_of(50, [](std::int64_t) { return 4.0; });
  for (std::size_t i = 0; i < one.samples.size(); ++i) one.samples[i].canary_gflops = i % 2 == 0 ? 94 : 100;
  CHECK(*diagnosed(one).canary_spread_pct == Approx(100 * (100.0 / 94 - 1)));
  for (Sample& sample : one.samples) sample.canary_gflops.reset();
  CHECK_FALSE(diagnosed(one).canary_spread_pct.has_value());
}

TEST_CASE("a self-check finds a scheme that differs from itself, and no other", "[analysis][self_check]") {
  std::vector<Sample> samples;
  for (std::int64_t round = 0; round < 12; ++round) {
    for (const std::int64_t n : {1, 10}) {
      samples.push_back(timing("naive", n, round, ripple(round)));
      samples.push_back(timing("naive/again", n, round, ripple(round + 5)));
      samples.push_back(timing("shared", n, round, ripple(round + 1)));
      samples.push_back(timing("shared/again", n, round, (n == 10 ? 1.1 : 1.0) * ripple(round + 7)));
    }
    samples.push_back(timing("packed", 1, round, 1));  // has no second name
  }
  const auto checks = kvcast::analysis::self_check(kvcast::analysis::tabulate(samples));
  REQUIRE(checks.size() == 6);
  CHECK(checks[0].scheme == "naive");
  CHECK_FALSE(checks[0].candidates.has_value());
  CHECK(checks[1].candidates == 1);
  CHECK(checks[5].candidates == 10);
  for (std::size_t i = 0; i < 6; ++i) {
    INFO("row " << i);
    CHECK(checks[i].contains_one == (i < 3 || i == 4));
    // All rows together are less sure than one.
    CHECK(checks[i].simultaneous->lo < checks[i].ratio.ci95->lo);
    CHECK(checks[i].simultaneous->hi > checks[i].ratio.ci95->hi);
  }
  CHECK(checks[5].ratio.value == Approx(1.1).epsilon(0.01));
  CHECK(checks[3].ratio.value == Approx(std::sqrt(1.1)).epsilon(0.01));
  CHECK(kvcast::analysis::self_check(kvcast::analysis::tabulate({timing("naive", 1, 0, 1)})).empty());
}

namespace {

/// Ten rounds on a machine of two CPUs, of which others had that share. The ratio of a round is 4 times `swing` to the
/// power of -1 to 1.
kvcast::Report run_beside(double foreign_pct, double swing, std::int64_t threads = 2) {
  kvcast::Report report;
  report.conditions.emplace();
  report.conditions->rounds = 10;
  report.conditions->foreign_cpu_pct = foreign_pct;
  report.conditions->steal_pct = 0;
  report.machine.emplace();
  report.machine->threads = 2;
  report.config.emplace();
  report.config->run.threads = threads;
  report.cases.push_back(
      case_of(10, [=](std::int64_t round) { return 4 * std::pow(swing, std::cos(2.4 * static_cast<double>(round))); }));
  return report;
}

std::string interference(const kvcast::Report& report) { return kvcast::analysis::interference(report); }

}  // namespace

TEST_CASE("a busy machine spoils a run whose rounds disagree", "[analysis][conditions]") {
  const std::string others = "other processes used 40% of the CPUs";
  CHECK(interference(run_beside(40, 4)) == others);
  // Requests that are long beside time slices are slowed alike: their ratios hold.
  CHECK(interference(run_beside(40, 1.05)).empty());
  CHECK(interference(run_beside(70, 1.2)).empty());
  // Rounds that disagree beside nobody are the schemes' own.
  CHECK(interference(run_beside(0, 4)).empty());
  CHECK(interference(run_beside(10, 4)).empty());
  // Where next to nothing was left, whatever was timed is chance.
  CHECK(interference(run_beside(83, 1)) == "other processes used 83% of the CPUs");
  // What one thread of two leaves over is nobody's loss.
  CHECK(interference(run_beside(50, 4, 1)).empty());
  CHECK(interference(run_beside(70, 4, 1)) == "other processes used 70% of the CPUs");
}

TEST_CASE("stolen time and slow canaries speak as other processes do", "[analysis][conditions]") {
  kvcast::Report stolen = run_beside(2, 4);
  stolen.conditions->steal_pct = 30;
  CHECK(interference(stolen) == "the hypervisor took 30% of the CPUs' time");
  kvcast::Report slowed = run_beside(0, 4);
  for (std::size_t i = 0; i < 8; ++i) slowed.cases[0].samples[i].canary_ratio = 0.5;
  CHECK(interference(slowed) == "40% of the timings ran while the CPU was slowed");
  kvcast::Report steady = run_beside(0, 1.05);
  for (std::size_t i = 0; i < 8; ++i) steady.cases[0].samples[i].canary_ratio = 0.5;
  CHECK(interference(steady).empty());
  // Timings from elsewhere tell nothing of their machine.
  kvcast::Report own = run_beside(83, 4);
  own.conditions.reset();
  own.machine.reset();
  own.config.reset();
  CHECK(interference(own).empty());
}

TEST_CASE("what is too little to tell is judged by the load, and a failed check by the machine",
          "[analysis][conditions]") {
  kvcast::Report few = run_beside(60, 1);
  few.cases[0].samples.resize(4);  // two rounds
  CHECK(interference(few) == "other processes used 60% of the CPUs");
  few.conditions->foreign_cpu_pct = 30;
  CHECK(interference(few).empty());
  kvcast::Report unequal = run_beside(30, 1.05);
  unequal.cases[0].composition.push_back({"shared", 10, {1.5, {}}, false});
  CHECK(interference(unequal) == "other processes used 30% of the CPUs");
  unequal.conditions->foreign_cpu_pct = 0;
  CHECK(interference(unequal).empty());  // that is the program's fault
}
