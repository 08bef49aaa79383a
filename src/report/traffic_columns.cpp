// The columns of traffic; how they work is in columns.h.
#include "kvcast/kvcast.h"
#include "report/columns.h"
#include "report/describe.h"

namespace kvcast::report {

const std::vector<Column<Traffic>>& traffic_columns() {
  using T = Traffic;
  static const std::vector<Column<T>> columns = {
      describe<T>("answer", "", "in a sentence", traffic_answer),
      describe<T>("no_result", "", "why the figures are not those of the program; null: they are", known(&T::no_result),
                  Role::added),
      describe<T>("doubt", "", "what is asked of the timings before the figures are believed; null: nothing",
                  known(&T::doubt), Role::added),
      describe<T>("workload", "", "file of the trace, or `synthetic`", &T::workload),
      describe<T>("requests", "", "of one replication", &T::requests),
      describe<T>("users", "", "distinct users of them", &T::users),
      describe<T>("duration_s", "s", "from the first request to the last", &T::duration_s),
      describe<T>("requests_per_s", "1/s", "mean rate of arrival", &T::requests_per_s),
      describe<T>("log_rows", "", "rows of the trace, bad ones included; 0: synthetic", &T::log_rows),
      describe<T>("skipped_rows", "", "of them bad ones, left out", &T::skipped_rows),
      describe<T>("reading", "", "how the trace was read, where that may surprise", &T::reading),
      describe<T>("replications", "", "independent simulations", &T::replications),
      describe<T>("saturated", "", "the workers fall behind, so no percentile is that of a steady state",
                  &T::saturated),
      describe<T>("saturation", "", "how it shows", known(&T::saturation)),
      describe<T>("p99_limit_s", "s", "what 99% of the requests are to be answered within, if asked", &T::p99_limit_s),
      describe<T>("offered_load_workers", "", "lower bound on workers in the busiest window", &T::offered_load_workers),
      describe<T>("assumptions", "", "what the log or the report does not tell", &T::assumptions),
  };
  return columns;
}

const std::vector<Column<ServerOptions>>& server_columns() {
  using T = ServerOptions;
  static const std::vector<Column<T>> columns = {
      describe<T>("workers", "", "requests, or batches, served at a time", &T::workers),
      describe<T>("order", "", "`fifo`, or `shortest`: the shortest service first", &T::order),
      describe<T>("batch_window_s", "s", "a free worker waits this long for more requests to serve together",
                  &T::batch_window_s),
      describe<T>("batch_max", "", "max requests of a batch; 1: no batching", &T::batch_max),
  };
  return columns;
}

const std::vector<Column<UserCacheOptions>>& user_cache_columns() {
  using T = UserCacheOptions;
  static const std::vector<Column<T>> columns = {
      describe<T>("bytes", "bytes", "capacity; 0: no cache between requests", &T::bytes),
      describe<T>("page_tokens", "tokens", "a history takes whole pages of this many", &T::page_tokens),
      describe<T>("ttl_s", "s", "a history not asked for in this time is dropped; null: never", &T::ttl_s),
      describe<T>("policy", "", "who leaves when it is full, as `simulate --policy`", &T::policy, Role::added),
  };
  return columns;
}

const std::vector<Column<ServiceCosts>>& service_costs_columns() {
  using T = ServiceCosts;
  static const std::vector<Column<T>> columns = {
      describe<T>("source", "", "`measured`, `fitted`, `extrapolated` or `assumed`", &T::source),
      describe<T>("basis", "", "of which report, by what", &T::basis),
      describe<T>("bytes_per_token", "bytes", "keys and values of all layers", &T::bytes_per_token),
      describe<T>("known_to", "candidates", "largest N that anything is known of; null: any", &T::known_to,
                  Role::added),
      describe<T>("curve_candidates", "candidates", "N of `curve`", &T::curve_candidates, Role::added),
      describe<T>("curve", "ratio",
                  "measured scoring pass over the line of the table at these N, linear between; none: 1", &T::curve,
                  Role::added),
      describe<T>("residuals", "ratio", "timings over the time of the table, ascending, equally likely", &T::residuals),
      describe<T>("threads", "", "of a worker; null: unknown", &T::threads, Role::added),
      describe<T>("cpus", "", "of the machine that was measured; null: unknown", &T::cpus, Role::added),
  };
  return columns;
}

const std::vector<Column<ServiceBreakpoint>>& service_breakpoint_columns() {
  using T = ServiceBreakpoint;
  static const std::vector<Column<T>> columns = {
      describe<T>("history_length", "tokens", "L", &T::history_length),
      describe<T>("history_s", "s", "prefill; at L = 0 what any pass takes", &T::history_s),
      describe<T>("candidates_s", "s", "scoring pass, what does not grow with N", &T::candidates_s),
      describe<T>("candidate_s", "s", "scoring pass, per candidate", &T::candidate_s),
  };
  return columns;
}

const std::vector<Column<WorkloadColumn>>& workload_columns() {
  using T = WorkloadColumn;
  static const std::vector<Column<T>> columns = {
      describe<T>("name", "", "`history_length`, `candidates`, `gap_s` (between requests), `requests_per_user`",
                  &T::name),
      describe<T>("unit", "", "of the values", &T::unit),
      describe<T>("mean", "", "mean", &T::mean),
      describe<T>("p50", "", "median", &T::p50),
      describe<T>("p95", "", "95th percentile", &T::p95),
      describe<T>("p99", "", "99th percentile", &T::p99),
      describe<T>("max", "", "largest", &T::max),
  };
  return columns;
}

const std::vector<Column<TrafficLatency>>& traffic_latency_columns() {
  using T = TrafficLatency;
  static const std::vector<Column<T>> columns = {
      describe<T>("name", "", "`mean`, `p50`, `p95`, `p99`, `p99.9`", &T::name),
      describe<T>("total", "s",
                  "from arrival to answer; null: saturated, or too few requests beyond; the interval of a trace holds "
                  "it in the next trace of the same law",
                  &T::total),
      describe<T>("wait", "s", "of it in the queue; null likewise", &T::wait),
      describe<T>("missing", "", "why `total` is null in a steady state", known(&T::missing), Role::added),
  };
  return columns;
}

const std::vector<Column<TrafficFigure>>& traffic_figure_columns() {
  using T = TrafficFigure;
  static const std::vector<Column<T>> columns = {
      describe<T>("name", "", "what", &T::name),
      describe<T>("unit", "", "of the value", &T::unit),
      describe<T>("value", "", "over the replications; of a trace a mean over time has no interval", &T::value),
  };
  return columns;
}

const std::vector<Column<TrafficFind>>& traffic_find_columns() {
  using T = TrafficFind;
  static const std::vector<Column<T>> columns = {
      describe<T>("what", "", "what was searched for", &T::what),
      describe<T>("unit", "", "of the values", &T::unit),
      describe<T>("value", "", "largest (of workers and cache smallest) that is shown to meet the P99; null: none is",
                  &T::value),
      describe<T>("p99_s", "s", "there; null: saturated, or too few requests", &T::p99_s),
      describe<T>("fails_at", "", "nearest value tried that is not; null: none", &T::fails_at),
  };
  return columns;
}

const std::vector<Column<HitRatePoint>>& hit_rate_columns() {
  using T = HitRatePoint;
  static const std::vector<Column<T>> columns = {
      describe<T>("cache_bytes", "bytes", "capacity", &T::cache_bytes),
      describe<T>(
          "lru", "0..1",
          "of all requests, from an empty cache on, those that find their user, by LRU; `hit_rate` of the figures "
          "leaves out the warm-up",
          &T::lru),
      describe<T>("lru_tokens", "0..1", "history tokens that need no pass, by LRU", &T::lru_tokens),
      describe<T>("che", "0..1", "LRU by Che's approximation, as if users came independently; null: too many users",
                  &T::che),
      describe<T>("belady", "0..1", "who is needed last goes first; null: too many requests", &T::belady),
      describe<T>("bound", "0..1", "no policy has more; null: too many requests", &T::bound),
  };
  return columns;
}

const std::vector<Column<CapacityPoint>>& capacity_columns() {
  using T = CapacityPoint;
  static const std::vector<Column<T>> columns = {
      describe<T>("requests_per_s", "1/s", "rate of arrival", &T::requests_per_s),
      describe<T>("utilisation", "0..1", "of the workers", &T::utilisation),
      describe<T>("p99_s", "s", "from arrival to answer; null: saturated, or too few requests", &T::p99_s),
      describe<T>("offered_load_workers", "", "lower bound on workers", &T::offered_load_workers),
      describe<T>("saturated", "", "the workers fall behind", &T::saturated),
  };
  return columns;
}

const std::vector<Column<TrafficWindow>>& traffic_window_columns() {
  using T = TrafficWindow;
  static const std::vector<Column<T>> columns = {
      describe<T>("start_s", "s", "since the first request", &T::start_s),
      describe<T>("arrivals_per_s", "1/s", "requests that arrive", &T::arrivals_per_s),
      describe<T>("completions_per_s", "1/s", "requests that are answered", &T::completions_per_s),
      describe<T>("queue", "", "mean number of requests waiting", &T::queue),
      describe<T>("hit_rate", "0..1", "requests that find their user in the cache", &T::hit_rate),
      describe<T>("p99_s", "s", "of those answered; null: fewer than 100", &T::p99_s),
      describe<T>("offered_load_workers", "", "arrivals per second times mean service time, rounded up",
                  &T::offered_load_workers),
      describe<T>("canary_ratio", "ratio",
                  "of a replay: speed of the FMA canary over the upper quartile of all windows", &T::canary_ratio),
      describe<T>("clean", "", "of a replay: nothing else slowed the machine", &T::clean),
  };
  return columns;
}

const std::vector<Column<LatencyPoint>>& latency_point_columns() {
  using T = LatencyPoint;
  static const std::vector<Column<T>> columns = {
      describe<T>("seconds", "s", "from arrival to answer", &T::seconds),
      describe<T>("share", "0..1", "of the requests that take no longer", &T::share),
  };
  return columns;
}

const std::vector<Column<ReplayComparison>>& replay_comparison_columns() {
  using T = ReplayComparison;
  static const std::vector<Column<T>> columns = {
      describe<T>("name", "", "quantity", &T::name),
      describe<T>("unit", "", "of both values", &T::unit),
      describe<T>("replayed", "", "on the engine, measured", &T::replayed),
      describe<T>("simulated", "", "the same requests, simulated", &T::simulated),
      describe<T>("error_pct", "%", "100 (simulated/replayed - 1)", &T::error_pct),
      describe<T>("tolerance_pct", "%", "what it is held to; null: shown only", &T::tolerance_pct),
      describe<T>("within", "", "it is", &T::within),
  };
  return columns;
}

}  // namespace kvcast::report
