#include "analysis/plausibility.h"

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "catch.h"

namespace kvcast::analysis {
namespace {

using Law = std::function<double(double n)>;
using Counts = std::vector<std::int64_t>;
const Counts kCounts = {1, 5, 10, 50, 100};

/// Rounds of both, with lognormal noise of about this relative size.
std::vector<Sample> timings(const Law& naive, const Law& shared, const Counts& counts = kCounts, double noise = 0.02,
                            std::int64_t rounds = 4, std::uint64_t seed = 1) {
  const RandomStream random(seed, 1);
  std::vector<Sample> samples;
  std::uint64_t drawn = 0;
  const auto wobble = [&] {
    double sum = 0;  // of 12 uniforms: nearly normal
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(random.bits(drawn++) >> 11) * 0x1p-53;
    return std::exp(noise * (sum - 6));
  };
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (const std::int64_t n : counts) {
      const auto at = static_cast<double>(n);
      samples.push_back({n, "naive", round, Status::measured, naive(at) * wobble(), n, {}, {}, 1, {}});
      samples.push_back({n, "shared", round, Status::measured, shared(at) * wobble(), n, {}, {}, 1, {}});
    }
  }
  return samples;
}

std::string kind_of(const std::vector<Sample>& samples) {
  const auto found = implausible(analysis::tabulate(samples), "shared");
  if (!found) return "";
  return found->kind == Implausible::Kind::swapped ? "swapped"
         : found->kind == Implausible::Kind::units ? "units"
                                                   : "not requests";
}

double line(double n) { return 4e-3 * n; }
double sharing(double n) { return 4.5e-3 + 3e-5 * n; }

}  // namespace

TEST_CASE("honest timings are plausible, however odd", "[plausibility]") {
  struct Case {
    const char* name;
    Law naive, shared;
    Counts counts;
    double noise;
  };
  const auto constant = [](double seconds) { return Law([=](double) { return seconds; }); };
  const std::vector<Case> cases = {
      {"a line", line, sharing, kCounts, 0.02},
      {"noise of a fifth", line, sharing, kCounts, 0.2},
      {"naive a batch", [](double n) { return 3e-3 + 2e-4 * n; }, sharing, {1, 2, 5, 10, 20, 50, 100, 200}, 0.02},
      {"naive a batch, few N", [](double n) { return 3e-3 + 2e-4 * n; }, sharing, {1, 5, 10}, 0.02},
      {"naive flat at first", [](double n) { return std::max(3e-3, 1e-3 * n); }, sharing, {1, 2, 4, 8, 16}, 0.02},
      {"both flat over few N", constant(3e-3), constant(3e-3), {1, 2, 4}, 0.05},
      {"shared flat: weights are streamed", line, constant(5.9e-3), kCounts, 0.05},
      {"shared flat and noisy", line, constant(5.9e-3), kCounts, 0.2},
      {"shared flat, few N and noisy", line, constant(5.9e-3), {1, 2, 4}, 0.2},
      {"the first N ran cold", line, [](double n) { return n == 1 ? 2e-2 : 5e-3 + 3e-5 * n; }, kCounts, 0.02},
      {"the first N ran cold, then flat", line, [](double n) { return n == 1 ? 2e-2 : 5e-3; }, kCounts, 0.02},
      {"a cliff", line, [](double n) { return n < 50 ? 5e-3 : 3e-1; }, kCounts, 0.02},
      {"one candidate costs 1.1 times naive's", line, [](double n) { return 4.4e-3 * n; }, kCounts, 0.02},
      {"one N", line, sharing, {10}, 0.02},
      {"N from 50", line, sharing, {50, 100, 200}, 0.02},
  };
  for (const Case& one : cases) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      CAPTURE(one.name, seed);
      CHECK(kind_of(timings(one.naive, one.shared, one.counts, one.noise, 4, seed)).empty());
    }
  }
}

TEST_CASE("times per candidate and rates are told from times of requests", "[plausibility]") {
  const auto per = [](const Law& law) { return Law([=](double n) { return law(n) / n; }); };
  const auto rate = [](const Law& law) { return Law([=](double n) { return 1 / law(n); }); };
  const auto candidates = [](const Law& law) { return Law([=](double n) { return n / law(n); }); };
  const Law naive = line, shared = sharing, batch = [](double n) { return 3e-3 + 2e-4 * n; };
  for (const Counts& counts : {kCounts, Counts{1, 100}, Counts{10, 20, 100, 500}}) {
    for (const double noise : {0.0, 0.02, 0.1}) {
      CAPTURE(counts.size(), noise);
      CHECK(kind_of(timings(per(naive), per(shared), counts, noise)) == "not requests");
      CHECK(kind_of(timings(naive, per(shared), counts, noise)) == "not requests");
      CHECK(kind_of(timings(per(batch), per(shared), counts, noise)) == "not requests");
      CHECK(kind_of(timings(rate(naive), rate(shared), counts, noise)) == "not requests");
      CHECK(kind_of(timings(candidates(naive), candidates(shared), counts, noise)) == "not requests");
    }
  }
  const auto found = implausible(analysis::tabulate(timings(per(naive), per(shared), kCounts, 0)), "shared");
  REQUIRE(found);
  CHECK(found->problem == "naive takes 4 ms at N=1 and 4 ms at N=100, shared takes 4.53 ms at N=1 and 75 us at N=100");
  CHECK(found->question ==
        "a request does not get cheaper with more candidates, and a time covers all N: are these per candidate, or "
        "rates?");
}

TEST_CASE("columns that look swapped are asked about", "[plausibility]") {
  CHECK(kind_of(timings(sharing, line)) == "swapped");
  CHECK(kind_of(timings(sharing, line, {50, 100, 200})) == "swapped");
  const auto found = implausible(analysis::tabulate(timings(sharing, line, kCounts, 0)), "shared");
  REQUIRE(found);
  CHECK(found->problem == "shared takes 53 times as long as naive at N=100");
  // Of times in seconds beside such in milliseconds.
  CHECK(kind_of(timings([](double n) { return 1e3 * line(n); }, sharing)) == "units");
  CHECK(kind_of(timings([](double n) { return 1e3 * line(n); }, sharing, {50, 100})) == "units");
  CHECK(kind_of(timings(line, [](double n) { return 1e3 * sharing(n); })) == "swapped");
  CHECK(kind_of(timings([](double n) { return 5 * line(n); }, sharing)).empty());
  // A shared path that is flat, under the name of naive.
  const auto flat = implausible(analysis::tabulate(timings([](double) { return 5e-3; }, line)), "shared");
  REQUIRE(flat);
  CHECK(flat->kind == Implausible::Kind::not_whole_requests);
  CHECK_THAT(flat->question, Catch::Contains("are the columns swapped, or are these rates?"));
}

TEST_CASE("a scheme that loses less than a third of its time is still one of requests", "[plausibility]") {
  // Steadily cheaper per step, as when every N runs on a CPU that is a little more awake than at the one before.
  const auto falling = [](double to) {
    return Law([=](double n) { return 5e-3 * std::pow(to, std::log(n) / std::log(8)); });
  };
  for (const double to : {0.8, 0.72, 0.69}) {
    CAPTURE(to);
    CHECK(kind_of(timings(line, falling(to), {1, 2, 4, 8}, 0)).empty());
  }
  CHECK(kind_of(timings(line, falling(0.65), {1, 2, 4, 8}, 0)) == "not requests");
}

TEST_CASE("scaled and skipped timings tell nothing of their course", "[plausibility]") {
  std::vector<Sample> samples = timings(line, sharing);
  for (Sample& sample : samples) {
    if (sample.candidates > 1) sample.measured_candidates = 1;
  }
  CHECK(kind_of(samples).empty());
  CHECK(kind_of({}).empty());
}

TEST_CASE("a time below what its arithmetic takes at the peak is named, the furthest below", "[plausibility]") {
  Report report;
  report.machine.emplace();
  report.cases.resize(2);
  const auto add = [&](std::size_t at, const char* scheme, double over) {
    SchemePoint point;
    point.scheme = scheme;
    point.gflops_per_s = 100 / over;
    point.time_over_minimum = over;
    report.cases[at].points.push_back({10, {point}});
  };
  add(0, "naive", 1.07);
  add(0, "shared", 0.95);
  CHECK(faster_than_possible(report).empty());
  add(1, "shared", 0.94);
  add(1, "cached", 0.096);
  CHECK(faster_than_possible(report) ==
        "'cached' at N=10 took 0.096 of the minimum time its arithmetic takes at 100 GFLOP/s");
  // bf16 where the library may use what the peak did not.
  report.machine->dense_isa = "avx512_core_amx";
  CHECK_FALSE(faster_than_possible(report).empty());
  report.cases[1].shape.emplace().dtype = "bf16";
  CHECK(faster_than_possible(report).empty());
  report.machine->dense_isa = "avx512_core_bf16";
  CHECK_FALSE(faster_than_possible(report).empty());
  // Timings of elsewhere have no peak.
  for (Case& one : report.cases) {
    for (Point& point : one.points) point.schemes[0].time_over_minimum.reset();
  }
  CHECK(faster_than_possible(report).empty());
}

}  // namespace kvcast::analysis
