// The requests of a trace through the engine of this machine: real histories, caches and arrival times (ADR 0016).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "kvcast/config.h"
#include "kvcast/kvcast.h"
#include "kvcast/traffic.h"
#include "traffic/request.h"
#include "traffic/user_cache.h"

namespace kvcast::traffic {

struct ReplayOptions {
  std::int64_t workers = 1;  ///< requests that are served at a time, first come first served
  std::int64_t threads = 1;  ///< of each worker
  UserCacheOptions cache;
  std::int64_t max_history = 0;  ///< longer histories keep their newest tokens; 0: no limit
  /// A worker that is free takes the next request at once, whenever it arrives. Else arrival times are kept, at the
  /// clock's own speed: what arrives behind the budget is not served.
  bool closed_loop = false;
  double budget_s = 60;       ///< of run()
  std::int64_t warm_up = 0;   ///< first requests that are served but not counted
  std::int64_t windows = 30;  ///< of equally many requests, each judged by its canary
  std::uint64_t seed = 1;
  std::int64_t memory_bytes = 0;  ///< all that may be taken; 0: no limit
};

/// A pass over the newest tokens of a history: timed, and by the rule of ServiceCosts.
struct AppendTiming {
  std::int64_t history_length = 0, fresh = 0;
  double request_s = 0;    ///< the request, its candidates included
  double measured_s = 0;   ///< of that the pass: what the table has for the candidates taken away
  double predicted_s = 0;  ///< by the table, its fixed part taken from the other appends
};
/// Times of the very services that the replay runs.
struct Calibration {
  ServiceCosts costs;
  std::vector<AppendTiming> appends;
  double append_error_pct = 0;  ///< median of their |predicted - measured|, of the request; 0 without any
  double mean_residual = 1;     ///< of requests as the trace has them: what the table is off by on average
  std::int64_t rounds = 0, timings = 0;
  double clean_share = 0;  ///< of the timings, as of a window; the others do not count while any is clean
  bool interrupted = false;
};

struct ReplayedRequest {
  Request request;
  Lookup lookup;
  double start_s = 0, end_s = 0;  ///< on the clock of the arrivals
  std::int64_t worker = 0;
  /// late: needed primitives that only this order of requests needs. busy: found a part in use by another worker,
  /// copied what it could and took a longer pass. The model has neither, so neither is clean.
  bool late = false, busy = false;
  bool clean = false;  ///< its window is, too
};
struct ReplayWindow {
  std::size_t first = 0, count = 0;    ///< of the requests
  std::optional<double> canary_ratio;  ///< median over the upper quartile of the replay; nullopt: no gap for a canary
  std::optional<double> steal_pct, foreign_pct;  ///< of all CPUs' time, by the hypervisor and by other processes
  bool clean = false;                            ///< canary at 0.95 or more, steal up to 1%, other processes up to 5%
};
struct ReplayResult {
  std::vector<ReplayedRequest> requests;  ///< those served, in order of arrival
  std::vector<ReplayWindow> windows;
  CacheCounts cache;  ///< without the warm-up
  std::int64_t warm_up = 0, workers = 1;
  bool closed_loop = false;
  std::int64_t late = 0, busy = 0;
  std::int64_t grown = 0;  ///< histories that were copied to more room, inside their request's time
  std::int64_t made = 0;   ///< slots allocated while serving, where those that were free had too little room
  double duration_s = 0;   ///< from the first arrival to the last answer
  StoppedBy stopped_by = StoppedBy::unknown;  ///< end, budget or interrupt

  /// From when on a request is waited for: in a closed loop from its start, else from its arrival.
  double begin_s(const ReplayedRequest& served) const noexcept {
    return closed_loop ? served.start_s : served.request.arrival_s;
  }
};

/// What a replay comes down to; of all counted requests, or of those in clean windows.
struct ReplayFigures {
  std::int64_t requests = 0;
  /// Closed loop: answers per second of service, times the workers. Else answers per second of the windows' spans, each
  /// from the last answer of the one before to its own.
  double requests_per_s = 0;
  double mean_s = 0, p50_s = 0, p95_s = 0, p99_s = 0;  ///< arrival to answer; in a closed loop start to answer
  double mean_service_s = 0;
  double hit_rate = 0, token_hit_rate = 0;  ///< of requests that found anything, of history tokens
};
ReplayFigures figures(const ReplayResult& result, bool clean_only);

struct ReplayState;

class Replay {
 public:
  /// Makes the model of `config` and memory for everything that these requests need; what is kept
  /// between requests is known beforehand from the policy alone. The requests ascend in time; arrivals count from the
  /// first. Errors: ConfigError naming the field of a model that cannot be replayed, --workers where there are too few
  /// CPUs, or --cache where the memory does not suffice; std::bad_alloc.
  Replay(const Engine& engine, const Config& config, std::span<const Request> requests, const ReplayOptions& options);
  ~Replay();

  /// Requests of every kind that the trace has (nothing cached, a part, all, and a slot used before) on the path of the
  /// replay against naive and float64 (docs/model.md §7). To be called before anything is timed.
  /// Errors: CheckError naming the kind.
  void check();
  /// Times services of the lengths, appends and candidates that the requests have, in interleaved rounds until
  /// `budget_s` is over (two at least, of which the first warms up), all workers at once. A timing is another user's
  /// each time, with up to 31 services of others between the one that left its keys and values and this one, as many as
  /// the replay has caches; it begins after as long an idle time as the arrivals leave. The costs of a prefill are
  /// what a request takes beyond its candidates on a cached history; `residuals` are requests drawn from the trace.
  Calibration calibrate(double budget_s, const Observer& observer);
  /// Serves the requests, first come first served. A request's time runs from when a worker takes it (it has arrived,
  /// and the worker has slept until a millisecond before and then spun) to its outputs: asking the policy, room for the
  /// history, gathering tokens from the items, the passes, handing the history back. Memory is there beforehand; a
  /// history that outgrows its slot is copied inside the time. What was served when a replay ends early is in the
  /// result.
  ReplayResult run(const Observer& observer);

  /// Estimated before anything is allocated.
  std::int64_t memory_bytes() const noexcept;
  /// What each request finds when they are served one after the other.
  std::span<const Lookup> expected() const noexcept;
  /// Outputs of the candidates of request `number` as served last by run(), [candidates][dim]; kept when `keep` was
  /// set. For tests.
  void keep_outputs(bool keep) noexcept;
  std::span<const float> outputs(std::size_t number) const;

 private:
  std::unique_ptr<ReplayState> state_;
};

}  // namespace kvcast::traffic
