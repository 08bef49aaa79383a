#include "app/run.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "analysis/composition.h"
#include "analysis/plausibility.h"
#include "app/analyse.h"
#include "app/notes.h"
#include "app/plan.h"
#include "app/prepared_case.h"
#include "base/clock.h"
#include "base/stop.h"
#include "base/temporary.h"
#include "base/text.h"
#include "config/units.h"
#include "engine/builtin/builtin.h"
#include "journal/journal.h"
#include "kvcast/words.h"
#include "measure/machine.h"
#include "measure/measure.h"
#include "report/shape.h"

namespace kvcast {

const app::Surroundings& app::real_surroundings() {
  static const Surroundings real{clock_seconds, [](int threads) { return measure::canary_gflops(threads); },
                                 measure::cpu_times};
  return real;
}

namespace {

using app::Surroundings;

// What starting up and probing the machine took before run() was called; part of the budget.
constexpr double kProbeSeconds = 0.8;
// A set-up estimated to take more than this many budgets is hopeless.
constexpr double kHopeless = 1.5;
// Of the time that a batch has, before its first round.
constexpr double kWarmUpShare = 0.05;
// Of the budget, for asking what a pass takes.
constexpr double kAskShare = 0.05;

std::string budget_text(const Config& config) { return "--budget " + config::format_duration(config.measure.budget_s); }

Config case_config(Config config, const PlannedCase& planned) {
  config.sweep = {};
  config.model.history_length = planned.history_length;
  config.model.layers = planned.layers;
  config.run.workers = planned.workers;
  config.run.threads = planned.threads;
  return config;
}

/// Rounds that an earlier process has journalled.
struct Earlier {
  std::vector<journal::JournalRound> rounds;
  double measured_s = 0;
};

class Run {
 public:
  Run(const Engine& engine, const Surroundings& surroundings, const Config& config, const MachineInfo& machine,
      const Plan& plan, const RunOptions& options, const Observer& observer, const Earlier& earlier,
      std::optional<journal::JournalWriter> writer)
      : engine_(engine),
        surroundings_(surroundings),
        config_(config),
        plan_(plan),
        options_(options),
        observer_(observer),
        earlier_(earlier),
        writer_(std::move(writer)),
        probed_(machine),
        kept_rounds_(static_cast<std::int64_t>(earlier.rounds.size())),
        end_(surroundings.now() - kProbeSeconds + config.measure.budget_s - earlier.measured_s) {
    if (writer_ && kept_rounds_ == 0) empty_journal_.emplace(journal::journal_path(options.journal_folder));
    Report& report = result_.report;
    report.tool = tool_info();
    report.machine = machine;
    report.config = config;
    report.shard = options.shard;
    report.conditions.emplace();
    report.conditions->measured_s = earlier.measured_s;
    report.conditions->resumed = static_cast<std::int64_t>(earlier.rounds.size());
    for (const PlannedCase& planned : plan.cases) {
      report.cases.emplace_back().shape = report::shape_of(case_config(config, planned));
    }
    for (const PlannedPoint& point : plan.points) skip_points(point);
  }

  RunResult run() {
    try {
      return measure_all();
    } catch (...) {
      // A journal without a round has nothing to resume from.
      if (writer_ && kept_rounds_ == 0) discard_journal(options_.journal_folder);
      throw;
    }
  }

 private:
  RunResult measure_all() {
    if (config_.measure.pin && !measure::pin(static_cast<int>(config_.run.threads))) {
      result_.report.warnings.push_back(
          {"not-pinned", "the system did not allow pinning: threads may have moved between CPUs", "taskset may help"});
    }
    const auto before = surroundings_.cpu_times();
    std::optional<StopScope> stoppable(observer_.stop_requested);
    for (std::int64_t batch = 0; batch < plan_.batches && !stopped(); ++batch) {
      if (!measure_batch(batch)) return std::move(result_);
    }
    stoppable.reset();
    take_conditions(before);
    finish();
    return std::move(result_);
  }

  bool stopped() const { return observer_.stop_requested && observer_.stop_requested(); }
  void stage(const std::string& name) const {
    if (observer_.on_stage) observer_.on_stage(name);
  }
  Case& case_at(std::int64_t index) { return result_.report.cases[static_cast<std::size_t>(index)]; }

  // Whether the points of the report have a row for it.
  static bool has_row(const TimingId& id) { return id.plain(); }
  // Keeps why a point is not measured, which no sample says.
  void skip_points(const PlannedPoint& point) {
    if (point.status != Status::skipped || !has_row(point.scheme)) return;
    scheme_point(point.case_index, point.scheme.scheme, point.candidates).reason = point.reason;
  }
  SchemePoint& scheme_point(std::int64_t case_index, const std::string& scheme, std::int64_t candidates) {
    std::vector<Point>& points = case_at(case_index).points;
    auto point = std::find_if(points.begin(), points.end(), [&](const Point& p) { return p.candidates == candidates; });
    if (point == points.end()) {
      points.push_back({candidates, {}});
      point = points.end() - 1;
    }
    point->schemes.emplace_back().scheme = scheme;
    return point->schemes.back();
  }

  // False when a check failed, so that nothing may be timed.
  bool measure_batch(std::int64_t batch) {
    std::vector<std::unique_ptr<app::PreparedCase>> cases;
    const auto stop = [this] { return stopped(); };
    for (std::size_t i = 0; i < plan_.cases.size(); ++i) {
      if (plan_.cases[i].batch != batch || stopped()) continue;
      const auto index = static_cast<std::int64_t>(i);
      const bool runs = std::any_of(plan_.points.begin(), plan_.points.end(), [&](const PlannedPoint& point) {
        return point.case_index == index && point.status != Status::skipped;
      });
      if (!runs) continue;
      stage("preparing weights");
      cases.push_back(
          std::make_unique<app::PreparedCase>(engine_, case_config(config_, plan_.cases[i]), plan_, index, options_));
      case_at(index).memory = cases.back()->memory();
      stage("choosing kernels");
      cases.back()->tune(stop);
      if (stopped()) break;
      if (!engine_.capabilities().gives_outputs) continue;
      stage("checking outputs");
      std::optional<Equivalence>& equivalence = case_at(index).equivalence;
      equivalence = cases.back()->check(*result_.report.machine, static_cast<std::int64_t>(plan_.cases.size()), stop);
      if (equivalence && !equivalence->agrees) {
        result_.checks_passed = false;
        result_.failure =
            "the schemes do not give the same outputs, so nothing was timed: " + disagreement(*equivalence);
        return false;
      }
      const std::vector<StoredOutputs>& stored = cases.back()->stored_outputs();
      if (const std::string other = disagreement(stored, app::notes_on(cases.back()->problem())); !other.empty()) {
        result_.checks_passed = false;
        result_.failure = "this model does not reproduce the outputs in the file, so nothing was timed: " + other;
        return false;
      }
    }
    // In cold mode emptying the caches is most of what a timing takes.
    if (batch == 0 && earlier_.rounds.empty() && !config_.measure.cold && !stopped()) ask(cases);
    for (const auto& one : cases) {
      if (stopped() || !engine_.capabilities().gives_outputs) break;
      one->expect(*result_.report.machine, static_cast<std::int64_t>(plan_.cases.size()), stop);
    }
    if (!stopped() && !cases.empty()) take_rounds(batch, cases);
    for (const auto& one : cases) {
      Case& reported = case_at(one->case_index());
      if (reported.equivalence && reported.equivalence->tolerance_naive) {
        reported.after_timing = one->after_timing(*reported.equivalence->tolerance_naive, stop);
      }
      keep_how_run(*one);
      if (config_.measure.profile && !stopped()) {
        stage("profiling");
        std::vector<Profile> profiles = one->profiles(stop);
        if (!stopped()) case_at(one->case_index()).profiles = std::move(profiles);
      }
      if (one == cases.front() && batch == 0) {
        for (Warning& note : app::notes_on(one->problem())) result_.report.warnings.push_back(std::move(note));
        note_stored(one->stored_outputs());
        note_unjudged();
      }
    }
    return true;
  }

  // Times every way to run a request once, and plans the rounds by that: the first plan rests on FLOPs alone.
  void ask(const std::vector<std::unique_ptr<app::PreparedCase>>& cases) {
    std::vector<plan::Costs> costs = app::costs_of(engine_, config_, *result_.report.machine, options_);
    std::map<TimingId, plan::Seen> any;  // the first one timed stands for those that are elsewhere or not timed
    const double until = surroundings_.now() + kAskShare * config_.measure.budget_s;
    for (const auto& one : cases) {
      std::map<TimingId, plan::Seen> seen;
      for (const measure::Workload& load : one->workloads()) {
        const auto found = see(load, costs[static_cast<std::size_t>(load.case_index)], until);
        if (stopped()) return;
        if (found) any.insert(*seen.insert({load.id, *found}).first);
      }
      plan::Costs& own = costs[static_cast<std::size_t>(one->case_index())];
      own.setup_s = 0;
      seen.insert(any.begin(), any.end());
      plan::correct(own, seen);
    }
    for (std::size_t i = 0; i < costs.size(); ++i) {
      const auto here = std::any_of(cases.begin(), cases.end(),
                                    [&](const auto& one) { return one->case_index() == static_cast<std::int64_t>(i); });
      if (!here) plan::correct(costs[i], any);
    }
    plan_ = plan::build_plan(config_, costs, surroundings_.now() - (end_ - config_.measure.budget_s));
    for (const auto& one : cases) one->adopt(plan_);
    if (writer_) {
      writer_->replace_head({tool_info(), probed_, config_, plan_, options_.shard, options_.self_check});
    }
  }

  // One pass of the fewest candidates that are timed; nullopt where that would take longer than `until`.
  std::optional<plan::Seen> see(const measure::Workload& load, const plan::Costs& costs, double until) const {
    const auto cost = std::find_if(costs.schemes.begin(), costs.schemes.end(),
                                   [&](const plan::SchemeCost& one) { return one.id == load.id; });
    std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
    for (const PlannedPoint& point : plan_.points) {
      const bool own = point.scheme == load.id && point.case_index == load.case_index;
      if (own && point.status != Status::skipped) fewest = std::min(fewest, point.measured_candidates);
    }
    if (cost == costs.schemes.end() || fewest == std::numeric_limits<std::int64_t>::max()) return std::nullopt;
    const double expected = cost->prefill_s + cost->candidates_s(fewest);
    if (surroundings_.now() + expected > until) return std::nullopt;
    const double prefill = measure::prefill(load), scoring = measure::score(load, fewest);
    return plan::Seen{cost->prefill_s > 0 ? prefill / cost->prefill_s : 1, scoring / cost->candidates_s(fewest)};
  }

  void note_unjudged() {
    if (engine_.capabilities().gives_outputs) return;
    result_.report.warnings.push_back(
        {"equality-unjudged",
         engine_.info().name + " returns no outputs, so nothing shows that its schemes compute the same",
         "the times may be of different work"});
  }

  // Those that were not compared; the others agree.
  void note_stored(const std::vector<StoredOutputs>& stored) {
    std::string names, why;
    for (const StoredOutputs& one : stored) {
      if (one.why_not.empty() || (!why.empty() && one.why_not != why)) continue;
      names += (names.empty() ? "" : ", ") + one.name;
      why = one.why_not;
    }
    if (names.empty()) return;
    result_.report.warnings.push_back(
        {"import-outputs", names + " of the file not compared: " + why, "the weights are used nevertheless"});
  }

  void take_rounds(std::int64_t batch, const std::vector<std::unique_ptr<app::PreparedCase>>& cases) {
    stage("warming up");
    std::vector<measure::Workload> workloads;
    for (const auto& one : cases) {
      for (measure::Workload& load : one->workloads()) workloads.push_back(std::move(load));
    }
    const int threads = static_cast<int>(busy_cpus(config_));
    measure::Environment environment{surroundings_.now, [this, threads] { return surroundings_.canary(threads); }, {}};
    std::optional<measure::Evictor> evictor;
    if (config_.measure.cold) {
      evictor.emplace(threads);
      environment.evict = [&evictor] { (*evictor)(); };
    }
    measure::Options options;
    options.seed = static_cast<std::uint64_t>(config_.run.seed);
    options.deadline = batch_deadline(batch);
    options.warm_up_s = kWarmUpShare * std::max(0.0, options.deadline - surroundings_.now());
    options.stop_requested = observer_.stop_requested;
    options.on_progress = observer_.on_progress;
    for (const journal::JournalRound& round : earlier_.rounds) {
      if (round.batch != batch) continue;
      ++options.first_round;
      for (const auto& [case_index, sample] : round.samples) options.earlier.push_back({sample, case_index});
    }
    options.precise_enough = [this](const std::vector<measure::CaseSample>& samples) {
      return app::precise_enough(by_case(samples), config_.measure.precision);
    };
    double last = surroundings_.now();
    Conditions& conditions = *result_.report.conditions;
    options.on_round = [&](std::int64_t round, const std::vector<measure::CaseSample>& samples) {
      const double now = surroundings_.now();
      conditions.measured_s += now - last;
      if (writer_) {
        journal::JournalRound line{round, batch, now - last, {}};
        for (const measure::CaseSample& sample : samples) line.samples.emplace_back(sample.case_index, sample);
        writer_->append(line);
        ++kept_rounds_;
        empty_journal_.reset();
      }
      last = now;
    };
    const measure::Result measured = measure::run_rounds(plan_, workloads, environment, options);
    samples_.insert(samples_.end(), measured.samples.begin(), measured.samples.end());
    conditions.rounds = batch == 0 ? measured.rounds : std::min(conditions.rounds, measured.rounds);
    conditions.warm_up_s += measured.warm_up_s;
    conditions.steady = (batch == 0 || conditions.steady) && measured.steady;
    // The whole run is as precise as its least precise batch.
    if (batch == 0 || measured.stopped_by != StoppedBy::precision) conditions.stopped_by = measured.stopped_by;
    result_.interrupted = result_.interrupted || measured.interrupted;
  }

  // What is left of the budget goes to the batches that are left by the length of their rounds.
  double batch_deadline(std::int64_t batch) const {
    double own = 0, left = 0, setup = 0;  // setup: of the batches after this one
    for (const PlannedCase& one : plan_.cases) {
      if (one.batch == batch) own += one.round_s;
      if (one.batch >= batch) left += one.round_s;
      if (one.batch > batch) setup += one.setup_s;
    }
    const double now = surroundings_.now();
    return left > 0 ? now + std::max(0.0, end_ - setup - now) * own / left : end_;
  }

  static std::map<std::int64_t, std::vector<Sample>> by_case(const std::vector<measure::CaseSample>& samples) {
    std::map<std::int64_t, std::vector<Sample>> cases;
    for (const measure::CaseSample& sample : samples) cases[sample.case_index].push_back(sample);
    return cases;
  }

  void keep_how_run(const app::PreparedCase& one) {
    for (const PlannedPoint& point : plan_.points) {
      if (point.case_index != one.case_index() || point.status == Status::skipped) continue;
      if (!has_row(point.scheme)) continue;
      const HowRun how = one.how_run(point.scheme, point.candidates);
      if (how != HowRun{})
        static_cast<HowRun&>(scheme_point(point.case_index, point.scheme.scheme, point.candidates)) = how;
    }
  }

  void take_conditions(const std::optional<measure::CpuTimes>& before) {
    const auto after = surroundings_.cpu_times();
    if (!before || !after || after->total_s <= before->total_s) return;
    const double total = after->total_s - before->total_s;
    Conditions& conditions = *result_.report.conditions;
    conditions.steal_pct = 100 * (after->stolen_s - before->stolen_s) / total;
    const double own = after->own_s - before->own_s;
    conditions.foreign_cpu_pct = 100 * std::max(0.0, after->busy_s - before->busy_s - own) / total;
  }

  void finish() {
    Report& report = result_.report;
    if (stopped()) {
      result_.interrupted = true;
      report.conditions->stopped_by = StoppedBy::interrupt;
    }
    if (samples_.empty() && !result_.interrupted) {
      throw CheckError("nothing could be measured within " + budget_text(config_) +
                       ": preparing and checking took all of it");
    }
    if (const double reference = measure::set_canary_ratios(samples_); reference > 0) {
      // The peak that held during the run, not the one of a cool machine before it. The canary speaks for bf16 too.
      MachineInfo& machine = *report.machine;
      if (machine.bf16_peak_gflops && machine.peak_gflops) {
        *machine.bf16_peak_gflops *= reference / *machine.peak_gflops;
      }
      machine.peak_gflops = reference;
    }
    for (const measure::CaseSample& sample : samples_) case_at(sample.case_index).samples.push_back(sample);
    app::analyse(report, {});
    if (!analysis::faster_than_possible(report).empty()) {
      raise_peaks();
      app::analyse(report, {});
    }
    judge();
  }

  // Times below their minimum: the peak may be too low, where the canaries ran beside something else or on a slower
  // clock. The highest that was seen speaks, after one more look where there is time for it.
  void raise_peaks() {
    MachineInfo& machine = *result_.report.machine;
    const auto raise = [](std::optional<double>& peak, const std::optional<double>& seen) {
      if (seen && (!peak || *seen > *peak)) peak = seen;
    };
    const auto raise_both = [&](const MachineInfo& seen) {
      raise(machine.peak_gflops, seen.peak_gflops);
      raise(machine.bf16_peak_gflops, seen.bf16_peak_gflops);
    };
    raise_both(probed_);
    if (!result_.interrupted) raise_both(machine_info(busy_cpus(config_)));
  }

  // What the budget was not enough for: a scheme that was planned and has no time at a shape, or any fit.
  struct Missing {
    std::string what;                     // empty: nothing
    std::int64_t planned = 0, timed = 0;  // points
  };
  Missing missing() const {
    Missing missing;
    std::map<std::pair<std::int64_t, std::string>, std::int64_t> times;  // points with a time, by case and scheme
    bool naive = false, shares = false, fitted = false;
    for (const PlannedPoint& point : plan_.points) {
      if (point.status == Status::skipped || !has_row(point.scheme)) continue;
      const Case& one = result_.report.cases[static_cast<std::size_t>(point.case_index)];
      fitted =
          fitted || std::any_of(one.fits.begin(), one.fits.end(), [](const Fit& fit) { return fit.r.has_value(); });
      if (point.candidates > 1) {
        const bool has_fit = std::any_of(one.fits.begin(), one.fits.end(),
                                         [&](const Fit& f) { return f.scheme == point.scheme.scheme; });
        naive = naive || point.scheme.scheme == baseline().label;
        shares = shares || has_fit;
      }
      const bool timed = std::any_of(one.samples.begin(), one.samples.end(), [&](const Sample& sample) {
        return sample.scheme == point.scheme && sample.candidates == point.candidates;
      });
      ++missing.planned;
      missing.timed += timed ? 1 : 0;
      times[{point.case_index, point.scheme.scheme}] += timed ? 1 : 0;
    }
    if (naive && shares && !fitted) missing.what = "no speed-up could be fitted";
    for (const auto& [key, timed] : times) {
      if (timed > 0 || !missing.what.empty()) continue;
      const PlannedCase& one = plan_.cases[static_cast<std::size_t>(key.first)];
      missing.what = "nothing was timed for " + key.second;
      if (plan_.cases.size() > 1) {
        missing.what += " at L=" + std::to_string(one.history_length) + ", layers=" + std::to_string(one.layers);
      }
    }
    return missing;
  }

  void judge() {
    if (const std::string none = no_result(result_.report); !none.empty()) {
      result_.checks_passed = false;
      result_.failure = none;
      return;
    }
    if (const Missing lost = missing(); !lost.what.empty() && !result_.interrupted) {
      result_.checks_passed = false;
      result_.failure = lost.what + ": " + budget_text(config_) + " was enough for " + std::to_string(lost.timed) +
                        " of " + std::to_string(lost.planned) +
                        " points; raise --budget, or ask for fewer N or a smaller shape";
    }
    for (const Case& one : result_.report.cases) {
      for (const CompositionCheck& check : one.composition) {
        if (!analysis::is_gross(check)) continue;  // the others are warned of
        result_.checks_passed = false;
        result_.failure = check.scheme + " at N=" + std::to_string(check.candidates) + ": a whole run takes " +
                          format_significant(check.ratio.value, 3) + " times the sum of its parts";
      }
      for (const SelfCheck& check : one.self_check) {
        if (check.contains_one) continue;
        result_.checks_passed = false;
        result_.failure = check.scheme + (check.candidates ? " at N=" + std::to_string(*check.candidates) : "") +
                          ": timed under two names, the ratio is " + format_significant(check.ratio.value, 4) +
                          " and its interval excludes 1";
      }
    }
  }

  const Engine& engine_;
  const Surroundings& surroundings_;
  const Config& config_;
  Plan plan_;
  const RunOptions& options_;
  const Observer& observer_;
  const Earlier& earlier_;
  std::optional<journal::JournalWriter> writer_;
  MachineInfo probed_;            ///< before the run
  std::int64_t kept_rounds_ = 0;  ///< in the journal
  std::optional<Temporary> empty_journal_;
  double end_;  ///< of the budget, on measure's clock
  std::vector<measure::CaseSample> samples_;
  RunResult result_;
};

void refuse_hopeless(const Config& config, const Plan& plan) {
  if (plan.setup_s > kHopeless * config.measure.budget_s) {
    throw CheckError(budget_text(config) + ": preparing and checking alone takes about " +
                     format_significant(plan.setup_s, 2) + "s, which leaves no time to measure");
  }
  if (std::all_of(plan.points.begin(), plan.points.end(),
                  [](const PlannedPoint& point) { return point.status == Status::skipped; })) {
    throw CheckError("nothing could be measured: no point fits in memory");
  }
}

std::string rounded_gib(const MachineInfo& machine) {
  constexpr double kGiB = 1024.0 * 1024 * 1024;
  return machine.memory_bytes
             ? format_significant(std::round(static_cast<double>(*machine.memory_bytes) / kGiB), 6) + " GiB"
             : "unknown";
}

/// Of two builds or machines that must be the same.
void refuse_unlike(const std::string& where, const std::string& what, const std::string& began,
                   const std::string& here) {
  if (began == here) return;
  throw ConfigError(where, "began with " + what + " '" + began + "', this is '" + here + "'",
                    "resume with the same build on the same machine");
}

}  // namespace

RunResult app::run_on(const Engine& engine, const Surroundings& surroundings, const Config& config,
                      const MachineInfo& machine, const Plan& plan, const RunOptions& options,
                      const Observer& observer) {
  refuse_hopeless(config, plan);
  std::optional<journal::JournalWriter> writer;
  if (!options.journal_folder.empty()) {
    writer = journal::JournalWriter::create(options.journal_folder,
                                            {tool_info(), machine, config, plan, options.shard, options.self_check});
  }
  return Run(engine, surroundings, config, machine, plan, options, observer, {}, std::move(writer)).run();
}

RunResult run(const Config& config, const MachineInfo& machine, const Plan& plan, const RunOptions& options,
              const Observer& observer) {
  return app::run_on(builtin_engine(), app::real_surroundings(), config, machine, plan, options, observer);
}

Unfinished read_unfinished(const std::string& folder) {
  const std::string path = journal::journal_path(folder);
  journal::refuse_when_in_use(folder);
  const journal::JournalContents contents = journal::read_journal(path);
  const journal::JournalHead& head = contents.head;
  const ToolInfo tool = tool_info();
  refuse_unlike(path, "version", head.tool.version, tool.version);
  refuse_unlike(path, "commit", head.tool.git_commit, tool.git_commit);
  refuse_unlike(path, "compiler", head.tool.compiler, tool.compiler);
  refuse_unlike(path, "build type", head.tool.build_type, tool.build_type);
  Unfinished unfinished{head.config, head.plan, {head.shard, head.self_check, folder}, head.machine, 0, 0};
  for (const journal::JournalRound& round : contents.rounds) {
    ++unfinished.rounds;
    unfinished.measured_s += round.measured_s;
  }
  return unfinished;
}

void refuse_other_machine(const Unfinished& unfinished, const MachineInfo& machine) {
  const std::string path = journal::journal_path(unfinished.options.journal_folder);
  const MachineInfo& began = unfinished.machine;
  refuse_unlike(path, "CPU", began.cpu_model, machine.cpu_model);
  refuse_unlike(path, "SIMD target", began.isa, machine.isa);
  refuse_unlike(path, "instruction set", began.dense_isa, machine.dense_isa);
  refuse_unlike(path, "CPUs", std::to_string(began.threads), std::to_string(machine.threads));
  // Two builds of Linux leave the same machine a few KiB more or less.
  refuse_unlike(path, "memory", rounded_gib(began), rounded_gib(machine));
}

RunResult app::resume_on(const Engine& engine, const Surroundings& surroundings, const Unfinished& unfinished,
                         const MachineInfo& machine, const Observer& observer) {
  const std::string& folder = unfinished.options.journal_folder;
  const journal::JournalContents contents = journal::read_journal(journal::journal_path(folder));
  Earlier earlier{contents.rounds, unfinished.measured_s};
  return Run(engine, surroundings, unfinished.config, machine, unfinished.plan, unfinished.options, observer, earlier,
             journal::JournalWriter::reopen(folder, contents))
      .run();
}

RunResult resume(const Unfinished& unfinished, const MachineInfo& machine, const Observer& observer) {
  return app::resume_on(builtin_engine(), app::real_surroundings(), unfinished, machine, observer);
}

void discard_journal(const std::string& folder) { journal::remove_journal(folder); }

}  // namespace kvcast
