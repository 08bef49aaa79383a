#include "analysis/composition.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "catch.h"
#include "rows.h"

namespace analysis = kvcast::analysis;
using Catch::Matchers::WithinRel;
using kvcast::Sample;
using kvcast::Status;
using kvcast::testing::row;

namespace {

/// One scheme at N = 100: whole/assembled as given, a round each.
std::vector<Sample> rounds_of(const std::vector<double>& whole_over_assembled) {
  std::vector<Sample> samples;
  std::int64_t round = 0;
  for (const double ratio : whole_over_assembled) {
    samples.push_back(row("shared", 100, round, Status::assembled, 2.0));
    samples.push_back(row("shared", 100, round, Status::measured, 2.0 * ratio));
    ++round;
  }
  return samples;
}

}  // namespace

TEST_CASE("a sample's time is brought to all its candidates", "[analysis][composition]") {
  Sample sample = row("naive", 100, 0, Status::measured, 5.0);
  CHECK(analysis::seconds_for_all(sample) == 5.0);

  sample.status = Status::extrapolated;
  sample.measured_candidates = 4;
  CHECK(analysis::seconds_for_all(sample) == 125.0);

  // The prefill is paid once, whatever the number of candidates.
  sample.prefill_s = 3.0;
  sample.scoring_s = 2.0;
  CHECK(analysis::seconds_for_all(sample) == 53.0);

  // All candidates timed: the time as it was, not the sum of its parts.
  sample.measured_candidates = 100;
  sample.measured_seconds = 5.5;
  CHECK(analysis::seconds_for_all(sample) == 5.5);
}

TEST_CASE("unusable samples are left out of the table", "[analysis][composition]") {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  std::vector<Sample> samples(8, row("naive", 10, 0, Status::measured, 1.0));
  samples[0].status = Status::skipped;
  samples[1].measured_seconds = 0;
  samples[2].measured_seconds = kNaN;
  samples[3].measured_candidates = 0;
  samples[4].candidates = 0;
  samples[5].canary_ratio = kNaN;
  samples[6].prefill_s = std::numeric_limits<double>::infinity();
  samples[7].measured_seconds = -1;
  CHECK(analysis::tabulate(samples).empty());
}

TEST_CASE("the table keeps whole and assembled rows apart, by round", "[analysis][composition]") {
  const std::vector<Sample> samples = {
      row("shared", 10, 2, Status::assembled, 3.0), row("shared", 10, 0, Status::measured, 1.0),
      row("shared", 10, 0, Status::assembled, 2.0), row("shared", 50, 0, Status::extrapolated, 9.0),
      row("shared", 10, 0, Status::assembled, 7.0), row("shared", 10, 0, Status::assembled, 5.0),
  };
  const analysis::TimingTable table = analysis::tabulate(samples);
  REQUIRE(table.size() == 1);
  const analysis::PointTimings& ten = table.at("shared").at(10);
  REQUIRE(ten.whole.size() == 1);
  REQUIRE(ten.assembled.size() == 2);
  CHECK(ten.assembled[0].round == 0);
  CHECK(ten.assembled[0].seconds == 5.0);  // the middle of the three that claim round 0
  CHECK(ten.assembled[1].round == 2);
  CHECK(table.at("shared").at(50).assembled.size() == 1);
}

TEST_CASE("pairs meet by round and leave out slow canaries", "[analysis][composition]") {
  std::vector<analysis::Timing> naive, shared;
  for (const std::int64_t round : {0, 1, 2, 4, 5}) {
    analysis::Timing timing;
    timing.round = round;
    timing.seconds = 10.0 + double(round);
    naive.push_back(timing);
  }
  for (const std::int64_t round : {1, 2, 3, 4, 5}) {
    analysis::Timing timing;
    timing.round = round;
    timing.seconds = 2;
    shared.push_back(timing);
  }
  analysis::TimingPairs pairs = analysis::pair_rounds(naive, shared);
  REQUIRE(pairs.pairs.size() == 4);
  CHECK(pairs.excluded == 0);
  CHECK(pairs.pairs[0].round == 1);
  CHECK(pairs.pairs[0].ratio() == 5.5);

  // The machine changed between the two timings.
  shared[1].canary_ratio = 0.949;
  pairs = analysis::pair_rounds(naive, shared);
  CHECK(pairs.pairs.size() == 3);
  CHECK(pairs.excluded == 1);

  // Both in the slow clock state: it cancels.
  naive[2].canary_ratio = 0.93;
  CHECK(analysis::pair_rounds(naive, shared).pairs.size() == 4);
  // Both far below any clock state: something else had the CPU.
  naive[2].canary_ratio = shared[1].canary_ratio = 0.849;
  CHECK(analysis::pair_rounds(naive, shared).excluded == 1);
  naive[2].canary_ratio = shared[1].canary_ratio = 0.85;
  CHECK(analysis::pair_rounds(naive, shared).excluded == 0);

  // Two would remain: all stay.
  naive[3].canary_ratio = 0.5;
  naive[4].canary_ratio = 0.94;
  pairs = analysis::pair_rounds(naive, shared);
  CHECK(pairs.pairs.size() == 4);
  CHECK(pairs.excluded == 0);

  naive[4].canary_ratio = 0.95;
  CHECK(analysis::pair_rounds(naive, shared).pairs.size() == 3);
}

TEST_CASE("composition agrees within the precision and is refuted beyond it", "[analysis][composition]") {
  const auto within = analysis::check_composition(analysis::tabulate(rounds_of({1.010, 1.011, 1.012})), 0.02);
  REQUIRE(within.size() == 1);
  CHECK(within[0].scheme == "shared");
  CHECK(within[0].candidates == 100);
  CHECK(within[0].agrees);
  CHECK_THAT(within[0].ratio.value, WithinRel(std::cbrt(1.010 * 1.011 * 1.012), 1e-14));
  CHECK(within[0].ratio.ci95.has_value());

  CHECK_FALSE(analysis::check_composition(analysis::tabulate(rounds_of({1.100, 1.101, 1.102})), 0.02).at(0).agrees);
  CHECK_FALSE(analysis::check_composition(analysis::tabulate(rounds_of({0.900, 0.901, 0.902})), 0.02).at(0).agrees);
  CHECK(analysis::check_composition(analysis::tabulate(rounds_of({1.100, 1.101, 1.102})), 0.11).at(0).agrees);
}

TEST_CASE("a composition is grossly off from 10% on, its interval included", "[analysis][composition]") {
  const auto gross = [](const std::vector<double>& ratios) {
    return analysis::is_gross(analysis::check_composition(analysis::tabulate(rounds_of(ratios)), 0.02).at(0));
  };
  CHECK(gross({1.150, 1.151, 1.152}));
  CHECK(gross({0.850, 0.851, 0.852}));
  CHECK_FALSE(gross({1.060, 1.061, 1.062}));  // refuted, but small
  CHECK_FALSE(gross({0.940, 0.941, 0.942}));
  CHECK_FALSE(gross({1.0, 1.2, 1.4}));  // may be anything
}

TEST_CASE("the verdict is at 99%, the interval shown at 95%", "[analysis][composition]") {
  // Mean log 0.06, s = 0.03 over four rounds: half-widths 0.0477 and 0.0876.
  const double spread = 0.03 * std::sqrt(3.0) / 2;
  const auto checks =
      analysis::check_composition(analysis::tabulate(rounds_of({std::exp(0.06 - spread), std::exp(0.06 - spread),
                                                                std::exp(0.06 + spread), std::exp(0.06 + spread)})),
                                  0.005);
  REQUIRE(checks.size() == 1);
  REQUIRE(checks[0].ratio.ci95);
  CHECK(checks[0].ratio.ci95->lo > 1.005);
  CHECK_THAT(checks[0].ratio.ci95->lo, WithinRel(std::exp(0.06 - 0.0477), 1e-3));
  CHECK(checks[0].agrees);
}

TEST_CASE("composition needs two rounds with both kinds", "[analysis][composition]") {
  CHECK(analysis::check_composition(analysis::tabulate(rounds_of({1.0})), 0.02).empty());
  CHECK(analysis::check_composition({}, 0.02).empty());
  // Kinds that never share a round say nothing about each other.
  std::vector<Sample> apart;
  for (std::int64_t round = 0; round < 4; ++round) {
    apart.push_back(row("shared", 100, round, round < 2 ? Status::measured : Status::assembled, 1.0));
  }
  CHECK(analysis::check_composition(analysis::tabulate(apart), 0.02).empty());
}

TEST_CASE("naive is checked whole against scaled, other schemes in name order", "[analysis][composition]") {
  std::vector<Sample> samples;
  for (std::int64_t round = 0; round < 3; ++round) {
    Sample scaled = row("naive", 50, round, Status::extrapolated, 4.0);
    scaled.measured_candidates = 10;
    samples.push_back(scaled);
    samples.push_back(row("naive", 50, round, Status::measured, 20.2));
    for (const std::int64_t candidates : {200, 50}) {
      samples.push_back(row("packed", candidates, round, Status::assembled, 2.0));
      samples.push_back(row("packed", candidates, round, Status::measured, 3.0));
    }
  }
  const auto checks = analysis::check_composition(analysis::tabulate(samples), 0.02);
  REQUIRE(checks.size() == 3);
  CHECK(checks[0].scheme == "naive");
  CHECK_THAT(checks[0].ratio.value, WithinRel(1.01, 1e-14));
  CHECK(checks[0].agrees);
  CHECK(checks[1].candidates == 50);
  CHECK(checks[2].candidates == 200);
  CHECK_FALSE(checks[1].agrees);
}
