// kvcast simulate: a workload and a table of service times, to what its requests meet.
#include "traffic/simulate.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "app/known_waits.h"
#include "app/layouts.h"
#include "app/refuse.h"
#include "app/service_costs.h"
#include "base/input.h"
#include "base/reading.h"
#include "base/temporary.h"
#include "base/text.h"
#include "kvcast/kvcast.h"
#include "traffic/copies.h"
#include "traffic/find.h"
#include "traffic/future.h"
#include "traffic/hit_rates.h"
#include "traffic/service.h"
#include "traffic/workload.h"

namespace kvcast {
namespace {

// Curves are of parts of a long log, and of fewer replications: they show a shape.
constexpr std::int64_t kCurveRequests = 1'000'000;
constexpr std::int64_t kCurveReplications = 4;
// Of a short log at another rate.
constexpr std::int64_t kCopiedRequests = 200'000;
// Shares of the load that the fleet can bear.
constexpr double kCurveLoads[] = {0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.1};
constexpr std::int64_t kMaxThreads = 4096, kMaxCandidates = 1'000'000;
constexpr double kMinRate = 1e-6, kMaxRate = 1e9;
constexpr double kMaxCache = 1e15;

using app::kMaxWorkers;
using app::refuse;
using app::require_range;

void require_not_negative(const char* flag, const std::optional<double>& value) {
  if (value && !(*value >= 0 && std::isfinite(*value))) {
    refuse(flag, "'" + format_significant(*value, 6) + "' is out of range", "0 and above");
  }
}

void check(const TrafficOptions& options) {
  require_range("--workers", options.server.workers, 1, kMaxWorkers);
  require_range("--batch", options.server.batch_max, 1, 1'000'000);
  require_range("--replications", options.replications, 1, 1000);
  require_range("--threads", options.threads, 0, kMaxThreads);
  require_range("--page", options.cache.page_tokens, 1, 1'000'000);
  require_not_negative("--batch-window", options.server.batch_window_s);
  require_not_negative("--token-time", options.token_s);
  require_not_negative("--service", options.service_s);
  require_not_negative("--candidate-time", options.candidate_s);
  const ServeOrder order = options.server.order;
  app::require_policy(options.cache.policy,
                      order == ServeOrder::fifo ? "" : "--order " + to_string(order) + " serves out of turn");
  if (options.server.batch_window_s > 0 && options.server.batch_max == 1) {
    refuse("--batch-window", "waiting for a batch needs batches of more than one request", "add --batch 8");
  }
  app::require_warm_up(options.warm_up);
  if (options.find && !options.p99_s) refuse("--find", "needs a P99 budget", "add --p99 50ms");
}

/// Or the fleet that serves them.
bool changes_requests(FindTarget target) { return target == FindTarget::qps || target == FindTarget::candidates; }

std::int64_t threads_of(const TrafficOptions& options) {
  return std::min(options.replications, options.threads > 0 ? options.threads : host_limits().cpus);
}

// Bytes of a user in the tables from which synthetic users are drawn and in the counts of every replication; of one
// that a cache holds, while its table grows. Measured, rounded up.
constexpr double kDrawnBytes = 40, kCountBytes = 4, kHeldBytes = 200;

void refuse_memory(const char* flag, const std::string& what, double bytes, const char* hint) {
  const auto available = static_cast<double>(host_limits().available_memory_bytes);
  if (available <= 0 || bytes <= available) return;
  refuse(flag, what + " take up to " + gib(bytes) + " of memory", gib(available) + " is available; " + hint);
}

void refuse_users(const TrafficOptions& options) {
  if (!options.workload.trace.empty()) return;
  const auto users = static_cast<double>(options.workload.users);
  refuse_memory("--users", "the tables of " + std::to_string(options.workload.users) + " users",
                users * (kDrawnBytes + kCountBytes * static_cast<double>(threads_of(options))),
                "fewer --users or --threads");
}

/// Everything that one value of the options decides, made anew where --find varies it.
class Fleet {
 public:
  Fleet(const TrafficOptions& options, traffic::Workload workload)
      : options_(options), workload_(std::move(workload)), summary_(workload_.summary()) {
    std::int64_t longest = 0, widest = 0;
    for (const WorkloadColumn& column : summary_.columns) {
      if (column.name == "history_length") longest = static_cast<std::int64_t>(column.max);
      if (column.name == "candidates") widest = static_cast<std::int64_t>(column.max);
    }
    const std::int64_t limit = options.workload.max_history;
    own_rate_ = own_rate();
    costs_ = app::service_costs(options, limit > 0 ? std::min(limit, longest) : longest, widest);
    table_.emplace(costs_);
    app::require_known_waits(summary_, options.workload, *table_, options.cache.bytes > 0);
    simulator_.server = options.server;
    simulator_.cache = options.cache;
    simulator_.bytes_per_token = costs_.bytes_per_token;
    simulator_.max_history = limit;
    simulator_.limit_s = options.p99_s;
    simulator_.replications = options.replications;
    simulator_.seed = options.workload.seed;
    simulator_.threads = static_cast<int>(options.threads);
    if (traffic::find_policy(options.cache.policy)->foresees && summary_.requests > traffic::kMaxOffline) {
      refuse("--policy",
             options.cache.policy + " keeps all requests in memory; " + std::to_string(summary_.requests) +
                 " are too many",
             "--requests " + std::to_string(traffic::kMaxOffline));
    }
    refuse_held();
  }

  Traffic run() {
    Traffic traffic;
    if (options_.find) traffic.find.push_back(find(*options_.find));
    const traffic::Simulation simulation = traffic::simulate(
        arrivals(workload_, summary_.requests, options_.workload.requests_per_s), *table_, simulator_);
    // One figure, one value: a search in a part of the requests may have seen another.
    if (!traffic.find.empty() && traffic.find.front().value) traffic.find.front().p99_s = traffic::p99_of(simulation);
    traffic.workload = options_.workload.trace.empty() ? "synthetic" : input_name(options_.workload.trace);
    traffic.requests = summary_.requests;
    traffic.users = summary_.users;
    traffic.duration_s = summary_.duration_s;
    traffic.requests_per_s = summary_.requests_per_s;
    traffic.log_rows = summary_.log_rows;
    traffic.skipped_rows = summary_.skipped_rows;
    traffic.reading = summary_.reading;
    traffic.server = simulator_.server;
    traffic.cache = simulator_.cache;
    traffic.costs = costs_;
    traffic.doubt = costs_.doubt;
    traffic.replications = options_.replications;
    traffic.saturated = simulation.saturation.saturated;
    traffic.saturation = simulation.saturation.text;
    traffic.p99_limit_s = options_.p99_s;
    traffic.offered_load_workers = std::max(simulation.offered_load_workers, simulation.max_offered_load_workers);
    traffic.columns = summary_.columns;
    traffic.latencies = simulation.latencies;
    traffic.figures = simulation.figures;
    traffic.windows = simulation.windows;
    traffic.cdf = simulation.cdf;
    traffic.hit_rates = hit_rates();
    traffic.capacity = capacity(simulation);
    traffic.assumptions = assumptions(simulation);
    return traffic;
  }

 private:
  void refuse_held() const {
    const double page = std::ceil(static_cast<double>(simulator_.cache.page_tokens) * costs_.bytes_per_token);
    if (simulator_.cache.bytes <= 0 || !(page > 0)) return;
    const double held =
        std::min(static_cast<double>(summary_.users), static_cast<double>(simulator_.cache.bytes) / page);
    refuse_memory("--cache",
                  "the entries of " + std::to_string(std::llround(held)) + " users, in every replication at once,",
                  held * kHeldBytes * static_cast<double>(threads_of(options_)),
                  "a smaller --cache, or fewer --users, --requests or --threads");
  }

  traffic::Arrivals arrivals(const traffic::Workload& workload, std::int64_t requests,
                             std::optional<double> requests_per_s) const {
    traffic::Arrivals arrivals;
    if (own_rate_) {
      arrivals.copies = *own_rate_ > 0 ? std::max(1.0, requests_per_s.value_or(0) / *own_rate_) : 1;
    }
    arrivals.make = [&workload, this](std::uint64_t replication) {
      auto drawn = workload.requests(replication);
      if (!traffic::find_policy(simulator_.cache.policy)->foresees) return drawn;
      return traffic::foreseen(std::move(drawn), *workload.requests(replication), simulator_.cache,
                               simulator_.max_history);
    };
    arrivals.warm_up = static_cast<std::int64_t>(options_.warm_up * static_cast<double>(requests));
    return arrivals;
  }

  /// A part of the workload, for curves and searches. A log ends by itself: at a higher rate it has more requests, and
  /// as many as it has as it is would be its beginning only.
  WorkloadOptions part() const {
    WorkloadOptions part = options_.workload;
    part.requests = std::min(options_.workload.requests.value_or(kCurveRequests), kCurveRequests);
    return part;
  }

  /// The same requests at another rate.
  struct AtRate {
    traffic::Workload workload;
    std::int64_t requests = 0;
  };
  /// nullopt where a log cannot be made to have it: too many copies, or not one of its users.
  std::optional<AtRate> at_rate(double requests_per_s) const {
    WorkloadOptions changed = part();
    changed.requests_per_s = requests_per_s;
    // Copies begin anywhere in a log, so that a part of their time has all of it.
    const std::int64_t enough = std::clamp(4 * summary_.log_rows, kCopiedRequests, kCurveRequests);
    if (of_a_log(changed)) changed.requests = std::min(*changed.requests, enough);
    if (!of_a_log(changed)) return AtRate{workload_.with(changed), *changed.requests};
    try {
      traffic::Workload workload = workload_.with(changed);
      const std::int64_t requests = workload.count();
      if (requests == 0) return std::nullopt;
      return AtRate{std::move(workload), requests};
    } catch (const ConfigError&) {
      return std::nullopt;
    }
  }
  static bool of_a_log(const WorkloadOptions& workload) {
    return !workload.trace.empty() || !workload.arrivals.empty();
  }

  /// Of a log as it is; nullopt of requests that are drawn.
  std::optional<double> own_rate() const {
    if (!of_a_log(options_.workload)) return std::nullopt;
    if (!options_.workload.requests_per_s && !options_.workload.requests) return summary_.requests_per_s;
    WorkloadOptions as_it_is = options_.workload;
    as_it_is.requests_per_s.reset();
    as_it_is.requests.reset();
    return workload_.with(as_it_is).summary().requests_per_s;
  }

  /// Highest rate that copies of a log can have.
  double max_rate() const {
    // Of a rate that is a rounding error above them there would be one copy more.
    return own_rate_ ? std::min(kMaxRate, *own_rate_ * static_cast<double>(traffic::kMaxCopies) * (1 - 1e-9))
                     : kMaxRate;
  }

  traffic::Probe probe(const traffic::Workload& workload, const traffic::SimulatorOptions& options,
                       std::int64_t requests, std::optional<double> requests_per_s) const {
    return {traffic::p99_of(traffic::simulate(arrivals(workload, requests, requests_per_s), *table_, options))};
  }

  /// Searches, and moves what was searched for to what was found.
  TrafficFind find(FindTarget what) {
    const std::int64_t requests = std::min(summary_.requests, kCurveRequests);
    const std::optional<double> rate = options_.workload.requests_per_s;
    traffic::Search search;
    std::function<traffic::Probe(double)> ask;
    if (what == FindTarget::workers) {
      search = {what, "", false, static_cast<double>(simulator_.server.workers), 1, static_cast<double>(kMaxWorkers),
                1,    0};
      ask = [&](double value) {
        traffic::SimulatorOptions options = simulator_;
        options.server.workers = static_cast<std::int64_t>(value);
        return probe(workload_, options, summary_.requests, rate);
      };
    } else if (what == FindTarget::cache) {
      if (!(costs_.bytes_per_token > 0))
        refuse("--find", "nothing gives the size of a cached history", "--token-bytes");
      const double page = static_cast<double>(simulator_.cache.page_tokens) * costs_.bytes_per_token;
      const double start = simulator_.cache.bytes > 0 ? static_cast<double>(simulator_.cache.bytes) : 1024 * page;
      search = {what, "bytes", false, start, 0, kMaxCache, std::ceil(page), 0.02};
      ask = [&](double value) {
        traffic::SimulatorOptions options = simulator_;
        options.cache.bytes = static_cast<std::int64_t>(value);
        return probe(workload_, options, summary_.requests, rate);
      };
    } else if (what == FindTarget::qps) {
      search = {what, "1/s", true, summary_.requests_per_s, kMinRate, std::max(kMinRate, max_rate()), 0, 0.01};
      ask = [&](double value) {
        const std::optional<AtRate> there = at_rate(value);
        return there ? probe(there->workload, simulator_, there->requests, value) : traffic::Probe{};
      };
    } else {
      const auto most = static_cast<double>(std::min(kMaxCandidates, costs_.known_to.value_or(kMaxCandidates)));
      search = {what, "candidates", true, std::min(100.0, most), 1, most, 1, 0};
      ask = [&](double value) {
        WorkloadOptions options = part();
        options.candidates = Distribution{"constant", value, 0, ""};
        options.replace_candidates = true;
        return probe(workload_.with(options), simulator_, requests, rate);
      };
    }
    TrafficFind found = traffic::find_limit(search, *options_.p99_s, ask);
    if (found.value) take(what, *found.value);
    return found;
  }

  void take(FindTarget what, double value) {
    WorkloadOptions changed = options_.workload;
    if (what == FindTarget::workers) {
      simulator_.server.workers = static_cast<std::int64_t>(value);
    } else if (what == FindTarget::cache) {
      simulator_.cache.bytes = static_cast<std::int64_t>(value);
    } else if (what == FindTarget::qps) {
      changed.requests_per_s = value;
    } else {
      changed.candidates = Distribution{"constant", value, 0, ""};
      changed.replace_candidates = true;
    }
    if (changes_requests(what)) {
      options_.workload = changed;
      workload_ = workload_.with(changed);
      summary_ = workload_.summary();
    }
  }

  std::vector<HitRatePoint> hit_rates() const {
    if (!(costs_.bytes_per_token > 0)) return {};
    const traffic::Workload some = workload_.with(part());
    std::vector<std::int64_t> sizes =
        traffic::cache_sizes(*some.requests(0), simulator_.cache, costs_.bytes_per_token, simulator_.max_history);
    const std::int64_t own = simulator_.cache.bytes;
    if (own > 0 && std::find(sizes.begin(), sizes.end(), own) == sizes.end()) {
      sizes.insert(std::lower_bound(sizes.begin(), sizes.end(), own), own);
    }
    return traffic::hit_rate_curve(*some.requests(0), sizes, simulator_.cache, costs_.bytes_per_token,
                                   simulator_.max_history);
  }

  /// Rates at shares of what the workers can bear, by the time that a request takes at the rate asked for.
  std::vector<CapacityPoint> capacity(const traffic::Simulation& simulation) const {
    const double load = simulation.saturation.offered_load;
    if (!(load > 0)) return {};
    traffic::SimulatorOptions options = simulator_;
    options.replications = std::min(options.replications, kCurveReplications);
    std::vector<CapacityPoint> points;
    // One after the other: the tables of a workload take room.
    for (const double share : kCurveLoads) {
      const double rate = summary_.requests_per_s * share / load;
      const std::optional<AtRate> there = at_rate(rate);
      if (!there) continue;
      const auto at = [&](double at_rate) { return arrivals(there->workload, there->requests, at_rate); };
      points.push_back(traffic::capacity_curve(at, {rate}, *table_, options).front());
    }
    return points;
  }

  std::vector<std::string> assumptions(const traffic::Simulation& simulation) const {
    std::vector<std::string> all = summary_.assumptions;
    if (!simulation.saturation.saturated && simulation.saturation.unclear) {
      all.push_back("the requests are too few, or too close to capacity, to show that the workers keep up: " +
                    simulation.saturation.text);
    }
    if (own_rate_) {
      all.push_back(
          "intervals cover the figure in another log like this one, judged by how its users and stretches of time "
          "differ; means over time have no interval, nor have quantiles with too few requests beyond them");
    }
    const app::Layout measured{costs_.workers, costs_.threads.value_or(0)};
    const std::string contention = app::contention_note(measured, simulator_.server.workers);
    if (!options_.report.empty() && !contention.empty()) all.push_back(contention);
    if (simulator_.cache.bytes > 0) {
      all.push_back(
          "a pass over new tokens costs the whole pass minus the pass over the cached tokens, plus the fixed cost of a "
          "pass; kvcast replay measures it");
    }
    if (simulator_.server.batch_max > 1) {
      all.push_back("requests of a batch share the fixed cost of a pass; not measured");
    }
    if (options_.find && changes_requests(*options_.find) && summary_.requests > kCurveRequests) {
      all.push_back("searched with the first 1,000,000 requests");
    }
    return all;
  }

  TrafficOptions options_;
  traffic::Workload workload_;
  traffic::WorkloadSummary summary_;
  std::optional<double> own_rate_;
  ServiceCosts costs_;
  std::optional<traffic::ServiceTable> table_;
  traffic::SimulatorOptions simulator_;
};

}  // namespace

void write_trace(const WorkloadOptions& options, const std::string& path, const Observer& observer) {
  namespace fs = std::filesystem;
  const ReadingScope reading(observer.on_read);
  const traffic::Workload workload(options);
  const fs::path temporary = path + ".tmp";
  const Temporary registered(temporary.string());
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  if (!file) throw IoError(path, "cannot be written");
  traffic::write_trace(*workload.requests(0), [&](std::string_view text) {
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
  });
  file.close();
  std::error_code error;
  if (file) fs::rename(temporary, path, error);
  if (file && !error) return;
  fs::remove(temporary, error);
  throw IoError(path, "cannot be written completely");
}

Report simulate(const TrafficOptions& options, const Observer& observer) {
  const ReadingScope reading(observer.on_read);
  check(options);
  refuse_users(options);
  app::require_team("--threads", threads_of(options));
  Report report;
  report.tool = tool_info();
  report.traffic = Fleet(options, traffic::Workload(options.workload)).run();
  return report;
}

}  // namespace kvcast
