// What the parts of a replay share: its requests, the engine of every worker, the memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/worker_pool.h"
#include "measure/machine.h"
#include "traffic/replay/replay.h"
#include "traffic/replay/server.h"
#include "traffic/replay/store.h"

namespace kvcast::traffic {

/// A canary this much slower than the undisturbed machine's speaks of a neighbour.
inline constexpr double kCleanCanary = 0.95;

struct ReplayState {
  ReplayState(const Engine& engine, const Config& wanted, std::span<const Request> asked, const ReplayOptions& how);

  /// Request `number` on what a lookup found.
  Work work(std::size_t number, const Lookup& lookup) const noexcept {
    const Request& request = requests[number];
    return {static_cast<std::int64_t>(number),
            request.user,
            request.history - lookup.length,
            lookup.length,
            lookup.known,
            request.candidates};
  }
  void run_dry();
  void refuse_memory();

  Config config;
  std::int64_t dim;
  ReplayOptions options;
  std::vector<Request> requests;  ///< arrivals from 0 on
  bool cut = false;               ///< fewer than requested: the others arrive after the budget
  std::unique_ptr<Service> service;
  double bytes_per_token = 0;

  // By the policy alone, one request after the other.
  std::vector<Lookup> expected;
  std::vector<std::int64_t> slots;  ///< that it takes, by class of the pool
  std::int64_t longest = 0, max_candidates = 0;
  double bytes = 0;  ///< estimated

  std::unique_ptr<Items> items;
  std::unique_ptr<SlotPool> pool;
  std::vector<std::unique_ptr<Server>> servers;  ///< by worker
  bool keep_outputs = false;
  std::vector<std::vector<float>> outputs;  ///< by request, when kept
  std::unique_ptr<WorkerPool> worker_pool;  ///< last: its threads end before what they use
};

/// Other use of the CPUs between two readings, in percent of their time; nullopt where the system does not report it.
struct Disturbance {
  std::optional<double> steal_pct;    ///< taken by the hypervisor
  std::optional<double> foreign_pct;  ///< spent by other processes
  /// Beyond what an idle machine shows. A canary is too short to see what the scheduler gives to others.
  bool disturbs() const { return steal_pct.value_or(0) > 1 || foreign_pct.value_or(0) > 5; }
};
Disturbance disturbance(const std::optional<measure::CpuTimes>& from, const std::optional<measure::CpuTimes>& to);

/// Waits as a worker waits for an arrival: asleep until a millisecond before, then spinning. `until` is on measure's
/// clock. False when it was stopped meanwhile.
bool wait_until(double until, const std::atomic<bool>& stopped);

/// Which canaries are clean: at kCleanCanary of the upper quartile, as in measure::set_canary_ratios. Their ratios.
std::vector<double> canary_ratios(const std::vector<double>& gflops);

}  // namespace kvcast::traffic
