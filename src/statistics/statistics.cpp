#include "statistics/statistics.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

namespace kvcast {
namespace {

// The callers below have sorted: floating-point addition is not associative.
double mean_of_sorted(const std::vector<double>& sorted) {
  assert(!sorted.empty());
  return std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(sorted.size());
}

void take_logs(std::vector<double>& values) {
  for (double& value : values) {
    assert(value > 0);
    value = std::log(value);
  }
}

}  // namespace

double mean(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return mean_of_sorted(values);
}

std::optional<double> sample_variance(std::vector<double> values) {
  if (values.size() < 2) return std::nullopt;
  std::sort(values.begin(), values.end());
  const double centre = mean_of_sorted(values);
  double squares = 0;
  for (const double value : values) squares += (value - centre) * (value - centre);
  return squares / static_cast<double>(values.size() - 1);
}

std::optional<double> standard_error(std::vector<double> values) {
  const auto count = static_cast<double>(values.size());
  const std::optional<double> variance = sample_variance(std::move(values));
  if (!variance) return std::nullopt;
  return std::sqrt(*variance / count);
}

double sorted_quantile(const std::vector<double>& ascending, double probability) {
  assert(!ascending.empty() && probability >= 0 && probability <= 1);
  const double position = probability * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  if (below + 1 >= ascending.size()) return ascending.back();
  return ascending[below] + (position - static_cast<double>(below)) * (ascending[below + 1] - ascending[below]);
}

double quantile(std::vector<double> values, double probability) {
  std::sort(values.begin(), values.end());
  return sorted_quantile(values, probability);
}

double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

double normal_quantile(double probability) { return boost::math::quantile(boost::math::normal(), probability); }

double student_t_factor(double confidence, double degrees) {
  assert(confidence > 0 && confidence < 1 && degrees > 0);
  const boost::math::students_t distribution(degrees);
  return boost::math::quantile(boost::math::complement(distribution, (1 - confidence) / 2));
}

std::optional<Interval> mean_interval(std::vector<double> values, double confidence) {
  const std::optional<double> variance = sample_variance(values);
  if (!variance) return std::nullopt;
  const auto count = static_cast<double>(values.size());
  const double half = student_t_factor(confidence, count - 1) * std::sqrt(*variance / count);
  const double centre = mean(std::move(values));
  return Interval{centre - half, centre + half};
}

TrimmedMean trimmed_mean(std::vector<double> values) {
  assert(!values.empty());
  std::sort(values.begin(), values.end());
  const auto cut = static_cast<std::ptrdiff_t>(trimmed_from_each_end(values.size()));
  const std::vector<double> kept(values.begin() + cut, values.end() - cut);
  TrimmedMean result;
  result.mean = mean_of_sorted(kept);
  result.degrees = static_cast<double>(kept.size()) - 1;
  if (values.size() < 2) return result;
  std::fill_n(values.begin(), cut, kept.front());
  std::fill_n(values.rbegin(), cut, kept.back());
  const auto count = static_cast<double>(values.size()), used = static_cast<double>(kept.size());
  result.standard_error = std::sqrt(*sample_variance(values) * (count - 1) / (used * (used - 1)));
  return result;
}

std::vector<double> trimmed_pseudo_values(const std::vector<double>& values) {
  const std::size_t cut = trimmed_from_each_end(values.size());
  if (cut == 0) return values;
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const double lowest = sorted[cut], highest = sorted[sorted.size() - 1 - cut];
  std::vector<double> winsorised = values;
  for (double& value : winsorised) value = std::clamp(value, lowest, highest);
  const double centre = trimmed_mean(values).mean, middle = mean(winsorised);
  const double stretch = static_cast<double>(values.size()) / static_cast<double>(values.size() - 2 * cut);
  for (double& value : winsorised) value = centre + (value - middle) * stretch;
  return winsorised;
}

double trimmed_inflation(std::size_t count) {
  assert(count >= 2);
  const auto all = static_cast<double>(count), kept = static_cast<double>(count - 2 * trimmed_from_each_end(count));
  return kept * (all - 1) / (all * (kept - 1));
}

Estimate trimmed_ratio(std::vector<double> ratios, double confidence) {
  take_logs(ratios);
  const TrimmedMean logs = trimmed_mean(std::move(ratios));
  Estimate estimate{std::exp(logs.mean), std::nullopt};
  if (logs.standard_error) {
    const double half = student_t_factor(confidence, logs.degrees) * *logs.standard_error;
    estimate.ci95 = Interval{std::exp(logs.mean - half), std::exp(logs.mean + half)};
  }
  return estimate;
}

double run_inflation(double rounds) { return 1 + rounds * kRunVariance; }

Estimate ratio_of_run(std::vector<double> ratios) {
  const double stretch = std::sqrt(run_inflation(static_cast<double>(ratios.size())));
  Estimate estimate = trimmed_ratio(std::move(ratios));
  if (estimate.ci95) {
    estimate.ci95->lo = estimate.value * std::pow(estimate.ci95->lo / estimate.value, stretch);
    estimate.ci95->hi = estimate.value * std::pow(estimate.ci95->hi / estimate.value, stretch);
  }
  return estimate;
}

}  // namespace kvcast
