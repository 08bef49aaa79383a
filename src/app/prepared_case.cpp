#include "app/prepared_case.h"

#include <algorithm>
#include <set>
#include <utility>

#include "analysis/composition.h"
#include "app/equality_plan.h"
#include "app/profile.h"
#include "app/stored_outputs.h"
#include "engine/builtin/model/weights.h"
#include "measure/machine.h"

namespace kvcast::app {
namespace {

/// N of the points of a case that run under this name, ascending; with `timed` also those that they are scaled from.
std::vector<std::int64_t> planned_counts(const Plan& plan, std::int64_t case_index, const std::string& name,
                                         bool timed = false) {
  std::vector<std::int64_t> counts;
  for (const PlannedPoint& point : plan.points) {
    if (point.case_index != case_index || point.scheme != name || point.status == Status::skipped) continue;
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

PreparedCase::PreparedCase(const Config& config, const Plan& plan, std::int64_t case_index, const RunOptions& options)
    : config_(config),
      case_index_(case_index),
      most_(largest_planned(plan, case_index)),
      problem_(config, most_),
      outputs_(most_ * problem_.shape().dim) {
  if (config.model.head_width > 0) make_head(plan);
  for (const SchemeInstance& instance : measured_instances(config, options)) make(instance, plan);
  for (const PlannedPoint& point : plan.points) {
    if (point.case_index != case_index || point.status == Status::skipped) continue;
    timed_.push_back(point.candidates);
    timed_.push_back(point.measured_candidates);
  }
  if (!config.measure.cold) return;
  users_.emplace_back(problem_.history().begin(), problem_.history().end());
  while (users_.size() < kColdUsers) {
    users_.emplace_back(users_.front().size());
    const auto seed = static_cast<std::uint64_t>(config.run.seed) + (users_.size() << 32);
    seeded_history(seed, positions(config.model), problem_.shape().dim, users_.back());
  }
}

void PreparedCase::make_head(const Plan& plan) {
  std::set<std::int64_t> counts;
  for (const PlannedPoint& point : plan.points) {
    if (!analysis::times_head(point.scheme)) continue;
    const auto timed = planned_counts(plan, case_index_, point.scheme, true);
    counts.insert(timed.begin(), timed.end());
  }
  if (counts.empty()) return;
  head_.emplace(head_shape(config_), static_cast<std::uint64_t>(config_.run.seed),
                static_cast<int>(config_.run.threads), *counts.rbegin());
  head_->prepare(std::vector<std::int64_t>(counts.begin(), counts.end()));
  scores_ = Buffer<float>(*counts.rbegin());
}

void PreparedCase::make(const SchemeInstance& instance, const Plan& plan) {
  const std::vector<std::int64_t> counts = planned_counts(plan, case_index_, instance.label);
  if (counts.empty()) return;
  const std::int64_t most = counts.back();
  const SchemeSize size = scheme_size(config_, instance.options, most);
  const std::int64_t unit = std::clamp<std::int64_t>(instance.entry->unit(size), 1, most);
  std::vector<std::int64_t> sizes = planned_counts(plan, case_index_, instance.label + analysis::kWithHead, true);
  sizes.insert(sizes.end(), counts.begin(), counts.end());
  sizes.push_back(unit);
  const std::optional<std::int64_t> before = measure::resident_bytes();
  prepared_.push_back({instance, problem_.make(instance, most), counts, unit});
  prepared_.back().scheme->prepare(sizes);
  const std::optional<std::int64_t> after = measure::resident_bytes();
  if (!before || !after || instance.label.ends_with(kAgain)) return;
  memory_.push_back({instance.label, most, *after - *before,
                     static_cast<std::int64_t>(instance.entry->bytes(problem_.shape(), size)),
                     static_cast<std::int64_t>(instance.entry->kv_bytes(work_shape(config_), most))});
}

void PreparedCase::choose_forms(const std::function<bool()>& stop_requested) {
  const float* candidates = problem_.candidates().data();
  for (Prepared& p : prepared_) {
    if (stop_requested()) return;
    p.scheme->user_pass();
    p.scheme->choose_form(measure::fastest_form(p.scheme->forms(), measure::now, [&](std::size_t form) {
      p.scheme->choose_form(form);
      p.scheme->candidate_pass(candidates, p.unit, outputs_.data());
    }));
  }
  // The two names of a self-check must not differ in form.
  for (Prepared& p : prepared_) {
    if (!p.instance.label.ends_with(kAgain) || p.scheme->forms() < 2) continue;
    for (Prepared& first : prepared_) {
      if (first.instance.label + kAgain != p.instance.label) continue;
      for (std::size_t form = 0; form < p.scheme->forms(); ++form) {
        p.scheme->choose_form(form);
        if (p.scheme->form_at(most_) == first.scheme->form_at(most_)) break;
      }
    }
  }
}

std::optional<Equivalence> PreparedCase::check(const MachineInfo& machine, std::int64_t cases,
                                               const std::function<bool()>& stop_requested) {
  const EqualityPlan equality = plan_equality(config_, machine, cases);
  std::vector<NamedScheme> named;
  std::unique_ptr<Scheme> own_baseline;
  const auto naive = std::find_if(prepared_.begin(), prepared_.end(),
                                  [](const Prepared& p) { return p.instance.entry == baseline().entry; });
  if (naive == prepared_.end()) {
    const std::int64_t batch = std::min(most_, equality.batch);
    own_baseline = problem_.make(baseline(), batch);
    named.push_back({baseline(), own_baseline.get(), batch});
  } else {
    named.push_back({naive->instance, naive->scheme.get(), std::min(naive->counts.back(), equality.batch)});
  }
  for (Prepared& p : prepared_) {
    if (naive != prepared_.end() && &p == &*naive) continue;
    const std::int64_t batch = std::min(p.counts.back(), equality.batch);
    p.scheme->prepare(std::vector<std::int64_t>{batch});
    named.push_back({p.instance, p.scheme.get(), batch});
  }
  std::optional<Equivalence> equivalence = check_equality(
      problem_, named, equality.checked, reference_budget(equality.reference_s, config_.run.threads), stop_requested);
  if (equivalence) {
    NamedScheme few = named.front();
    few.batch = std::min(few.batch, equality.checked);  // naive runs no more of them for the check
    stored_ = compare_stored_outputs(problem_, few, stop_requested);
  }
  return equivalence;
}

void PreparedCase::switch_to(Prepared& prepared, std::size_t user) const {
  prepared.user = user;
  prepared.scheme->take_history(users_[user]);
}
void PreparedCase::next_user(Prepared& prepared) const { switch_to(prepared, (prepared.user + 1) % users_.size()); }

// The picked candidates side by side in as few passes as they fit: elsewhere in a batch, and of another size, than when
// they are timed.
void PreparedCase::expect_by(Scheme& scheme, const std::string& name, std::int64_t most, std::int64_t user,
                             const std::vector<std::int64_t>& picked) {
  const std::int64_t dim = problem_.shape().dim;
  const auto all = static_cast<std::int64_t>(picked.size());
  for (std::int64_t first = 0; first < all; first += most) {
    const std::int64_t count = std::min(most, all - first);
    const std::span part = std::span(picked).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    const std::vector<float> inputs = tokens_of(problem_, part);
    std::vector<float> outputs(inputs.size());
    scheme.prepare(std::vector<std::int64_t>{count});
    scheme.candidate_pass(inputs.data(), count, outputs.data());
    for (std::int64_t i = 0; i < count; ++i) {
      after_->expect(user, part[static_cast<std::size_t>(i)], outputs.data() + i * dim, name);
    }
  }
}

void PreparedCase::expect(const MachineInfo& machine, std::int64_t cases, const std::function<bool()>& stop_requested) {
  const EqualityPlan equality = plan_equality(config_, machine, cases);
  after_.emplace(timed_, problem_.shape().dim);
  std::vector<std::int64_t> picked = after_->candidates();
  Prepared *naive = nullptr, *cache = nullptr;
  for (Prepared& p : prepared_) {
    if (!p.instance.entry->shares && naive == nullptr) naive = &p;
    if (p.instance.entry->shares && !p.instance.entry->runs_history && cache == nullptr) cache = &p;
  }
  // Naive's own last pass has the first candidates alone where larger N are multiplied up from it; then the last ones.
  std::vector<std::int64_t> by_naive = {picked.front()};
  for (auto i = picked.rbegin(); i + 1 != picked.rend(); ++i) by_naive.push_back(*i);
  by_naive.resize(std::min(by_naive.size(), static_cast<std::size_t>(equality.expected_naive)));
  const std::int64_t few = std::min<std::int64_t>(static_cast<std::int64_t>(picked.size()), most_);
  std::unique_ptr<Scheme> own;
  if (naive == nullptr && !by_naive.empty()) own = problem_.make(baseline(), few);

  const std::size_t users =
      std::max<std::size_t>(1, std::min(users_.size(), static_cast<std::size_t>(equality.judged_users)));
  // The first user first: his keys and values are there, until another's are computed.
  for (std::size_t user = 0; user < users; ++user) {
    if (cache != nullptr) {
      if (user > 0) {
        switch_to(*cache, user);
        cache->scheme->user_pass();
      }
      expect_by(*cache->scheme, cache->instance.label, cache->counts.back(), static_cast<std::int64_t>(user), picked);
    }
    if (!by_naive.empty()) {
      Scheme& scheme = naive != nullptr ? *naive->scheme : *own;
      if (user > 0) scheme.take_history(users_[user]);
      if (naive != nullptr) naive->user = user;
      expect_by(scheme, baseline().label, naive != nullptr ? naive->counts.back() : few,
                static_cast<std::int64_t>(user), by_naive);
    }
    if (stop_requested()) {  // loops that are told to end leave out what they like
      after_.reset();
      return;
    }
  }
}

std::vector<TimedOutputs> PreparedCase::after_timing(double tolerance,
                                                     const std::function<bool()>& stop_requested) const {
  if (!after_) return {};
  std::vector<TimedOutputs> judged = after_->judge_outputs(tolerance);
  if (!head_ || stop_requested()) return judged;
  const auto scores = after_->judge_scores(head_shape(config_), static_cast<std::uint64_t>(config_.run.seed),
                                           static_cast<int>(config_.run.threads));
  if (!stop_requested()) judged.insert(judged.end(), scores.begin(), scores.end());
  return judged;
}

std::vector<measure::Workload> PreparedCase::workloads() {
  std::vector<measure::Workload> workloads;
  const float* candidates = problem_.candidates().data();
  for (Prepared& p : prepared_) {
    Scheme* scheme = p.scheme.get();
    measure::Workload load;
    load.name = p.instance.label;
    load.has_user_pass = p.instance.entry->user_pass;
    load.user_pass = [scheme] { scheme->user_pass(); };
    load.candidate_pass = [this, scheme, candidates](std::int64_t n) {
      scheme->candidate_pass(candidates, n, outputs_.data());
    };
    load.case_index = case_index_;
    if (!users_.empty()) load.next_user = [this, &p] { next_user(p); };
    const std::int64_t dim = problem_.shape().dim;
    const auto keep = [this, &p](const std::string& name, std::int64_t n) {
      after_->keep(name, n, static_cast<std::int64_t>(p.user), outputs_.data());
    };
    if (after_) {
      if (load.has_user_pass) load.spoil_history = [scheme] { scheme->spoil_history(); };
      load.spoil_outputs = [this, dim](std::int64_t n) { after_->spoil(outputs_.data(), n, dim); };
      load.keep_outputs = [keep, name = load.name](std::int64_t n) { keep(name, n); };
    }
    workloads.push_back(load);
    if (!head_ || p.instance.label.ends_with(kAgain)) continue;
    // The same scheme in the same memory and form, so that nothing but the head differs.
    load.name += analysis::kWithHead;
    load.candidate_pass = [this, scheme, candidates](std::int64_t n) {
      scheme->candidate_pass(candidates, n, outputs_.data());
      head_->run(outputs_.data(), n, scores_.data());
    };
    load.checked_whole = false;
    if (after_) {
      load.spoil_outputs = [this, dim](std::int64_t n) {
        after_->spoil(outputs_.data(), n, dim);
        after_->spoil(scores_.data(), n, 1);
      };
      load.keep_outputs = [this, keep, name = load.name](std::int64_t n) {
        keep(name, n);
        after_->keep_scores(name, n, outputs_.data(), scores_.data());
      };
    }
    workloads.push_back(std::move(load));
  }
  if (head_) {
    measure::Workload alone;
    alone.name = analysis::kHead;
    alone.candidate_pass = [this, candidates](std::int64_t n) { head_->run(candidates, n, scores_.data()); };
    alone.case_index = case_index_;
    if (after_) {
      alone.spoil_outputs = [this](std::int64_t n) { after_->spoil(scores_.data(), n, 1); };
      alone.keep_outputs = [this, candidates, name = alone.name](std::int64_t n) {
        after_->keep_scores(name, n, candidates, scores_.data());
      };
    }
    workloads.push_back(std::move(alone));
  }
  return workloads;
}

std::optional<std::string> PreparedCase::form(const std::string& label, std::int64_t candidates) const {
  for (const Prepared& p : prepared_) {
    if (p.instance.label != label) continue;
    const std::string form = p.scheme->form_at(candidates);
    if (!form.empty()) return form;
  }
  return std::nullopt;
}

std::vector<Profile> PreparedCase::profiles(const std::function<bool()>& stop_requested) {
  std::vector<Profile> profiles;
  for (Prepared& p : prepared_) {
    // What runs the history again for every few candidates shows where time goes in the first few.
    const bool repeats = p.instance.entry->unit(scheme_size(config_, p.instance.options, p.counts.back())) > 0;
    const std::vector<std::int64_t> sizes = repeats ? std::vector{p.unit} : p.counts;
    for (Profile& profile : profile_scheme(p.instance, *p.scheme, sizes, static_cast<int>(config_.run.threads),
                                           problem_.candidates().data(), outputs_.data(), stop_requested)) {
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
