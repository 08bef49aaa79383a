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
  UserCacheOptions cache;          ///< of 0 bytes: every request takes a pass over its whole history
  double bytes_per_token = 0;      ///< of the cache
  std::int64_t max_history = 0;    ///< longer histories keep their newest tokens; 0: no limit
  std::optional<double> limit_s;   ///< latency that attainment is told for
  std::int64_t replications = 10;  ///< at least 1
  std::uint64_t seed = 1;          ///< of the residuals of the service times
  int threads = 0;                 ///< that replications run on; 0: all CPUs. The numbers do not depend on it
  /// Told of every request when its service begins, in that order; by several threads at once in simulate().
  std::function<void(const Answer&)> on_answer;
};

/// Where the requests of each replication come from. `make` is called by several threads at once.
struct Arrivals {
  std::function<std::unique_ptr<RequestSource>(std::uint64_t replication)> make;
  std::int64_t warm_up = 0;  ///< first requests of a replication that are served but not counted
  /// Of a log, whose rows are the same in every replication: how many times each is among the requests of one, at least
  /// 1. 0: each replication draws its own.
  double copies = 0;
};

/// What one run tells. Times in seconds. "Counted" are the requests behind the warm-up; means over time are from the
/// arrival of the first of them to the last arrival, so that the emptying at the end does not thin them.
struct Replication {
  std::int64_t requests = 0, counted = 0;
  double seconds = 0;                 ///< of the means over time
  LatencyHistogram total, wait;       ///< of all counted requests, also those answered after the last arrival
  Spells total_spells, wait_spells;   ///< of them; a spell begins with one that finds workers idle, see simulate.cpp
  double total_s = 0, wait_s = 0;     ///< means of them, exact
  double service_s = 0;               ///< mean time that a worker has per request; of a batch its share
  double waiting_share = 0;           ///< of the requests that wait at all
  double utilisation = 0;             ///< mean share of the workers that serve
  double waiting = 0, in_system = 0;  ///< mean numbers of requests
  double arrivals_per_s = 0, completions_per_s = 0;
  double hit_rate = 0, token_hit_rate = 0;  ///< requests that find their user, history tokens that need no pass
  double evictions_per_s = 0, recomputed_tokens_per_s = 0, saved_tokens_per_s = 0;
  double attainment = 0;  ///< share answered within limit_s; 1 without one
  /// Number in the system over arrival rate times latency, from an empty system to an empty system: 1 but for rounding.
  double littles_ratio = 1;
  Saturation saturation;
  std::vector<TrafficWindow> windows;  ///< at most 64, as long as each other but the last; warm-up included
};

/// Serves every request of `source`. Events in order of time; completions before arrivals at the same time.
/// Workers take requests as they come, or the shortest first: by the mean time of a pass over the whole history, for
/// what is cached is not looked up before service begins; equal ones as they come. With batch_max > 1 a worker that is
/// free waits until as many wait, or the oldest has waited batch_window_s; then it takes up to batch_max, whose time
/// is the sum of theirs less shared_seconds of all but the largest, and which end together. The cache is asked when
/// service begins, and has the user again when it ends. A service time is the table's times the residual of the
/// request's number under `seed`: the same request has the same luck under all options. Takes memory that does not grow
/// with the number of requests; at most kMaxWaiting wait. Errors: what the source throws; std::logic_error when
/// Little's law does not hold, which is a bug here.
Replication simulate_once(RequestSource& source, const ServiceTable& table, const SimulatorOptions& options,
                          std::int64_t warm_up, std::uint64_t seed);

struct Simulation {
  std::int64_t requests = 0, counted = 0;     ///< of all replications
  std::vector<TrafficLatency> latencies;      ///< mean, p50, p95, p99, p99.9; without values when saturated
  std::vector<TrafficFigure> figures;         ///< those that have no steady value when saturated have none then
  std::vector<LatencyPoint> cdf;              ///< of all replications; empty when saturated
  std::vector<TrafficWindow> windows;         ///< of replication 0
  std::int64_t offered_load_workers = 0;      ///< ceil(arrivals/s x mean service time)
  std::int64_t max_offered_load_workers = 0;  ///< largest of the windows'
  double utilisation = 0;
  Saturation saturation;
};

/// Independent replications. Quantiles are those of all their requests together (see quantile_estimate), other values
/// means over the replications with Student's interval: none with one. Of a log intervals hold the figure in the next
/// log of the same law (see LogParts); those of means over time have none. Errors: as simulate_once.
Simulation simulate(const Arrivals& arrivals, const ServiceTable& table, const SimulatorOptions& options);

/// "p99" of the total; nullopt when saturated, or when the requests are too few.
std::optional<Estimate> p99_of(const Simulation& simulation);

/// The same fleet at several rates.
std::vector<CapacityPoint> capacity_curve(const std::function<Arrivals(double requests_per_s)>& arrivals_at,
                                          const std::vector<double>& rates, const ServiceTable& table,
                                          const SimulatorOptions& options);

}  // namespace kvcast::traffic
