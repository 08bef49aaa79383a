// Service times of this machine: the services of the replay, timed as the replay runs them, as a table.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/stop.h"
#include "measure/machine.h"
#include "statistics/statistics.h"
#include "traffic/replay/state.h"
#include "traffic/service.h"

namespace kvcast::traffic {
namespace {

// Services that are made ready together, as many as the replay has users' caches for: what one of them finds cached was
// made so many services ago.
constexpr std::size_t kMaxBatch = 32;
// Requests of the trace that each round draws, for the residuals.
constexpr std::size_t kSampled = 24;

// What a timing tells of: a table entry by its shape, or the scatter around the table.
enum class Purpose { candidates, history, append, residual };
struct Spec {
  Purpose purpose;
  std::int64_t length, known, candidates;
  bool operator<(const Spec& o) const {
    return std::tie(purpose, length, known, candidates) < std::tie(o.purpose, o.length, o.known, o.candidates);
  }
};
struct Timing {
  Spec spec;
  double seconds = 0;    ///< whole request
  double history_s = 0;  ///< of it, its prefill
  double canary = 0;     ///< slowest beside it, GFLOP/s
  bool alone = true;     ///< no other process had much of the CPUs meanwhile
};

// Values at shares of the ascending `all`, without those closer than `apart` to the one below.
std::vector<std::int64_t> spread(const std::vector<std::int64_t>& all, std::size_t count, double apart) {
  std::set<std::int64_t> picked;
  const auto nearest = [&](double wanted) {
    const auto above = std::lower_bound(all.begin(), all.end(), static_cast<std::int64_t>(std::ceil(wanted)));
    return above == all.end() ? all.back() : *above;
  };
  const std::size_t half = std::max<std::size_t>(2, count / 2);
  const double low = std::max(1.0, static_cast<double>(all.front())), high = static_cast<double>(all.back());
  for (std::size_t i = 0; i < half; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(half - 1);
    // Where the requests are, and where the range is.
    picked.insert(all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1))]);
    picked.insert(nearest(low * std::pow(std::max(1.0, high / low), share)));
  }
  std::vector<std::int64_t> result;
  for (const std::int64_t value : picked) {
    const bool close = !result.empty() && static_cast<double>(value) < apart * static_cast<double>(result.back());
    if (!close) {
      result.push_back(value);
    } else if (value == all.back() && result.size() > 1) {
      result.back() = value;
    }
  }
  if (result.back() != all.back()) result.push_back(all.back());
  return result;
}

// a + b x with the least squares of relative errors, neither below 0.
std::pair<double, double> fit_affine(const std::vector<std::pair<double, double>>& points) {
  double s = 0, sx = 0, sxx = 0, sy = 0, sxy = 0;
  for (const auto& [x, y] : points) {
    const double w = 1 / (y * y);
    s += w;
    sx += w * x;
    sxx += w * x * x;
    sy += w * y;
    sxy += w * x * y;
  }
  const double determinant = s * sxx - sx * sx;
  double slope = determinant > 1e-12 * s * sxx ? (s * sxy - sx * sy) / determinant : 0;
  double start = (sy - slope * sx) / s;
  if (slope < 0) return {sy / s, 0};
  if (start < 0) return {0, sxy / sxx};
  return {start, slope};
}

class Calibrator {
 public:
  Calibrator(ReplayState& state, double budget_s, const Observer& observer)
      : replay_(state), observer_(observer), end_(clock_seconds() + budget_s) {}

  Calibration run() {
    if (observer_.on_stage) observer_.on_stage("timing the passes");
    Calibration result;
    result.costs.source = Source::measured;
    result.costs.bytes_per_token = replay_.bytes_per_token;
    result.costs.breakpoints = {{}};
    choose();
    if (grid_.empty()) return result;
    replay_.worker_pool->run([this](std::size_t worker) { time_rounds(worker); },
                             [this] {
                               if (observer_.stop_requested && observer_.stop_requested()) stopped_ = true;
                             });
    result.interrupted = stopped_;
    result.rounds = rounds_;
    result.timings = static_cast<std::int64_t>(timings_.size());
    if (timings_.empty()) return result;
    keep_clean(result);
    make_table(result);
    return result;
  }

 private:
  // What each round times beside the sampled requests.
  void choose() {
    std::vector<std::int64_t> lengths, counts;
    std::vector<std::size_t> parts;
    for (std::size_t i = 0; i < replay_.requests.size(); ++i) {
      if (replay_.expected[i].length > 0) lengths.push_back(replay_.expected[i].length);
      if (replay_.requests[i].candidates > 0) counts.push_back(replay_.requests[i].candidates);
      if (replay_.expected[i].found == Found::part) parts.push_back(i);
    }
    std::sort(lengths.begin(), lengths.end());
    std::sort(counts.begin(), counts.end());
    if (!counts.empty()) {
      usual_ = counts[counts.size() / 2];
      counts_ = spread(counts, 4, 1.05);
      if (counts_.size() == 1 && usual_ > 1) counts_.insert(counts_.begin(), std::max<std::int64_t>(1, usual_ / 4));
    }
    if (!lengths.empty()) {
      breakpoints_ = spread(lengths, 12, 1.03);
      const std::size_t last = breakpoints_.size() - 1;
      for (const std::size_t k : std::set<std::size_t>{0, last / 3, 2 * last / 3, last})
        anchors_.push_back(breakpoints_[k]);
    } else {
      anchors_.push_back(0);
    }
    for (const std::int64_t length : anchors_) {
      for (const std::int64_t count : counts_) grid_.push_back({Purpose::candidates, length, length, count});
    }
    for (const std::int64_t length : breakpoints_) grid_.push_back({Purpose::history, length, 0, usual_});
    if (breakpoints_.empty() || breakpoints_.front() > 1) one_token();
    // Appends as they come, over the range of lengths.
    std::sort(parts.begin(), parts.end(),
              [this](std::size_t a, std::size_t b) { return replay_.expected[a].length < replay_.expected[b].length; });
    std::set<Spec> appends;
    for (const double share : {0.05, 0.3, 0.5, 0.7, 0.95}) {
      if (parts.empty()) break;
      const Lookup& part =
          replay_.expected[parts[static_cast<std::size_t>(share * static_cast<double>(parts.size() - 1))]];
      appends.insert({Purpose::append, part.length, part.known, usual_});
    }
    grid_.insert(grid_.end(), appends.begin(), appends.end());
  }
  // What any pass takes: the least history there is.
  void one_token() {
    if (!breakpoints_.empty()) grid_.push_back({Purpose::history, 1, 0, usual_});
  }

  void time_rounds(std::size_t worker) {
    Server& server = *replay_.servers[worker];
    for (const Spec& spec : grid_) prepare(server, spec);
    double canary = measure::canary_gflops(server.threads());
    constexpr std::int64_t kMinRounds = 2;
    double longest = 0;
    for (std::int64_t round = 0; !stopped_; ++round) {
      const double start = clock_seconds();
      if (round >= kMinRounds && start + longest > end_) break;
      std::vector<Timing> timed;
      const std::vector<Spec> specs = schedule(worker, round);
      for (std::size_t first = 0; first < specs.size() && !stopped_;) {
        first += time_batch(server, std::span(specs).subspan(first), canary, timed);
      }
      longest = std::max(longest, clock_seconds() - start);
      const std::lock_guard lock(mutex_);
      // The first round warms up.
      if (round > 0 || stopped_) timings_.insert(timings_.end(), timed.begin(), timed.end());
      rounds_ = std::max(rounds_, round);
    }
  }

  // The specs of a round in an order of the worker's own, with other requests of the trace every time.
  std::vector<Spec> schedule(std::size_t worker, std::int64_t round) const {
    const RandomStream random(replay_.options.seed, mix64(worker << 32 | static_cast<std::uint64_t>(round)));
    std::vector<Spec> specs = grid_;
    for (std::size_t i = 0; i < kSampled; ++i) {
      const std::size_t number = random.bits(i) % replay_.requests.size();
      const Lookup& lookup = replay_.expected[number];
      specs.push_back({Purpose::residual, lookup.length, lookup.known, replay_.requests[number].candidates});
    }
    for (std::size_t i = specs.size(); i > 1; --i) {
      std::swap(specs[i - 1], specs[random.bits(kSampled + i) % i]);
    }
    return specs;
  }

  static Work work_of(const Spec& spec, std::uint64_t user) {
    return {static_cast<std::int64_t>(user >> 1), user, 0, spec.length, spec.known, spec.candidates};
  }
  static void prepare(Server& server, const Spec& spec) {
    server.prepare(work_of(spec, 0));
    if (spec.known > 0) server.prepare(work_of({spec.purpose, spec.known, 0, 0}, 0));
  }

  // What a worker idles before a request: the gap of arrivals before one of the trace, for it alone, less the service
  // before. A CPU that has slept has cold caches and a clock to raise.
  double idle(std::uint64_t draw, const std::vector<Timing>& timed) const {
    if (replay_.options.closed_loop || replay_.requests.size() < 2 || timed.empty()) return 0;
    constexpr double kMost = 0.02;  // it is as cold as it gets
    const std::size_t number = 1 + draw % (replay_.requests.size() - 1);
    const double gap = replay_.requests[number].arrival_s - replay_.requests[number - 1].arrival_s;
    return std::clamp(static_cast<double>(replay_.options.workers) * gap - timed.back().seconds, 0.0, kMost);
  }

  // The first of `specs`, as many as there are slots for; returns how many.
  std::size_t time_batch(Server& server, std::span<const Spec> specs, double& canary, std::vector<Timing>& timed) {
    const std::uint64_t user = users_.fetch_add(kMaxBatch);
    std::vector<std::unique_ptr<Slot>> slots;
    {
      const std::lock_guard lock(mutex_);
      slots.push_back(replay_.pool->take(specs[0].length));
      while (slots.size() < std::min(kMaxBatch, specs.size())) {
        std::unique_ptr<Slot> slot = replay_.pool->take_free(specs[slots.size()].length);
        if (!slot) break;
        slots.push_back(std::move(slot));
      }
    }
    specs = specs.first(slots.size());
    for (std::size_t i = 0; i < specs.size(); ++i) {
      prepare(server, specs[i]);
      server.history(work_of({specs[i].purpose, specs[i].known, 0, 0}, user + i), *slots[i]->kv);
    }
    const auto before = measure::cpu_times();
    const std::size_t first = timed.size();
    for (std::size_t i = 0; i < specs.size(); ++i) {
      const Work work = work_of(specs[i], user + i);
      if (!wait_until(clock_seconds() + idle(mix64(user + i), timed), stopped_)) break;
      const double start = clock_seconds();
      server.history(work, *slots[i]->kv);
      const double middle = clock_seconds();
      server.candidates(work, *slots[i]->kv);
      const double end = clock_seconds();
      if (stopping()) break;  // the passes have left out what they liked
      const double after = measure::canary_gflops(server.threads());
      timed.push_back({specs[i], end - start, middle - start, std::min(canary, after), true});
      canary = after;
    }
    const Disturbance other = disturbance(before, measure::cpu_times());
    for (std::size_t i = first; i < timed.size(); ++i) timed[i].alone = !other.disturbs();
    const std::lock_guard lock(mutex_);
    for (std::unique_ptr<Slot>& slot : slots) replay_.pool->give(std::move(slot));
    return specs.size();
  }

  // Timings beside a slow canary or while other processes ran are left out. Where these run all the time, the canary
  // alone judges.
  void keep_clean(Calibration& result) {
    std::vector<double> speeds;
    for (const Timing& timing : timings_) speeds.push_back(timing.canary);
    const std::vector<double> ratios = canary_ratios(speeds);
    std::vector<Timing> clean, steady;
    for (std::size_t i = 0; i < ratios.size(); ++i) {
      if (ratios[i] < kCleanCanary) continue;
      steady.push_back(timings_[i]);
      if (timings_[i].alone) clean.push_back(timings_[i]);
    }
    result.clean_share = static_cast<double>(clean.size()) / static_cast<double>(timings_.size());
    if (clean.empty()) clean = std::move(steady);
    const auto add = [](std::map<Spec, Times>& to, const std::vector<Timing>& from) {
      for (const Timing& timing : from) {
        to[timing.spec].whole.push_back(timing.seconds);
        to[timing.spec].history.push_back(timing.history_s);
      }
    };
    add(by_spec_, clean);
    // A spec without a clean timing keeps those it has.
    std::map<Spec, Times> all;
    add(all, timings_);
    by_spec_.insert(all.begin(), all.end());
  }

  double seconds(const Spec& spec) const {
    const auto found = by_spec_.find(spec);
    return found == by_spec_.end() ? 0 : median(found->second.whole);
  }

  void make_table(Calibration& result) {
    const std::vector<ServiceBreakpoint> anchors = candidate_costs();
    ServiceCosts& costs = result.costs;
    costs.breakpoints.clear();
    for (const std::int64_t length : breakpoints_) costs.breakpoints.push_back(between(anchors, length));
    double most = 0;
    for (ServiceBreakpoint& breakpoint : costs.breakpoints) {
      breakpoint.history_s = most =
          std::max(most, beyond(breakpoint, seconds({Purpose::history, breakpoint.history_length, 0, usual_})));
    }
    costs.breakpoints.insert(costs.breakpoints.begin(), between(anchors, 0));
    const double any_pass = time_appends(anchors, result);
    if (costs.breakpoints.size() > 1)
      costs.breakpoints[0].history_s = std::min(any_pass, costs.breakpoints[1].history_s);
    take_residuals(result);
    costs.basis = std::to_string(result.timings) + " timings of the replay's own passes, just before it";
  }

  std::vector<ServiceBreakpoint> candidate_costs() const {
    // The candidates of a history that is cached, and so is no longer in the caches of the CPU. A prefill is what
    // a request takes beyond them: that it leaves its keys and values near is to its credit.
    std::vector<ServiceBreakpoint> anchors;
    for (const std::int64_t length : anchors_) {
      std::vector<std::pair<double, double>> points;
      for (const std::int64_t count : counts_) {
        const double time = seconds({Purpose::candidates, length, length, count});
        if (time > 0) points.emplace_back(static_cast<double>(count), time);
      }
      ServiceBreakpoint breakpoint{length, 0, 0, 0};
      if (!points.empty()) std::tie(breakpoint.candidates_s, breakpoint.candidate_s) = fit_affine(points);
      anchors.push_back(breakpoint);
    }
    return anchors;
  }

  /// What a request takes beyond its usual candidates.
  double beyond(const ServiceBreakpoint& breakpoint, double whole) const {
    return std::max(
        0.0, whole - (usual_ > 0 ? breakpoint.candidates_s + static_cast<double>(usual_) * breakpoint.candidate_s : 0));
  }

  /// What any pass takes: what appends take beyond the rows that are theirs; without any, a pass over one token. An
  /// append is predicted by the others.
  double time_appends(const std::vector<ServiceBreakpoint>& anchors, Calibration& result) const {
    const ServiceTable rows(result.costs);  // whose first breakpoint is still 0
    std::vector<double> excess;
    for (const auto& [spec, times] : by_spec_) {
      if (spec.purpose != Purpose::append) continue;
      const double whole = median(times.whole), pass = beyond(between(anchors, spec.length), whole);
      const double own = rows.seconds(spec.length, spec.known, 0);
      result.appends.push_back({spec.length, spec.length - spec.known, whole, pass, own});
      excess.push_back(pass - own);
    }
    const auto one = by_spec_.find({Purpose::history, 1, 0, usual_});
    double any_pass = one == by_spec_.end() ? 0 : median(one->second.history);
    std::vector<double> errors;
    for (std::size_t i = 0; i < excess.size(); ++i) {
      std::vector<double> others = excess;
      others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
      AppendTiming& append = result.appends[i];
      append.predicted_s += others.empty() ? any_pass : std::max(0.0, median(others));
      errors.push_back(100 * std::abs(append.predicted_s - append.measured_s) / append.request_s);
    }
    if (!errors.empty()) {
      result.append_error_pct = median(errors);
      any_pass = std::max(0.0, median(excess));
    }
    return any_pass;
  }

  void take_residuals(Calibration& result) const {
    ServiceCosts& costs = result.costs;
    const ServiceTable table(costs);
    costs.residuals.clear();
    double sum = 0;
    for (const auto& [spec, times] : by_spec_) {
      const double mean = table.seconds(spec.length, spec.known, spec.candidates);
      if (spec.purpose != Purpose::residual || mean <= 0) continue;
      for (const double time : times.whole) {
        costs.residuals.push_back(time / mean);
        sum += time / mean;
      }
    }
    std::sort(costs.residuals.begin(), costs.residuals.end());
    if (costs.residuals.empty()) {
      costs.residuals = {1};
    } else {
      result.mean_residual = sum / static_cast<double>(costs.residuals.size());
    }
  }

  // Candidate costs at a length, between those of the anchors and beyond them by the last slope.
  static ServiceBreakpoint between(const std::vector<ServiceBreakpoint>& anchors, std::int64_t length) {
    ServiceBreakpoint breakpoint = anchors.front();
    breakpoint.history_length = length;
    if (anchors.size() == 1) return breakpoint;
    std::size_t i = 0;
    while (i + 2 < anchors.size() && anchors[i + 1].history_length < length) ++i;
    const ServiceBreakpoint &a = anchors[i], &b = anchors[i + 1];
    const double t =
        static_cast<double>(length - a.history_length) / static_cast<double>(b.history_length - a.history_length);
    breakpoint.candidates_s = std::max(0.0, a.candidates_s + t * (b.candidates_s - a.candidates_s));
    breakpoint.candidate_s = std::max(0.0, a.candidate_s + t * (b.candidate_s - a.candidate_s));
    return breakpoint;
  }

  ReplayState& replay_;
  const Observer& observer_;
  double end_;
  std::vector<std::int64_t> breakpoints_, anchors_, counts_;  ///< L of the table, L and N of the scoring passes
  std::int64_t usual_ = 0;                                    ///< N of a prefill's request
  std::vector<Spec> grid_;
  std::mutex mutex_;  ///< of the pool and what the rounds leave
  std::vector<Timing> timings_;
  std::int64_t rounds_ = 0;
  std::atomic<std::uint64_t> users_ = std::uint64_t{1} << 40;
  std::atomic<bool> stopped_ = false;
  struct Times {
    std::vector<double> whole, history;
  };
  std::map<Spec, Times> by_spec_;
};

}  // namespace

Calibration Replay::calibrate(double budget_s, const Observer& observer) {
  return Calibrator(*state_, budget_s, observer).run();
}

}  // namespace kvcast::traffic
