#include "app/analyse.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "analysis/composition.h"
#include "analysis/conditions.h"
#include "analysis/degradation.h"
#include "analysis/fit.h"
#include "analysis/predict.h"
#include "analysis/self_check.h"
#include "analysis/summarise.h"
#include "app/surfaces.h"
#include "engine/problem.h"
#include "report/shape.h"
#include "statistics/statistics.h"

namespace kvcast::app {
namespace {

// Rounds before precision may end a run: with fewer the interval itself is too uncertain to be believed.
constexpr std::int64_t kPrecisionRounds = 5;

/// The law of r is for one pass over the history: not for a sweep of micro-batches, nor for a cache that was there.
bool fitted(const SchemeInstance& instance, std::int64_t most) {
  const std::int64_t batch = instance.options.micro_batch;
  return instance.entry->law && (batch == 0 || batch >= most);
}

/// The fastest micro-batch at every N, where packed was swept over several.
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

/// What the config asked for; without one the schemes that the samples name, naive first, others by name.
std::vector<SchemeInstance> instances_of(const Report& report, const Case& one) {
  if (report.config) {
    Config config = *report.config;
    if (one.shape) config.model.history_length = one.shape->history_length;
    return scheme_instances(config);
  }
  std::set<std::string> names;
  for (const Sample& sample : one.samples) {
    if (sample.scheme.plain()) names.insert(sample.scheme.scheme);
  }
  std::vector<SchemeInstance> instances;
  for (const SchemeEntry& entry : scheme_list()) {
    if (names.contains(entry.name)) instances.push_back({entry.name, &entry, {}});
  }
  return instances;
}

std::vector<std::int64_t> counts_of(const Report& report, const Case& one) {
  if (report.config) return report.config->run.candidates;
  std::set<std::int64_t> counts;
  for (const Sample& sample : one.samples) counts.insert(sample.candidates);
  return {counts.begin(), counts.end()};
}

analysis::SummaryContext context_of(const Report& report, const Case& one, const std::vector<SchemeInstance>& instances,
                                    std::int64_t most) {
  analysis::SummaryContext context;
  const std::optional<MachineInfo>& machine = one.machine ? one.machine : report.machine;
  if (machine) {
    const bool bf16 = one.shape && one.shape->dtype == "bf16" && machine->bf16_peak_gflops;
    context.peak_gflops = bf16 ? machine->bf16_peak_gflops : machine->peak_gflops;
    if (context.peak_gflops && one.shape && machine->peak_threads) {
      *context.peak_gflops *=
          static_cast<double>(one.shape->workers * one.shape->threads) / static_cast<double>(*machine->peak_threads);
    }
  }
  if (one.shape) context.workers = one.shape->workers;
  std::map<std::pair<std::string, std::int64_t>, HowRun> ways;
  for (const Point& point : one.points) {
    for (const SchemePoint& scheme : point.schemes) {
      ways[{scheme.scheme, point.candidates}] = {scheme.execution, scheme.detail};
      if (scheme.reason) context.skipped.push_back({scheme.scheme, point.candidates, *scheme.reason});
    }
  }
  context.how_run = [ways](const std::string& label, std::int64_t n) {
    const auto found = ways.find({label, n});
    return found == ways.end() ? HowRun{} : found->second;
  };
  if (one.shape) context.shape = work_shape(report::config_of(*one.shape));
  for (const SchemeInstance& instance : instances) {
    const SchemeEntry* entry = instance.entry;
    if (context.shape) {
      const WorkShape work = *context.shape;
      context.work.push_back(
          {instance.label,
           [entry, work, options = instance.options](std::int64_t n) { return entry->flops(work, n, options); },
           [entry, work](std::int64_t n) { return static_cast<std::int64_t>(entry->kv_bytes(work, n)); }});
    }
    if (entry->shares && !entry->law) context.returning.insert(instance.label);
    if (!fitted(instance, most)) context.unfitted.insert(instance.label);
  }
  return context;
}

void analyse_case(const Report& report, Case& one, const analysis::TimingTable& table, const FitOptions& options) {
  const std::vector<SchemeInstance> instances = instances_of(report, one);
  const std::vector<std::int64_t> counts = counts_of(report, one);
  if (counts.empty()) return;
  const analysis::SummaryContext context = context_of(report, one, instances, counts.back());
  std::vector<std::string> labels;
  for (const SchemeInstance& instance : instances) labels.push_back(instance.label);
  one.points = analysis::summarise(table, counts, labels, context);
  one.micro_batches = best_micro_batches(one.points, instances);

  const bool naive = std::any_of(one.samples.begin(), one.samples.end(),
                                 [](const Sample& sample) { return sample.scheme == analysis::kBaseline; });
  const double work_r = context.shape ? r_flops(*context.shape) : std::numeric_limits<double>::quiet_NaN();
  one.fits.clear();
  for (const std::string& label : labels) {
    if (!naive || label == analysis::kBaseline || context.unfitted.contains(label)) continue;
    Fit fit = analysis::fit_scheme(table, label, work_r);
    fit.predictions = analysis::predict(table, fit, options.candidates, options.extrapolate);
    one.fits.push_back(std::move(fit));
  }
  one.composition = analysis::check_composition(table, report.config ? report.config->measure.precision : 0.02);
  one.self_check = analysis::self_check(table);
}

void add_degradation(Report& report, const Case& one, const analysis::TimingTable& table) {
  std::vector<std::string> labels;
  for (const SchemeInstance& instance : instances_of(report, one)) labels.push_back(instance.label);
  for (Degradation& row : analysis::degradation(table, labels)) {
    if (one.shape) {
      row.history_length = one.shape->history_length;
      row.layers = one.shape->layers;
    }
    report.degradation.push_back(std::move(row));
  }
}

}  // namespace

bool precise_enough(const std::map<std::int64_t, std::vector<Sample>>& samples, double precision) {
  const auto precise = [precision](std::vector<double> values) {
    if (static_cast<std::int64_t>(values.size()) < kPrecisionRounds) return false;
    const auto interval = ratio_of_run(std::move(values)).ci95;
    return interval && interval->hi / interval->lo <= (1 + precision) / (1 - precision);
  };
  bool any = false;
  for (const auto& [case_index, of_case] : samples) {
    for (const analysis::Watched& point : analysis::watched_values(analysis::tabulate(of_case))) {
      std::vector<double> values;
      for (const auto& [round, value] : point) values.push_back(value);
      if (!precise(std::move(values))) return false;
      any = true;
    }
  }
  return any;
}

void analyse(Report& report, const FitOptions& options) {
  report.sizing.reset();  // it rests on the fits before
  report.degradation.clear();
  std::vector<analysis::TimingTable> tables;  // by case
  for (Case& one : report.cases) {
    const analysis::TimingTable& table = tables.emplace_back(analysis::tabulate(one.samples));
    analyse_case(report, one, table, options);
    add_degradation(report, one, table);
  }
  fit_surfaces(report, std::move(tables), options);
  if (report.conditions) analysis::diagnose(*report.conditions, report.cases);
  refresh_warnings(report);
}

}  // namespace kvcast::app
