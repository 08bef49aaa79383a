#include "analysis/statistics.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

namespace kvcast::analysis {
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

double quantile(std::vector<double> values, double probability) {
  assert(!values.empty() && probability >= 0 && probability <= 1);
  std::sort(values.begin(), values.end());
  const double position = probability * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  if (below + 1 >= values.size()) return values.back();
  return values[below] + (position - static_cast<double>(below)) * (values[below + 1] - values[below]);
}

double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

double geometric_mean(std::vector<double> values) {
  take_logs(values);
  return std::exp(mean(std::move(values)));
}

double student_t_factor(double confidence, std::int64_t degrees) {
  assert(confidence > 0 && confidence < 1 && degrees >= 1);
  const boost::math::students_t distribution(static_cast<double>(degrees));
  return boost::math::quantile(boost::math::complement(distribution, (1 - confidence) / 2));
}

std::optional<Interval> mean_interval(std::vector<double> values, double confidence) {
  const std::optional<double> variance = sample_variance(values);
  if (!variance) return std::nullopt;
  const auto count = static_cast<std::int64_t>(values.size());
  const double half = student_t_factor(confidence, count - 1) * std::sqrt(*variance / static_cast<double>(count));
  const double centre = mean(std::move(values));
  return Interval{centre - half, centre + half};
}

std::optional<Interval> geometric_mean_interval(std::vector<double> values, double confidence) {
  take_logs(values);
  const std::optional<Interval> logs = mean_interval(std::move(values), confidence);
  if (!logs) return std::nullopt;
  return Interval{std::exp(logs->lo), std::exp(logs->hi)};
}

}  // namespace kvcast::analysis
