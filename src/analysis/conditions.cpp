#include "analysis/conditions.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "analysis/composition.h"
#include "analysis/statistics.h"

namespace kvcast::analysis {
namespace {

constexpr std::size_t kLeastForOutliers = 5, kLeastForDrift = 8;
constexpr double kOutlierSigmas = 5, kLeastSigma = 0.005, kDriftConfidence = 0.99;

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
    for (const Watched& series : watched_values(one.samples)) {
      if (series.size() < kLeastForOutliers) continue;
      std::vector<double> values, distances;
      for (const auto& [round, value] : series) values.push_back(std::log(value));
      const double centre = median(values);
      for (const double value : values) distances.push_back(std::abs(value - centre));
      const double sigma = std::max(1.4826 * median(distances), kLeastSigma);
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
  if (deviations.size() >= kLeastForDrift) conditions.drift_pct = drift_pct(deviations);
}

}  // namespace kvcast::analysis
