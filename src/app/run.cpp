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
#include "app/problem.h"
#include "base/text.h"
#include "measure/machine.h"
#include "measure/measure.h"

namespace kvcast {
namespace {

// Rounds before precision may end a run: with fewer the interval itself is too uncertain to be believed.
constexpr std::int64_t kPrecisionRounds = 5;
// What starting up and probing the machine took before run() was called; part of the budget.
constexpr double kProbeSeconds = 0.4;
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
  const SchemeEntry* entry;
  std::unique_ptr<Scheme> scheme;
  std::vector<std::int64_t> counts;  ///< N that it runs
};

// Times every form alternately on `count` candidates and keeps the fastest.
void choose_fastest_form(Scheme& scheme, const float* candidates, std::int64_t count, float* outputs) {
  std::vector<double> best(scheme.forms(), INFINITY);
  for (int repeat = 0; repeat < 2 && best.size() > 1; ++repeat) {
    for (std::size_t form = 0; form < best.size(); ++form) {
      scheme.choose_form(form);
      const double start = measure::now();
      scheme.candidate_pass(candidates, count, outputs);
      best[form] = std::min(best[form], measure::now() - start);
    }
  }
  scheme.choose_form(static_cast<std::size_t>(std::min_element(best.begin(), best.end()) - best.begin()));
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
                            format_significant(100 * report.config.measure.precision, 3) + "%",
                        "raise --budget or --precision; the intervals say how far it got"});
  }
  std::int64_t slow = 0;
  for (const Sample& sample : result.samples) slow += sample.canary_ratio < analysis::kCanaryFloor ? 1 : 0;
  if (slow * 5 > static_cast<std::int64_t>(result.samples.size())) {
    warnings.push_back(
        {"noisy-machine",
         format_significant(100.0 * static_cast<double>(slow) / static_cast<double>(result.samples.size()), 2) +
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

RunResult run(const Config& config, const MachineInfo& machine, const Plan& plan, const Observer& observer) {
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
  const app::EqualityPlan equality = app::plan_equality(config, machine);
  const app::Problem problem(config, most);
  Buffer<float> outputs(most * config.model.dim);
  std::vector<Prepared> prepared;
  for (const std::string& name : config.run.schemes) {
    if (counts[name].empty()) continue;
    const SchemeEntry* entry = find_scheme(name);
    prepared.push_back({entry, problem.make(*entry, counts[name].back()), counts[name]});
    std::vector<std::int64_t> sizes = counts[name];
    // Also what larger N are scaled from.
    sizes.push_back(std::min(sizes.back(), entry->unit(config.model.history_length, threads)));
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
    choose_fastest_form(*scheme, problem.candidates().data(),
                        std::min(p.counts.back(), p.entry->unit(config.model.history_length, threads)), outputs.data());
    workloads.push_back({p.entry->name, p.entry->shares, [scheme] { scheme->user_pass(); },
                         [scheme, &problem, &outputs](std::int64_t n) {
                           scheme->candidate_pass(problem.candidates().data(), n, outputs.data());
                         }});
  }

  if (!stopped()) {
    stage(observer, "checks");
    // Every scheme against naive, also when naive itself is not to be timed. In the form that will be timed.
    std::vector<app::NamedScheme> named;
    std::unique_ptr<Scheme> baseline;
    const auto naive =
        std::find_if(prepared.begin(), prepared.end(), [](const Prepared& p) { return !p.entry->shares; });
    if (naive == prepared.end()) {
      baseline = problem.make(scheme_list().front(), std::min(most, equality.batch));
      named.push_back({&scheme_list().front(), baseline.get(), std::min(most, equality.batch)});
    } else {
      named.push_back({naive->entry, naive->scheme.get(), std::min(naive->counts.back(), equality.batch)});
    }
    for (Prepared& p : prepared) {
      if (p.entry == named.front().entry) continue;
      const std::int64_t batch = std::min(p.counts.back(), equality.batch);
      p.scheme->prepare(std::vector<std::int64_t>{batch});
      named.push_back({p.entry, p.scheme.get(), batch});
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
  // The peak that held during the run, not the one of a cool machine before it.
  if (measured.canary_reference > 0) report.machine.peak_gflops = measured.canary_reference;
  analysis::SummaryContext context;
  context.shape = work;
  context.peak_gflops = report.machine.peak_gflops;
  context.skipped = skipped;
  context.form = [&](const std::string& name, std::int64_t n) -> std::optional<std::string> {
    for (const Prepared& p : prepared) {
      if (p.entry->name != name) continue;
      const std::string form = p.scheme->form_at(n);
      if (!form.empty()) return form;
    }
    return std::nullopt;
  };
  for (const std::string& name : config.run.schemes) {
    const SchemeEntry* entry = find_scheme(name);
    context.work.push_back(
        {name, [entry, work](std::int64_t n) { return entry->flops(work, n); },
         [entry, work](std::int64_t n) { return static_cast<std::int64_t>(entry->kv_bytes(work, n)); }});
  }
  measured_case.points = analysis::summarise(measured.samples, config.run.candidates, config.run.schemes, context);
  for (const std::string& name : config.run.schemes) {
    if (find_scheme(name)->shares && counts.contains(analysis::kBaseline)) {
      measured_case.fits.push_back(analysis::fit_scheme(measured.samples, name, r_flops(work)));
    }
  }
  measured_case.composition = analysis::check_composition(measured.samples, config.measure.precision);
  report.warnings = warnings_of(report, plan, measured);
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
