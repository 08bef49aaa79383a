#include "analysis/conditions.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "analysis/composition.h"
#include "base/text.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

constexpr std::size_t kMinForOutliers = 5, kMinForDrift = 8;
constexpr double kOutlierSigmas = 5, kMinSigma = 0.005, kDriftConfidence = 0.99;

// docs/method.md, "A busy machine", has the runs that these are from.
constexpr double kContended = 0.15, kMostlyContended = 0.5, kHopeless = 0.8, kSlowShare = 0.2, kDisagreement = 2.5;
constexpr std::size_t kMinToDisagree = 3;

double percent_of_log(double log) { return 100 * std::expm1(log); }

/// Slope times the span of the rounds, in percent; 0 when it may be chance.
double drift_pct(const std::map<std::int64_t, std::vector<double>>& deviations) {
  std::vector<double> x, y;
  for (const auto& [round, values] : deviations) {
    x.push_back(static_cast<double>(round));
    y.push_back(median(values));
  }
  const double centre_x = mean(x), centre_y = mean(y);
  double xx = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - centre_x) * (x[i] - centre_x);
    xy += (x[i] - centre_x) * (y[i] - centre_y);
  }
  const double slope = xy / xx;
  double squares = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double residual = y[i] - centre_y - slope * (x[i] - centre_x);
    squares += residual * residual;
  }
  const auto degrees = static_cast<std::int64_t>(x.size()) - 2;
  const double error = std::sqrt(squares / static_cast<double>(degrees) / xx);
  if (std::abs(slope) <= student_t_factor(kDriftConfidence, static_cast<double>(degrees)) * error) return 0;
  return percent_of_log(slope * (x.back() - x.front()));
}

}  // namespace

void diagnose(Conditions& conditions, const std::vector<Case>& cases) {
  std::vector<double> canaries;
  std::size_t ratios = 0, outliers = 0;
  std::map<std::int64_t, std::vector<double>> deviations;  // from the point's median, by round
  for (const Case& one : cases) {
    for (const Sample& sample : one.samples) {
      if (sample.canary_gflops) canaries.push_back(*sample.canary_gflops);
    }
    for (const Watched& series : watched_values(tabulate(one.samples))) {
      if (series.size() < kMinForOutliers) continue;
      std::vector<double> values, distances;
      for (const auto& [round, value] : series) values.push_back(std::log(value));
      const double centre = median(values);
      for (const double value : values) distances.push_back(std::abs(value - centre));
      const double sigma = std::max(1.4826 * median(distances), kMinSigma);
      for (std::size_t i = 0; i < series.size(); ++i) {
        ++ratios;
        outliers += distances[i] > kOutlierSigmas * sigma ? 1 : 0;
        deviations[series[i].first].push_back(values[i] - centre);
      }
    }
  }
  conditions.canary_spread_pct.reset();
  conditions.outlier_pct.reset();
  conditions.drift_pct.reset();
  if (canaries.size() > 1) {
    conditions.canary_spread_pct = 100 * (quantile(canaries, 0.9) / quantile(canaries, 0.1) - 1);
  }
  if (ratios > 0) conditions.outlier_pct = 100.0 * static_cast<double>(outliers) / static_cast<double>(ratios);
  if (deviations.size() >= kMinForDrift) conditions.drift_pct = drift_pct(deviations);
}

namespace {

/// Of the CPU time that the threads of a run ask for all the while, what was not there.
double missing_share(const Report& report, double taken) {
  double wanted = 1;  // of all CPUs
  if (report.config && report.machine && report.machine->threads > 0) {
    wanted = std::clamp(static_cast<double>(report.config->run.threads) / static_cast<double>(report.machine->threads),
                        1e-6, 1.0);
  }
  return std::clamp((wanted - (1 - taken)) / wanted, 0.0, 1.0);
}

double slow_share(const std::vector<Case>& cases) {
  std::size_t slow = 0, samples = 0;
  for (const Case& one : cases) {
    samples += one.samples.size();
    for (const Sample& sample : one.samples) slow += sample.canary_ratio < kCanaryFloor ? 1 : 0;
  }
  return samples > 0 ? static_cast<double>(slow) / static_cast<double>(samples) : 0;
}

/// 90th over 10th percentile of the rounds' values at the middle point; 0 without three rounds anywhere.
double disagreement_of_rounds(const std::vector<Case>& cases) {
  std::vector<double> spreads;
  for (const Case& one : cases) {
    for (const Watched& series : watched_values(tabulate(one.samples))) {
      std::vector<double> values;
      for (const auto& [round, value] : series) values.push_back(value);
      if (values.size() >= kMinToDisagree) spreads.push_back(quantile(values, 0.9) / quantile(values, 0.1));
    }
  }
  return spreads.empty() ? 0 : median(spreads);
}

bool a_check_failed(const std::vector<Case>& cases) {
  return std::any_of(cases.begin(), cases.end(), [](const Case& one) {
    const auto disagrees = [](const CompositionCheck& check) { return !check.agrees; };
    const auto differs = [](const SelfCheck& check) { return !check.contains_one; };
    return std::any_of(one.composition.begin(), one.composition.end(), disagrees) ||
           std::any_of(one.self_check.begin(), one.self_check.end(), differs);
  });
}

}  // namespace

std::string interference(const Interference& seen) {
  const double missing = seen.missing;
  if (missing < kContended && seen.slow < kSlowShare) return "";
  const bool unknown = seen.spread == 0 && missing >= kMostlyContended;
  if (missing < kHopeless && seen.spread < kDisagreement && !unknown && !seen.check_failed) return "";
  const auto percent = [](double value) { return format_significant(value, 2) + "%"; };
  if (missing < kContended) return percent(100 * seen.slow) + " of the timings ran while the CPU was slowed";
  return seen.foreign_pct >= seen.steal_pct ? "other processes used " + percent(seen.foreign_pct) + " of the CPUs"
                                            : "the hypervisor took " + percent(seen.steal_pct) + " of the CPUs' time";
}

std::string interference(const Report& report) {
  Interference seen;
  if (report.conditions) {
    seen.foreign_pct = report.conditions->foreign_cpu_pct.value_or(0);
    seen.steal_pct = report.conditions->steal_pct.value_or(0);
  }
  seen.missing = missing_share(report, (seen.foreign_pct + seen.steal_pct) / 100);
  seen.slow = slow_share(report.cases);
  seen.spread = disagreement_of_rounds(report.cases);
  seen.check_failed = a_check_failed(report.cases);
  return interference(seen);
}

}  // namespace kvcast::analysis
