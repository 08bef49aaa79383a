#include "measure/measure.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/random.h"

namespace kvcast::measure {
namespace {

// What one round times, as a unit that is not split: the rows at one N, or the history passes.
struct Step {
  enum class Kind { user, candidates, whole } kind;
  std::size_t workload;
  std::int64_t candidates;
};

class Rounds {
 public:
  Rounds(const Plan& plan, const std::vector<Workload>& workloads, const Environment& environment,
         const Options& options)
      : plan_(plan), workloads_(workloads), env_(environment), options_(options) {}

  Result run() {
    canaries_.push_back(env_.canary());
    const double start = env_.now();
    while (true) {
      if (stop()) {
        result_.interrupted = true;
        result_.stopped_by = "interrupt";
        break;
      }
      if (result_.rounds >= plan_.max_rounds) {
        result_.stopped_by = "rounds";
        break;
      }
      if (result_.rounds >= plan_.min_rounds) {
        if (options_.precise_enough && options_.precise_enough(samples_with_ratios())) {
          result_.stopped_by = "precision";
          break;
        }
        if (env_.now() + longest_round_ > options_.deadline) {
          result_.stopped_by = "budget";
          break;
        }
      }
      const double round_start = env_.now();
      if (!round(start)) {
        if (result_.stopped_by.empty()) result_.stopped_by = "budget";
        break;
      }
      // Rounds with whole checks are longer; once they are over, a plain round is what the next will be like.
      if (result_.rounds == plan_.whole_check_rounds) longest_round_ = 0;
      longest_round_ = std::max(longest_round_, env_.now() - round_start);
      ++result_.rounds;
    }
    result_.samples = samples_with_ratios();
    result_.canary_reference = canary_reference();
    return std::move(result_);
  }

 private:
  bool stop() const { return options_.stop_requested && options_.stop_requested(); }

  const Workload& workload(const std::string& name, std::size_t& index) const {
    for (index = 0; index < workloads_.size(); ++index) {
      if (workloads_[index].name == name) break;
    }
    return workloads_[index];
  }

  // Steps of one round. Composed parts and whole ones of an N stay together, schemes adjacent; N in seeded order.
  std::vector<Step> schedule(std::int64_t round_index) const {
    std::map<std::int64_t, std::vector<Step>> by_count;
    std::vector<Step> first;  // history passes, and the naive timing that larger N are scaled from
    const bool check = plan_.cases.front().whole_check_candidates > 0 && round_index < plan_.whole_check_rounds;
    std::set<std::pair<std::size_t, std::int64_t>> timed;  // rows that one naive timing serves share it
    for (const PlannedPoint& point : plan_.points) {
      if (point.status == Status::skipped) continue;
      std::size_t index = 0;
      const Workload& load = workload(point.scheme, index);
      std::vector<Step>& steps = by_count[point.candidates];
      if (point.status == Status::composed) {
        if (std::none_of(first.begin(), first.end(),
                         [&](const Step& s) { return s.workload == index && s.kind == Step::Kind::user; })) {
          first.push_back({Step::Kind::user, index, 0});
        }
        steps.push_back({Step::Kind::candidates, index, point.candidates});
      } else if (point.status == Status::scaled) {
        if (timed.insert({index, point.measured_candidates}).second) {
          first.push_back({Step::Kind::candidates, index, point.measured_candidates});
        }
      } else if (load.has_user_pass) {
        steps.push_back({Step::Kind::whole, index, point.candidates});
      } else if (timed.insert({index, point.candidates}).second) {
        steps.push_back({Step::Kind::candidates, index, point.candidates});
      }
      if (check && point.candidates == plan_.cases.front().whole_check_candidates && point.status != Status::measured) {
        steps.push_back({Step::Kind::whole, index, point.candidates});
      }
    }
    const RandomStream random(options_.seed, 0x726f756e64ULL + static_cast<std::uint64_t>(round_index));
    std::uint64_t draw = 0;
    const auto shuffle = [&](auto& items) {
      for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.bits(draw++) % i]);
    };
    std::vector<std::int64_t> counts;
    for (const auto& [n, steps] : by_count) counts.push_back(n);
    shuffle(counts);
    shuffle(first);
    std::vector<Step> order = first;
    for (const std::int64_t n : counts) {
      shuffle(by_count[n]);
      order.insert(order.end(), by_count[n].begin(), by_count[n].end());
    }
    return order;
  }

  struct Timing {
    double user = 0, candidates = 0;
    std::size_t canary = 0;  // index of the canary before; the one after follows it
  };

  // Mean over enough repeats to fill kMinTiming.
  Timing time(const Step& step) {
    const Workload& load = workloads_[step.workload];
    Timing timing;
    timing.canary = canaries_.size() - 1;
    std::int64_t repeats = 0;
    const double begin = env_.now();
    double end = begin;
    do {
      const double t0 = env_.now();
      if (step.kind != Step::Kind::candidates && load.has_user_pass) load.user_pass();
      const double t1 = env_.now();
      if (step.kind != Step::Kind::user) load.candidate_pass(step.candidates);
      end = env_.now();
      timing.user += t1 - t0;
      timing.candidates += end - t1;
      ++repeats;
    } while (end - begin < kMinTiming && repeats < 1000);
    timing.user /= static_cast<double>(repeats);
    timing.candidates /= static_cast<double>(repeats);
    canaries_.push_back(env_.canary());
    return timing;
  }

  void add(const PlannedPoint& point, Status status, std::int64_t measured, double seconds, std::optional<double> user,
           std::optional<double> fusion, std::vector<std::size_t> canaries) {
    Sample sample;
    sample.candidates = point.candidates;
    sample.scheme = point.scheme;
    sample.round = result_.rounds;
    sample.status = status;
    sample.measured_candidates = measured;
    sample.measured_seconds = seconds;
    sample.user_seconds = user;
    sample.fusion_seconds = fusion;
    samples_.push_back({sample, std::move(canaries)});
  }

  // False when cut short.
  bool round(double start) {
    const std::vector<Step> steps = schedule(result_.rounds);
    std::map<std::size_t, Timing> users;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const Step& step = steps[i];
      const Workload& load = workloads_[step.workload];
      if (stop()) {
        result_.interrupted = true;
        result_.stopped_by = "interrupt";
        return false;
      }
      if (env_.now() > options_.deadline) return false;
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
            "round " + std::to_string(result_.rounds + 1) + ", " + load.name +
                (step.kind == Step::Kind::user ? " history" : ", N=" + std::to_string(step.candidates)));
      }
      const Timing timing = time(step);
      const std::vector<std::size_t> beside = {timing.canary, timing.canary + 1};
      if (step.kind == Step::Kind::user) {
        users[step.workload] = timing;
        continue;
      }
      for (const PlannedPoint& point : plan_.points) {
        if (point.scheme != load.name || point.status == Status::skipped) continue;
        if (step.kind == Step::Kind::whole && point.candidates == step.candidates) {
          const double total = timing.user + timing.candidates;
          if (load.has_user_pass) {
            add(point, Status::measured, step.candidates, total, timing.user, timing.candidates, beside);
          } else {
            add(point, Status::measured, step.candidates, total, std::nullopt, std::nullopt, beside);
          }
        } else if (step.kind == Step::Kind::candidates && point.status == Status::composed &&
                   point.candidates == step.candidates) {
          const Timing& user = users.at(step.workload);
          add(point, Status::composed, step.candidates, user.user + timing.candidates, user.user, timing.candidates,
              {timing.canary, timing.canary + 1, user.canary, user.canary + 1});
        } else if (step.kind == Step::Kind::candidates && point.status == Status::measured &&
                   point.candidates == step.candidates) {
          add(point, Status::measured, step.candidates, timing.candidates, std::nullopt, std::nullopt, beside);
        } else if (step.kind == Step::Kind::candidates && point.status == Status::scaled &&
                   point.measured_candidates == step.candidates) {
          add(point, Status::scaled, step.candidates, timing.candidates, std::nullopt, std::nullopt, beside);
        }
      }
    }
    return true;
  }

  // The upper quartile stands for the undisturbed machine: the maximum may be a turbo state that a loaded CPU does
  // not hold, and the median fails when a neighbour is busy half of the time.
  double canary_reference() const {
    std::vector<double> sorted = canaries_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<std::size_t>(0.75 * static_cast<double>(sorted.size() - 1))];
  }

  std::vector<Sample> samples_with_ratios() const {
    const double reference = canary_reference();
    std::vector<Sample> samples;
    for (const auto& [sample, indices] : samples_) {
      samples.push_back(sample);
      double least = reference;
      for (const std::size_t i : indices) least = std::min(least, canaries_[i]);
      samples.back().canary_ratio = least / reference;
    }
    return samples;
  }

  const Plan& plan_;
  const std::vector<Workload>& workloads_;
  const Environment& env_;
  const Options& options_;
  std::vector<double> canaries_;
  std::vector<std::pair<Sample, std::vector<std::size_t>>> samples_;
  double longest_round_ = 0;
  Result result_;
};

}  // namespace

std::size_t fastest_form(std::size_t forms, const std::function<double()>& now,
                         const std::function<void(std::size_t form)>& run) {
  std::vector<double> best(forms, std::numeric_limits<double>::infinity());
  for (int repeat = 0; repeat < 2 && forms > 1; ++repeat) {
    for (std::size_t form = 0; form < forms; ++form) {
      const double start = now();
      run(form);
      best[form] = std::min(best[form], now() - start);
    }
  }
  return static_cast<std::size_t>(std::min_element(best.begin(), best.end()) - best.begin());
}

Result run_rounds(const Plan& plan, const std::vector<Workload>& workloads, const Environment& environment,
                  const Options& options) {
  return Rounds(plan, workloads, environment, options).run();
}

}  // namespace kvcast::measure
