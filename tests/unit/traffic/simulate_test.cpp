// The simulator against closed forms, within its own intervals, and against plain recursions, request by request.
#include "traffic/simulate.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "analysis/queueing.h"
#include "catch.h"
#include "statistics/statistics.h"
#include "unit/traffic/drawn_source.h"

namespace kvcast::traffic {
namespace {

constexpr std::int64_t kReplications = 20;

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}
double mean_square(const std::vector<double>& values) {
  return std::inner_product(values.begin(), values.end(), values.begin(), 0.0) / static_cast<double>(values.size());
}

/// A queue of Poisson arrivals at `load` of `workers`, with service times of 1 s times residuals.
Simulation simulate_queue(double load, std::int64_t workers, const std::vector<double>& residuals, std::uint64_t seed) {
  // A busy queue forgets slowly: its means need more requests.
  const std::int64_t requests = load > 0.75 ? 150'000 : 40'000;
  SimulatorOptions options;
  options.server.workers = workers;
  options.replications = kReplications;
  options.seed = seed;
  const double rate = load * static_cast<double>(workers) / mean_of(residuals);
  return simulate(poisson(rate, requests, seed, requests / 10), seconds_times(residuals), options);
}

const TrafficLatency& latency(const Simulation& simulation, const std::string& name) {
  return *std::find_if(simulation.latencies.begin(), simulation.latencies.end(),
                       [&](const TrafficLatency& one) { return one.name == name; });
}
Estimate figure(const Simulation& simulation, const std::string& name) {
  const auto found = std::find_if(simulation.figures.begin(), simulation.figures.end(),
                                  [&](const TrafficFigure& one) { return one.name == name; });
  REQUIRE(found != simulation.figures.end());
  return found->value.value();
}

/// Checks of all closed forms below. With intervals of 95% one in twenty would fail by chance; widened to the level at
/// which one of all of them does so in one of twenty sets of seeds (Bonferroni).
constexpr double kChecks = 80;

void within(const Estimate& estimate, double closed_form) {
  REQUIRE(estimate.ci95);
  const double widen = kvcast::student_t_factor(1 - 0.05 / kChecks, kReplications - 1) /
                       kvcast::student_t_factor(0.95, kReplications - 1);
  const double half = (estimate.ci95->hi - estimate.ci95->lo) / 2;
  INFO(estimate.value << " +- " << half << " against " << closed_form);
  CHECK(std::abs(estimate.value - closed_form) <= widen * half);
  // An interval that holds everything would prove nothing: what a missing residual or a worker too many does is more.
  CHECK(widen * half < 0.15 * closed_form);
}

/// Pollaczek-Khinchine: mean wait of M/G/1.
double mean_wait(double rate, const std::vector<double>& service) {
  return rate * mean_square(service) / (2 * (1 - rate * mean_of(service)));
}

TEST_CASE("M/M/1: mean wait by Pollaczek-Khinchine, exponential latencies") {
  const std::vector<double> service = exponential();
  for (const double load : {0.3, 0.7, 0.9}) {
    CAPTURE(load);
    const Simulation simulation = simulate_queue(load, 1, service, 11);
    const double rate = load / mean_of(service);
    within(*latency(simulation, "mean").wait, mean_wait(rate, service));
    within(*latency(simulation, "mean").total, mean_wait(rate, service) + mean_of(service));
    within(figure(simulation, "waiting"), rate * mean_wait(rate, service));
    within(figure(simulation, "in_system"), rate * mean_wait(rate, service) + load);
    within(figure(simulation, "waiting_share"), load);
    within(figure(simulation, "utilisation"), load);
    within(figure(simulation, "service_s"), mean_of(service));
    for (const auto& [name, probability] : {std::pair("p50", 0.5), {"p95", 0.95}, {"p99", 0.99}}) {
      CAPTURE(name);
      within(*latency(simulation, name).total, -std::log(1 - probability) / (1 - load));
    }
    within(*latency(simulation, "p99").wait, std::log(load / 0.01) / (1 - load));
    CHECK_FALSE(simulation.saturation.saturated);
  }
}

/// P(wait <= t) of M/D/1 with services of 1 s. Source: Erlang (1909); Tijms, "A First Course in Stochastic Models"
/// (2003), eq. 9.6.13. The terms alternate: good for t up to about 20.
double waits_no_longer(double rate, double t) {
  long double sum = 0;
  for (int k = 0; k <= static_cast<int>(t); ++k) {
    const long double x = rate * (k - static_cast<long double>(t));
    long double term = std::exp(-x);
    for (int i = 1; i <= k; ++i) term *= x / i;
    sum += term;
  }
  return static_cast<double>((1 - rate) * sum);
}

TEST_CASE("M/D/1: mean and quantiles of the wait") {
  for (const double load : {0.4, 0.7, 0.85}) {
    CAPTURE(load);
    const Simulation simulation = simulate_queue(load, 1, {1}, 12);
    within(*latency(simulation, "mean").wait, load / (2 * (1 - load)));
    for (const auto& [name, probability] : {std::pair("p95", 0.95), {"p99", 0.99}}) {
      CAPTURE(name);
      double lo = 0, hi = 20;
      for (int i = 0; i < 60; ++i) (waits_no_longer(load, (lo + hi) / 2) < probability ? lo : hi) = (lo + hi) / 2;
      within(*latency(simulation, name).wait, lo);
      within(*latency(simulation, name).total, lo + 1);
    }
  }
}

TEST_CASE("M/G/1: mean wait by Pollaczek-Khinchine") {
  // Two kinds of requests, one 20 times as long; and log-logistic times.
  std::vector<double> two(100, 0.5);
  std::fill(two.begin() + 95, two.end(), 10.0);
  const std::vector<double> skewed = stratified(10'000, [](double p) { return std::pow(p / (1 - p), 0.3); });
  for (const std::vector<double>& service : {two, skewed}) {
    for (const double load : {0.5, 0.8}) {
      CAPTURE(load, service.size());
      const Simulation simulation = simulate_queue(load, 1, service, 13);
      within(*latency(simulation, "mean").wait, mean_wait(load / mean_of(service), service));
    }
  }
}

TEST_CASE("M/M/c: share that waits, mean and quantiles of the wait by Erlang C") {
  const std::vector<double> service = exponential();
  for (const std::int64_t workers : {2, 4, 8}) {
    for (const double load : {0.7, 0.9}) {
      CAPTURE(workers, load);
      const auto c = static_cast<double>(workers);
      const Simulation simulation = simulate_queue(load, workers, service, 14);
      const double waits = analysis::erlang_c(workers, load * c), drain = c * (1 - load);
      within(figure(simulation, "waiting_share"), waits);
      within(*latency(simulation, "mean").wait, waits / drain);
      within(*latency(simulation, "p99").wait, std::log(waits / 0.01) / drain);
      within(figure(simulation, "utilisation"), load);
    }
  }
}

std::vector<Request> listed(std::int64_t requests, double rate, std::uint64_t seed) {
  DrawnSource source([rate](double) { return rate; }, requests, seed);
  std::vector<Request> list(static_cast<std::size_t>(requests));
  source.next(list);
  return list;
}

/// A fixed time and one per candidate, so that requests differ and batches save.
ServiceTable uneven() {
  ServiceCosts costs;
  costs.breakpoints = {{0, 0, 0.3, 0.1}};
  costs.residuals = {0.7, 0.9, 1, 1.4};
  return ServiceTable(costs);
}
double residual_of(const ServiceTable& table, std::uint64_t seed, std::uint64_t number) {
  // The stream of the simulator, by its definition.
  return table.residual(static_cast<double>(RandomStream(seed, 0x7265736964756c73).bits(number) >> 11) * 0x1p-53);
}

TEST_CASE("first come, first served: each latency as Kiefer and Wolfowitz's recursion has it, to the last bit") {
  const ServiceTable table = uneven();
  constexpr std::uint64_t kSeed = 5;
  for (const std::int64_t workers : {1, 2, 3, 8}) {
    const std::vector<Request> requests = listed(400, 0.95 * static_cast<double>(workers) / 1.35, 3);
    std::vector<double> free(static_cast<std::size_t>(workers), 0);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const auto worker = std::min_element(free.begin(), free.end());
      const double start = std::max(*worker, requests[i].arrival_s);
      *worker = start + table.seconds(0, 0, requests[i].candidates) * residual_of(table, kSeed, i);
      // What comes later changes nothing, so that the last of so many is this request.
      ListedSource source({requests.begin(), requests.begin() + static_cast<std::ptrdiff_t>(i) + 1});
      SimulatorOptions options;
      options.server.workers = workers;
      const Replication replication = simulate_once(source, table, options, static_cast<std::int64_t>(i), kSeed);
      CAPTURE(workers, i);
      REQUIRE(replication.counted == 1);
      REQUIRE(replication.total_s == *worker - requests[i].arrival_s);
      REQUIRE(replication.wait_s == start - requests[i].arrival_s);
    }
  }
}

struct Sums {
  double total_s = 0, longest_s = 0;
};
Sums sums(const std::vector<Request>& requests, const std::vector<double>& ends) {
  Sums sums;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    sums.total_s += ends[i] - requests[i].arrival_s;
    sums.longest_s = std::max(sums.longest_s, ends[i] - requests[i].arrival_s);
  }
  return sums;
}

TEST_CASE("the shortest first: as a search through all that wait has it; less wait than first come, first served") {
  const ServiceTable table = uneven();
  for (const std::int64_t workers : {1, 3}) {
    CAPTURE(workers);
    const std::vector<Request> requests = listed(2000, 0.95 * static_cast<double>(workers) / 1.35, 4);
    std::vector<double> free(static_cast<std::size_t>(workers), 0), ends(requests.size(), -1);
    for (std::size_t served = 0; served < requests.size(); ++served) {
      const auto worker = std::min_element(free.begin(), free.end());
      double start = *worker;
      const auto waiting = [&](std::size_t i) { return ends[i] < 0 && requests[i].arrival_s <= start; };
      std::size_t next = requests.size();
      for (std::size_t i = 0; i < requests.size(); ++i) {
        if (ends[i] >= 0) continue;
        if (next == requests.size() && requests[i].arrival_s > start) start = requests[i].arrival_s;
        if (!waiting(i)) break;
        if (next == requests.size() || requests[i].candidates < requests[next].candidates) next = i;
      }
      ends[next] = start + table.seconds(0, 0, requests[next].candidates) * residual_of(table, 6, next);
      *worker = ends[next];
    }
    const Sums expected = sums(requests, ends);
    SimulatorOptions options;
    options.server.workers = workers;
    ListedSource again(requests);
    const Replication fifo = simulate_once(again, table, options, 0, 6);
    options.server.order = ServeOrder::shortest;
    ListedSource source(requests);
    const Replication shortest = simulate_once(source, table, options, 0, 6);
    CHECK(shortest.total_s * 2000 == Approx(expected.total_s).epsilon(1e-12));
    CHECK(shortest.total.most() == expected.longest_s);
    CHECK(shortest.wait_s < 0.9 * fifo.wait_s);
    CHECK(shortest.total.most() > fifo.total.most());
  }
}

TEST_CASE("batches: full or waited long enough, sharing what is taken once, ending together") {
  const ServiceTable table = uneven();
  for (const std::int64_t workers : {1, 2}) {
    for (const std::int64_t most : {1, 2, 5}) {
      for (const double window_s : {0.0, 0.5, 4.0}) {
        for (const double rate : {0.2, 0.7, 2.0}) {
          CAPTURE(workers, most, window_s, rate);
          const std::vector<Request> requests = listed(1500, rate, 8);
          std::vector<double> free(static_cast<std::size_t>(workers), 0), ends(requests.size());
          for (std::size_t first = 0; first < requests.size();) {
            const auto worker = std::min_element(free.begin(), free.end());
            const std::size_t full = first + static_cast<std::size_t>(most) - 1;
            double start = requests[first].arrival_s + window_s;
            if (full < requests.size()) start = std::min(start, requests[full].arrival_s);
            start = std::max(start, *worker);
            double seconds = 0.3;
            std::size_t last = first;
            for (; last < requests.size() && last <= full && requests[last].arrival_s <= start; ++last) {
              seconds += 0.1 * static_cast<double>(requests[last].candidates);
            }
            *worker = start + seconds * residual_of(table, 7, first);
            for (; first < last; ++first) ends[first] = *worker;
          }
          const Sums expected = sums(requests, ends);
          SimulatorOptions options;
          options.server = {workers, ServeOrder::fifo, window_s, most};
          ListedSource source(requests);
          const Replication replication = simulate_once(source, table, options, 0, 7);
          CHECK(replication.total_s * 1500 == Approx(expected.total_s).epsilon(1e-10));
          CHECK(replication.total.most() == Approx(expected.longest_s).epsilon(1e-10));
        }
      }
    }
  }
}

TEST_CASE("a batch takes the longest of what each of its passes takes once, whoever has it") {
  ServiceCosts costs;
  costs.breakpoints = {{0, 0.2, 0.3, 0.1}, {100, 1.2, 0.9, 0.1}};
  std::vector<std::int64_t> histories = {0, 50, 100};
  do {
    std::vector<Request> requests;
    for (const std::int64_t history : histories) requests.push_back({0, requests.size(), history, 1});
    ListedSource source(requests);
    SimulatorOptions options;
    options.server = {1, ServeOrder::fifo, 10, 3};
    // Alone 0.4 (no pass over an empty history), 1.4 and 2.2 s, of them 0.3, 0.8 and 1.1 s once.
    const Replication replication = simulate_once(source, ServiceTable(costs), options, 0, 1);
    CAPTURE(histories);
    CHECK(replication.total.most() == Approx(0.1 + 0.6 + 1.1 + 1.1));
    CHECK(replication.total_s == Approx(2.9));
  } while (std::next_permutation(histories.begin(), histories.end()));
}

TEST_CASE("each percentile is that of the requests, by its name") {
  std::vector<double> totals, waits;
  SimulatorOptions options;
  options.replications = 1;
  options.on_answer = [&](const Answer& answer) {
    totals.push_back(answer.total_s);
    waits.push_back(answer.wait_s);
  };
  const Simulation simulation = simulate(poisson(0.3, 40'000, 3, 0), seconds_times(exponential()), options);
  std::sort(totals.begin(), totals.end());
  std::sort(waits.begin(), waits.end());
  REQUIRE(totals.size() == 40'000);
  for (const auto& [name, rank] : {std::pair("p50", 20'000), {"p95", 38'000}, {"p99", 39'600}, {"p99.9", 39'960}}) {
    CAPTURE(name);
    // A bucket is 0.4% wide.
    CHECK(latency(simulation, name).total->value == Approx(totals[static_cast<std::size_t>(rank) - 1]).epsilon(0.004));
    CHECK(latency(simulation, name).wait->value == Approx(waits[static_cast<std::size_t>(rank) - 1]).epsilon(0.004));
  }
}

bool same(const std::optional<Estimate>& a, const std::optional<Estimate>& b) {
  if (a.has_value() != b.has_value()) return false;
  if (!a) return true;
  if (a->ci95.has_value() != b->ci95.has_value()) return false;
  return a->value == b->value && (!a->ci95 || (a->ci95->lo == b->ci95->lo && a->ci95->hi == b->ci95->hi));
}
bool same(const Simulation& a, const Simulation& b) {
  bool equal = a.requests == b.requests && a.cdf.size() == b.cdf.size() && a.windows.size() == b.windows.size() &&
               a.saturation.text == b.saturation.text && a.offered_load_workers == b.offered_load_workers;
  for (std::size_t i = 0; equal && i < a.latencies.size(); ++i) {
    equal &= same(a.latencies[i].total, b.latencies[i].total) && same(a.latencies[i].wait, b.latencies[i].wait);
  }
  for (std::size_t i = 0; equal && i < a.figures.size(); ++i) equal &= same(a.figures[i].value, b.figures[i].value);
  for (std::size_t i = 0; equal && i < a.cdf.size(); ++i) equal &= a.cdf[i].seconds == b.cdf[i].seconds;
  for (std::size_t i = 0; equal && i < a.windows.size(); ++i) {
    equal &= a.windows[i].queue == b.windows[i].queue && a.windows[i].p99_s == b.windows[i].p99_s;
  }
  return equal;
}

TEST_CASE("the numbers do not depend on the threads, and do on the seed") {
  SimulatorOptions options;
  options.server.workers = 3;
  options.replications = 7;
  options.limit_s = 2;
  options.threads = 1;
  const ServiceTable table = seconds_times(exponential());
  const Arrivals arrivals = poisson(2.4, 5000, 1, 500);
  const Simulation one = simulate(arrivals, table, options);
  for (const int threads : {2, 3, 16}) {
    options.threads = threads;
    CHECK(same(one, simulate(arrivals, table, options)));
  }
  options.seed = 2;
  const Simulation other = simulate(arrivals, table, options);
  CHECK_FALSE(same(one, other));
  CHECK_FALSE(same(latency(one, "mean").total, latency(other, "mean").total));
}

TEST_CASE("a batch of one is no batch, whatever the window") {
  SimulatorOptions options;
  options.server.workers = 2;
  options.replications = 3;
  const Simulation plain = simulate(poisson(1.2, 5000, 1, 0), uneven(), options);
  options.server.batch_window_s = 3;
  CHECK(same(plain, simulate(poisson(1.2, 5000, 1, 0), uneven(), options)));
}

TEST_CASE("one replication has no interval; the warm-up is served and not counted") {
  SimulatorOptions options;
  options.replications = 1;
  options.limit_s = 1.5;
  const Simulation simulation = simulate(poisson(0.5, 30'000, 1, 10'000), seconds_times({1}), options);
  CHECK(simulation.requests == 30'000);
  CHECK(simulation.counted == 20'000);
  REQUIRE(latency(simulation, "p99").total);
  CHECK_FALSE(latency(simulation, "p99").total->ci95);
  CHECK(simulation.offered_load_workers == 1);
  // Of M/D/1 at load 0.5: P(wait <= 0.5).
  CHECK(figure(simulation, "attainment").value == Approx(waits_no_longer(0.5, 0.5)).margin(0.05));
  CHECK(simulation.cdf.back().share == 1);
  CHECK(std::is_sorted(simulation.cdf.begin(), simulation.cdf.end(),
                       [](const LatencyPoint& a, const LatencyPoint& b) { return a.seconds < b.seconds; }));
}

TEST_CASE("nothing, one request, and a warm-up longer than the trace") {
  SimulatorOptions options;
  options.replications = 2;
  for (const std::int64_t requests : {0, 1, 2}) {
    for (const std::int64_t warm_up : {0, 1, 5}) {
      CAPTURE(requests, warm_up);
      const Simulation simulation = simulate(poisson(1, requests, 1, warm_up), seconds_times({1}), options);
      CHECK(simulation.requests == 2 * requests);
      CHECK(simulation.counted == 2 * std::max<std::int64_t>(0, requests - warm_up));
      CHECK_FALSE(simulation.saturation.saturated);
      CHECK(simulation.saturation.unclear);
      if (simulation.counted == 0) CHECK_FALSE(latency(simulation, "p99").total);
    }
  }
}

TEST_CASE("an even stream below capacity never waits; its latencies are exact") {
  std::vector<Request> requests(10'000);
  for (std::size_t i = 0; i < requests.size(); ++i) requests[i] = {static_cast<double>(i), i, 0, 1};
  for (const double service : {0.25, 0.75, 0.875}) {
    ListedSource source(requests);
    SimulatorOptions options;
    const Replication replication = simulate_once(source, seconds_times({service}), options, 0, 1);
    CHECK(replication.waiting_share == 0);
    CHECK(replication.total.quantile(0.999) == service);
    CHECK(replication.utilisation == Approx(service).epsilon(1e-12));
    CHECK(replication.littles_ratio == Approx(1).epsilon(1e-12));
    CHECK_FALSE(replication.saturation.saturated);
    CHECK_FALSE(replication.saturation.unclear);
  }
}

TEST_CASE("windows cover the trace, however long, and their sums are the whole") {
  for (const double rate : {1e-3, 1.0, 1e4}) {
    DrawnSource source([rate](double) { return rate; }, 50'000, 2);
    ServiceCosts costs;
    costs.breakpoints = {{0, 0, 2.4 / rate, 0}};
    SimulatorOptions options;
    options.server.workers = 3;
    const Replication replication = simulate_once(source, ServiceTable(costs), options, 0, 1);
    CAPTURE(rate);
    REQUIRE(replication.windows.size() > 16);
    REQUIRE(replication.windows.size() <= 64);
    CHECK(replication.windows.front().start_s == 0);
    const double width = replication.windows[1].start_s;
    double arrivals = 0, completions = 0, waiting = 0;
    const auto add = [&](const TrafficWindow& window, double seconds) {
      arrivals += window.arrivals_per_s * seconds;
      completions += window.completions_per_s * seconds;
      waiting += window.queue * seconds;
    };
    for (std::size_t i = 0; i + 1 < replication.windows.size(); ++i) {
      CHECK(replication.windows[i].start_s == Approx(static_cast<double>(i) * width));
      CHECK(replication.windows[i].offered_load_workers >= 1);
      add(replication.windows[i], width);
    }
    const TrafficWindow& last = replication.windows.back();
    add(last, replication.seconds - last.start_s);
    CHECK(arrivals == Approx(50'000).epsilon(1e-9));
    CHECK(completions == Approx(replication.completions_per_s * replication.seconds).epsilon(1e-9));
    CHECK(waiting == Approx(replication.waiting * replication.seconds).epsilon(1e-9));
  }
}

TEST_CASE("a capacity curve: busier with the rate, until it says saturated and no percentile") {
  SimulatorOptions options;
  options.server.workers = 2;
  options.replications = 4;
  const std::vector<CapacityPoint> curve = capacity_curve([](double rate) { return poisson(rate, 20'000, 1, 2000); },
                                                          {0.5, 1.0, 1.5, 2.4}, seconds_times(exponential()), options);
  REQUIRE(curve.size() == 4);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK_FALSE(curve[i].saturated);
    REQUIRE(curve[i].p99_s);
    CHECK(curve[i].utilisation == Approx(curve[i].requests_per_s / 2).epsilon(0.03));
    if (i > 0) CHECK(curve[i].p99_s->value > curve[i - 1].p99_s->value);
  }
  CHECK(curve[3].saturated);
  CHECK_FALSE(curve[3].p99_s);
  CHECK(curve[0].offered_load_workers == 1);
  CHECK(curve[3].offered_load_workers == 3);
}

TEST_CASE("the cache is asked when service begins, and knows a user when the service that made it has ended") {
  ServiceCosts costs;
  costs.breakpoints = {{0, 0, 0, 0.001}, {1000, 1, 0, 0.001}};  // 1 ms a token, 1 ms a candidate
  const ServiceTable table(costs);
  SimulatorOptions options;
  options.server.workers = 2;
  options.cache.bytes = 10'000;
  options.bytes_per_token = 1;
  // A pass over 1000 tokens; the same user before it ends, who pays again; then 100 tokens more, cached at first.
  const std::vector<Request> requests{{0, 7, 1000, 10}, {0.5, 7, 1000, 10}, {3, 7, 1100, 10}, {4, 7, 1100, 10}};
  const std::vector<double> expected{1.01, 1.01, 0.11, 0.01};
  for (std::size_t i = 0; i < requests.size(); ++i) {
    ListedSource source({requests.begin(), requests.begin() + static_cast<std::ptrdiff_t>(i) + 1});
    CHECK(simulate_once(source, table, options, static_cast<std::int64_t>(i), 1).total_s == Approx(expected[i]));
  }
  ListedSource source(requests);
  const Replication replication = simulate_once(source, table, options, 0, 1);
  CHECK(replication.hit_rate == 0.5);
  CHECK(replication.token_hit_rate == Approx(2100.0 / 4200));
  CHECK(replication.saved_tokens_per_s == Approx(2100 / 4.0 * 3 / 4));
  CHECK(replication.recomputed_tokens_per_s == Approx(2100 / 4.0 * 3 / 4));
  options.max_history = 500;
  ListedSource cut(requests);
  CHECK(simulate_once(cut, table, options, 0, 1).token_hit_rate == 0.25);
  options.cache.bytes = 0;
  ListedSource none(requests);
  const Replication without = simulate_once(none, table, options, 0, 1);
  CHECK(without.hit_rate == 0);
  CHECK(without.total_s == Approx(0.51));
}

TEST_CASE("a larger cache: more hits, less work, fewer evictions") {
  ServiceCosts costs;
  costs.breakpoints = {{0, 0.1, 0, 0}, {64, 1, 0, 0}};
  for (const std::int64_t users : {0, 10, 25, 60}) {
    // 50 users with histories of 64 tokens, all equally likely.
    std::vector<Request> requests = listed(20'000, 0.5, 3);
    for (Request& request : requests) request.history = 64;
    ListedSource source(requests);
    SimulatorOptions options;
    options.cache.bytes = 64 * users;
    options.bytes_per_token = 1;
    const Replication replication = simulate_once(source, ServiceTable(costs), options, 2000, 1);
    CHECK(replication.hit_rate == Approx(std::min(1.0, double(users) / 50)).margin(0.02));
    CHECK(replication.utilisation == Approx(0.5 * (1 - replication.hit_rate)).margin(0.02));
    CHECK(replication.evictions_per_s ==
          Approx(users == 0 || users == 60 ? 0 : 0.5 * (1 - double(users) / 50)).margin(0.02));
  }
}

TEST_CASE("a fleet that drowns is given up") {
  DrawnSource source([](double) { return 100.0; }, 1'500'000, 1);
  const Replication replication = simulate_once(source, seconds_times({1}), {}, 0, 1);
  CHECK(replication.saturation.saturated);
  CHECK(replication.saturation.text.find("stopped with 1048577 requests waiting") != std::string::npos);
  CHECK(replication.requests < 1'100'000);
}

}  // namespace
}  // namespace kvcast::traffic
