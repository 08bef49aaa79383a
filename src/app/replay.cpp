// kvcast replay: requests on this machine's engine, and the same ones simulated with times of the passes they take.
#include "traffic/replay/replay.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/interference.h"
#include "app/known_waits.h"
#include "app/notes.h"
#include "app/refuse.h"
#include "base/budget.h"
#include "base/input.h"
#include "base/reading.h"
#include "base/stop.h"
#include "base/text.h"
#include "engine/builtin/builtin.h"
#include "engine/problem.h"
#include "kvcast/kvcast.h"
#include "measure/machine.h"
#include "statistics/statistics.h"
#include "traffic/estimates.h"
#include "traffic/saturation.h"
#include "traffic/service.h"
#include "traffic/simulate.h"
#include "traffic/workload.h"

namespace kvcast {
namespace {

constexpr std::int64_t kMaxRequests = 1'000'000;
// In a closed loop nothing says how many there is time for: no worker is faster than this.
constexpr double kMaxPerSecond = 1000;
constexpr std::int64_t kClosedWindow = 40;
// Of the budget: timing the passes; the rest serves requests.
constexpr double kCalibrationShare = 0.3;
// Seeds of the simulated service times: their mean is what the simulator says.
constexpr std::uint64_t kSimulations = 20;
// docs/method.md §23: what the simulator is held to.
constexpr double kThroughputPct = 5, kMedianPct = 10, kTailPct = 20;
// Fewer have no 99th percentile but their largest.
constexpr std::int64_t kTailRequests = 100;
// Windows differ by a few per cent in how long their services take for their work.
constexpr double kSlowWindow = 1.15;
// Fewer service times tell no level.
constexpr std::size_t kLevelRequests = 50;
constexpr std::int64_t kCdfPoints = 100;

using app::refuse;

/// The requests that the budget has time for.
std::vector<traffic::Request> requests_within(const traffic::Workload& workload, const ReplayRequest& request,
                                              double seconds) {
  std::vector<traffic::Request> requests;
  const double most = request.closed_loop ? kMaxPerSecond * seconds * static_cast<double>(request.workers)
                                          : static_cast<double>(kMaxRequests);
  const auto source = workload.requests(0);
  std::vector<traffic::Request> block(4096);
  for (std::size_t read = block.size(); read == block.size();) {
    read = source->next(block);
    for (std::size_t i = 0; i < read; ++i) {
      if (!request.closed_loop && block[i].arrival_s > seconds) return requests;
      requests.push_back(block[i]);
      if (static_cast<double>(requests.size()) >= std::min(most, static_cast<double>(kMaxRequests))) return requests;
    }
  }
  return requests;
}

class Listed final : public traffic::RequestSource {
 public:
  explicit Listed(const std::vector<traffic::Request>& requests) : requests_(requests) {}
  std::size_t next(std::span<traffic::Request> block) override {
    const std::size_t count = std::min(block.size(), requests_.size() - next_);
    std::copy_n(requests_.begin() + static_cast<std::ptrdiff_t>(next_), count, block.begin());
    next_ += count;
    return count;
  }

 private:
  const std::vector<traffic::Request>& requests_;
  std::size_t next_ = 0;
};

/// The replay as the simulator has it: the same requests and windows, its own times and lookups.
traffic::ReplayResult simulated(const traffic::ReplayResult& replayed, const ServiceCosts& costs,
                                const ReplayRequest& request, std::uint64_t seed) {
  traffic::ReplayResult result = replayed;
  std::vector<traffic::Request> requests;
  for (const traffic::ReplayedRequest& served : replayed.requests) {
    requests.push_back(served.request);
    // A closed loop is a queue that never runs dry.
    if (replayed.closed_loop) requests.back().arrival_s = 0;
  }
  traffic::SimulatorOptions options;
  options.server.workers = request.workers;
  options.cache = request.cache;
  options.bytes_per_token = costs.bytes_per_token;
  options.max_history = request.workload.max_history;
  options.on_answer = [&](const traffic::Answer& answer) {
    traffic::ReplayedRequest& served = result.requests[answer.number];
    served.start_s = requests[answer.number].arrival_s + answer.wait_s;
    served.end_s = requests[answer.number].arrival_s + answer.total_s;
    served.lookup = answer.lookup;
  };
  Listed source(requests);
  const traffic::ServiceTable table(costs);
  traffic::simulate_once(source, table, options, 0, seed);
  return result;
}

/// Every other window teaches how long services take beside the arrivals; the others are what the simulator is judged
/// by. Interleaved, because the machine's speed drifts.
bool teaches(std::size_t window) { return window % 2 == 0; }

/// The windows that are judged, their requests clean as before; those of the others are not.
traffic::ReplayResult judged(traffic::ReplayResult result, bool clean_only) {
  for (std::size_t w = 0; w < result.windows.size(); ++w) {
    const traffic::ReplayWindow& window = result.windows[w];
    for (std::size_t i = window.first; i < window.first + window.count; ++i) {
      bool& clean = result.requests[i].clean;
      clean = !teaches(w) && (clean || !clean_only);
    }
  }
  return result;
}

/// Services of the teaching windows over the table.
std::vector<double> taught_residuals(const traffic::ReplayResult& result, const traffic::ServiceTable& table,
                                     bool clean_only) {
  std::vector<double> residuals;
  for (std::size_t w = 0; w < result.windows.size(); ++w) {
    const traffic::ReplayWindow& window = result.windows[w];
    for (std::size_t i = window.first; teaches(w) && i < window.first + window.count; ++i) {
      const traffic::ReplayedRequest& served = result.requests[i];
      const double mean = table.seconds(served.lookup.length, served.lookup.known, served.request.candidates);
      if (served.late || served.busy || (clean_only && !served.clean) || !(mean > 0)) continue;
      residuals.push_back((served.end_s - served.start_s) / mean);
    }
  }
  std::sort(residuals.begin(), residuals.end());
  return residuals;
}

/// Of each window: how much longer its services took than by the table.
std::vector<double> window_ratios(const traffic::ReplayResult& result, const traffic::ServiceTable& table) {
  std::vector<double> ratios;
  for (const traffic::ReplayWindow& window : result.windows) {
    double taken = 0, expected = 0;
    for (std::size_t i = window.first; i < window.first + window.count; ++i) {
      const traffic::ReplayedRequest& served = result.requests[i];
      taken += served.end_s - served.start_s;
      expected += table.seconds(served.lookup.length, served.lookup.known, served.request.candidates);
    }
    if (expected > 0) ratios.push_back(taken / expected);
  }
  return ratios;
}

/// How much longer services took in the slowest window than in the middle one. The simulator draws service times
/// independently of each other; a machine that is slow for a while builds up a queue that it does not know.
double slowest_window(const std::vector<double>& ratios) {
  if (ratios.empty()) return 1;
  return *std::max_element(ratios.begin(), ratios.end()) / median(ratios);
}

/// Mean over the simulations.
struct Simulated {
  std::vector<traffic::ReplayFigures> all;
  double operator()(double traffic::ReplayFigures::*member) const {
    std::vector<double> values;
    for (const traffic::ReplayFigures& one : all) values.push_back(one.*member);
    return mean(values);
  }
};

std::vector<double> sorted_latencies(const traffic::ReplayResult& result) {
  std::vector<double> latencies;
  for (std::size_t i = static_cast<std::size_t>(result.warm_up); i < result.requests.size(); ++i) {
    const traffic::ReplayedRequest& served = result.requests[i];
    latencies.push_back(served.end_s - result.begin_s(served));
  }
  std::sort(latencies.begin(), latencies.end());
  return latencies;
}

std::vector<double> sorted_waits(const traffic::ReplayResult& result) {
  std::vector<double> all;
  for (std::size_t i = static_cast<std::size_t>(result.warm_up); i < result.requests.size(); ++i) {
    const traffic::ReplayedRequest& served = result.requests[i];
    all.push_back(served.start_s - result.begin_s(served));
  }
  std::sort(all.begin(), all.end());
  return all;
}

/// Times in order, and what they add up to when each is cut at some time.
class CutSum {
 public:
  explicit CutSum(std::vector<double> times) : times_(std::move(times)), sums_(1, 0.0) {
    std::sort(times_.begin(), times_.end());
    for (const double time : times_) sums_.push_back(sums_.back() + time);
  }
  std::size_t below(double time) const {
    return static_cast<std::size_t>(std::lower_bound(times_.begin(), times_.end(), time) - times_.begin());
  }
  double operator()(double time) const {
    return sums_[below(time)] + time * static_cast<double>(times_.size() - below(time));
  }

 private:
  std::vector<double> times_, sums_;
};

/// From the first request of each window to that of the next, on the clock of the arrivals; of a closed loop, of the
/// services.
std::vector<TrafficWindow> windows_of(const traffic::ReplayResult& result) {
  std::vector<TrafficWindow> all;
  const auto times = [&](const auto& of) {
    std::vector<double> values;
    for (const traffic::ReplayedRequest& served : result.requests) values.push_back(of(served));
    return CutSum(std::move(values));
  };
  const CutSum begins = times([&](const auto& served) { return result.begin_s(served); });
  const CutSum starts = times([](const auto& served) { return served.start_s; });
  const CutSum ends = times([](const auto& served) { return served.end_s; });
  for (std::size_t w = 0; w < result.windows.size(); ++w) {
    const traffic::ReplayWindow& window = result.windows[w];
    if (window.count == 0) continue;
    const std::size_t next = window.first + window.count;
    const double from = result.begin_s(result.requests[window.first]);
    const double until = next < result.requests.size() ? result.begin_s(result.requests[next]) : result.duration_s;
    const double span = std::max(until - from, 1e-9);
    TrafficWindow shown;
    shown.start_s = from;
    // Of a request that waits from `begin` to `start`, between two times: the difference of two cut at each.
    const auto waited_until = [&](double time) { return starts(time) - begins(time); };
    const double waited = std::max(0.0, waited_until(until) - waited_until(from));
    const auto answered = static_cast<std::int64_t>(ends.below(until) - ends.below(from));
    double service = 0, found = 0;
    std::vector<double> latencies;
    for (std::size_t i = window.first; i < next; ++i) {
      const traffic::ReplayedRequest& served = result.requests[i];
      service += served.end_s - served.start_s;
      found += served.lookup.known > 0 ? 1 : 0;
      latencies.push_back(served.end_s - result.begin_s(served));
    }
    const auto count = static_cast<double>(window.count);
    shown.arrivals_per_s = count / span;
    shown.completions_per_s = static_cast<double>(answered) / span;
    shown.queue = waited / span;
    shown.hit_rate = found / count;
    shown.p99_s = quantile(latencies, 0.99);
    shown.offered_load_workers = static_cast<std::int64_t>(std::ceil(service / span - 1e-9));
    shown.canary_ratio = window.canary_ratio;
    shown.clean = window.clean;
    all.push_back(shown);
  }
  return all;
}

/// Squared coefficient of variation.
double variation(const std::vector<double>& values) {
  const double mean = kvcast::mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return mean > 0 ? squares / static_cast<double>(values.size()) / (mean * mean) : 0;
}

/// Whether the workers kept up, by the signs that judge a simulation. A closed loop has no arrivals to keep up with.
traffic::Saturation saturation_of(const traffic::ReplayResult& result, const std::vector<TrafficWindow>& windows) {
  const std::size_t count = result.requests.size();
  if (result.closed_loop || count < 2) return {};
  traffic::Load load;
  load.workers = result.workers;
  load.arrivals = static_cast<std::int64_t>(count);
  load.seconds = result.requests.back().request.arrival_s;
  std::vector<double> gaps, services;
  for (std::size_t i = 0; i < count; ++i) {
    const traffic::ReplayedRequest& served = result.requests[i];
    services.push_back(served.end_s - served.start_s);
    if (i > 0) gaps.push_back(served.request.arrival_s - result.requests[i - 1].request.arrival_s);
    load.waiting += served.start_s > load.seconds ? 1 : 0;
  }
  load.service_s = mean(services);
  load.arrival_cv2 = variation(gaps);
  load.service_cv2 = variation(services);
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const double until = w + 1 < windows.size() ? windows[w + 1].start_s : load.seconds;
    const double seconds = until - windows[w].start_s;
    if (!(seconds > 0)) continue;
    const auto arrivals = std::llround(windows[w].arrivals_per_s * seconds);
    load.windows.push_back(
        {seconds, arrivals, load.service_s, windows[w].queue + windows[w].arrivals_per_s * load.service_s});
  }
  return traffic::judge(load);
}

class Replayer {
 public:
  Replayer(const Config& config, const ReplayRequest& request) : config_(config), request_(request) {
    app::require_range("--workers", request.workers, 1, app::kMaxWorkers);
    if (!config.sweep.threads.empty() || !config.sweep.workers.empty()) {
      refuse("--threads", "a replay has one layout", "one number");
    }
    app::require_warm_up(request.warm_up);
    app::require_policy(request.cache.policy, "an engine that serves them as they arrive does not");
  }

  Report run(const Observer& observer) {
    const auto say = [&](const char* stage) {
      if (observer.on_stage) observer.on_stage(stage);
    };
    app::require_team("--workers", request_.workers * config_.run.threads);
    const double calibration_s = kCalibrationShare * config_.measure.budget_s;
    const double serving_s = config_.measure.budget_s - calibration_s;
    std::optional<ReadingScope> reading(observer.on_read);
    const traffic::Workload workload(request_.workload);
    const std::vector<traffic::Request> requests = requests_within(workload, request_, serving_s);
    reading.reset();
    if (requests.empty()) refuse("--budget", "no request arrives within it", "a longer one, or --closed-loop");
    WorkloadOptions replayed = request_.workload;
    replayed.requests = static_cast<std::int64_t>(requests.size());
    traffic::WorkloadSummary summary = workload.with(replayed).summary();
    traffic::ReplayOptions options;
    options.workers = request_.workers;
    options.threads = config_.run.threads;
    options.cache = request_.cache;
    options.max_history = request_.workload.max_history;
    options.closed_loop = request_.closed_loop;
    if (request_.closed_loop) {
      options.windows = std::max(options.windows, static_cast<std::int64_t>(requests.size()) / kClosedWindow);
    }
    options.budget_s = serving_s;
    // Of what a closed loop is given most may be left over: the first window is its warm-up.
    options.warm_up = request_.closed_loop
                          ? kClosedWindow
                          : static_cast<std::int64_t>(request_.warm_up * static_cast<double>(requests.size()));
    options.seed = request_.workload.seed;
    options.memory_bytes = config_.measure.max_memory_bytes;

    Report report;
    report.tool = tool_info();
    report.machine = machine_info(config_.run.threads);
    report.config = config_;
    report.warnings = app::notes_on_environment();
    say("preparing weights");
    std::optional<StopScope> stoppable(observer.stop_requested);
    traffic::Replay replay(builtin_engine(), config_, requests, options);
    say("checking outputs");
    replay.check();
    const traffic::Calibration calibration = replay.calibrate(calibration_s, observer);
    if (!request_.closed_loop) {
      app::require_known_waits(summary, request_.workload, traffic::ServiceTable(calibration.costs),
                               request_.cache.bytes > 0);
    }
    const auto before = measure::cpu_times();
    const traffic::ReplayResult result = replay.run(observer);
    const auto after = measure::cpu_times();
    stoppable.reset();
    if (result.requests.empty()) throw CheckError("replay: stopped before any request was served");
    report.traffic = traffic_of(summary, calibration, result, requests.size());
    if (before && after) {
      report.traffic->no_result =
          app::interference(result, window_ratios(result, traffic::ServiceTable(calibration.costs)),
                            config_.run.threads, *before, *after);
    }
    return report;
  }

 private:
  Traffic traffic_of(const traffic::WorkloadSummary& summary, const traffic::Calibration& calibration,
                     const traffic::ReplayResult& result, std::size_t wanted) {
    Traffic traffic;
    traffic.workload = request_.workload.trace.empty() ? "synthetic" : input_name(request_.workload.trace);
    traffic.requests = static_cast<std::int64_t>(result.requests.size());
    std::vector<std::uint64_t> users;
    for (const traffic::ReplayedRequest& served : result.requests) users.push_back(served.request.user);
    std::sort(users.begin(), users.end());
    traffic.users = std::unique(users.begin(), users.end()) - users.begin();
    traffic.duration_s = result.duration_s;
    const double arrivals_s = result.requests.back().request.arrival_s;
    const auto count = static_cast<double>(result.requests.size());
    traffic.requests_per_s = request_.closed_loop ? count / result.duration_s
                             : arrivals_s > 0     ? (count - 1) / arrivals_s
                                                  : 0;
    traffic.log_rows = summary.log_rows;
    traffic.skipped_rows = summary.skipped_rows;
    traffic.reading = summary.reading;
    traffic.server.workers = request_.workers;
    traffic.cache = request_.cache;
    traffic.costs = calibration.costs;
    traffic.costs.basis = "the passes of these requests, timed before the replay";
    traffic.replications = 1;
    traffic.p99_limit_s = request_.p99_s;
    traffic.columns = summary.columns;
    traffic.assumptions = summary.assumptions;
    traffic.windows = windows_of(result);
    const traffic::Saturation saturation = saturation_of(result, traffic.windows);
    traffic.saturated = saturation.saturated;
    traffic.saturation = saturation.text;
    for (const TrafficWindow& window : traffic.windows) {
      traffic.offered_load_workers = std::max(traffic.offered_load_workers, window.offered_load_workers);
    }
    measured(traffic, result);
    compare(traffic, calibration, result);
    notes(traffic, calibration, result, wanted);
    return traffic;
  }

  void measured(Traffic& traffic, const traffic::ReplayResult& result) const {
    const traffic::ReplayFigures all = traffic::figures(result, false);
    const std::vector<double> total = sorted_latencies(result), wait = sorted_waits(result);
    const auto mean = [](const std::vector<double>& values) { return Estimate{kvcast::mean(values), std::nullopt}; };
    const bool steady = !traffic.saturated && !total.empty();
    traffic.latencies.push_back({"mean", std::nullopt, std::nullopt, ""});
    if (steady) traffic.latencies.back() = {"mean", mean(total), mean(wait), ""};
    for (const auto& [name, probability] : traffic::kQuantiles) {
      TrafficLatency latency{name, std::nullopt, std::nullopt, ""};
      const double least = traffic::kMinBeyond / (1 - probability);
      if (steady && static_cast<double>(total.size()) < least * (1 - 1e-9)) {
        latency.missing = "it needs " + std::to_string(std::llround(least)) + " requests after the warm-up";
      } else if (steady) {
        latency.total = Estimate{sorted_quantile(total, probability), std::nullopt};
        latency.wait = Estimate{sorted_quantile(wait, probability), std::nullopt};
      }
      traffic.latencies.push_back(std::move(latency));
    }
    if (steady) {
      for (std::int64_t i = 1; i <= kCdfPoints; ++i) {
        const double share = static_cast<double>(i) / static_cast<double>(kCdfPoints);
        traffic.cdf.push_back({sorted_quantile(total, share), share});
      }
    }
    const auto add = [&](const char* name, const char* unit, double value) {
      traffic.figures.push_back({name, unit, Estimate{value, std::nullopt}});
    };
    double busy = 0;
    for (const traffic::ReplayedRequest& served : result.requests) busy += served.end_s - served.start_s;
    add("completions_per_s", "1/s", all.requests_per_s);
    add("utilisation", "0..1", busy / (result.duration_s * static_cast<double>(request_.workers)));
    add("service_s", "s", all.mean_service_s);
    if (request_.cache.bytes > 0) {
      add("hit_rate", "0..1", all.hit_rate);
      add("token_hit_rate", "0..1", all.token_hit_rate);
    }
    if (request_.p99_s && !total.empty()) {
      const auto within = std::count_if(total.begin(), total.end(),
                                        [&](double seconds) { return within_budget(seconds, *request_.p99_s); });
      add("attainment", "0..1", static_cast<double>(within) / static_cast<double>(total.size()));
    }
  }

  void compare(Traffic& traffic, const traffic::Calibration& calibration, const traffic::ReplayResult& result) {
    // Over clean windows where they have enough requests for a tail, else over all, which the notes say.
    traffic::ReplayResult compared = judged(result, true);
    traffic::ReplayFigures replayed = traffic::figures(compared, true);
    clean_ = replayed.requests >= kTailRequests && replayed.requests_per_s > 0;
    if (!clean_) {
      compared = judged(result, false);
      replayed = traffic::figures(compared, true);
    }
    // Passes timed one after the other keep the CPU awake, arrivals do not: level and scatter are those beside them.
    std::vector<double> residuals = taught_residuals(result, traffic::ServiceTable(calibration.costs), clean_);
    if (residuals.size() >= kLevelRequests) {
      level_ = mean(residuals) / calibration.mean_residual;
      traffic.costs.residuals = std::move(residuals);
    }
    Simulated simulation;
    for (std::uint64_t seed = 0; seed < kSimulations; ++seed) {
      simulation.all.push_back(
          traffic::figures(simulated(compared, traffic.costs, request_, request_.workload.seed + seed), true));
    }
    using F = traffic::ReplayFigures;
    const auto add = [&](const char* name, const char* unit, double F::*member, std::optional<double> tolerance) {
      const double simulated_value = simulation(member), replayed_value = replayed.*member;
      if (!(replayed_value > 0)) return;
      ReplayComparison row{
          name, unit, replayed_value, simulated_value, 100 * (simulated_value / replayed_value - 1), tolerance, true};
      if (std::abs(row.error_pct) < 1e-9) row.error_pct = 0;  // the same but for the order of a sum
      row.within = !tolerance || std::abs(row.error_pct) <= *tolerance;
      traffic.replay.push_back(row);
    };
    add("throughput", "1/s", &F::requests_per_s, kThroughputPct);
    add("mean", "s", &F::mean_s, std::nullopt);
    add("p50", "s", &F::p50_s, kMedianPct);
    add("p95", "s", &F::p95_s, std::nullopt);
    add("p99", "s", &F::p99_s, replayed.requests >= kTailRequests ? std::optional(kTailPct) : std::nullopt);
    add("mean_service", "s", &F::mean_service_s, std::nullopt);
    if (request_.cache.bytes > 0) {
      add("hit_rate", "0..1", &F::hit_rate, std::nullopt);
      add("token_hit_rate", "0..1", &F::token_hit_rate, std::nullopt);
    }
    compared_ = replayed.requests;
  }

  void notes(Traffic& traffic, const traffic::Calibration& calibration, const traffic::ReplayResult& result,
             std::size_t wanted) const {
    std::vector<std::string>& notes = traffic.assumptions;
    const auto number = [](auto value) { return std::to_string(value); };
    const auto clean =
        std::count_if(result.windows.begin(), result.windows.end(), [](const auto& w) { return w.clean; });
    notes.push_back("compared over " + number(compared_) + " requests " +
                    (clean_ ? "of the " : "of all windows: too few lie in the ") + number(clean) + " of " +
                    number(result.windows.size()) + " undisturbed windows");
    if (calibration.clean_share == 0) {
      notes.push_back("the canary was slow beside every timing of the passes, so all of them count");
    }
    if (!calibration.appends.empty()) {
      notes.push_back("appends: the cost model misses by " + format_significant(calibration.append_error_pct, 2) +
                      "% of a request, the median of " + number(calibration.appends.size()) + " timed ones");
    }
    if (level_) {
      notes.push_back(
          "under arrivals a service took " + format_significant(*level_, 3) +
          " times as long as back to back: every other window calibrates this factor and the scatter, the windows "
          "between them are compared");
    }
    const double slowest = slowest_window(window_ratios(result, traffic::ServiceTable(calibration.costs)));
    if (slowest > kSlowWindow) {
      notes.push_back("in the slowest window services took " + format_significant(slowest, 3) +
                      " times as long as in the median one: slow phases, which the simulator does not model, lengthen "
                      "queues");
    }
    if (result.requests.size() < wanted) {
      notes.push_back("stopped by the " + to_string(result.stopped_by) + " after " + number(result.requests.size()) +
                      " of " + number(wanted) + " requests");
    }
    if (result.late + result.busy > 0) {
      notes.push_back(number(result.late + result.busy) +
                      " requests needed passes that only this order of requests needs; they are not compared");
    }
    if (traffic.saturated) {
      notes.push_back("the workers fell behind: compared is how both queues build up");
    } else if (!traffic.saturation.empty()) {
      notes.push_back("too few requests, or too close to capacity, to show that the workers keep up: " +
                      traffic.saturation);
      traffic.saturation.clear();
    }
    if (result.grown > 0)
      notes.push_back(number(result.grown) + " histories outgrew their memory and were copied during their request");
  }

  Config config_;
  ReplayRequest request_;
  bool clean_ = false;
  std::optional<double> level_;
  std::int64_t compared_ = 0;
};

}  // namespace

Report replay(const Config& config, const ReplayRequest& request, const Observer& observer) {
  return Replayer(config, request).run(observer);
}

}  // namespace kvcast
