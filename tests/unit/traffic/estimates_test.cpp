// Quantiles and intervals of the simulator: against exact sojourn times of queues, and against the next log.
#include "traffic/estimates.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "analysis/queueing.h"
#include "catch.h"
#include "traffic/simulate.h"
#include "unit/traffic/drawn_source.h"

namespace kvcast::traffic {
namespace {

const TrafficLatency& latency(const Simulation& simulation, const std::string& name) {
  return *std::find_if(simulation.latencies.begin(), simulation.latencies.end(),
                       [&](const TrafficLatency& one) { return one.name == name; });
}

/// Where a falling function comes to a value.
double where(const std::function<double(double)>& falling, double value) {
  double lo = 0, hi = 1e5;
  for (int i = 0; i < 200; ++i) (falling((lo + hi) / 2) > value ? lo : hi) = (lo + hi) / 2;
  return lo;
}

/// P(time from arrival to answer > t) of M/M/c with services of 1 s: a wait, Erlang's and exponential, and a service.
double mmc_sojourn(std::int64_t workers, double load, double t) {
  const auto c = static_cast<double>(workers);
  const double waits = analysis::erlang_c(workers, load * c), drain = c * (1 - load);
  if (std::abs(drain - 1) < 1e-9) return std::exp(-t) * (1 + waits * t);
  return (1 - waits) * std::exp(-t) + waits * (drain * std::exp(-t) - std::exp(-drain * t)) / (drain - 1);
}

/// P99 of M/D/1 by the exponential that its tail is: C exp(-decay t) with load (exp(decay) - 1) = decay. Source: Tijms,
/// "A First Course in Stochastic Models" (2003), section 9.6.
double md1_sojourn_quantile(double load, double probability) {
  double decay = 2 * (1 - load);
  for (int i = 0; i < 100; ++i) decay -= (load * std::expm1(decay) - decay) / (load * std::exp(decay) - 1);
  return 1 + std::log((1 - load) / (load * std::exp(decay) - 1) / (1 - probability)) / decay;
}

struct Coverage {
  int quoted = 0, held = 0;
};
/// Over seeds: how often a quantile is quoted, and how often its interval then holds the exact one.
Coverage cover(const char* name, double exact, double load, std::int64_t workers, std::int64_t requests, bool constant,
               int seeds) {
  const ServiceTable table = seconds_times(constant ? std::vector<double>{1} : exponential());
  Coverage coverage;
  for (int seed = 1; seed <= seeds; ++seed) {
    SimulatorOptions options;
    options.server.workers = workers;
    options.seed = static_cast<std::uint64_t>(seed);
    const Simulation simulation =
        simulate(poisson(load * static_cast<double>(workers), requests, options.seed, requests / 10), table, options);
    const TrafficLatency& found = latency(simulation, name);
    REQUIRE(found.total.has_value() == found.missing.empty());
    if (!found.total) continue;
    REQUIRE(found.total->ci95);
    CHECK(found.total->ci95->lo <= found.total->value);
    CHECK(found.total->value <= found.total->ci95->hi);
    ++coverage.quoted;
    coverage.held += found.total->ci95->lo <= exact && exact <= found.total->ci95->hi;
  }
  return coverage;
}

}  // namespace

TEST_CASE("intervals of pooled quantiles hold the exact ones of M/M/1, M/D/1 and M/M/c", "[traffic]") {
  // Seeds are given, so this is one draw: of 20 intervals of 95% fewer than 17 hold in 1.6% of all draws.
  constexpr int kSeeds = 20, kLeast = 17;
  for (const double load : {0.5, 0.8}) {
    for (const std::int64_t workers : {1, 4}) {
      for (const auto& [name, beyond] : {std::pair("p50", 0.5), {"p95", 0.05}, {"p99", 0.01}}) {
        CAPTURE(load, workers, name);
        const double exact = where([&](double t) { return mmc_sojourn(workers, load, t); }, beyond);
        const Coverage coverage = cover(name, exact, load, workers, 12'000, false, kSeeds);
        CHECK(coverage.quoted == kSeeds);
        CHECK(coverage.held >= kLeast);
      }
    }
    CAPTURE(load);
    const Coverage constant = cover("p99", md1_sojourn_quantile(load, 0.99), load, 1, 12'000, true, kSeeds);
    CHECK(constant.quoted == kSeeds);
    CHECK(constant.held >= kLeast);
  }
}

TEST_CASE("close to capacity a quantile is told from enough requests, and from no fewer", "[traffic]") {
  // 20,000 requests a replication have about one independent spell beyond P99 of M/M/1 at load 0.95.
  for (const char* name : {"p99", "p99.9"}) {
    CHECK(cover(name, 0, 0.95, 1, 20'000, false, 10).quoted == 0);
    CHECK(cover(name, 0, 0.95, 1, 20'000, true, 10).quoted <= 1);
  }
  const double exact = where([](double t) { return mmc_sojourn(1, 0.95, t); }, 0.01);
  CHECK(exact == Approx(92.1).epsilon(1e-3));
  const Coverage enough = cover("p99", exact, 0.95, 1, 400'000, false, 6);
  CHECK(enough.quoted == 6);
  CHECK(enough.held >= 5);
  // As many requests in all, in replications that see the queue fill up from nothing: told by none.
  SimulatorOptions options;
  options.replications = 400;
  const Simulation brief = simulate(poisson(0.95, 4000, 1, 400), seconds_times(exponential()), options);
  CHECK_FALSE(latency(brief, "mean").total);
  CHECK_FALSE(latency(brief, "p99").total);
  CHECK(latency(brief, "p99").missing.find("too short") != std::string::npos);
}

TEST_CASE("a quantile is quoted from five requests beyond it on", "[traffic]") {
  for (const auto& [requests, quoted] : {std::pair(499, false), {500, true}}) {
    std::vector<Request> list(static_cast<std::size_t>(requests));
    for (std::size_t i = 0; i < list.size(); ++i) list[i] = {10.0 * static_cast<double>(i), i, 0, 1};
    Arrivals arrivals{[&](std::uint64_t) { return std::make_unique<ListedSource>(list); }, 0};
    SimulatorOptions options;
    options.replications = 1;
    const ServiceTable table = seconds_times(stratified(1000, [](double p) { return p; }));
    CHECK(latency(simulate(arrivals, table, options), "p99").total.has_value() == quoted);
    // Replications of a log are the same rows again.
    arrivals.copies = 1;
    options.replications = 10;
    const TrafficLatency of_log = latency(simulate(arrivals, table, options), "p99");
    CHECK(of_log.total.has_value() == quoted);
    CHECK(of_log.missing.empty() == quoted);
    // Two copies of each row are no more rows.
    arrivals.copies = 2;
    CHECK_FALSE(latency(simulate(arrivals, table, options), "p99").total);
  }
}

TEST_CASE("the interval of a log holds the next log of its law", "[traffic]") {
  // 500 users, the busiest of whom ask often; the history of each is drawn once, so that logs differ by their users.
  constexpr int kLogs = 24;
  constexpr std::int64_t kRows = 12'000;
  const auto draw = [](std::uint64_t log) {
    const RandomStream gaps(log, 1), users(log, 2), lengths(log, 3);
    std::vector<Request> rows;
    double now = 0;
    for (std::uint64_t i = 0; i < kRows; ++i) {
      now -= std::log(uniform(gaps, i)) / 0.45;
      const auto user = static_cast<std::uint64_t>(500 * std::pow(uniform(users, i), 1.3));
      rows.push_back({now, user, static_cast<std::int64_t>(1000 * std::exp(0.4 * lengths.unit(user))), 1});
    }
    return rows;
  };
  ServiceCosts costs;
  costs.breakpoints = {{0, 0.1, 0, 0}, {10'000, 8.1, 0, 0}};
  costs.residuals = stratified(100, [](double p) { return 0.5 + p; });
  const ServiceTable table(costs);
  for (const char* name : {"mean", "p50", "p95", "p99"}) {
    std::vector<Estimate> found;
    for (std::uint64_t log = 1; log <= kLogs; ++log) {
      const std::vector<Request> rows = draw(log);
      const Arrivals arrivals{[&](std::uint64_t) { return std::make_unique<ListedSource>(rows); }, kRows / 10, 1};
      SimulatorOptions options;
      options.replications = 4;
      const Simulation simulation = simulate(arrivals, table, options);
      REQUIRE(latency(simulation, name).total);
      found.push_back(*latency(simulation, name).total);
    }
    int held = 0, pairs = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      // Of a log that does not tell its P99 well there is none.
      for (std::size_t j = 0; j < found.size() && found[i].ci95; ++j) {
        if (i == j) continue;
        ++pairs;
        held += found[i].ci95->lo <= found[j].value && found[j].value <= found[i].ci95->hi;
      }
    }
    CAPTURE(name);
    CHECK(pairs >= kLogs * (kLogs - 1) / 2);
    CHECK(held >= 0.9 * pairs);
  }
}

TEST_CASE("requests for one that is independent: what a spell has beyond a time", "[traffic]") {
  Spells alone, together;
  for (int i = 0; i < 1000; ++i) {
    alone.add(1.0 + i % 10);
    alone.end();
    together.add(1.0 + i % 10);
    if (i % 10 == 9) together.end();
  }
  alone.end();
  CHECK(alone.requests_per_event(5.4) == 1);
  CHECK(alone.requests_per_event(100) == 1);
  // Ten in each spell, of which five last longer than 5.4: as if their number varied.
  CHECK(together.requests_per_event(5.4) == Approx(4 * 5 - 3));
  CHECK(together.requests_per_event(9.5) == Approx(1));
  Spells twice = together;
  twice.add(together);
  CHECK(twice.requests_per_event(5.4) == together.requests_per_event(5.4));
  // One spell of 90 among 90 of one: E[m²]/E[m] = (90 + 8100)/180.
  Spells uneven;
  for (int i = 0; i < 90; ++i) {
    uneven.add(2);
    uneven.end();
  }
  for (int i = 0; i < 90; ++i) uneven.add(2);
  uneven.end();
  CHECK(uneven.requests_per_event(1.5) == Approx((90 + 8100) / 180.0));
}

}  // namespace kvcast::traffic
