#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

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

void stage(const Observer& observer, const std::string& name) {
  if (observer.on_stage) observer.on_stage(name);
}

// Every sharing scheme's speed-up at every N has an interval no wider than the precision.
bool precise_enough(const std::vector<Sample>& samples, double precision) {
  const analysis::TimingTable table = analysis::tabulate(samples);
  const auto naive = table.find(analysis::kBaseline);
  if (naive == table.end()) return false;
  bool any = false;
  for (const auto& [scheme, points] : table) {
    if (scheme == analysis::kBaseline) continue;
    for (const auto& [n, timings] : points) {
      const auto base = naive->second.find(n);
      if (base == naive->second.end()) continue;
      std::vector<double> ratios;
      for (const auto& pair :
           analysis::pair_rounds(analysis::prevailing(base->second), analysis::prevailing(timings)).pairs) {
        ratios.push_back(pair.ratio());
      }
      if (static_cast<std::int64_t>(ratios.size()) < kPrecisionRounds) return false;
      const auto interval = analysis::geometric_mean_interval(ratios);
      if (!interval || interval->hi / interval->lo > (1 + precision) / (1 - precision)) return false;
      any = true;
    }
  }
  return any;
}

struct Prepared {
  const SchemeEntry* entry;
  std::unique_ptr<Scheme> scheme;
  std::string form;
};

// Times every form alternately on `count` candidates and keeps the fastest.
void choose_fastest_form(Prepared& prepared, const float* candidates, std::int64_t count, float* outputs) {
  const std::vector<std::string> forms = prepared.scheme->forms();
  std::vector<double> best(forms.size(), INFINITY);
  for (int repeat = 0; repeat < 2 && forms.size() > 1; ++repeat) {
    for (std::size_t form = 0; form < forms.size(); ++form) {
      prepared.scheme->choose_form(form);
      const double start = measure::now();
      prepared.scheme->candidate_pass(candidates, count, outputs);
      best[form] = std::min(best[form], measure::now() - start);
    }
  }
  const auto fastest = static_cast<std::size_t>(std::min_element(best.begin(), best.end()) - best.begin());
  prepared.scheme->choose_form(fastest);
  prepared.form = forms[fastest];
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
                        "the budget ended before every speed-up was within " +
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
  const auto stopped = [&] { return observer.stop_requested && observer.stop_requested(); };

  stage(observer, "weights");
  const WorkShape work = app::work_shape(config);
  const app::EqualityPlan equality =
      app::plan_equality(config, naive_flops(work) / (report.machine.peak_gflops.value_or(50.0 * threads) * 0.75e9));
  const app::Problem problem(config, std::max({most, equality.batch, config.run.threads}));
  std::vector<Prepared> prepared;
  for (const std::string& name : config.run.schemes) {
    if (counts[name].empty()) continue;
    Prepared p{find_scheme(name), nullptr, ""};
    p.scheme = problem.make(*p.entry, std::max(counts[name].back(), config.run.threads));
    std::vector<std::int64_t> sizes = counts[name];
    sizes.push_back(config.run.threads);
    p.scheme->prepare(sizes);
    prepared.push_back(std::move(p));
  }
  Case& measured_case = report.cases.emplace_back();
  measured_case.shape = app::report_shape(config);
  if (prepared.empty()) throw CheckError("nothing could be measured: every point is skipped for memory");

  if (!stopped()) {
    stage(observer, "checks");
    // Every scheme of the list against naive, also when naive itself is not to be timed.
    std::vector<app::NamedScheme> named;
    std::unique_ptr<Scheme> baseline;
    std::int64_t batch = equality.batch;
    for (const Prepared& p : prepared) batch = std::min(batch, counts[p.entry->name].back());
    const auto naive =
        std::find_if(prepared.begin(), prepared.end(), [](const Prepared& p) { return !p.entry->shares; });
    if (naive == prepared.end()) {
      baseline = problem.make(scheme_list().front(), std::max<std::int64_t>(batch, 1));
      named.push_back({&scheme_list().front(), baseline.get()});
    } else {
      named.push_back({naive->entry, naive->scheme.get()});
    }
    for (Prepared& p : prepared) {
      if (p.entry == named.front().entry) continue;
      p.scheme->prepare(std::vector<std::int64_t>{batch});
      named.push_back({p.entry, p.scheme.get()});
    }
    measured_case.equivalence = app::check_equality(problem, named, batch, std::min(equality.checked, batch),
                                                    app::reference_budget(equality.reference_s, threads));
    if (!measured_case.equivalence->agrees) {
      result.checks_passed = false;
      result.failure = "the schemes do not give the same outputs, so nothing was timed";
      return result;
    }
  }

  Buffer<float> outputs(std::max({most, equality.batch, config.run.threads}) * config.model.dim);
  stage(observer, "warm-up");
  std::vector<measure::Workload> workloads;
  std::string naive_form;
  for (Prepared& p : prepared) {
    if (stopped()) break;
    p.scheme->user_pass();
    choose_fastest_form(p, problem.candidates().data(), std::min(config.run.threads, counts[p.entry->name].back()),
                        outputs.data());
    if (!p.entry->shares) naive_form = p.form;
    Scheme* scheme = p.scheme.get();
    workloads.push_back({p.entry->name, p.entry->shares, [scheme] { scheme->user_pass(); },
                         [scheme, &problem, &outputs](std::int64_t n) {
                           scheme->candidate_pass(problem.candidates().data(), n, outputs.data());
                         }});
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
  context.naive_form = naive_form;
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
