#include "measure/measure.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "base/random.h"

namespace kvcast::measure {
namespace {

// What one round times, as a unit that is not split: the rows at one N, or the prefills.
struct Step {
  enum class Kind { user, candidates, whole } kind;
  std::size_t workload;
  std::int64_t candidates;
  bool check = false;  ///< a whole run beside the assembled or scaled timing of the same N

  auto key() const { return std::tuple(kind, workload, candidates); }
};

class Rounds {
 public:
  Rounds(const Plan& plan, const std::vector<Workload>& workloads, const Environment& environment,
         const Options& options)
      : plan_(plan), workloads_(workloads), env_(environment), options_(options) {}

  Result run() {
    samples_ = options_.earlier;
    result_.rounds = options_.first_round;
    if (options_.warm_up_s > 0) warm_up();
    canaries_.push_back(env_.canary());
    const double start = env_.now();
    while (true) {
      if (interrupted()) break;
      if (result_.rounds >= plan_.max_rounds) {
        result_.stopped_by = StoppedBy::rounds;
        break;
      }
      if (result_.rounds >= plan_.min_rounds) {
        if (options_.precise_enough && options_.precise_enough(samples_)) {
          result_.stopped_by = StoppedBy::precision;
          break;
        }
        if (env_.now() + longest_round_ > options_.deadline) {
          result_.stopped_by = StoppedBy::budget;
          break;
        }
      }
      const double round_start = env_.now();
      const std::size_t before = samples_.size();
      if (!round(start)) {
        if (result_.stopped_by == StoppedBy::unknown) result_.stopped_by = StoppedBy::budget;
        break;
      }
      // Rounds with whole checks are longer; once they are over, a plain round is what the next will be like.
      if (result_.rounds == plan_.whole_check_rounds) longest_round_ = 0;
      longest_round_ = std::max(longest_round_, env_.now() - round_start);
      if (options_.on_round) {
        options_.on_round(result_.rounds, {samples_.begin() + static_cast<std::ptrdiff_t>(before), samples_.end()});
      }
      ++result_.rounds;
    }
    result_.samples = std::move(samples_);
    return std::move(result_);
  }

 private:
  bool stop() const { return options_.stop_requested && options_.stop_requested(); }
  bool interrupted() {
    if (!stop()) return false;
    result_.interrupted = true;
    result_.stopped_by = StoppedBy::interrupt;
    return true;
  }

  // Index of the workload that runs a point; the number of workloads when its case is of another batch.
  std::size_t workload_of(const PlannedPoint& point) const {
    const auto found = std::find_if(workloads_.begin(), workloads_.end(), [&](const Workload& load) {
      return load.case_index == point.case_index && load.id == point.scheme;
    });
    return static_cast<std::size_t>(found - workloads_.begin());
  }

  // Cases of this batch, ascending.
  std::vector<std::int64_t> cases() const {
    std::set<std::int64_t> indices;
    for (const Workload& load : workloads_) indices.insert(load.case_index);
    return {indices.begin(), indices.end()};
  }

  // Steps of one round, case by case in seeded order.
  std::vector<Step> schedule(std::int64_t round_index) const {
    const RandomStream random(options_.seed, 0x726f756e64ULL + static_cast<std::uint64_t>(round_index));
    std::uint64_t draw = 0;
    const Shuffle shuffle = [&](std::size_t count) { return random.bits(draw++) % count; };
    std::vector<std::int64_t> order = cases();
    if (order.size() > 1) shuffle_items(order, shuffle);
    std::vector<Step> steps;
    for (const std::int64_t one : order) {
      const std::vector<Step> of_case = case_schedule(one, round_index, shuffle);
      steps.insert(steps.end(), of_case.begin(), of_case.end());
    }
    return steps;
  }

  using Shuffle = std::function<std::size_t(std::size_t count)>;
  template <typename Items>
  static void shuffle_items(Items& items, const Shuffle& draw) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[draw(i)]);
  }

  // Steps of one case. Assembled parts and whole ones of an N stay together, schemes adjacent; N in seeded order.
  std::vector<Step> case_schedule(std::int64_t case_index, std::int64_t round_index, const Shuffle& draw) const {
    std::map<std::int64_t, std::vector<Step>> by_count;
    std::vector<Step> first;  // prefills, and the naive timing that larger N are scaled from
    const bool check = round_index < plan_.whole_check_rounds;
    std::set<std::pair<std::size_t, std::int64_t>> timed;  // rows that one naive timing serves share it
    for (const PlannedPoint& point : plan_.points) {
      if (point.case_index != case_index || point.status == Status::skipped) continue;
      const std::size_t index = workload_of(point);
      std::vector<Step>& steps = by_count[point.candidates];
      if (point.status == Status::assembled) {
        if (std::none_of(first.begin(), first.end(),
                         [&](const Step& s) { return s.workload == index && s.kind == Step::Kind::user; })) {
          first.push_back({Step::Kind::user, index, 0});
        }
        steps.push_back({Step::Kind::candidates, index, point.candidates});
      } else if (point.status == Status::extrapolated) {
        if (timed.insert({index, point.measured_candidates}).second) {
          first.push_back({Step::Kind::candidates, index, point.measured_candidates});
        }
      } else if (workloads_[index].has_prefill) {
        steps.push_back({Step::Kind::whole, index, point.candidates});
      } else if (timed.insert({index, point.candidates}).second) {
        steps.push_back({Step::Kind::candidates, index, point.candidates});
      }
      if (check && point.whole_s > 0 && workloads_[index].checked_whole) {
        steps.push_back({Step::Kind::whole, index, point.candidates, true});
      }
    }
    std::vector<std::int64_t> counts;
    for (const auto& [n, steps] : by_count) counts.push_back(n);
    shuffle_items(counts, draw);
    shuffle_items(first, draw);
    std::vector<Step> order = first;
    for (const std::int64_t n : counts) {
      shuffle_items(by_count[n], draw);
      order.insert(order.end(), by_count[n].begin(), by_count[n].end());
    }
    return order;
  }

  // Steps that are planned shorter than this are repeated or all overhead, and say nothing of the machine.
  static constexpr double kTelling = 10 * kMinTiming;

  // What the plan expects of a step, in seconds; 0 where it does not say (a prefill alone).
  double planned(const Step& step) const {
    double seconds = 0;
    if (step.kind == Step::Kind::user) return 0;
    const Workload& load = workloads_[step.workload];
    for (const PlannedPoint& point : plan_.points) {
      if (point.scheme != load.id || point.case_index != load.case_index || point.status == Status::skipped) continue;
      if (point.candidates != step.candidates && point.measured_candidates != step.candidates) continue;
      seconds = std::max(seconds, step.check ? point.whole_s : point.estimated_s);
    }
    return seconds;
  }

  // The last time of a step, or what the plan expects of it on a machine as slow as this one has been.
  double expected(const Step& step) const {
    const auto found = taken_.find(step.key());
    return found != taken_.end() ? found->second : planned(step) * slowness_;
  }

  void learn(const Step& step, double seconds) {
    taken_[step.key()] = seconds;
    if (const double wanted = planned(step); wanted > kTelling) slowness_ = std::max(slowness_, seconds / wanted);
  }

  // Whether a round before the last one that must be has time for this step. What an answer needs goes before a check.
  bool has_time(const Step& step) const {
    double end = env_.now() + expected(step);
    if (step.check) end += static_cast<double>(plan_.min_rounds - result_.rounds) * plan_.round_s * slowness_;
    return result_.rounds >= plan_.min_rounds || end <= options_.deadline;
  }

  // Every different step once, cheap ones first, as far as the time allows; then the cheapest of each workload again
  // and again until they no longer get faster. First runs pay page faults, cold caches and a CPU that is still waking.
  void warm_up() {
    const double start = env_.now();
    const double end = std::min(start + options_.warm_up_s, options_.deadline);
    std::vector<const PlannedPoint*> points;
    for (const PlannedPoint& point : plan_.points) {
      if (point.status != Status::skipped && workload_of(point) < workloads_.size()) points.push_back(&point);
    }
    std::stable_sort(points.begin(), points.end(),
                     [](const PlannedPoint* a, const PlannedPoint* b) { return a->estimated_s < b->estimated_s; });
    std::map<std::size_t, std::int64_t> cheapest;  // candidates by workload
    for (const PlannedPoint* point : points) {
      cheapest.try_emplace(workload_of(*point), point->measured_candidates);
      const double before = env_.now();
      if (stop() || before + point->estimated_s * slowness_ > end) continue;
      run_once(workload_of(*point), point->measured_candidates);
      if (point->estimated_s > kTelling) slowness_ = std::max(1.0, (env_.now() - before) / point->estimated_s);
    }
    double least = std::numeric_limits<double>::infinity();
    for (int unimproved = 0; unimproved < kSteadyPasses;) {
      const double before = env_.now();
      if (stop() || before > end || (std::isfinite(least) && before + least > end)) break;
      for (const auto& [index, count] : cheapest) run_once(index, count);
      const double taken = env_.now() - before;
      unimproved = taken < kSteadyGain * least ? 0 : unimproved + 1;
      least = std::min(least, taken);
      result_.steady = unimproved >= kSteadyPasses;
    }
    result_.warm_up_s = env_.now() - start;
  }
  // The warm-up ends when so many passes in a row have not been faster than the best by more than 1%.
  static constexpr int kSteadyPasses = 3;
  static constexpr double kSteadyGain = 0.99;

  void run_once(std::size_t index, std::int64_t candidates) const {
    const Workload& load = workloads_[index];
    prefill(load);
    score(load, candidates);
  }

  // Brings a case back into the caches when another one was there.
  void touch(const Step& step) {
    const std::int64_t one = workloads_[step.workload].case_index;
    if (one == last_case_ || env_.evict) return;
    if (last_case_ >= 0) run_cheapest(one);
    last_case_ = one;
  }

  // A prefill, or the fewest candidates that the case times.
  void run_cheapest(std::int64_t case_index) const {
    const PlannedPoint* fewest = nullptr;
    for (const PlannedPoint& point : plan_.points) {
      if (point.case_index != case_index || point.status == Status::skipped) continue;
      const Workload& load = workloads_[workload_of(point)];
      if (load.has_prefill) {
        prefill(load);
        return;
      }
      if (fewest == nullptr || point.measured_candidates < fewest->measured_candidates) fewest = &point;
    }
    score(workloads_[workload_of(*fewest)], fewest->measured_candidates);
  }

  // What a pass is to make anew must not be there from the one before. A warm scoring pass keeps the K,V that are its
  // input.
  void spoil(const Workload& load, const Step& step) const {
    const bool history = step.kind != Step::Kind::candidates || env_.evict;
    if (history && load.judged && load.has_prefill) load.session->spoil_history(load.id);
    if (step.kind != Step::Kind::user && load.spoil_outputs) load.spoil_outputs(step.candidates);
  }

  // Of passes that say they take no time.
  static constexpr std::int64_t kMaxRepeats = 1000;
  struct Timing {
    double user = 0, candidates = 0;
    std::size_t canary = 0;  // index of the canary before; the one after follows it
  };

  // Mean over enough repeats to fill kMinTiming; one pass when caches are to be cold.
  Timing time(const Step& step) {
    const Workload& load = workloads_[step.workload];
    touch(step);
    if (env_.evict) {
      if (load.next_user) load.next_user();
      spoil(load, step);
      env_.evict();
      // A request's candidates meet the K,V that its own prefill has just left.
      if (step.kind == Step::Kind::candidates) prefill(load);
    }
    Timing timing;
    timing.canary = canaries_.size() - 1;
    std::int64_t repeats = 0;
    do {
      if (!env_.evict) spoil(load, step);
      if (step.kind != Step::Kind::candidates) timing.user += prefill(load);
      if (step.kind != Step::Kind::user) timing.candidates += score(load, step.candidates);
      ++repeats;
    } while (!env_.evict && timing.user + timing.candidates < kMinTiming && repeats < kMaxRepeats);
    timing.user /= static_cast<double>(repeats);
    timing.candidates /= static_cast<double>(repeats);
    canaries_.push_back(env_.canary());
    return timing;
  }

  void add(const PlannedPoint& point, Status status, std::int64_t measured, double seconds, std::optional<double> user,
           std::optional<double> scoring, const std::vector<std::size_t>& canaries) {
    CaseSample sample;
    sample.case_index = point.case_index;
    sample.candidates = point.candidates;
    sample.scheme = point.scheme;
    sample.round = result_.rounds;
    sample.status = status;
    sample.measured_candidates = measured;
    sample.measured_seconds = seconds;
    sample.prefill_s = user;
    sample.scoring_s = scoring;
    sample.canary_gflops = canaries_[canaries.front()];
    for (const std::size_t i : canaries) sample.canary_gflops = std::min(*sample.canary_gflops, canaries_[i]);
    samples_.push_back(std::move(sample));
  }

  // False when cut short.
  bool round(double start) {
    std::vector<Step> steps = schedule(result_.rounds);
    // Of a round that may be the only one, what it takes least for; prefills first, which the others need.
    if (plan_.rounds > 0 && plan_.rounds < plan_.min_rounds) {
      std::stable_sort(steps.begin(), steps.end(), [this](const Step& a, const Step& b) {
        return std::pair(a.check, planned(a)) < std::pair(b.check, planned(b));
      });
    }
    std::map<std::size_t, Timing> users;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const Step& step = steps[i];
      const Workload& load = workloads_[step.workload];
      if (interrupted()) return false;
      if (env_.now() > options_.deadline) return false;
      if (!has_time(step)) {
        if (step.check) continue;
        return false;
      }
      if (options_.on_progress) {
        const double now = env_.now();
        const double in_round = static_cast<double>(i) / static_cast<double>(steps.size());
        const double by_rounds =
            (static_cast<double>(result_.rounds) + in_round) / static_cast<double>(plan_.max_rounds);
        const double by_time = (now - start) / std::max(options_.deadline - start, 1e-9);
        const double fraction = std::clamp(std::max(by_rounds, by_time), 0.0, 1.0);
        const double eta = fraction > 0.01 ? (now - start) / fraction * (1 - fraction) : options_.deadline - now;
        options_.on_progress(
            fraction, eta,
            "round " + std::to_string(result_.rounds + 1) + ", " + load.id.text() +
                (step.kind == Step::Kind::user ? ", prefill" : ", N=" + std::to_string(step.candidates)));
      }
      const double before = env_.now();
      const Timing timing = time(step);
      if (interrupted()) return false;  // an interrupted pass is incomplete
      learn(step, env_.now() - before);
      const std::vector<std::size_t> beside = {timing.canary, timing.canary + 1};
      if (step.kind == Step::Kind::user) {
        users[step.workload] = timing;
        continue;
      }
      if (load.keep_outputs) load.keep_outputs(step.candidates);
      for (const PlannedPoint& point : plan_.points) {
        if (point.scheme != load.id || point.case_index != load.case_index) continue;
        if (point.status == Status::skipped) continue;
        if (step.kind == Step::Kind::whole && point.candidates == step.candidates) {
          const double total = timing.user + timing.candidates;
          if (load.has_prefill) {
            add(point, Status::measured, step.candidates, total, timing.user, timing.candidates, beside);
          } else {
            add(point, Status::measured, step.candidates, total, std::nullopt, std::nullopt, beside);
          }
        } else if (step.kind == Step::Kind::candidates && point.status == Status::assembled &&
                   point.candidates == step.candidates) {
          const Timing& user = users.at(step.workload);
          add(point, Status::assembled, step.candidates, user.user + timing.candidates, user.user, timing.candidates,
              {timing.canary, timing.canary + 1, user.canary, user.canary + 1});
        } else if (step.kind == Step::Kind::candidates && point.status == Status::measured &&
                   point.candidates == step.candidates) {
          add(point, Status::measured, step.candidates, timing.candidates, std::nullopt, std::nullopt, beside);
        } else if (step.kind == Step::Kind::candidates && point.status == Status::extrapolated &&
                   point.measured_candidates == step.candidates) {
          add(point, Status::extrapolated, step.candidates, timing.candidates, std::nullopt, std::nullopt, beside);
        }
      }
    }
    return true;
  }

  const Plan& plan_;
  const std::vector<Workload>& workloads_;
  const Environment& env_;
  const Options& options_;
  std::vector<double> canaries_;
  std::vector<CaseSample> samples_;
  std::int64_t last_case_ = -1;  // whose timing was the last
  double longest_round_ = 0;
  std::map<std::tuple<Step::Kind, std::size_t, std::int64_t>, double> taken_;  // by step, the last time
  double slowness_ = 1;  // how much longer than planned the slowest step has taken
  Result result_;
};

}  // namespace

double prefill(const Workload& load) { return load.has_prefill ? load.session->prefill(load.id) : 0; }

double score(const Workload& load, std::int64_t candidates) {
  Scoring scoring = load.scoring;
  scoring.count = candidates;
  return load.session->score(load.id, scoring);
}

double set_canary_ratios(std::vector<CaseSample>& samples) {
  std::vector<double> speeds;
  for (const CaseSample& sample : samples) {
    if (sample.canary_gflops) speeds.push_back(*sample.canary_gflops);
  }
  if (speeds.empty()) return 0;
  std::sort(speeds.begin(), speeds.end());
  const double reference = speeds[static_cast<std::size_t>(0.75 * static_cast<double>(speeds.size() - 1))];
  for (CaseSample& sample : samples) {
    if (sample.canary_gflops) sample.canary_ratio = std::min(1.0, *sample.canary_gflops / reference);
  }
  return reference;
}

Result run_rounds(const Plan& plan, const std::vector<Workload>& workloads, const Environment& environment,
                  const Options& options) {
  return Rounds(plan, workloads, environment, options).run();
}

}  // namespace kvcast::measure
