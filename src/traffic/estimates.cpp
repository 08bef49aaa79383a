#include "traffic/estimates.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/random.h"
#include "statistics/statistics.h"

namespace kvcast::traffic {
namespace {

constexpr double kNormal95 = 1.959964;

Estimate around(double value, double half) { return {value, Interval{std::max(0.0, value - half), value + half}}; }

}  // namespace

Estimate mean_estimate(const std::vector<double>& values) {
  Estimate estimate{mean(values), mean_interval(values)};
  if (estimate.ci95) estimate.ci95->lo = std::max(0.0, estimate.ci95->lo);
  return estimate;
}

std::optional<double> PooledTimes::error_beyond(double seconds) const {
  std::vector<double> shares;
  for (const WindowHistogram& one : each) {
    if (one.count() > 0) shares.push_back(one.share_beyond(seconds));
  }
  return standard_error(std::move(shares));
}

QuantileEstimate quantile_estimate(const PooledTimes& times, double probability, const Sample& sample,
                                   std::optional<double> log_half) {
  const double beyond = 1 - probability, level = times.all.quantile(probability);
  const bool of_a_log = sample.per_row > 0;
  const double distinct = static_cast<double>(sample.counted) / std::max(1.0, sample.per_row);
  const double together = std::max(times.spells.requests_per_event(level),
                                   times.spells.requests_per_event(times.all.quantile(1 - std::min(0.5, 10 * beyond))));
  const double independent = beyond * distinct / together;
  const std::optional<double> error = times.error_beyond(level);
  const double known = of_a_log ? beyond * distinct : independent;
  // A rounding error is no request.
  if (known < kMinBeyond * (1 - 1e-9)) return {std::nullopt, kMinBeyond / known};

  QuantileEstimate estimate{Estimate{level, std::nullopt}, 0};
  if (of_a_log ? !log_half.has_value() : !error.has_value()) return estimate;
  double half = kNormal95 * beyond / std::sqrt(independent);
  if (of_a_log) {
    half = std::numbers::sqrt2 * std::max(half, *log_half);
  } else {
    half = std::max(half, student_t_factor(0.95, times.each.size() - 1) * *error);
  }
  if ((beyond - half) * static_cast<double>(sample.counted) < 1) return estimate;
  estimate.value->ci95 = Interval{half < probability ? times.all.quantile(probability - half) : times.all.least(),
                                  times.all.quantile(probability + half)};
  return estimate;
}

LogParts::LogParts(std::int64_t rows, double copies)
    : rows_(static_cast<double>(rows)), copies_(copies), blocks_(kBlocks), groups_(kGroups) {}

void LogParts::add(std::int64_t number, std::uint64_t user, const Sums& sums) {
  const auto block = static_cast<std::size_t>(static_cast<double>(number) / rows_ * static_cast<double>(kBlocks));
  Sums& when = blocks_[std::min(block, kBlocks - 1)];
  Sums& who = groups_[mix64(user) % kGroups];
  for (std::size_t i = 0; i < kSums; ++i) {
    when[i] += sums[i];
    who[i] += sums[i];
  }
}

LogParts::Sums LogParts::all() const {
  Sums all{};
  for (const Sums& part : blocks_) {
    for (std::size_t i = 0; i < kSums; ++i) all[i] += part[i];
  }
  return all;
}

void LogParts::set_faster(const LogParts& faster, double by) {
  faster_ = faster.all();
  faster_by_ = by;
}

std::optional<double> LogParts::half_width(std::size_t sum, std::size_t over) const {
  const Sums whole = all();
  if (!(whole[over] > 0)) return std::nullopt;
  const double ratio = whole[sum] / whole[over];
  // What the ratio changes by when the load is twice as high, were it to change evenly.
  double by_load = 0;
  if (faster_ && (*faster_)[over] > 0) by_load = ((*faster_)[sum] / (*faster_)[over] - ratio) / faster_by_;
  const auto variance = [&](const std::vector<Sums>& parts, std::size_t least, double slope) -> std::optional<double> {
    double squares = 0, count = 0;
    for (const Sums& part : parts) {
      if (!(part[requests] > 0)) continue;
      ++count;
      const double more_work =
          whole[service] > 0 ? part[service] / whole[service] - part[requests] / whole[requests] : 0;
      squares += std::pow((part[sum] - ratio * part[over]) / whole[over] + slope * more_work, 2);
    }
    if (count < static_cast<double>(least)) return std::nullopt;
    return squares * count / (count - 1);
  };
  const std::optional<double> by_time = variance(blocks_, kBlocks, 0);
  const std::optional<double> by_user = variance(groups_, kMinUsers, by_load);
  if (!by_time || !by_user) return std::nullopt;
  return student_t_factor(0.95, kBlocks - 1) * std::sqrt(copies_ * (*by_time + *by_user));
}

Estimate LogParts::in_the_next(double value, std::optional<double> half) {
  if (!half) return {value, std::nullopt};
  return around(value, std::numbers::sqrt2 * *half);
}

}  // namespace kvcast::traffic
