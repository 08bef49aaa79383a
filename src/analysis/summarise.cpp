#include "analysis/summarise.h"

#include <algorithm>
#include <map>
#include <utility>

#include "analysis/composition.h"
#include "analysis/fit.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

// What a returning user is compared with.
constexpr const char* kShared = "shared";

std::optional<double> median_of(const std::vector<Timing>& timings, std::optional<double> Timing::*member) {
  std::vector<double> values;
  for (const Timing& timing : timings) {
    if (timing.*member) values.push_back(*(timing.*member));
  }
  if (values.empty()) return std::nullopt;
  return median(std::move(values));
}

std::int64_t fewest_measured(const std::vector<Timing>& timings) {
  return std::min_element(
             timings.begin(), timings.end(),
             [](const Timing& a, const Timing& b) { return a.measured_candidates < b.measured_candidates; })
      ->measured_candidates;
}

void fill_work(SchemePoint& point, std::int64_t candidates, const SummaryContext& context) {
  const auto listed = std::find_if(context.work.begin(), context.work.end(),
                                   [&](const SchemeWork& work) { return work.scheme == point.scheme; });
  SchemeWork work;
  if (listed != context.work.end()) {
    work = *listed;
  } else if (point.scheme == kBaseline && context.shape) {
    work = baseline_work(*context.shape);
  }
  if (work.flops) point.flops = work.flops(candidates);
  if (work.kv_bytes) point.kv_bytes = work.kv_bytes(candidates);
}

void fill_times(SchemePoint& point, const std::vector<Timing>& timings, std::int64_t candidates,
                const SummaryContext& context) {
  std::vector<double> seconds;
  for (const Timing& timing : timings) seconds.push_back(timing.seconds);
  const double middle = median(seconds);
  point.status = status_of(timings);
  point.seconds = SecondsSummary{middle, ratio_of_run(seconds).ci95, static_cast<std::int64_t>(seconds.size())};
  point.measured_candidates = fewest_measured(timings);
  point.prefill_s = median_of(timings, &Timing::prefill_s);
  point.scoring_s = median_of(timings, &Timing::scoring_s);
  const auto workers = static_cast<double>(context.workers);
  point.requests_per_s = workers / middle;
  point.candidates_per_s = workers * static_cast<double>(candidates) / middle;
  if (!point.flops) return;
  point.gflops_per_s = workers * *point.flops / middle / 1e9;
  if (!context.peak_gflops) return;
  point.peak_fraction = *point.gflops_per_s / *context.peak_gflops;
  point.time_over_minimum = 1 / *point.peak_fraction;
}

std::string skip_reason(const SummaryContext& context, const std::string& scheme, std::int64_t candidates) {
  for (const SkipReason& skip : context.skipped) {
    if (skip.scheme == scheme && skip.candidates == candidates) return skip.reason;
  }
  return kNotMeasured;
}

}  // namespace

SchemeWork baseline_work(const WorkShape& shape) {
  return {kBaseline, [shape](std::int64_t candidates) { return static_cast<double>(candidates) * naive_flops(shape); },
          [shape](std::int64_t) { return naive_kv_bytes(shape); }};
}

std::vector<Point> summarise(const TimingTable& table, const std::vector<std::int64_t>& candidates,
                             const std::vector<std::string>& schemes, const SummaryContext& context) {
  std::map<std::string, std::map<std::int64_t, double>> predictions;
  for (const std::string& scheme : schemes) {
    // Only what is fitted predicts.
    if (scheme != kBaseline && !context.unfitted.contains(scheme))
      predictions.emplace(scheme, loo_predictions(table, scheme));
  }

  std::vector<Point> points;
  for (const std::int64_t count : candidates) {
    Point point;
    point.candidates = count;
    const std::vector<Timing>* naive = find_timings(table, kBaseline, count);
    for (const std::string& scheme : schemes) {
      SchemePoint entry;
      entry.scheme = scheme;
      if (context.how_run) static_cast<HowRun&>(entry) = context.how_run(scheme, count);
      fill_work(entry, count, context);
      if (const std::vector<Timing>* timings = find_timings(table, scheme, count)) {
        fill_times(entry, *timings, count, context);
        TimingId alone(scheme);
        alone.alone = true;
        entry.contention = paired_ratio(timings, find_timings(table, alone, count));
        if (scheme != kBaseline) {
          entry.speedup = paired_ratio(naive, timings);
          if (entry.speedup) entry.improvement = 1 - 1 / entry.speedup->value;
          if (context.returning.contains(scheme)) {
            entry.gain_over_shared = paired_ratio(find_timings(table, kShared, count), timings);
          }
          if (const auto fitted = predictions.find(scheme); fitted != predictions.end()) {
            const auto at = fitted->second.find(count);
            if (at != fitted->second.end()) entry.predicted_speedup = at->second;
          }
        }
      } else {
        entry.status = Status::skipped;
        entry.reason = skip_reason(context, scheme, count);
      }
      point.schemes.push_back(std::move(entry));
    }
    points.push_back(std::move(point));
  }
  return points;
}

}  // namespace kvcast::analysis
