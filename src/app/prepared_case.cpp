#include "app/prepared_case.h"

#include <algorithm>
#include <set>
#include <utility>

#include "app/equality_plan.h"
#include "app/profile.h"
#include "engine/builtin/model/weights.h"
#include "equality/stored_outputs.h"
#include "measure/machine.h"

namespace kvcast::app {
namespace {

/// N of the points of a case that run under this name, ascending; with `timed` also those that they are scaled from.
std::vector<std::int64_t> planned_counts(const Plan& plan, std::int64_t case_index, const TimingId& id,
                                         bool timed = false) {
  std::vector<std::int64_t> counts;
  for (const PlannedPoint& point : plan.points) {
    if (point.case_index != case_index || point.scheme != id || point.status == Status::skipped) continue;
    counts.push_back(point.candidates);
    if (timed) counts.push_back(point.measured_candidates);
  }
  return counts;
}

std::int64_t largest_planned(const Plan& plan, std::int64_t case_index) {
  std::int64_t most = 1;
  for (const PlannedPoint& point : plan.points) {
    if (point.case_index == case_index && point.status != Status::skipped) most = std::max(most, point.candidates);
  }
  return most;
}

}  // namespace

std::vector<SchemeInstance> measured_instances(const Config& config, const RunOptions& options) {
  std::vector<SchemeInstance> instances;
  for (SchemeInstance& instance : scheme_instances(config)) {
    instances.push_back(instance);
    if (!options.self_check) continue;
    instance.again = true;
    instances.push_back(std::move(instance));
  }
  return instances;
}

PreparedCase::PreparedCase(const Engine& engine, const Config& config, const Plan& plan, std::int64_t case_index,
                           const RunOptions& options)
    : engine_(engine),
      config_(config),
      case_index_(case_index),
      most_(largest_planned(plan, case_index)),
      problem_(config, most_),
      session_(engine.open(problem_)),
      outputs_(most_ * problem_.shape().dim) {
  if (config.model.head_width > 0) make_head(plan);
  for (const SchemeInstance& instance : measured_instances(config, options)) make(instance, plan);
  take_counts(plan);
  if (!config.measure.cold) return;
  users_.emplace_back(problem_.history().begin(), problem_.history().end());
  while (users_.size() < kColdUsers) {
    users_.emplace_back(users_.front().size());
    const auto seed = static_cast<std::uint64_t>(config.run.seed) + (users_.size() << 32);
    seeded_history(seed, config.model.positions(), problem_.shape().dim, users_.back());
  }
}

void PreparedCase::take_counts(const Plan& plan) {
  timed_.clear();
  for (const PlannedPoint& point : plan.points) {
    if (point.case_index != case_index_ || point.status == Status::skipped) continue;
    timed_.push_back(point.candidates);
    timed_.push_back(point.measured_candidates);
  }
}

void PreparedCase::adopt(const Plan& plan) {
  take_counts(plan);
  for (const PlannedPoint& point : plan.points) {
    if (point.case_index != case_index_ || point.status == Status::skipped) continue;
    session_->prepare(point.scheme, std::vector<std::int64_t>{point.measured_candidates});
  }
}

void PreparedCase::make_head(const Plan& plan) {
  std::set<std::int64_t> counts;
  for (const PlannedPoint& point : plan.points) {
    if (!point.scheme.with_head) continue;
    const auto timed = planned_counts(plan, case_index_, point.scheme, true);
    counts.insert(timed.begin(), timed.end());
  }
  if (counts.empty()) return;
  session_->add_head(*counts.rbegin());
  session_->prepare(TimingId::head(), std::vector<std::int64_t>(counts.begin(), counts.end()));
  scores_ = Buffer<float>(*counts.rbegin());
}

void PreparedCase::make(const SchemeInstance& instance, const Plan& plan) {
  const TimingId id = instance.id();
  const std::vector<std::int64_t> counts = planned_counts(plan, case_index_, id);
  if (counts.empty()) return;
  const std::int64_t most = counts.back();
  const SchemeSize size = scheme_size(config_, instance.options, most);
  std::vector<std::int64_t> sizes = planned_counts(plan, case_index_, {instance.label, true, instance.again}, true);
  sizes.insert(sizes.end(), counts.begin(), counts.end());
  const std::optional<std::int64_t> before = measure::resident_bytes();
  session_->add(instance, most);
  session_->prepare(id, sizes);
  const std::optional<std::int64_t> after = measure::resident_bytes();
  prepared_.push_back({instance, counts});
  if (!before || !after || instance.again) return;
  memory_.push_back({instance.label, most, *after - *before,
                     static_cast<std::int64_t>(instance.entry->bytes(problem_.shape(), size)),
                     static_cast<std::int64_t>(instance.entry->kv_bytes(work_shape(config_), most))});
}

std::vector<equality::Judged> PreparedCase::judged(std::int64_t batch) {
  std::vector<equality::Judged> all;
  for (const Prepared& p : prepared_) all.push_back({p.instance, std::min(p.counts.back(), batch)});
  const auto naive = std::find_if(all.begin(), all.end(), [](const equality::Judged& one) {
    return one.instance.entry == baseline().entry && !one.instance.again;
  });
  if (naive == all.end()) {
    const std::int64_t most = std::min(most_, batch);
    session_->add(baseline(), most);
    all.insert(all.begin(), {baseline(), most});
  } else {
    std::rotate(all.begin(), naive, naive + 1);
  }
  for (auto one = all.begin() + 1; one != all.end(); ++one) {
    session_->prepare(one->id(), std::vector<std::int64_t>{one->batch});
  }
  return all;
}

std::optional<Equivalence> PreparedCase::check(const MachineInfo& machine, std::int64_t cases,
                                               const std::function<bool()>& stop_requested) {
  const EqualityPlan plan = plan_equality(config_, machine, cases);
  const std::vector<equality::Judged> all = judged(plan.batch);
  std::optional<Equivalence> equivalence = equality::check(
      opened(), all, plan.checked, equality::reference_budget(plan.reference_s, config_.run.threads), stop_requested);
  if (equivalence) {
    equality::Judged few = all.front();
    few.batch = std::min(few.batch, plan.checked);  // naive runs no more of them for the check
    stored_ = equality::compare_stored_outputs(opened(), few, stop_requested);
  }
  return equivalence;
}

void PreparedCase::switch_to(Prepared& prepared, std::size_t user) const {
  prepared.user = user;
  session_->take_history(prepared.id(), users_[user]);
}

// The picked candidates side by side in as few passes as they fit: elsewhere in a batch, and of another size, than when
// they are timed.
void PreparedCase::expect_by(const TimingId& id, std::int64_t most, std::int64_t user,
                             const std::vector<std::int64_t>& picked) {
  const std::int64_t dim = problem_.shape().dim;
  const auto all = static_cast<std::int64_t>(picked.size());
  for (std::int64_t first = 0; first < all; first += most) {
    const std::int64_t count = std::min(most, all - first);
    const std::span part = std::span(picked).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    const std::vector<float> outputs = equality::outputs_of(*session_, id, equality::tokens_of(problem_, part), dim);
    for (std::int64_t i = 0; i < count; ++i) {
      after_->expect(user, part[static_cast<std::size_t>(i)], outputs.data() + i * dim, id.text());
    }
  }
}

void PreparedCase::expect(const MachineInfo& machine, std::int64_t cases, const std::function<bool()>& stop_requested) {
  const EqualityPlan plan = plan_equality(config_, machine, cases);
  after_.emplace(timed_, problem_.shape().dim);
  const std::vector<std::int64_t> picked = after_->candidates();
  Prepared *naive = nullptr, *cache = nullptr;
  for (Prepared& p : prepared_) {
    if (!p.instance.entry->shares && naive == nullptr) naive = &p;
    if (p.instance.entry->shares && !p.instance.entry->runs_history && cache == nullptr) cache = &p;
  }
  // Naive's own last pass has the first candidates alone where larger N are multiplied up from it; then the last ones.
  std::vector<std::int64_t> by_naive = {picked.front()};
  for (auto i = picked.rbegin(); i + 1 != picked.rend(); ++i) by_naive.push_back(*i);
  by_naive.resize(std::min(by_naive.size(), static_cast<std::size_t>(plan.expected_naive)));
  const std::int64_t naive_max = naive != nullptr ? naive->counts.back() : std::min(most_, plan.batch);

  const std::size_t users =
      std::max<std::size_t>(1, std::min(users_.size(), static_cast<std::size_t>(plan.judged_users)));
  // The first user first: his keys and values are there, until another's are computed.
  for (std::size_t user = 0; user < users; ++user) {
    if (cache != nullptr) {
      if (user > 0) {
        switch_to(*cache, user);
        session_->prefill(cache->id());
      }
      expect_by(cache->id(), cache->counts.back(), static_cast<std::int64_t>(user), picked);
    }
    if (!by_naive.empty()) {
      const TimingId id = naive != nullptr ? naive->id() : baseline().id();  // made by check()
      if (user > 0) session_->take_history(id, users_[user]);
      if (naive != nullptr) naive->user = user;
      expect_by(id, naive_max, static_cast<std::int64_t>(user), by_naive);
    }
    if (stop_requested()) {  // loops that are stopped skip work
      after_.reset();
      return;
    }
  }
}

std::vector<TimedOutputs> PreparedCase::after_timing(double tolerance,
                                                     const std::function<bool()>& stop_requested) const {
  if (!after_) return {};
  std::vector<TimedOutputs> judged = after_->judge_outputs(tolerance);
  for (const WorkerDifference& one : session_->differences()) {
    judged.push_back({one.id.text(), one.candidates, "outputs of worker " + std::to_string(one.worker), 0,
                      one.candidates, one.candidate, one.max_abs, 0, "worker 1", false});
  }
  if (scores_.size() == 0 || stop_requested()) return judged;
  const auto scores = after_->judge_scores(head_shape(config_), static_cast<std::uint64_t>(config_.run.seed),
                                           static_cast<int>(config_.run.threads));
  if (!stop_requested()) judged.insert(judged.end(), scores.begin(), scores.end());
  return judged;
}

std::vector<measure::Workload> PreparedCase::workloads() {
  std::vector<measure::Workload> workloads;
  const bool head = scores_.size() > 0;
  for (Prepared& p : prepared_) {
    workloads.push_back(workload_of(p, p.id()));
    TimingId with_head = p.id();
    with_head.with_head = true;
    if (head && !p.instance.again) workloads.push_back(workload_of(p, with_head));
    if (config_.run.workers > 1 && !p.instance.again) {
      TimingId alone = p.id();
      alone.alone = true;
      workloads.push_back(workload_of(p, alone));
    }
  }
  if (head) workloads.push_back(head_alone());
  return workloads;
}

measure::Workload PreparedCase::workload_of(Prepared& prepared, const TimingId& id) {
  measure::Workload load;
  load.id = id;
  load.session = session_.get();
  load.has_prefill = prepared.instance.entry->has_prefill && engine_.capabilities().phases_apart;
  load.case_index = case_index_;
  load.scoring = {problem_.candidates().data(), 0, outputs_.data(), id.with_head ? scores_.data() : nullptr};
  load.checked_whole = !id.with_head && !id.alone;
  if (!users_.empty()) load.next_user = [this, &prepared] { switch_to(prepared, (prepared.user + 1) % users_.size()); };
  judge(load, &prepared);
  return load;
}

measure::Workload PreparedCase::head_alone() {
  measure::Workload load;
  load.id = TimingId::head();
  load.session = session_.get();
  load.case_index = case_index_;
  load.scoring = {problem_.candidates().data(), 0, nullptr, scores_.data()};
  judge(load, nullptr);
  return load;
}

// prepared: whose outputs these are; null: only scores are made.
void PreparedCase::judge(measure::Workload& load, Prepared* prepared) {
  if (!after_) return;
  load.judged = true;
  const Scoring made = load.scoring;
  load.spoil_outputs = [this, made](std::int64_t n) {
    if (made.outputs != nullptr) after_->spoil(made.outputs, n, problem_.shape().dim);
    if (made.scores != nullptr) after_->spoil(made.scores, n, 1);
  };
  load.keep_outputs = [this, made, prepared, id = load.id](std::int64_t n) {
    if (prepared != nullptr) after_->keep(id, n, static_cast<std::int64_t>(prepared->user), made.outputs);
    if (made.scores == nullptr) return;
    after_->keep_scores(id, n, made.outputs != nullptr ? made.outputs : made.candidates, made.scores);
  };
}

HowRun PreparedCase::how_run(const TimingId& id, std::int64_t candidates) const {
  const bool there = std::any_of(prepared_.begin(), prepared_.end(), [&](const Prepared& p) { return p.id() == id; });
  return there ? session_->how_run(id, candidates) : HowRun{};
}

std::vector<Profile> PreparedCase::profiles(const std::function<bool()>& stop_requested) {
  std::vector<Profile> profiles;
  if (!engine_.capabilities().tells_steps) return profiles;
  for (const Prepared& p : prepared_) {
    // What runs the history again for every few candidates shows where time goes in the first few.
    const bool repeats = p.instance.entry->unit(scheme_size(config_, p.instance.options, p.counts.back())) > 0;
    const std::vector<std::int64_t> sizes =
        repeats ? std::vector{fair_count(config_, p.instance, p.counts.back())} : p.counts;
    const Scoring scoring{problem_.candidates().data(), 0, outputs_.data(), nullptr};
    for (Profile& profile : profile_scheme(*session_, p.id(), *p.instance.entry, sizes,
                                           static_cast<int>(config_.run.threads), scoring, stop_requested)) {
      profiles.push_back(std::move(profile));
    }
  }
  return profiles;
}

double cold_bytes(const Config& config) {
  if (!config.measure.cold) return 0;
  const auto history = static_cast<double>(config.model.history_length * config.model.dim) * sizeof(float);
  return static_cast<double>(kColdUsers) * history + static_cast<double>(measure::eviction_bytes());
}

}  // namespace kvcast::app
