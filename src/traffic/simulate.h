// The event simulator: requests, workers, a queue and the users' cache, by a table of service times.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/traffic.h"
#include "traffic/latency_histogram.h"
#include "traffic/request.h"
#include "traffic/saturation.h"
#include "traffic/service.h"
#include "traffic/spells.h"
#include "traffic/user_cache.h"

namespace kvcast::traffic {

/// Requests that may wait. More is a fleet that falls behind: the run is given up, which also bounds its memory.
inline constexpr std::int64_t kMaxWaiting = 1 << 20;

/// A request that was served.
struct Answer {
  std::uint64_t number = 0;  ///< in order of arrival, from 0
  double wait_s = 0, total_s = 0;
  double service_s = 0;  ///< of a batch the request's share
  std::uint64_t user = 0;
  Lookup lookup;
};

struct SimulatorOptions {
  ServerOptions server;
  UserCacheOptions cache;          ///< 0 bytes: every request takes a pass over its whole history
  double bytes_per_token = 0;      ///< of the cache
  std::int64_t max_history = 0;    ///< cuts longer histories to their newest tokens; 0: no limit
  std::optional<double> limit_s;   ///< latency limit of `attainment`
  std::int64_t replications = 10;  ///< at least 1
  std::uint64_t seed = 1;          ///< of the residuals of the service times
  int threads = 0;                 ///< to run replications on; 0: all CPUs. Results do not depend on it
  /// Called for every request when its service begins, in that order; by several threads at once in simulate().
  std::function<void(const Answer&)> on_answer;
};

/// Where the requests of each replication come from. `make` is called by several threads at once.
struct Arrivals {
  std::function<std::unique_ptr<RequestSource>(std::uint64_t replication)> make;
  std::int64_t warm_up = 0;  ///< first requests of a replication that are served but not counted
  /// For a log, whose rows are the same in every replication: how often each row occurs in one replication, at least 1.
  /// 0: each replication draws its own requests.
  double copies = 0;
};

/// The results of one run. Times in seconds. "Counted" are the requests after the warm-up. Means over time run from the
/// arrival of the first of them to the last arrival, which leaves out the draining at the end.
struct Replication {
  std::int64_t requests = 0, counted = 0;
  double seconds = 0;                 ///< of the means over time
  LatencyHistogram total, wait;       ///< of all counted requests, even those answered after the last arrival
  Spells total_spells, wait_spells;   ///< of them; a spell begins with one that finds workers idle, see simulate.cpp
  double total_s = 0, wait_s = 0;     ///< means of them, exact
  double service_s = 0;               ///< mean worker time per request; in a batch its share
  double waiting_share = 0;           ///< of the requests that wait at all
  double utilisation = 0;             ///< mean share of busy workers
  double waiting = 0, in_system = 0;  ///< mean numbers of requests
  double arrivals_per_s = 0, completions_per_s = 0;
  double hit_rate = 0, token_hit_rate = 0;  ///< requests that find their user, history tokens that need no pass
  double evictions_per_s = 0, recomputed_tokens_per_s = 0, saved_tokens_per_s = 0;
  double attainment = 0;  ///< share answered within limit_s; 1 without one
  /// Number in the system over arrival rate times latency, from empty to empty system: 1 up to rounding.
  double littles_ratio = 1;
  Saturation saturation;
  std::vector<TrafficWindow> windows;  ///< at most 64, as long as each other but the last; warm-up included
};

/// Serves every request of `source`. Events in order of time; at equal times completions come before arrivals.
/// Workers take requests in order of arrival, or shortest first: by the mean time of a pass over the whole history,
/// since the cache is only looked up when service begins; ties in order of arrival. With batch_max > 1 a free worker
/// waits until that many requests wait or the oldest has waited batch_window_s. It then takes up to batch_max, which
/// end together after the sum of their times less shared_seconds of all but the largest. The cache is looked up when
/// service begins, and holds the user again when it ends. A service time is the table's times the residual of the
/// request's number under `seed`: the same request gets the same residual under all options. Memory does not grow with
/// the number of requests; at most kMaxWaiting wait. Errors: those of the source; std::logic_error when Little's law
/// does not hold, which is a bug here.
Replication simulate_once(RequestSource& source, const ServiceTable& table, const SimulatorOptions& options,
                          std::int64_t warm_up, std::uint64_t seed);

struct Simulation {
  std::int64_t requests = 0, counted = 0;     ///< of all replications
  std::vector<TrafficLatency> latencies;      ///< mean, p50, p95, p99, p99.9; without values when saturated
  std::vector<TrafficFigure> figures;         ///< when saturated, those without a steady value have none
  std::vector<LatencyPoint> cdf;              ///< of all replications; empty when saturated
  std::vector<TrafficWindow> windows;         ///< of replication 0
  std::int64_t offered_load_workers = 0;      ///< ceil(arrivals/s x mean service time)
  std::int64_t max_offered_load_workers = 0;  ///< largest of the windows'
  double utilisation = 0;
  Saturation saturation;
};

/// Independent replications. Quantiles are those of all their requests together (see quantile_estimate), other values
/// means over the replications with Student's interval: none with one. For a log, intervals cover the figure in
/// another log of the same law (see LogParts); means over time have none. Errors: as simulate_once.
Simulation simulate(const Arrivals& arrivals, const ServiceTable& table, const SimulatorOptions& options);

/// "p99" of the total; nullopt when saturated, or when the requests are too few.
std::optional<Estimate> p99_of(const Simulation& simulation);

/// The same fleet at several rates.
std::vector<CapacityPoint> capacity_curve(const std::function<Arrivals(double requests_per_s)>& arrivals_at,
                                          const std::vector<double>& rates, const ServiceTable& table,
                                          const SimulatorOptions& options);

}  // namespace kvcast::traffic
