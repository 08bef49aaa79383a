// Requests of many users on a fleet: what is asked of a log, and what simulating or replaying it tells
// (docs/method.md §23).
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
  std::string file;               ///< of empirical: a trace, whose column is drawn from
};
/// "200", "lognormal:200,900" (median, 99th percentile) or "file:TRACE.csv". Errors: ConfigError naming `origin`.
Distribution parse_distribution(const std::string& text, const std::string& origin);

/// Which requests arrive. A trace is a CSV with the columns timestamp_ms, user_id, history_len, n_candidates.
struct WorkloadOptions {
  std::string trace;     ///< file; empty: synthetic
  std::string arrivals;  ///< synthetic: a trace whose timestamps are used, nothing else of it; empty: Poisson
  /// Synthetic: the rate. Of a trace or of arrivals: users are added or left out until it has this rate, in
  /// time-shifted copies; the clock is never sped up, which would bring the requests of a user closer together.
  std::optional<double> requests_per_s;
  std::optional<Distribution> history;     ///< synthetic: L of a user's first request, tokens
  std::optional<Distribution> candidates;  ///< synthetic: N of a request; of a trace: of rows that have 0
  bool replace_candidates = false;         ///< of a trace: of all its rows
  double history_scale = 1;                ///< L of a trace times this
  std::int64_t max_history = 0;            ///< longer histories keep their newest tokens; 0: no limit
  std::int64_t users = 100000;             ///< synthetic
  double zipf = 1;                         ///< synthetic: user k is asked for in proportion to 1/k^zipf
  double growth = 1;                       ///< synthetic: tokens that a history grows between two requests of its user
  std::optional<std::int64_t> requests;    ///< most; nullopt: the trace once, synthetic 10^6
  /// Largest share of a file's rows that may be bad and is left out; nullopt: no row may.
  std::optional<double> skip_bad_rows;
  std::string timestamps;  ///< unit of numbers: "s", "ms", "us", "ns"; empty: by their size and the column's name
  std::string spread;      ///< of rows that a coarse clock stamps alike: "random", "even", "none"; empty: refused
  ColumnNames columns;     ///< of every trace that is read
  std::uint64_t seed = 1;
};

/// The KV cache of users between requests.
struct UserCacheOptions {
  std::int64_t bytes = 0;         ///< capacity; 0: none
  std::int64_t page_tokens = 16;  ///< a history takes whole pages of this many tokens
  std::optional<double> ttl_s;    ///< a history not asked for in this time is dropped; nullopt: never
  std::string policy = "lru";     ///< who leaves a full cache: one of cache_policies()
};
/// Names of the policies, the default first.
std::vector<std::string> cache_policies();
/// Values of WorkloadOptions::timestamps and ::spread.
std::vector<std::string> timestamp_units();
std::vector<std::string> timestamp_spreads();

/// Whose turn it is when a worker is free.
enum class ServeOrder {
  fifo,
  shortest,  ///< who takes the shortest service
};
template <>
struct Names<ServeOrder> {
  static constexpr std::pair<ServeOrder, std::string_view> all[] = {{ServeOrder::fifo, "fifo"},
                                                                    {ServeOrder::shortest, "shortest"}};
};

/// What may be searched for: the value that just meets the P99.
enum class FindTarget { qps, candidates, workers, cache };
template <>
struct Names<FindTarget> {
  static constexpr std::pair<FindTarget, std::string_view> all[] = {{FindTarget::qps, "qps"},
                                                                    {FindTarget::candidates, "candidates"},
                                                                    {FindTarget::workers, "workers"},
                                                                    {FindTarget::cache, "cache"}};
};

struct ServerOptions {
  std::int64_t workers = 1;  ///< requests, or batches, that are served at a time
  ServeOrder order = ServeOrder::fifo;
  double batch_window_s = 0;   ///< a worker that is free waits this long for more requests to serve together
  std::int64_t batch_max = 1;  ///< most requests of a batch; 1: no batching
};

/// Time of a request: history_s + candidates_s + N candidate_s, times one of `residuals`.
struct ServiceBreakpoint {
  std::int64_t history_length = 0;  ///< tokens
  double history_s = 0;     ///< prefill over all of it; at the first breakpoint, of length 0, what any pass takes
  double candidates_s = 0;  ///< scoring pass, what does not grow with N
  double candidate_s = 0;   ///< per candidate
};
/// Linear between breakpoints, by the last slope beyond. A pass over the newest k of L tokens takes what the pass over
/// L takes beyond that over L - k, and what any pass takes.
struct ServiceCosts {
  std::vector<ServiceBreakpoint> breakpoints;  ///< ascending history_length, the first 0
  /// What was measured over the line of the scoring pass, candidates_s + N candidate_s, at these N; linear between
  /// them, the outermost beyond. Empty: 1.
  std::vector<double> curve_candidates, curve;
  std::optional<std::int64_t> known_to;       ///< largest N that anything is known of; nullopt: any
  std::vector<double> residuals = {1};        ///< time over mean, equally likely, ascending
  double bytes_per_token = 0;                 ///< keys and values of all layers
  Source source = Source::unknown;            ///< measured, fitted, extrapolated or assumed
  std::string basis;                          ///< in words: of which report, by what
  std::string doubt;                          ///< of that report; empty: nothing
  std::optional<std::int64_t> threads, cpus;  ///< of a worker, of the machine that was measured
  std::int64_t workers = 1;                   ///< that were measured at the same time
};

struct TrafficOptions {
  WorkloadOptions workload;
  UserCacheOptions cache;
  ServerOptions server;
  std::optional<double> p99_s;     ///< what 99% of the requests are to be answered within
  bool extrapolate = false;        ///< take N beyond four times the largest measured one
  std::optional<FindTarget> find;  ///< what just meets p99_s
  std::int64_t replications = 10;
  std::int64_t threads = 0;  ///< that replications run on; 0: all CPUs. The numbers do not depend on it
  double warm_up = 0.1;      ///< first share of the requests that is served but not counted

  // Service times: from a report, or constants.
  std::string report;             ///< whatever fit() reads
  ColumnNames columns;            ///< of it, by kTimingRoles
  std::string scheme = "shared";  ///< of the report
  std::optional<std::int64_t> layers;
  std::string shape;                  ///< preset or file with the shape that the report does not tell
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
  bool closed_loop = false;     ///< the next request comes as soon as a worker is free; else at its own time
  double warm_up = 0.1;         ///< first share of the requests that is served but not counted
  std::optional<double> p99_s;  ///< what 99% of the requests are to be answered within
};

/// A column of the workload.
struct WorkloadColumn {
  std::string name, unit;  ///< "history_length", "candidates", "gap_s", "requests_per_user"
  double mean = 0, p50 = 0, p95 = 0, p99 = 0, max = 0;
};

/// Time from arrival to answer; nullopt beyond saturation, and where too few requests lie beyond it. The interval of a
/// trace holds the figure in the next trace of the same law.
struct TrafficLatency {
  std::string name;               ///< "mean", "p50", "p95", "p99", "p99.9"
  std::optional<Estimate> total;  ///< seconds, waiting included
  std::optional<Estimate> wait;   ///< seconds in the queue
  std::string missing;            ///< why `total` has no value in a steady state; empty: it has one
};

/// One number of the simulation.
struct TrafficFigure {
  std::string name, unit;
  std::optional<Estimate> value;  ///< of a trace means over time have no interval
};

/// A point of the distribution of latencies.
struct LatencyPoint {
  double seconds = 0, share = 0;  ///< of the requests that take no longer
};

/// A cache of this size under the same requests, apart from any queue. Of all of them, from an empty cache on: the
/// hit_rate of the figures leaves out the warm-up.
struct HitRatePoint {
  std::int64_t cache_bytes = 0;
  double lru = 0;                ///< requests that find their user, by LRU
  double lru_tokens = 0;         ///< history tokens that need no pass, by LRU
  std::optional<double> che;     ///< LRU by Che's approximation, where users are drawn independently
  std::optional<double> belady;  ///< requests, when what is needed last goes first
  std::optional<double> bound;   ///< requests: no policy has more
};

/// The same fleet at another rate.
struct CapacityPoint {
  double requests_per_s = 0;
  double utilisation = 0;                 ///< of the workers
  std::optional<Estimate> p99_s;          ///< nullopt: saturated, or too few requests
  std::int64_t offered_load_workers = 0;  ///< least that a perfect system needs
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
  bool clean = true;                      ///< of a replay: the machine was itself
};

/// What --find found.
struct TrafficFind {
  FindTarget what = FindTarget::qps;
  std::string unit;
  std::optional<double> value;     ///< largest (of workers and cache smallest) that meets the P99; nullopt: none
  std::optional<Estimate> p99_s;   ///< there; of a value, that of the answer
  std::optional<double> fails_at;  ///< nearest value that does not meet it
};

/// One quantity of replay and simulation.
struct ReplayComparison {
  std::string name, unit;
  double replayed = 0, simulated = 0;
  double error_pct = 0;                 ///< 100 (simulated/replayed - 1)
  std::optional<double> tolerance_pct;  ///< what it is held to; nullopt: shown only
  bool within = true;
};

/// What the requests of a trace meet.
struct Traffic {
  /// Why the figures are not those of the program ("No usable result: …"), and what is asked of the timings behind them
  /// before they are believed; empty: nothing.
  std::string no_result, doubt;
  std::string workload;  ///< file, or "synthetic"
  std::int64_t requests = 0, users = 0;
  double duration_s = 0, requests_per_s = 0;
  std::int64_t log_rows = 0, skipped_rows = 0;  ///< of the file, in all, and bad ones that were left out
  std::vector<std::string> reading;             ///< how the file was read, where it may surprise
  ServerOptions server;
  UserCacheOptions cache;
  ServiceCosts costs;
  std::int64_t replications = 0;
  bool saturated = false;
  std::string saturation;                 ///< how it shows; empty: not saturated
  std::optional<double> p99_limit_s;      ///< asked for
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
