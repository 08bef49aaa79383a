// How many requests a second the simulator serves on one core, drawing them included. Every case in every round, in
// turns; medians, and ratios to drawing alone in the same round.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "traffic/service.h"
#include "traffic/simulate.h"
#include "traffic/workload.h"

namespace {

using namespace kvcast;
using namespace kvcast::traffic;

constexpr std::int64_t kRequests = 2'000'000;
constexpr int kRounds = 7;

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct BenchCase {
  std::string name;
  std::int64_t cache_bytes;  ///< below 0: drawing alone
  ServeOrder order = ServeOrder::fifo;
  std::vector<double> seconds = {};
};

}  // namespace

int main() {
  WorkloadOptions options;
  options.requests_per_s = 1000;
  options.history = Distribution{"lognormal", 300, 2000, ""};
  options.candidates = Distribution{"lognormal", 100, 400, ""};
  options.growth = 0;
  options.requests = kRequests;
  const Workload workload(options);
  ServiceCosts costs;
  // About 60 lengths, as a report gives.
  for (double length = 0; length < 20000; length = std::max(length + 1, 1.15 * length)) {
    const auto whole = static_cast<std::int64_t>(length);
    costs.breakpoints.push_back({whole, 5e-6 * length, 1e-4, 2e-6});
  }
  costs.residuals = {0.9, 0.95, 1, 1.05, 1.1};
  const ServiceTable table(costs);
  constexpr double kTokenBytes = 8192;

  std::vector<BenchCase> cases = {{"drawing the requests alone", -1},
                                  {"no cache", 0},
                                  {"no cache, shortest first", 0, ServeOrder::shortest},
                                  {"cache of 20 GB, evicting", 20'000'000'000},
                                  {"cache that holds all users", 1'000'000'000'000}};
  for (int round = 0; round < kRounds; ++round) {
    for (BenchCase& one : cases) {
      const auto source = workload.requests(static_cast<std::uint64_t>(round));
      one.seconds.push_back(seconds_of([&] {
        if (one.cache_bytes < 0) {
          std::vector<Request> block(4096);
          while (source->next(block) == block.size()) {
          }
          return;
        }
        SimulatorOptions simulator;
        simulator.server.workers = 4;
        simulator.server.order = one.order;
        simulator.cache.bytes = one.cache_bytes;
        simulator.bytes_per_token = kTokenBytes;
        simulate_once(*source, table, simulator, 0, static_cast<std::uint64_t>(round));
      }));
    }
  }
  fmt::print("{} requests of 100,000 Zipf users, 4 workers; median of {} rounds, one core\n", kRequests, kRounds);
  fmt::print("{:32} {:>12} {:>14}\n", "", "M requests/s", "time / drawing");
  for (const BenchCase& one : cases) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < one.seconds.size(); ++i) ratios.push_back(one.seconds[i] / cases[0].seconds[i]);
    fmt::print("{:32} {:12.1f} {:14.1f}\n", one.name, 1e-6 * static_cast<double>(kRequests) / median(one.seconds),
               median(ratios));
  }
}
