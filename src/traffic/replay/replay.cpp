#include "traffic/replay/replay.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <cmath>
#include <limits>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/stop.h"
#include "base/text.h"
#include "measure/machine.h"
#include "measure/measure.h"
#include "statistics/statistics.h"
#include "traffic/replay/state.h"

namespace kvcast::traffic {
namespace {

void refuse(bool refused, const std::string& field, const std::string& problem, const std::string& hint) {
  if (refused) throw ConfigError(field, problem, hint);
}

// Models that the engine runs but that cannot serve requests, and options that the replay would silently ignore.
void refuse_model(const ModelConfig& model) {
  refuse(model.mask != Mask::causal && model.mask != Mask::history_blind, "model.mask",
         to_string(model.mask) + " does not allow keeping a history between requests", "causal or history-blind");
  refuse(model.token_merge != 1, "model.token_merge",
         std::to_string(model.token_merge) + " tokens per position cannot be replayed: a history grows token by token",
         "1");
  refuse(model.query_tokens != 0, "model.query_tokens",
         std::to_string(model.query_tokens) + " cannot be replayed: the window moves when a history grows", "0");
  refuse(!model.import.empty(), "model.import",
         in_quotes(model.import) + " cannot be replayed: a trace has its own histories", "seeded weights");
  refuse(model.head_width != 0, "model.head_width",
         std::to_string(model.head_width) + " cannot be replayed: a replay has no ranking head", "0");
}

std::string gib(double bytes) { return format_significant(bytes / (1024.0 * 1024 * 1024), 3) + " GiB"; }

}  // namespace

std::vector<double> canary_ratios(const std::vector<double>& gflops) {
  std::vector<measure::CaseSample> samples(gflops.size());
  for (std::size_t i = 0; i < gflops.size(); ++i) samples[i].canary_gflops = gflops[i];
  measure::set_canary_ratios(samples);
  std::vector<double> ratios;
  for (const measure::CaseSample& sample : samples) ratios.push_back(sample.canary_ratio);
  return ratios;
}

Disturbance disturbance(const std::optional<measure::CpuTimes>& from, const std::optional<measure::CpuTimes>& to) {
  if (!from || !to || to->total_s <= from->total_s) return {};
  const double total = to->total_s - from->total_s;
  const double foreign = to->busy_s - from->busy_s - (to->own_s - from->own_s);
  return {100 * (to->stolen_s - from->stolen_s) / total, 100 * std::max(0.0, foreign) / total};
}

namespace {

// From so long before an arrival on a worker does not sleep: waking up takes up to that.
constexpr double kSpin = 1e-3;
// Longest sleep, to notice a stop in time.
constexpr double kNap = 0.05;

}  // namespace

bool wait_until(double until, const std::atomic<bool>& stopped) {
  while (!stopped) {
    const double left = until - clock_seconds();
    if (left <= 0) return true;
    if (left > kSpin) {
      std::this_thread::sleep_for(std::chrono::duration<double>(std::min(left - kSpin, kNap)));
    } else {
      std::this_thread::yield();
    }
  }
  return false;
}

// ---- what is made ready

ReplayState::ReplayState(const Engine& engine, const Config& wanted, std::span<const Request> asked,
                         const ReplayOptions& how)
    : config(wanted), dim(config.model.width()), options(how), service(engine.serve(config)) {
  refuse_model(config.model);
  refuse(service == nullptr, "replay", engine.info().name + " keeps no keys and values between requests", "another");
  bytes_per_token = service->kv_bytes(service->granule()) / static_cast<double>(service->granule());
  const std::int64_t cpus = measure::probe_limits().cpus;
  refuse(options.workers * options.threads > cpus, "--workers",
         std::to_string(options.workers) + " workers of " + std::to_string(options.threads) +
             " threads need more than the " + std::to_string(cpus) + " CPUs of this process",
         "fewer --workers, or fewer --threads for each");
  for (const Request& request : asked) {
    const double arrival = request.arrival_s - asked.front().arrival_s;
    cut = !options.closed_loop && arrival > options.budget_s;
    if (cut) break;
    requests.push_back(request);
    requests.back().arrival_s = arrival;
  }
  run_dry();
  refuse_memory();
  service->load(static_cast<int>(options.workers * options.threads));
  items = std::make_unique<Items>(dim, options.seed);
  pool = std::make_unique<SlotPool>(service.get(), service->granule(), longest);
  pool->stock(slots);
  worker_pool = std::make_unique<WorkerPool>(options.workers);
  servers.resize(static_cast<std::size_t>(options.workers));
  // One after the other would take that many times as long: primitives are made by the hundred.
  worker_pool->run([&](std::size_t worker) {
    auto server =
        std::make_unique<Server>(*service, *items, dim, static_cast<int>(options.threads), longest, max_candidates);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      server->prepare(work(i, expected[i]));
      // A second worker may still be at the user's last request, and then nothing is found.
      if (options.workers == 1) continue;
      server->prepare(work(i, {Found::nothing, 0, expected[i].length}));
      const std::int64_t granules = expected[i].known - expected[i].known % service->granule();
      server->prepare(work(i, {Found::part, granules, expected[i].length}));
    }
    servers[worker] = std::move(server);
  });
}

void ReplayState::run_dry() {
  for (const Request& request : requests) {
    const std::int64_t limit = options.max_history > 0 ? options.max_history : request.history;
    longest = std::max(longest, std::min(limit, request.history));
    max_candidates = std::max(max_candidates, request.candidates);
  }
  SlotPool dry(nullptr, service->granule(), longest);
  Store store(options.cache, bytes_per_token, options.max_history, dry);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Visit visit = store.begin(requests[i], requests[i].arrival_s);
    expected.push_back(visit.lookup);
    store.end(requests[i], requests[i].arrival_s, std::move(visit));
  }
  slots = dry.made();
  slots.back() += options.workers - 1;  // each holds one more while it serves
}

void ReplayState::refuse_memory() {
  const SlotPool ladder(nullptr, service->granule(), longest);
  double caches = 0;
  for (std::size_t c = 0; c < slots.size(); ++c) {
    caches += static_cast<double>(slots[c]) * service->kv_bytes(ladder.capacities()[c]);
  }
  const double workers = static_cast<double>(options.workers) *
                         Server::bytes(*service, dim, static_cast<int>(options.threads), longest, max_candidates);
  const double weights = service->weight_bytes() + Items::bytes(dim);
  bytes = weights + workers + caches;
  if (options.memory_bytes == 0 || bytes <= static_cast<double>(options.memory_bytes)) return;
  const bool by_model = weights > std::max(caches, workers);
  throw ConfigError(
      by_model           ? "/model"
      : caches > workers ? "--cache"
                         : "--max-history",
      "the replay needs about " + gib(bytes) + " (weights and items " + gib(weights) + ", keys and values of users " +
          gib(caches) + ", activations of the workers " + gib(workers) +
          "), available: " + gib(static_cast<double>(options.memory_bytes)),
      by_model ? "fewer layers or a smaller dim" : "a smaller --cache or --max-history, or fewer workers");
}

Replay::Replay(const Engine& engine, const Config& config, std::span<const Request> requests,
               const ReplayOptions& options)
    : state_(std::make_unique<ReplayState>(engine, config, requests, options)) {}
Replay::~Replay() = default;

std::int64_t Replay::memory_bytes() const noexcept { return static_cast<std::int64_t>(state_->bytes); }
std::span<const Lookup> Replay::expected() const noexcept { return state_->expected; }
void Replay::keep_outputs(bool keep) noexcept { state_->keep_outputs = keep; }
std::span<const float> Replay::outputs(std::size_t number) const { return state_->outputs.at(number); }

// ---- the replay

namespace {

constexpr std::size_t kNobody = std::numeric_limits<std::size_t>::max();
// Canaries of a worker in one window.
constexpr std::int64_t kCanaries = 5;

struct CanarySample {
  std::size_t window;
  double gflops;
};

class Run {
 public:
  Run(ReplayState& state, const Observer& observer)
      : replay_(state),
        observer_(observer),
        store_(state.options.cache, state.bytes_per_token, state.options.max_history, *state.pool),
        records_(state.requests.size()),
        served_(state.requests.size()) {
    const std::size_t windows = std::clamp<std::size_t>(static_cast<std::size_t>(state.options.windows), 1,
                                                        std::max<std::size_t>(1, state.requests.size()));
    for (std::size_t w = 0; w < windows; ++w) firsts_.push_back(state.requests.size() * w / windows);
    firsts_.push_back(state.requests.size());
    cpu_.resize(windows + 1);
    canaries_.resize(static_cast<std::size_t>(state.options.workers));
  }

  ReplayResult run() {
    if (observer_.on_stage) observer_.on_stage("replaying");
    const std::vector<std::int64_t> made = replay_.pool->made();
    if (replay_.keep_outputs) replay_.outputs.assign(replay_.requests.size(), {});
    // How long a canary keeps a worker from the next request.
    double canary_s = clock_seconds();
    (void)measure::canary_gflops(static_cast<int>(replay_.options.threads));
    canary_s = clock_seconds() - canary_s;
    canary_s_ = canary_s;
    // Workers are at their posts before the first arrival.
    begin_ = clock_seconds() + (replay_.options.closed_loop ? 0 : 0.01);
    replay_.worker_pool->run([this](std::size_t worker) { serve_all(worker); }, [this] { watch(); });
    const auto after = measure::cpu_times();
    store_.clear();
    ReplayResult result = collect(after);
    for (std::size_t c = 0; c < made.size(); ++c) result.made += replay_.pool->made()[c] - made[c];
    return result;
  }

 private:
  double clock() const { return clock_seconds() - begin_; }

  // Runs on the caller's thread.
  void watch() {
    if (observer_.stop_requested && observer_.stop_requested()) stop(StoppedBy::interrupt);
    if (!observer_.on_progress) return;
    const auto done = static_cast<double>(answered_.load());
    const auto all = static_cast<double>(std::max<std::size_t>(1, replay_.requests.size()));
    const double now = std::max(1e-3, clock());
    double end = replay_.options.budget_s;
    if (!replay_.options.closed_loop && !replay_.requests.empty()) {
      end = std::min(end, replay_.requests.back().arrival_s);
    } else if (done > 0) {
      end = std::min(end, now * all / done);
    }
    observer_.on_progress(std::max(done / all, std::min(1.0, now / replay_.options.budget_s)), std::max(0.0, end - now),
                          std::to_string(answered_.load()) + " requests");
  }

  void stop(StoppedBy why) {
    const std::lock_guard lock(mutex_);
    if (!stopped_) stopped_by_ = why;
    stopped_ = true;
  }

  std::size_t window_of(std::size_t request) const {
    return static_cast<std::size_t>(std::upper_bound(firsts_.begin(), firsts_.end() - 1, request) - firsts_.begin()) -
           1;
  }

  void serve_all(std::size_t worker) {
    const bool closed = replay_.options.closed_loop;
    std::size_t canary_window = kNobody;
    std::int64_t canaries = 0;
    while (true) {
      // In a closed loop there are no gaps: once a window, while the worker has no request and so no time runs.
      if (closed) {
        const std::size_t next = next_.load();
        if (next < replay_.requests.size() && window_of(next) != canary_window) {
          canary_window = window_of(next);
          take_canary(worker, canary_window);
        }
      }
      if (clock() > replay_.options.budget_s) stop(StoppedBy::budget);
      std::size_t number = 0;
      {
        const std::lock_guard lock(mutex_);
        if (stopped_ || next_ >= replay_.requests.size()) return;
        number = next_++;
      }
      const std::size_t window = window_of(number);
      // Between two requests of this worker; a tenth of a millisecond, once a window.
      if (firsts_[window] == number) cpu_[window] = measure::cpu_times();
      if (!closed) {
        const double arrival = replay_.requests[number].arrival_s;
        if (window != canary_window) canaries = 0;
        canary_window = window;
        if (arrival - clock() > 2 * canary_s_ + 2 * kSpin && canaries < kCanaries) {
          take_canary(worker, window);
          ++canaries;
        }
        if (!wait_until(begin_ + arrival, stopped_)) return;
      }
      if (!serve(worker, number)) return;
    }
  }

  void take_canary(std::size_t worker, std::size_t window) {
    canaries_[worker].push_back({window, measure::canary_gflops(static_cast<int>(replay_.options.threads))});
  }

  // What a request takes, from here to its answer: the policy, room for the history, the passes over it and the
  // candidates, and handing the history back. False when the replay was stopped before its answer.
  bool serve(std::size_t worker, std::size_t number) {
    const Request& request = replay_.requests[number];
    Server& server = *replay_.servers[worker];
    ReplayedRequest& record = records_[number];
    // First come first served, also where two workers take two requests at once.
    while (turn_.load() != number) {
      if (stopped_) return false;
      std::this_thread::yield();
    }
    record.start_s = clock();
    Visit visit;
    {
      const std::lock_guard lock(mutex_);
      if (static_cast<std::int64_t>(number) == replay_.options.warm_up) store_.reset_counts();
      last_ = std::max(last_, record.start_s);
      visit = store_.begin(request, last_);
    }
    turn_.store(number + 1);
    record.request = request;
    record.worker = static_cast<std::int64_t>(worker);
    record.lookup = visit.lookup;
    const Work work = replay_.work(number, visit.lookup);
    // Primitives of sizes that came up by another order of requests.
    record.late = server.prepare(work);
    record.busy = visit.busy;
    UserKv& kv = visit.kv();
    if (const Slot* from = visit.copied_from()) server.copy(*from->kv, work.known, kv);
    if (visit.outgrown) ++grown_;
    server.history(work, kv);
    server.candidates(work, kv);
    {
      const std::lock_guard lock(mutex_);
      last_ = std::max(last_, clock());
      store_.end(request, last_, std::move(visit));
    }
    if (stopping()) return false;  // its passes have left out what they liked
    record.end_s = clock();
    served_[number] = 1;
    ++answered_;
    if (replay_.keep_outputs) {
      const float* from = server.outputs().data();
      replay_.outputs[number].assign(from, from + work.candidates * replay_.dim);
    }
    return true;
  }

  ReplayResult collect(const std::optional<measure::CpuTimes>& after) {
    ReplayResult result;
    // Turns are taken in order, so that what was served is a beginning.
    const auto count = static_cast<std::size_t>(std::find(served_.begin(), served_.end(), 0) - served_.begin());
    result.requests.assign(records_.begin(), records_.begin() + static_cast<std::ptrdiff_t>(count));
    result.warm_up = std::min(replay_.options.warm_up, static_cast<std::int64_t>(count));
    result.workers = replay_.options.workers;
    result.closed_loop = replay_.options.closed_loop;
    result.cache = store_.counts();
    result.grown = grown_;
    result.stopped_by = stopped_ ? stopped_by_ : replay_.cut ? StoppedBy::budget : StoppedBy::end;
    for (const ReplayedRequest& record : result.requests) {
      result.late += record.late ? 1 : 0;
      result.busy += record.busy ? 1 : 0;
      result.duration_s = std::max(result.duration_s, record.end_s);
    }
    judge(result, after);
    return result;
  }

  void judge(ReplayResult& result, const std::optional<measure::CpuTimes>& after) const {
    std::vector<double> gflops;
    std::vector<std::size_t> windows;
    for (const auto& of_worker : canaries_) {
      for (const CanarySample& sample : of_worker) {
        gflops.push_back(sample.gflops);
        windows.push_back(sample.window);
      }
    }
    const std::vector<double> ratios = canary_ratios(gflops);
    for (std::size_t w = 0; w + 1 < firsts_.size(); ++w) {
      const std::size_t end = std::min(firsts_[w + 1], result.requests.size());
      if (firsts_[w] >= end) break;
      ReplayWindow window{firsts_[w], end - firsts_[w], std::nullopt, std::nullopt, std::nullopt, false};
      std::vector<double> own;
      for (std::size_t i = 0; i < ratios.size(); ++i) {
        if (windows[i] == w) own.push_back(ratios[i]);
      }
      if (!own.empty()) window.canary_ratio = median(std::move(own));
      const auto& from = cpu_[w];
      const auto& to = end == firsts_[w + 1] && cpu_[w + 1] ? cpu_[w + 1] : after;
      const Disturbance other = disturbance(from, to);
      window.steal_pct = other.steal_pct;
      window.foreign_pct = other.foreign_pct;
      window.clean = !other.disturbs();
      result.windows.push_back(window);
    }
    // A window without a gap is judged by the nearest ones that have a canary: it takes two to vouch for it.
    const auto clean_canary = [&](std::size_t w, int step) {
      for (auto i = static_cast<std::ptrdiff_t>(w); i >= 0 && i < static_cast<std::ptrdiff_t>(result.windows.size());
           i += step) {
        const auto& ratio = result.windows[static_cast<std::size_t>(i)].canary_ratio;
        if (ratio) return *ratio >= kCleanCanary;
      }
      return !ratios.empty();
    };
    for (std::size_t w = 0; w < result.windows.size(); ++w) {
      ReplayWindow& window = result.windows[w];
      window.clean = window.clean && clean_canary(w, -1) && clean_canary(w, 1);
      for (std::size_t i = window.first; i < window.first + window.count; ++i) {
        result.requests[i].clean = window.clean && !result.requests[i].late && !result.requests[i].busy;
      }
    }
  }

  ReplayState& replay_;
  const Observer& observer_;
  std::mutex mutex_;  ///< of the store, and of what decides on the next request
  Store store_;
  double last_ = 0;  ///< of the store's clock, which never falls
  double begin_ = 0, canary_s_ = 0;
  std::atomic<std::size_t> next_ = 0, turn_ = 0;
  std::atomic<std::int64_t> answered_ = 0, grown_ = 0;
  std::atomic<bool> stopped_ = false;
  StoppedBy stopped_by_ = StoppedBy::unknown;
  std::vector<std::size_t> firsts_;  ///< request of each window, and their number
  std::vector<std::optional<measure::CpuTimes>> cpu_;
  std::vector<std::vector<CanarySample>> canaries_;  ///< by worker
  std::vector<ReplayedRequest> records_;
  std::vector<char> served_;
};

}  // namespace

ReplayResult Replay::run(const Observer& observer) { return Run(*state_, observer).run(); }

ReplayFigures figures(const ReplayResult& result, bool clean_only) {
  ReplayFigures f;
  std::vector<double> latencies;
  double service = 0, span = 0, last_end = 0;
  std::int64_t found = 0, tokens = 0, known = 0, spanned = 0;
  for (const ReplayWindow& window : result.windows) {
    double end = last_end;
    std::int64_t counted = 0;
    for (std::size_t i = window.first; i < window.first + window.count; ++i) {
      const ReplayedRequest& r = result.requests[i];
      end = std::max(end, r.end_s);
      if (static_cast<std::int64_t>(i) < result.warm_up || (clean_only && !r.clean)) continue;
      ++counted;
      latencies.push_back(r.end_s - result.begin_s(r));
      service += r.end_s - r.start_s;
      found += r.lookup.known > 0 ? 1 : 0;
      tokens += r.lookup.length;
      known += r.lookup.known;
    }
    // A window that is counted in part tells no rate.
    if (counted == static_cast<std::int64_t>(window.count)) {
      span += end - last_end;
      spanned += counted;
    }
    last_end = end;
  }
  f.requests = static_cast<std::int64_t>(latencies.size());
  if (latencies.empty()) return f;
  const auto n = static_cast<double>(latencies.size());
  std::sort(latencies.begin(), latencies.end());
  for (const double latency : latencies) f.mean_s += latency / n;
  f.p50_s = sorted_quantile(latencies, 0.5);
  f.p95_s = sorted_quantile(latencies, 0.95);
  f.p99_s = sorted_quantile(latencies, 0.99);
  f.mean_service_s = service / n;
  if (result.closed_loop) {
    f.requests_per_s = service > 0 ? static_cast<double>(result.workers) * n / service : 0;
  } else {
    f.requests_per_s = span > 0 ? static_cast<double>(spanned) / span : 0;
  }
  f.hit_rate = static_cast<double>(found) / n;
  f.token_hit_rate = tokens > 0 ? static_cast<double>(known) / static_cast<double>(tokens) : 0;
  return f;
}

}  // namespace kvcast::traffic
