#include "traffic/simulate.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <queue>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "base/budget.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/text.h"
#include "traffic/estimates.h"
#include "traffic/user_cache.h"

namespace kvcast::traffic {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr std::size_t kBlock = 1024, kMaxWindows = 64;
/// Requests of a window on average: with fewer its rate is mostly chance.
constexpr std::int64_t kWindowRequests = 64;
/// Fewer requests have no 99th percentile but their largest.
constexpr std::int64_t kTailRequests = 100;

/// A part of the timeline. Integrals over time in request seconds, of workers in worker seconds.
struct Window {
  double start_s = 0, end_s = 0;
  std::int64_t arrivals = 0, completions = 0, started = 0, found = 0;
  double waiting = 0, in_system = 0, busy = 0;
  double service_s = 0;   ///< sum over the requests whose service began
  WindowHistogram total;  ///< of them

  void add(const Window& next) {
    end_s = next.end_s;
    arrivals += next.arrivals;
    completions += next.completions;
    started += next.started;
    found += next.found;
    waiting += next.waiting;
    in_system += next.in_system;
    busy += next.busy;
    service_s += next.service_s;
    total.add(next.total);
  }
};

/// Windows that cover the time so far, merged in pairs whenever there are too many.
class Timeline {
 public:
  /// `span`: some first time of the run; windows get longer by themselves.
  explicit Timeline(double span) {
    while (width_ * static_cast<double>(kMaxWindows) < span) width_ *= 2;
    windows_.reserve(kMaxWindows);
    begin(0);
  }

  Window& now() noexcept { return windows_.back(); }
  std::vector<Window>& all() noexcept { return windows_; }
  double width() const noexcept { return width_; }

  /// The window behind this one.
  void next() {
    if (windows_.size() == kMaxWindows) merge_pairs();
    begin(windows_.back().end_s);
  }
  /// Ends with `end`. A last window much shorter than the others, and all that hold few requests, join their
  /// neighbours.
  void close(double end) {
    windows_.back().end_s = end;
    join_short();
    std::int64_t arrivals = 0;
    for (const Window& window : windows_) arrivals += window.arrivals;
    while (windows_.size() > 1 && arrivals < kWindowRequests * static_cast<std::int64_t>(windows_.size())) {
      merge_pairs();
      join_short();
    }
  }

 private:
  void begin(double start) {
    windows_.emplace_back();
    windows_.back().start_s = start;
    windows_.back().end_s = start + width_;
  }
  void merge_pairs() {
    std::size_t merged = 0;
    for (std::size_t i = 0; i < windows_.size(); i += 2, ++merged) {
      if (i + 1 < windows_.size()) windows_[i].add(windows_[i + 1]);
      if (merged != i) windows_[merged] = std::move(windows_[i]);
    }
    windows_.resize(merged);
    width_ *= 2;
  }
  void join_short() {
    if (windows_.size() < 2 || windows_.back().end_s - windows_.back().start_s >= width_ / 2) return;
    windows_[windows_.size() - 2].add(windows_.back());
    windows_.pop_back();
  }

  std::vector<Window> windows_;
  double width_ = 1e-6;
};

/// Requests that wait, in order of arrival, from either end of which or from whose middle one may be taken.
class Queue {
 public:
  struct Place {
    Request request;
    std::uint64_t number = 0;
    std::uint32_t before = 0, after = 0;
  };

  explicit Queue(bool shortest) : shortest_(shortest) { places_.resize(1); }

  std::int64_t size() const noexcept { return size_; }
  const Request& oldest() const noexcept { return places_[places_[0].after].request; }

  /// mean_s: what orders the queue when the shortest goes first.
  void push(const Request& request, std::uint64_t number, double mean_s) {
    std::uint32_t at = free_;
    if (at != 0) {
      free_ = places_[at].after;
    } else {
      at = static_cast<std::uint32_t>(places_.size());
      places_.emplace_back();
    }
    const std::uint32_t last = places_[0].before;
    places_[at] = {request, number, last, 0};
    places_[last].after = at;
    places_[0].before = at;
    ++size_;
    if (shortest_) by_time_.push({mean_s, number, at});
  }
  /// The next to be served; the queue is not empty.
  Place pop() {
    std::uint32_t at = places_[0].after;
    if (shortest_) {
      at = by_time_.top().place;
      by_time_.pop();
    }
    const Place place = places_[at];
    places_[place.before].after = place.after;
    places_[place.after].before = place.before;
    places_[at].after = free_;
    free_ = at;
    --size_;
    return place;
  }

 private:
  struct Entry {
    double mean_s;
    std::uint64_t number;
    std::uint32_t place;
    bool operator<(const Entry& other) const noexcept {
      return mean_s != other.mean_s ? mean_s > other.mean_s : number > other.number;
    }
  };

  bool shortest_;
  std::vector<Place> places_;  ///< a ring through `before` and `after`; place 0 is its beginning and end
  std::uint32_t free_ = 0;     ///< list of free places, linked by `after`
  std::int64_t size_ = 0;
  std::priority_queue<Entry> by_time_;
};

/// Workers that serve, by when they are done.
class Busy {
 public:
  struct Service {
    double end_s;
    std::int64_t requests;
  };

  std::int64_t size() const noexcept { return static_cast<std::int64_t>(heap_.size()); }
  double first_end() const noexcept { return heap_.empty() ? kNever : heap_.front().end_s; }
  void push(Service service) {
    std::size_t at = heap_.size();
    heap_.push_back(service);
    while (at > 0 && heap_[(at - 1) / 2].end_s > service.end_s) {
      heap_[at] = heap_[(at - 1) / 2];
      at = (at - 1) / 2;
    }
    heap_[at] = service;
  }
  Service pop() {
    const Service first = heap_.front(), last = heap_.back();
    heap_.pop_back();
    const std::size_t size = heap_.size();
    std::size_t at = 0;
    for (std::size_t child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && heap_[child + 1].end_s < heap_[child].end_s) ++child;
      if (heap_[child].end_s >= last.end_s) break;
      heap_[at] = heap_[child];
      at = child;
    }
    if (size > 0) heap_[at] = last;
    return first;
  }

 private:
  std::vector<Service> heap_;
};

/// Requests one by one from a source that gives blocks.
class Reader {
 public:
  explicit Reader(RequestSource& source) : source_(source), block_(kBlock) { read(); }
  bool more() const noexcept { return at_ < size_; }
  const Request& front() const noexcept { return block_[at_]; }
  double arrival_s() const noexcept { return more() ? block_[at_].arrival_s : kNever; }
  void next() {
    if (++at_ == size_) read();
  }
  void stop() noexcept { at_ = size_ = 0; }
  /// The request that comes `requests` later, where the block has it.
  const Request* ahead(std::size_t requests) const noexcept {
    return at_ + requests < size_ ? &block_[at_ + requests] : nullptr;
  }
  /// Arrival of the last request of the block.
  double last_s() const noexcept { return more() ? block_[size_ - 1].arrival_s : 0; }

 private:
  void read() {
    at_ = 0;
    size_ = ended_ ? 0 : source_.next(block_);
    ended_ = size_ < block_.size();
  }

  RequestSource& source_;
  std::vector<Request> block_;
  std::size_t at_ = 0, size_ = 0;
  bool ended_ = false;
};

class Simulator {
 public:
  Simulator(RequestSource& source, const ServiceTable& table, const SimulatorOptions& options, std::int64_t warm_up,
            std::uint64_t seed)
      : table_(table),
        server_(options.server),
        max_history_(options.max_history),
        limit_s_(options.limit_s.value_or(kNever)),
        on_answer_(options.on_answer),
        warm_up_(static_cast<std::uint64_t>(std::max<std::int64_t>(0, warm_up))),
        stream_(seed, kResiduals),
        shortest_(options.server.order == ServeOrder::shortest),
        few_busy_(static_cast<std::int64_t>(static_cast<double>(options.server.workers) -
                                            std::sqrt(static_cast<double>(options.server.workers)))),
        reader_(source),
        queue_(shortest_),
        timeline_(reader_.last_s()),
        window_(&timeline_.now()) {
    assert(server_.workers >= 1 && server_.batch_max >= 1);
    if (options.cache.bytes > 0) cache_.emplace(options.cache, options.bytes_per_token, options.max_history);
  }

  Replication run() {
    const bool batches = server_.batch_max > 1;
    for (;;) {
      const double done_s = busy_.first_end(), arrival_s = reader_.arrival_s();
      const double batch_s = batches && queue_.size() > 0 && busy_.size() < server_.workers ? ready_s() : kNever;
      if (done_s <= arrival_s && done_s <= batch_s) {
        if (done_s == kNever) break;
        advance(done_s);
        complete();
        if (!batches && queue_.size() > 0) serve_next();
      } else if (arrival_s <= batch_s) {
        advance(arrival_s);
        arrive();
      } else {
        advance(batch_s);
      }
      if (batches) serve_batches();
    }
    return result();
  }

 private:
  static constexpr std::uint64_t kResiduals = 0x7265736964756c73;

  void advance(double to) noexcept {
    while (to >= window_->end_s && !drained_) {
      integrate(window_->end_s);
      timeline_.next();
      window_ = &timeline_.now();
    }
    integrate(to);
  }
  void integrate(double to) noexcept {
    const double seconds = to - now_;
    const auto waiting = static_cast<double>(queue_.size());
    window_->waiting += seconds * waiting;
    window_->in_system += seconds * static_cast<double>(in_system_);
    window_->busy += seconds * static_cast<double>(busy_.size());
    now_ = to;
  }

  void arrive() {
    const Request& request = reader_.front();
    const std::uint64_t number = arrived_++;
    if (cache_) {
      // A user's entry is anywhere in memory: two fetches, one after the other, that would each be waited for.
      if (const Request* later = reader_.ahead(UserCache::kSlotAhead)) cache_->prefetch_slot(later->user);
      if (const Request* later = reader_.ahead(UserCache::kEntryAhead)) cache_->prefetch_entry(later->user);
    }
    if (number == warm_up_) begin_counting();
    // With so few busy the next requests do not wait: what comes is as it would be had nothing been before. A single
    // worker is then idle; of many it is a standard deviation of how many are busy (Halfin and Whitt 1981).
    if (busy_.size() + queue_.size() / server_.batch_max <= few_busy_) end_spell();
    const double gap = now_ - last_arrival_;
    gaps_squared_ += gap * gap;
    last_arrival_ = now_;
    ++window_->arrivals;
    ++in_system_;
    if (server_.batch_max == 1 && busy_.size() < server_.workers) {
      serve(request, number);
    } else {
      const double mean_s =
          shortest_ ? table_.seconds(limited(request.history, max_history_), 0, request.candidates) : 0;
      queue_.push(request, number, mean_s);
      if (queue_.size() > kMaxWaiting) {
        stopped_ = true;
        reader_.stop();
      }
    }
    if (reader_.more()) reader_.next();
    if (!reader_.more()) end_counting();
  }

  void complete() {
    const Busy::Service service = busy_.pop();
    in_system_ -= service.requests;
    completed_ += service.requests;
    window_->completions += service.requests;
  }

  double uniform(std::uint64_t number) const noexcept {
    return static_cast<double>(stream_.bits(number) >> 11) * 0x1p-53;
  }
  Lookup look_up(const Request& request) noexcept {
    if (cache_) return cache_->find(request, now_);
    return {Found::nothing, 0, limited(request.history, max_history_)};
  }

  void serve_next() {
    const Queue::Place place = queue_.pop();
    serve(place.request, place.number);
  }
  void serve(const Request& request, std::uint64_t number) {
    const Lookup lookup = look_up(request);
    const double service_s =
        table_.seconds(lookup.length, lookup.known, request.candidates) * table_.residual(uniform(number));
    const double end_s = now_ + service_s;
    if (cache_) cache_->keep(request, end_s);
    busy_s_ += end_s - now_;
    record(request, number, lookup, service_s, end_s);
    busy_.push({end_s, 1});
  }

  double ready_s() const noexcept {
    return queue_.size() >= server_.batch_max ? now_
                                              : std::max(now_, queue_.oldest().arrival_s + server_.batch_window_s);
  }
  void serve_batches() {
    while (busy_.size() < server_.workers && queue_.size() > 0 && ready_s() <= now_) serve_batch();
  }
  void serve_batch() {
    const std::int64_t size = std::min(queue_.size(), server_.batch_max);
    batch_.clear();
    double sum = 0, shared = 0, max_shared = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      const Queue::Place place = queue_.pop();
      const Lookup lookup = look_up(place.request);
      batch_.push_back({place, lookup});
      const double once = table_.shared_seconds(lookup.length, lookup.known, place.request.candidates);
      sum += table_.seconds(lookup.length, lookup.known, place.request.candidates);
      shared += once;
      max_shared = std::max(max_shared, once);
    }
    const double service_s = (sum - (shared - max_shared)) * table_.residual(uniform(batch_.front().place.number));
    const double end_s = now_ + service_s;
    busy_s_ += end_s - now_;
    for (const Member& member : batch_) {
      if (cache_) cache_->keep(member.place.request, end_s);
      record(member.place.request, member.place.number, member.lookup, service_s / static_cast<double>(size), end_s);
    }
    busy_.push({end_s, size});
  }

  /// service_s: of a batch the request's share.
  void record(const Request& request, std::uint64_t number, const Lookup& lookup, double service_s, double end_s) {
    const double wait_s = now_ - request.arrival_s, total_s = end_s - request.arrival_s;
    const bool found = is_hit(lookup);
    all_wait_s_ += wait_s;
    all_total_s_ += total_s;
    ++window_->started;
    window_->found += found;
    window_->service_s += service_s;
    window_->total.add(total_s);
    if (on_answer_) on_answer_({number, wait_s, total_s, service_s, request.user, lookup});
    if (number < warm_up_) return;
    ++result_.counted;
    result_.total.add(total_s);
    result_.wait.add(wait_s);
    result_.total_spells.add(total_s);
    result_.wait_spells.add(wait_s);
    counted_total_s_ += total_s;
    counted_wait_s_ += wait_s;
    service_s_ += service_s;
    service_squared_ += service_s * service_s;
    found_ += found;
    waited_ += wait_s > 0;
    within_ += within_budget(total_s, limit_s_);
    tokens_ += lookup.length;
    known_tokens_ += lookup.known;
  }

  void end_spell() noexcept {
    result_.total_spells.end();
    result_.wait_spells.end();
  }

  /// Sums that grow with time, at one time.
  struct Mark {
    double at_s = 0, waiting = 0, in_system = 0, busy = 0, gaps_squared = 0;
    std::int64_t completed = 0, evictions = 0, queue = 0;
  };
  Mark mark() {
    Mark mark{now_, 0, 0, 0, gaps_squared_, completed_, cache_ ? cache_->counts().evictions : 0, queue_.size()};
    for (const Window& window : timeline_.all()) {
      mark.waiting += window.waiting;
      mark.in_system += window.in_system;
      mark.busy += window.busy;
    }
    return mark;
  }
  void begin_counting() {
    begin_ = mark();
    // The gap before the first request that is counted is not theirs.
    begin_.gaps_squared += (now_ - last_arrival_) * (now_ - last_arrival_);
  }
  void end_counting() {
    end_ = mark();
    timeline_.close(now_);
    drained_ = true;
    window_ = &drain_;
  }

  Replication result() {
    end_spell();
    Replication result = std::move(result_);
    result.littles_ratio = check_littles_law();
    result.requests = static_cast<std::int64_t>(arrived_);
    result.seconds = end_.at_s - begin_.at_s;
    if (result.counted > 0) {
      const auto counted = static_cast<double>(result.counted);
      result.total_s = counted_total_s_ / counted;
      result.wait_s = counted_wait_s_ / counted;
      result.service_s = service_s_ / counted;
      result.waiting_share = static_cast<double>(waited_) / counted;
      result.hit_rate = static_cast<double>(found_) / counted;
      if (tokens_ > 0) result.token_hit_rate = static_cast<double>(known_tokens_) / static_cast<double>(tokens_);
      result.attainment = static_cast<double>(within_) / counted;
    }
    if (result.counted > 0 && result.seconds > 0) {
      const double seconds = result.seconds;
      result.utilisation = (end_.busy - begin_.busy) / (seconds * static_cast<double>(server_.workers));
      result.waiting = (end_.waiting - begin_.waiting) / seconds;
      result.in_system = (end_.in_system - begin_.in_system) / seconds;
      // The gaps between n requests are n - 1.
      result.arrivals_per_s = static_cast<double>(result.counted - 1) / seconds;
      result.completions_per_s = static_cast<double>(end_.completed - begin_.completed) / seconds;
      result.evictions_per_s = static_cast<double>(end_.evictions - begin_.evictions) / seconds;
      // Tokens of the counted requests at the rate at which these arrive.
      const double each = result.arrivals_per_s / static_cast<double>(result.counted);
      result.saved_tokens_per_s = static_cast<double>(known_tokens_) * each;
      result.recomputed_tokens_per_s = static_cast<double>(tokens_ - known_tokens_) * each;
    }
    result.saturation = judge(load(result));
    result.windows = windows(result.service_s);
    return result;
  }

  /// The integrals come from events, the sums from requests; empty at both ends, they are the same numbers.
  double check_littles_law() {
    double waiting = drain_.waiting, in_system = drain_.in_system, busy = drain_.busy;
    for (const Window& window : timeline_.all()) {
      waiting += window.waiting;
      in_system += window.in_system;
      busy += window.busy;
    }
    // Each sum has at most two terms a request and one a window, none negative; each term is rounded thrice, and each
    // addition once.
    const double bound = (4 * static_cast<double>(arrived_) + 1e4) * std::numeric_limits<double>::epsilon();
    const auto same = [&](double events, double requests, const char* what) {
      if (std::abs(events - requests) <= bound * std::max(events, requests)) return;
      throw std::logic_error(std::string("the simulation violates Little's law in ") + what + ": " +
                             format_double(events) + " against " + format_double(requests));
    };
    same(waiting, all_wait_s_, "requests waiting");
    same(in_system, all_total_s_, "requests in the system");
    same(busy, busy_s_, "workers");
    return all_total_s_ > 0 ? in_system / all_total_s_ : 1;
  }

  Load load(const Replication& result) {
    Load load;
    load.workers = server_.workers;
    load.batch_max = server_.batch_max;
    load.seconds = result.seconds;
    load.arrivals = std::max<std::int64_t>(0, result.counted - 1);
    load.service_s = result.service_s;
    load.waiting_first = begin_.queue;
    load.waiting = end_.queue;
    load.stopped = stopped_;
    if (load.arrivals > 0 && load.seconds > 0) {
      const double gap = load.seconds / static_cast<double>(load.arrivals);
      load.arrival_cv2 = std::max(
          0.0, (end_.gaps_squared - begin_.gaps_squared) / static_cast<double>(load.arrivals) / (gap * gap) - 1);
    }
    if (result.counted > 0 && result.service_s > 0) {
      load.service_cv2 =
          std::max(0.0, service_squared_ / static_cast<double>(result.counted) / std::pow(result.service_s, 2) - 1);
    }
    for (const Window& window : timeline_.all()) {
      const double seconds = window.end_s - window.start_s;
      if (window.start_s < begin_.at_s || seconds <= 0) continue;
      load.windows.push_back(
          {seconds, window.arrivals,
           window.started > 0 ? window.service_s / static_cast<double>(window.started) : result.service_s,
           window.in_system / seconds});
    }
    return load;
  }

  std::vector<TrafficWindow> windows(double service_s) {
    std::vector<TrafficWindow> windows;
    for (const Window& window : timeline_.all()) {
      const double seconds = window.end_s - window.start_s;
      TrafficWindow out;
      out.start_s = window.start_s;
      if (seconds > 0) {
        out.arrivals_per_s = static_cast<double>(window.arrivals) / seconds;
        out.completions_per_s = static_cast<double>(window.completions) / seconds;
        out.queue = window.waiting / seconds;
        out.offered_load_workers = static_cast<std::int64_t>(std::ceil(out.arrivals_per_s * service_s));
      }
      if (window.started > 0) {
        out.hit_rate = static_cast<double>(window.found) / static_cast<double>(window.started);
        if (window.started >= kTailRequests) out.p99_s = window.total.quantile(0.99);
      }
      windows.push_back(out);
    }
    return windows;
  }

  const ServiceTable& table_;
  const ServerOptions server_;
  const std::int64_t max_history_;
  const double limit_s_;
  const std::function<void(const Answer&)> on_answer_;
  const std::uint64_t warm_up_;
  const RandomStream stream_;
  const bool shortest_;
  const std::int64_t few_busy_;
  std::optional<UserCache> cache_;
  Reader reader_;
  Queue queue_;
  Busy busy_;
  Timeline timeline_;
  Window* window_;
  Window drain_;  ///< behind the last arrival

  double now_ = 0, last_arrival_ = 0;
  std::int64_t in_system_ = 0, completed_ = 0;
  std::uint64_t arrived_ = 0;
  bool drained_ = false, stopped_ = false;
  double gaps_squared_ = 0, busy_s_ = 0, all_wait_s_ = 0, all_total_s_ = 0;
  double counted_wait_s_ = 0, counted_total_s_ = 0, service_s_ = 0, service_squared_ = 0;
  std::int64_t found_ = 0, waited_ = 0, within_ = 0, tokens_ = 0, known_tokens_ = 0;
  Mark begin_, end_;
  Replication result_;

  struct Member {
    Queue::Place place;
    Lookup lookup;
  };
  std::vector<Member> batch_;
};

std::vector<LatencyPoint> distribution(const LatencyHistogram& times) {
  std::vector<double> shares;
  for (int percent = 1; percent < 99; ++percent) shares.push_back(percent / 100.0);
  for (const double tail : {0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999}) {
    // Beyond that they would all be one of the largest times.
    if ((1 - tail) * static_cast<double>(times.count()) >= kMinBeyond) shares.push_back(tail);
  }
  std::vector<LatencyPoint> points;
  for (const double share : shares) points.push_back({times.quantile(share), share});
  points.push_back({times.most(), 1});
  return points;
}

}  // namespace

Replication simulate_once(RequestSource& source, const ServiceTable& table, const SimulatorOptions& options,
                          std::int64_t warm_up, std::uint64_t seed) {
  return Simulator(source, table, options, warm_up, seed).run();
}

namespace {

/// What the replications tell together.
struct Pooled {
  PooledTimes total, wait;
  std::vector<Replication> each;  ///< without their histograms, which would take much
};

Pooled replicate(const Arrivals& arrivals, const ServiceTable& table, const SimulatorOptions& options) {
  const int threads = static_cast<int>(std::min<std::int64_t>(
      options.replications, options.threads > 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency())));
  const auto count = static_cast<std::size_t>(options.replications);
  Pooled pooled;
  pooled.each.resize(count);
  pooled.total.each.resize(count);
  pooled.wait.each.resize(count);
  // Whole numbers: their sums do not depend on which thread added which.
  std::vector<Pooled> parts(static_cast<std::size_t>(threads));
  parallel_for(threads, options.replications, [&](std::int64_t replication, int thread) {
    const auto number = static_cast<std::uint64_t>(replication);
    const auto at = static_cast<std::size_t>(replication);
    const std::unique_ptr<RequestSource> source = arrivals.make(number);
    Replication one =
        simulate_once(*source, table, options, arrivals.warm_up, RandomStream(options.seed, 0).bits(number));
    Pooled& part = parts[static_cast<std::size_t>(thread)];
    const auto pool = [at](PooledTimes& all, PooledTimes& of_thread, LatencyHistogram& times, Spells& spells) {
      of_thread.all.add(times);
      of_thread.spells.add(spells);
      all.each[at] = WindowHistogram(times);
      times = {};
      spells = {};
    };
    pool(pooled.total, part.total, one.total, one.total_spells);
    pool(pooled.wait, part.wait, one.wait, one.wait_spells);
    if (replication > 0) one.windows = {};
    pooled.each[at] = std::move(one);
  });
  for (const Pooled& part : parts) {
    pooled.total.all.add(part.total.all);
    pooled.total.spells.add(part.total.spells);
    pooled.wait.all.add(part.wait.all);
    pooled.wait.spells.add(part.wait.spells);
  }
  return pooled;
}

/// Requests that come sooner by a share of their time.
class Hurried final : public RequestSource {
 public:
  Hurried(std::unique_ptr<RequestSource> source, double by) : source_(std::move(source)), by_(by) {}
  std::size_t next(std::span<Request> block) override {
    const std::size_t count = source_->next(block);
    for (Request& request : block.first(count)) request.arrival_s /= 1 + by_;
    return count;
  }

 private:
  std::unique_ptr<RequestSource> source_;
  double by_;
};

/// The first replication of a log once more, in parts, now that it is known what lies beyond.
LogParts parts_of(const Arrivals& arrivals, const ServiceTable& table, const SimulatorOptions& options,
                  const Pooled& pooled) {
  std::array<double, kQuantiles.size()> total{}, wait{};
  for (std::size_t i = 0; i < kQuantiles.size(); ++i) {
    total[i] = pooled.total.all.quantile(kQuantiles[i].probability);
    wait[i] = pooled.wait.all.quantile(kQuantiles[i].probability);
  }
  const auto at = [&](double faster_by) {
    LogParts parts(pooled.each.front().counted, arrivals.copies);
    SimulatorOptions again = options;
    again.on_answer = [&](const Answer& answer) {
      const std::int64_t number = static_cast<std::int64_t>(answer.number) - arrivals.warm_up;
      if (number < 0) return;
      const Lookup& lookup = answer.lookup;
      LogParts::Sums sums{1,
                          answer.total_s,
                          answer.wait_s,
                          answer.service_s,
                          answer.wait_s > 0 ? 1.0 : 0.0,
                          is_hit(lookup) ? 1.0 : 0.0,
                          static_cast<double>(lookup.length),
                          static_cast<double>(lookup.known),
                          within_budget(answer.total_s, options.limit_s.value_or(kNever)) ? 1.0 : 0.0};
      for (std::size_t i = 0; i < kQuantiles.size(); ++i) {
        sums[LogParts::beyond_total + i] = answer.total_s > total[i] ? 1 : 0;
        sums[LogParts::beyond_wait + i] = answer.wait_s > wait[i] ? 1 : 0;
      }
      parts.add(number, answer.user, sums);
    };
    Hurried source(arrivals.make(0), faster_by);
    simulate_once(source, table, again, arrivals.warm_up, RandomStream(options.seed, 0).bits(0));
    return parts;
  };
  constexpr double kFaster = 0.03;
  LogParts parts = at(0);
  parts.set_faster(at(kFaster), kFaster);
  return parts;
}

constexpr const char* kTooClose =
    "each replication is too short for a queue this close to capacity: it needs more requests";
constexpr const char* kTooCloseLog = "the log is too short for a queue this close to capacity";
/// How many requests are enough is itself known from few.
constexpr double kToBeSure = 1.5;

/// 1,234,567 as 1,300,000: a number that is about right, rounded up.
double about(double value) {
  const double unit = std::pow(10, std::max(0.0, std::floor(std::log10(std::max(1.0, value))) - 1));
  return std::ceil(value / unit * (1 - 1e-9)) * unit;
}

/// The figures of all replications together, each with its interval where there is one.
class Figures {
 public:
  /// parts: of a log, where they are known.
  Figures(const std::vector<Replication>& each, std::optional<LogParts> parts, bool of_a_log)
      : each_(each), parts_(std::move(parts)), of_a_log_(of_a_log) {}

  /// Mean over the replications.
  template <typename Value>
  Estimate over(const Value& value) const {
    std::vector<double> values;
    for (const Replication& each : each_) values.push_back(std::invoke(value, each));
    Estimate estimate = mean_estimate(values);
    if (of_a_log_) estimate.ci95.reset();
    return estimate;
  }
  /// A mean over requests, which is a sum over another.
  Estimate ratio(double Replication::*member, std::size_t sum, std::size_t of = LogParts::requests) const {
    const Estimate estimate = over(member);
    return parts_ ? LogParts::in_the_next(estimate.value, parts_->half_width(sum, of)) : estimate;
  }
  QuantileEstimate quantile(const PooledTimes& times, std::size_t number, std::size_t beyond,
                            const Sample& sample) const {
    return quantile_estimate(times, kQuantiles[number].probability, sample,
                             parts_ ? parts_->half_width(beyond + number, LogParts::requests) : std::nullopt);
  }

 private:
  const std::vector<Replication>& each_;
  std::optional<LogParts> parts_;
  bool of_a_log_;
};

/// counted: every replication has a request that counts.
std::vector<TrafficLatency> latencies_of(const Simulation& simulation, const Pooled& pooled, const Figures& figures,
                                         const Arrivals& arrivals, bool counted) {
  const bool of_a_log = arrivals.copies > 0, steady = counted && !simulation.saturation.saturated;
  // Requests of a replication that are so close to capacity have mostly seen the queue fill up.
  const bool filling = steady && simulation.saturation.brief;
  const char* missing = filling ? (of_a_log ? kTooCloseLog : kTooClose) : counted ? "" : "no request is counted";
  std::vector<TrafficLatency> latencies{{"mean", std::nullopt, std::nullopt, filling ? missing : ""}};
  for (const NamedQuantile& quantile : kQuantiles) {
    latencies.push_back({quantile.name, std::nullopt, std::nullopt, missing});
  }
  if (!steady || filling) return latencies;

  latencies[0].total = figures.ratio(&Replication::total_s, LogParts::total);
  latencies[0].wait = figures.ratio(&Replication::wait_s, LogParts::wait);
  const auto replications = static_cast<double>(pooled.each.size());
  const Sample sample{simulation.counted, arrivals.copies * replications};
  for (std::size_t i = 0; i < kQuantiles.size(); ++i) {
    TrafficLatency& latency = latencies[i + 1];
    const QuantileEstimate total = figures.quantile(pooled.total, i, LogParts::beyond_total, sample);
    latency.total = total.value;
    latency.wait = figures.quantile(pooled.wait, i, LogParts::beyond_wait, sample).value;
    if (total.value) continue;
    const double each = static_cast<double>(simulation.requests) / replications;
    latency.missing = "it needs about " +
                      format_significant(about(kToBeSure * each * total.enough / std::max(1.0, arrivals.copies)), 3) +
                      (of_a_log ? " requests in the log" : " requests in each replication");
  }
  return latencies;
}

std::vector<TrafficFigure> figures_of(const Figures& figures, const SimulatorOptions& options, bool counted,
                                      bool steady) {
  std::vector<TrafficFigure> all;
  const auto add = [&](const char* name, const char* unit, bool known, const auto& estimate) {
    all.push_back({name, unit, std::nullopt});
    if (!known) return;
    Estimate value = estimate();
    if (value.ci95 && all.back().unit == "0..1") value.ci95->hi = std::min(1.0, value.ci95->hi);
    all.back().value = value;
  };
  const auto add_mean = [&](const char* name, const char* unit, bool known, double Replication::*member) {
    add(name, unit, known, [&] { return figures.over(member); });
  };
  const auto add_ratio = [&](const char* name, const char* unit, bool known, double Replication::*member,
                             std::size_t sum, std::size_t of = LogParts::requests) {
    add(name, unit, known, [&] { return figures.ratio(member, sum, of); });
  };
  add_mean("arrivals_per_s", "1/s", counted, &Replication::arrivals_per_s);
  add_mean("completions_per_s", "1/s", counted, &Replication::completions_per_s);
  add_mean("utilisation", "0..1", counted, &Replication::utilisation);
  add_ratio("service_s", "s", counted, &Replication::service_s, LogParts::service);
  add_ratio("waiting_share", "0..1", steady, &Replication::waiting_share, LogParts::waited);
  add_mean("waiting", "requests", steady, &Replication::waiting);
  add_mean("in_system", "requests", steady, &Replication::in_system);
  add_mean("littles_ratio", "ratio", counted, &Replication::littles_ratio);
  if (options.cache.bytes > 0) {
    add_ratio("hit_rate", "0..1", counted, &Replication::hit_rate, LogParts::found);
    add_ratio("token_hit_rate", "0..1", counted, &Replication::token_hit_rate, LogParts::known, LogParts::tokens);
    add_mean("evictions_per_s", "1/s", counted, &Replication::evictions_per_s);
    add_mean("saved_tokens_per_s", "tokens/s", counted, &Replication::saved_tokens_per_s);
  }
  add_mean("recomputed_tokens_per_s", "tokens/s", counted, &Replication::recomputed_tokens_per_s);
  if (options.limit_s) add_ratio("attainment", "0..1", steady, &Replication::attainment, LogParts::within);
  return all;
}

}  // namespace

Simulation simulate(const Arrivals& arrivals, const ServiceTable& table, const SimulatorOptions& options) {
  assert(options.replications >= 1);
  Pooled pooled = replicate(arrivals, table, options);
  Simulation simulation;
  std::vector<Saturation> saturations;
  bool counted = true;
  for (const Replication& each : pooled.each) {
    saturations.push_back(each.saturation);
    simulation.requests += each.requests;
    simulation.counted += each.counted;
    counted &= each.counted > 0;
  }
  simulation.saturation = judge(saturations);
  const bool steady = counted && !simulation.saturation.saturated, of_a_log = arrivals.copies > 0;
  std::optional<LogParts> parts;
  if (of_a_log && counted) parts = parts_of(arrivals, table, options, pooled);
  const Figures figures(pooled.each, std::move(parts), of_a_log);
  simulation.latencies = latencies_of(simulation, pooled, figures, arrivals, counted);
  simulation.figures = figures_of(figures, options, counted, steady);
  if (steady) simulation.cdf = distribution(pooled.total.all);
  if (counted) {
    simulation.utilisation = figures.over(&Replication::utilisation).value;
    simulation.offered_load_workers = static_cast<std::int64_t>(
        std::ceil(figures.over([](const Replication& each) { return each.arrivals_per_s * each.service_s; }).value));
  }
  simulation.windows = std::move(pooled.each.front().windows);
  for (const TrafficWindow& window : simulation.windows) {
    simulation.max_offered_load_workers = std::max(simulation.max_offered_load_workers, window.offered_load_workers);
  }
  return simulation;
}

std::optional<Estimate> p99_of(const Simulation& simulation) {
  for (const TrafficLatency& latency : simulation.latencies) {
    if (latency.name == "p99") return latency.total;
  }
  return std::nullopt;
}

std::vector<CapacityPoint> capacity_curve(const std::function<Arrivals(double requests_per_s)>& arrivals_at,
                                          const std::vector<double>& rates, const ServiceTable& table,
                                          const SimulatorOptions& options) {
  std::vector<CapacityPoint> points;
  for (const double rate : rates) {
    const Simulation simulation = simulate(arrivals_at(rate), table, options);
    points.push_back({rate, simulation.utilisation, p99_of(simulation), simulation.offered_load_workers,
                      simulation.saturation.saturated});
  }
  return points;
}

}  // namespace kvcast::traffic
