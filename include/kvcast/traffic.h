// Requests of many users on a fleet: the options and results of simulating or replaying a log (docs/method.md §23).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/columns.h"
#include "kvcast/estimate.h"
#include "kvcast/names.h"
#include "kvcast/source.h"

namespace kvcast {

/// Whole numbers drawn per request or per user.
struct Distribution {
  std::string kind = "constant";  ///< "constant", "lognormal" or "empirical"
  double median = 0;              ///< of constant the value
  double p99 = 0;                 ///< of lognormal
  std::string file;               ///< of empirical: the trace whose column is drawn from
};
/// "200", "lognormal:200,900" (median, 99th percentile) or "file:TRACE.csv". Errors: ConfigError naming `origin`.
Distribution parse_distribution(const std::string& text, const std::string& origin);

/// Which requests arrive. A trace is a CSV with the columns timestamp_ms, user_id, history_len, n_candidates.
struct WorkloadOptions {
  std::string trace;     ///< file; empty: synthetic
  std::string arrivals;  ///< synthetic: take only the timestamps of this trace; empty: Poisson
  /// Target rate. A trace, or its arrivals, reaches it by adding users (time-shifted copies) or removing some; the
  /// clock never runs faster, which would move the requests of a user closer together.
  std::optional<double> requests_per_s;
  std::optional<Distribution> history;     ///< synthetic: L of a user's first request, tokens
  std::optional<Distribution> candidates;  ///< synthetic: N of a request; with a trace: N of rows that record 0
  bool replace_candidates = false;         ///< with a trace: N of all rows
  double history_scale = 1;                ///< multiplies L of a trace
  std::int64_t max_history = 0;            ///< cuts longer histories to their newest tokens; 0: no limit
  std::int64_t users = 100000;             ///< synthetic
  double zipf = 1;                         ///< synthetic: user k sends requests in proportion to 1/k^zipf
  double growth = 1;                       ///< synthetic: tokens that a history grows between two requests of its user
  std::optional<std::int64_t> requests;    ///< maximum; nullopt: the trace once, synthetic 10^6
  /// Share of a file's rows that may be bad and are then skipped; nullopt: none.
  std::optional<double> skip_bad_rows;
  std::string timestamps;  ///< unit of numbers: "s", "ms", "us", "ns"; empty: by their size and the column's name
  std::string spread;  ///< of rows that share the timestamp of a coarse clock: "random", "even", "none"; empty: refused
  ColumnNames columns;  ///< of every trace that is read
  std::uint64_t seed = 1;
};

/// The KV cache of users between requests.
struct UserCacheOptions {
  std::int64_t bytes = 0;         ///< capacity; 0: none
  std::int64_t page_tokens = 16;  ///< a history takes whole pages of this many tokens
  std::optional<double> ttl_s;    ///< drops a history not requested for this long; nullopt: never
  std::string policy = "lru";     ///< eviction policy: one of cache_policies()
};
/// Names of the policies, the default first.
std::vector<std::string> cache_policies();
/// Values of WorkloadOptions::timestamps and ::spread.
std::vector<std::string> timestamp_units();
std::vector<std::string> timestamp_spreads();

/// Which request a free worker takes next.
enum class ServeOrder {
  fifo,
  shortest,  ///< the one with the shortest service
};
template <>
struct Names<ServeOrder> {
  static constexpr std::pair<ServeOrder, std::string_view> all[] = {{ServeOrder::fifo, "fifo"},
                                                                    {ServeOrder::shortest, "shortest"}};
};

/// The quantity to search: its value that just meets the P99.
enum class FindTarget { qps, candidates, workers, cache };
template <>
struct Names<FindTarget> {
  static constexpr std::pair<FindTarget, std::string_view> all[] = {{FindTarget::qps, "qps"},
                                                                    {FindTarget::candidates, "candidates"},
                                                                    {FindTarget::workers, "workers"},
                                                                    {FindTarget::cache, "cache"}};
};

struct ServerOptions {
  std::int64_t workers = 1;  ///< requests, or batches, served in parallel
  ServeOrder order = ServeOrder::fifo;
  double batch_window_s = 0;   ///< how long a free worker waits to fill a batch
  std::int64_t batch_max = 1;  ///< maximum requests in a batch; 1: no batching
};

/// Time of a request: history_s + candidates_s + N candidate_s, times one of `residuals`.
struct ServiceBreakpoint {
  std::int64_t history_length = 0;  ///< tokens
  double history_s = 0;     ///< prefill over all of it; at the first breakpoint (length 0) the fixed cost of a pass
  double candidates_s = 0;  ///< scoring pass: the part that does not grow with N
  double candidate_s = 0;   ///< per candidate
};
/// Linear between breakpoints, with the last slope beyond. A pass over the newest k of L tokens costs the pass over L
/// minus that over L - k, plus the fixed cost of a pass.
struct ServiceCosts {
  std::vector<ServiceBreakpoint> breakpoints;  ///< ascending history_length, the first 0
  /// Measured time of the scoring pass over its line, candidates_s + N candidate_s, at these N; linear between them,
  /// the outermost beyond. Empty: 1.
  std::vector<double> curve_candidates, curve;
  std::optional<std::int64_t> known_to;       ///< no answer beyond this N; nullopt: any N
  std::vector<double> residuals = {1};        ///< time over mean, equally likely, ascending
  double bytes_per_token = 0;                 ///< keys and values of all layers
  Source source = Source::unknown;            ///< measured, fitted, extrapolated or assumed
  std::string basis;                          ///< in words: from which report, derived how
  std::string doubt;                          ///< about that report; empty: none
  std::optional<std::int64_t> threads, cpus;  ///< of a worker; of the measured machine
  std::int64_t workers = 1;                   ///< measured in parallel
};

struct TrafficOptions {
  WorkloadOptions workload;
  UserCacheOptions cache;
  ServerOptions server;
  std::optional<double> p99_s;     ///< P99 latency budget, queueing included
  bool extrapolate = false;        ///< accept N beyond four times the largest measured one
  std::optional<FindTarget> find;  ///< the quantity whose limit under p99_s is searched
  std::int64_t replications = 10;
  std::int64_t threads = 0;  ///< to run replications on; 0: all CPUs. Results do not depend on it
  double warm_up = 0.1;      ///< share of the requests served first and not counted

  // Service times: from a report, or constants.
  std::string report;             ///< whatever fit() reads
  ColumnNames columns;            ///< of it, by kTimingRoles
  std::string scheme = "shared";  ///< of the report
  std::optional<std::int64_t> layers;
  std::string shape;                  ///< preset or file with the shape, where the report records none
  std::optional<double> service_s;    ///< every request takes this, hit or miss
  std::optional<double> token_s;      ///< per history token that is not cached
  std::optional<double> candidate_s;  ///< per candidate
  std::optional<double> token_bytes;  ///< of the cache, with constants
  double tail = 1;                    ///< with constants: P99 over mean of a request's time; 1: constant
};

/// What is replayed on the engine.
struct ReplayRequest {
  WorkloadOptions workload;
  UserCacheOptions cache;
  std::int64_t workers = 1;     ///< each has the config's threads
  bool closed_loop = false;     ///< send the next request as soon as a worker is free; else at its own time
  double warm_up = 0.1;         ///< share of the requests served first and not counted
  std::optional<double> p99_s;  ///< P99 latency budget, queueing included
};

/// A column of the workload.
struct WorkloadColumn {
  std::string name, unit;  ///< "history_length", "candidates", "gap_s", "requests_per_user"
  double mean = 0, p50 = 0, p95 = 0, p99 = 0, max = 0;
};

/// Time from arrival to answer; nullopt when saturated, or when too few requests lie beyond the quantile. The interval
/// of a trace covers the figure in another trace like it.
struct TrafficLatency {
  std::string name;               ///< "mean", "p50", "p95", "p99", "p99.9"
  std::optional<Estimate> total;  ///< seconds, waiting included
  std::optional<Estimate> wait;   ///< seconds in the queue
  std::string missing;            ///< why `total` has no value in a steady state; empty when it has
};

/// One number of the simulation.
struct TrafficFigure {
  std::string name, unit;
  std::optional<Estimate> value;  ///< from a trace, means over time have no interval
};

/// A point of the distribution of latencies.
struct LatencyPoint {
  double seconds = 0, share = 0;  ///< of the requests that take no longer
};

/// A cache of this size under the same requests, without any queue. Counts all of them from an empty cache on, whereas
/// the hit_rate of the figures leaves out the warm-up.
struct HitRatePoint {
  std::int64_t cache_bytes = 0;
  double lru = 0;                ///< requests that find their user, by LRU
  double lru_tokens = 0;         ///< history tokens that need no pass, by LRU
  std::optional<double> che;     ///< LRU by Che's approximation, where users are drawn independently
  std::optional<double> belady;  ///< requests, when the entry needed last is evicted first
  std::optional<double> bound;   ///< requests: upper bound of any policy
};

/// The same fleet at another rate.
struct CapacityPoint {
  double requests_per_s = 0;
  double utilisation = 0;                 ///< of the workers
  std::optional<Estimate> p99_s;          ///< nullopt: saturated, or too few requests
  std::int64_t offered_load_workers = 0;  ///< lower bound on workers: what a perfect system needs
  bool saturated = false;
};

/// A window of the trace.
struct TrafficWindow {
  double start_s = 0;
  double arrivals_per_s = 0, completions_per_s = 0;
  double queue = 0;  ///< mean requests waiting
  double hit_rate = 0;
  std::optional<double> p99_s;            ///< nullopt: fewer than 100 requests
  std::int64_t offered_load_workers = 0;  ///< ceil(arrivals/s x mean service time)
  std::optional<double> canary_ratio;     ///< of a replay: as Sample::canary_ratio
  bool clean = true;                      ///< of a replay: undisturbed window
};

/// The result of --find.
struct TrafficFind {
  FindTarget what = FindTarget::qps;
  std::string unit;
  std::optional<double> value;     ///< largest (of workers and cache smallest) that meets the P99; nullopt: none
  std::optional<Estimate> p99_s;   ///< at `value`, as in the answer
  std::optional<double> fails_at;  ///< nearest value that misses it
};

/// One quantity of replay and simulation.
struct ReplayComparison {
  std::string name, unit;
  double replayed = 0, simulated = 0;
  double error_pct = 0;                 ///< 100 (simulated/replayed - 1)
  std::optional<double> tolerance_pct;  ///< allowed error; nullopt: only shown
  bool within = true;
};

/// How a fleet serves the requests.
struct Traffic {
  /// no_result: why the figures are useless ("No usable result: …"); doubt: the question to settle before trusting the
  /// timings behind them. Empty: nothing.
  std::string no_result, doubt;
  std::string workload;  ///< file, or "synthetic"
  std::int64_t requests = 0, users = 0;
  double duration_s = 0, requests_per_s = 0;
  std::int64_t log_rows = 0, skipped_rows = 0;  ///< of the file: all rows; skipped bad rows
  std::vector<std::string> reading;             ///< how the file was read, where that may surprise
  ServerOptions server;
  UserCacheOptions cache;
  ServiceCosts costs;
  std::int64_t replications = 0;
  bool saturated = false;
  std::string saturation;                 ///< its signs; empty: not saturated
  std::optional<double> p99_limit_s;      ///< the P99 budget
  std::int64_t offered_load_workers = 0;  ///< largest of the windows' lower bounds
  std::vector<std::string> assumptions;

  std::vector<WorkloadColumn> columns;
  std::vector<TrafficLatency> latencies;
  std::vector<TrafficFigure> figures;
  std::vector<TrafficFind> find;  ///< none, or one
  std::vector<HitRatePoint> hit_rates;
  std::vector<CapacityPoint> capacity;
  std::vector<TrafficWindow> windows;
  std::vector<LatencyPoint> cdf;
  std::vector<ReplayComparison> replay;
};

}  // namespace kvcast
