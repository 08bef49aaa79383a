#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>

#include "analysis/composition.h"
#include "analysis/fit.h"
#include "analysis/statistics.h"
#include "analysis/summarise.h"
#include "app/equality_plan.h"
#include "app/notes.h"
#include "app/problem.h"
#include "app/profile.h"
#include "base/text.h"
#include "measure/machine.h"
#include "measure/measure.h"

namespace kvcast {
namespace {

// Rounds before precision may end a run: with fewer the interval itself is too uncertain to be believed.
constexpr std::int64_t kPrecisionRounds = 5;
// What starting up and probing the machine took before run() was called; part of the budget.
constexpr double kProbeSeconds = 0.8;
// An estimate of the set-up beyond this many budgets leaves nothing to hope for.
constexpr double kHopeless = 1.5;

void stage(const Observer& observer, const std::string& name) {
  if (observer.on_stage) observer.on_stage(name);
}

// Every sharing scheme's speed-up at every N has an interval no wider than the precision; where there are no speed-ups,
// every scheme's time has.
bool precise_enough(const std::vector<Sample>& samples, double precision) {
  const auto precise = [precision](const std::vector<double>& values) {
    if (static_cast<std::int64_t>(values.size()) < kPrecisionRounds) return false;
    const auto interval = analysis::geometric_mean_interval(values);
    return interval && interval->hi / interval->lo <= (1 + precision) / (1 - precision);
  };
  const analysis::TimingTable table = analysis::tabulate(samples);
  const auto naive = table.find(analysis::kBaseline);
  const bool ratios = naive != table.end() && table.size() > 1;
  bool any = false;
  for (const auto& [scheme, points] : table) {
    if (ratios && scheme == analysis::kBaseline) continue;
    for (const auto& [n, timings] : points) {
      std::vector<double> values;
      if (ratios) {
        const auto base = naive->second.find(n);
        if (base == naive->second.end()) continue;
        for (const auto& pair :
             analysis::pair_rounds(analysis::prevailing(base->second), analysis::prevailing(timings)).pairs) {
          values.push_back(pair.ratio());
        }
      } else {
        for (const auto& timing : analysis::prevailing(timings)) values.push_back(timing.seconds);
      }
      if (!precise(values)) return false;
      any = true;
    }
  }
  return any;
}

struct Prepared {
  SchemeInstance instance;
  std::unique_ptr<Scheme> scheme;
  std::vector<std::int64_t> counts;  ///< N that it runs
  std::int64_t unit;                 ///< of them, what larger N are scaled from and forms are compared at
};

// The fastest micro-batch at every N, where packed was swept over several.
std::vector<BestMicroBatch> best_micro_batches(const std::vector<Point>& points,
                                               const std::vector<SchemeInstance>& instances) {
  std::vector<BestMicroBatch> result;
  for (const Point& point : points) {
    BestMicroBatch best;
    double fastest = 0, slowest = 0;
    std::set<std::int64_t> swept;  // sizes that ran: no pass has more than N
    for (std::size_t i = 0; i < instances.size(); ++i) {
      const SchemePoint& scheme = point.schemes[i];
      if (instances[i].options.micro_batch == 0 || !scheme.seconds) continue;
      const std::int64_t size = std::min(instances[i].options.micro_batch, point.candidates);
      const double seconds = scheme.seconds->median;
      if (swept.empty() || seconds < fastest) {
        fastest = seconds;
        best = {point.candidates, size, scheme.scheme, 1};
      }
      slowest = std::max(slowest, seconds);
      swept.insert(size);
    }
    if (swept.size() < 2) continue;
    best.slowest_ratio = slowest / fastest;
    result.push_back(best);
  }
  return result;
}

// The law of r is for one pass over the history: not for a sweep of micro-batches, nor for a cache that was there.
bool fitted(const SchemeInstance& instance, std::int64_t most) {
  const std::int64_t batch = instance.options.micro_batch;
  return instance.entry->law && (batch == 0 || batch >= most);
}

std::vector<Warning> warnings_of(const Report& report, const Plan& plan, const measure::Result& measured) {
  std::vector<Warning> warnings;
  const Case& result = report.cases.front();
  if (measured.interrupted) {
    warnings.push_back({"interrupted", "the run was stopped after " + std::to_string(measured.rounds) + " whole rounds",
                        "figures rest on fewer samples than planned"});
  } else if (measured.rounds < plan.min_rounds) {
    warnings.push_back({"few-rounds", "only " + std::to_string(measured.rounds) + " whole rounds fit the budget",
                        "raise --budget: intervals from fewer than " + std::to_string(plan.min_rounds) +
                            " rounds are missing or wide"});
  } else if (measured.stopped_by == "budget") {
    warnings.push_back({"precision",
                        "the budget ended before every speed-up (without one, every time) was within " +
                            format_significant(100 * report.config->measure.precision, 3) + "%",
                        "raise --budget or --precision; the intervals say how far it got"});
  }
  std::int64_t slow = 0;
  for (const Sample& sample : result.samples) slow += sample.canary_ratio < analysis::kCanaryFloor ? 1 : 0;
  if (slow * 5 > static_cast<std::int64_t>(result.samples.size())) {
    warnings.push_back(
        {"noisy-machine",
         format_significant(100.0 * static_cast<double>(slow) / static_cast<double>(result.samples.size()), 3) +
             "% of the timings ran beside a slow canary",
         "something else used the CPUs; run again when they are free"});
  }
  for (const CompositionCheck& check : result.composition) {
    if (check.agrees) continue;
    warnings.push_back({"composition",
                        check.scheme + " at N=" + std::to_string(check.candidates) + ": a whole run took " +
                            format_significant(check.ratio.value, 4) + " times what its parts add up to",
                        "raise --budget so that points run whole"});
  }
  std::set<std::string> unchecked;
  for (const Sample& sample : result.samples) {
    if (sample.status == Status::composed || sample.status == Status::scaled) unchecked.insert(sample.scheme);
  }
  for (const CompositionCheck& check : result.composition) unchecked.erase(check.scheme);
  for (const std::string& scheme : unchecked) {
    warnings.push_back({"composition-unchecked",
                        scheme + ": no N was run whole in two rounds or more to check its composed or scaled times",
                        "raise --budget, or add an N >= 5 that is cheap"});
  }
  for (const Fit& fit : result.fits) {
    if (fit.preferred == "affine") {
      warnings.push_back({"form",
                          fit.scheme + ": the affine form predicts left-out N better than the one-parameter law",
                          "use a, b and c for sizing; r alone hides a fixed cost per request"});
    }
  }
  return warnings;
}

}  // namespace

RunResult run(const Config& config, const MachineInfo& machine, const Plan& plan, const RunOptions&,
              const Observer& observer) {
  const double start = measure::now() - kProbeSeconds;
  RunResult result;
  Report& report = result.report;
  report.tool = tool_info();
  report.config = config;
  const int threads = static_cast<int>(config.run.threads);
  report.machine = machine;

  if (plan.setup_s > kHopeless * config.measure.budget_s) {
    throw CheckError("--budget " + format_significant(config.measure.budget_s, 4) +
                     "s: preparing and checking alone takes about " + format_significant(plan.setup_s, 2) +
                     "s, so nothing could be measured");
  }

  std::vector<analysis::SkipReason> skipped;
  std::map<std::string, std::vector<std::int64_t>> counts;  // per scheme, those that run
  std::int64_t most = 1;
  for (const PlannedPoint& point : plan.points) {
    if (point.status == Status::skipped) {
      skipped.push_back({point.scheme, point.candidates, point.reason});
    } else {
      counts[point.scheme].push_back(point.candidates);
      most = std::max(most, point.candidates);
    }
  }
  if (counts.empty()) throw CheckError("nothing could be measured: every point is skipped for memory");
  const auto stopped = [&] { return observer.stop_requested && observer.stop_requested(); };

  stage(observer, "weights");
  const WorkShape work = app::work_shape(config);
  const app::EqualityPlan equality = app::plan_equality(config, machine, 1);
  const std::vector<SchemeInstance> instances = scheme_instances(config);
  const app::Problem problem(config, most);
  const float* candidates = problem.candidates().data();
  Buffer<float> outputs(most * problem.shape().dim);
  std::vector<Prepared> prepared;
  for (const SchemeInstance& instance : instances) {
    std::vector<std::int64_t> sizes = counts[instance.label];
    if (sizes.empty()) continue;
    const std::int64_t unit = instance.entry->unit(app::scheme_size(config, instance.options, sizes.back()));
    prepared.push_back(
        {instance, problem.make(instance, sizes.back()), sizes, std::clamp<std::int64_t>(unit, 1, sizes.back())});
    sizes.push_back(prepared.back().unit);
    prepared.back().scheme->prepare(sizes);
  }
  Case& measured_case = report.cases.emplace_back();
  measured_case.shape = app::report_shape(config);

  stage(observer, "warm-up");
  std::vector<measure::Workload> workloads;
  for (Prepared& p : prepared) {
    if (stopped()) break;
    Scheme* scheme = p.scheme.get();
    scheme->user_pass();
    scheme->choose_form(measure::fastest_form(scheme->forms(), measure::now, [&](std::size_t form) {
      scheme->choose_form(form);
      scheme->candidate_pass(candidates, p.unit, outputs.data());
    }));
    workloads.push_back(
        {p.instance.label, p.instance.entry->user_pass, [scheme] { scheme->user_pass(); },
         [scheme, candidates, &outputs](std::int64_t n) { scheme->candidate_pass(candidates, n, outputs.data()); }});
  }

  if (!stopped()) {
    stage(observer, "checks");
    // Every scheme against naive, also when naive itself is not to be timed. In the form that will be timed.
    std::vector<app::NamedScheme> named;
    std::unique_ptr<Scheme> baseline;
    const auto naive = std::find_if(prepared.begin(), prepared.end(),
                                    [](const Prepared& p) { return p.instance.entry == app::baseline().entry; });
    if (naive == prepared.end()) {
      const std::int64_t batch = std::min(most, equality.batch);
      baseline = problem.make(app::baseline(), batch);
      named.push_back({app::baseline(), baseline.get(), batch});
    } else {
      named.push_back({naive->instance, naive->scheme.get(), std::min(naive->counts.back(), equality.batch)});
    }
    for (Prepared& p : prepared) {
      if (p.instance.entry == app::baseline().entry) continue;
      const std::int64_t batch = std::min(p.counts.back(), equality.batch);
      p.scheme->prepare(std::vector<std::int64_t>{batch});
      named.push_back({p.instance, p.scheme.get(), batch});
    }
    measured_case.equivalence =
        app::check_equality(problem, named, equality.checked, app::reference_budget(equality.reference_s, threads),
                            observer.stop_requested);
    if (measured_case.equivalence && !measured_case.equivalence->agrees) {
      result.checks_passed = false;
      result.failure = "the schemes do not give the same outputs, so nothing was timed";
      return result;
    }
  }

  measure::Result measured;
  if (!stopped()) {
    stage(observer, "measure");
    measure::Environment environment{measure::now, [threads] { return measure::canary_gflops(threads); }};
    measure::Options options;
    options.seed = static_cast<std::uint64_t>(config.run.seed);
    options.deadline = start + config.measure.budget_s;
    options.stop_requested = observer.stop_requested;
    options.on_progress = observer.on_progress;
    options.precise_enough = [&](const std::vector<Sample>& samples) {
      return precise_enough(samples, config.measure.precision);
    };
    measured = measure::run_rounds(plan, workloads, environment, options);
  } else {
    measured.interrupted = true;
  }
  result.interrupted = measured.interrupted;
  if (measured.samples.empty() && !result.interrupted) {
    throw CheckError("nothing could be measured within --budget " + format_significant(config.measure.budget_s, 4) +
                     "s: preparing and checking took all of it");
  }

  measured_case.samples = measured.samples;
  if (measured.canary_reference > 0) {
    // The peak that held during the run, not the one of a cool machine before it. The canary speaks for bf16 too.
    if (report.machine->bf16_peak_gflops && machine.peak_gflops) {
      *report.machine->bf16_peak_gflops *= measured.canary_reference / *machine.peak_gflops;
    }
    report.machine->peak_gflops = measured.canary_reference;
  }
  analysis::SummaryContext context;
  context.shape = work;
  context.peak_gflops = config.run.dtype == "bf16" && report.machine->bf16_peak_gflops
                            ? report.machine->bf16_peak_gflops
                            : report.machine->peak_gflops;
  context.skipped = skipped;
  context.form = [&](const std::string& label, std::int64_t n) -> std::optional<std::string> {
    for (const Prepared& p : prepared) {
      if (p.instance.label != label) continue;
      const std::string form = p.scheme->form_at(n);
      if (!form.empty()) return form;
    }
    return std::nullopt;
  };
  std::vector<std::string> labels;
  for (const SchemeInstance& instance : instances) {
    const SchemeEntry* entry = instance.entry;
    labels.push_back(instance.label);
    context.work.push_back(
        {instance.label,
         [entry, work, options = instance.options](std::int64_t n) { return entry->flops(work, n, options); },
         [entry, work](std::int64_t n) { return static_cast<std::int64_t>(entry->kv_bytes(work, n)); }});
    if (entry->shares && !entry->law) context.returning.insert(instance.label);
    if (!fitted(instance, config.run.candidates.back())) context.unfitted.insert(instance.label);
  }
  measured_case.points = analysis::summarise(measured.samples, config.run.candidates, labels, context);
  measured_case.micro_batches = best_micro_batches(measured_case.points, instances);
  for (const SchemeInstance& instance : instances) {
    if (fitted(instance, config.run.candidates.back()) && counts.contains(analysis::kBaseline)) {
      measured_case.fits.push_back(analysis::fit_scheme(measured.samples, instance.label, r_flops(work)));
    }
  }
  if (config.measure.profile && !stopped()) {
    stage(observer, "profile");
    for (Prepared& p : prepared) {
      // What runs the history again for every few candidates shows where time goes in the first few.
      const bool repeats = p.instance.entry->unit(app::scheme_size(config, p.instance.options, p.counts.back())) > 0;
      const std::vector<std::int64_t> sizes = repeats ? std::vector{p.unit} : p.counts;
      for (Profile& profile : app::profile_scheme(p.instance, *p.scheme, sizes, threads, candidates, outputs.data(),
                                                  observer.stop_requested)) {
        measured_case.profiles.push_back(std::move(profile));
      }
    }
  }
  measured_case.composition = analysis::check_composition(measured.samples, config.measure.precision);
  report.warnings = warnings_of(report, plan, measured);
  for (Warning& note : app::notes_on(problem)) report.warnings.push_back(std::move(note));
  for (const CompositionCheck& check : measured_case.composition) {
    if (!check.agrees) {
      result.checks_passed = false;
      result.failure = check.scheme + " at N=" + std::to_string(check.candidates) +
                       ": the whole run and its composition differ beyond their interval";
    }
  }
  return result;
}

}  // namespace kvcast
