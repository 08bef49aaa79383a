#include "analysis/queueing.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>

namespace kvcast::analysis {
namespace {

// Of probabilities that are sums of n terms 1/n: rounding must not turn 1% into more than 1%.
constexpr double kLoadRounding = 1e-12;

}  // namespace

double erlang_c(std::int64_t workers, double load) {
  assert(workers >= 1 && load < static_cast<double>(workers));
  double blocked = 1;
  for (std::int64_t k = 1; k <= workers; ++k) {
    blocked = load * blocked / (static_cast<double>(k) + load * blocked);
    if (blocked < 1e-100) return 0;  // it only falls
  }
  return blocked / (1 - load / static_cast<double>(workers) * (1 - blocked));
}

double squared_variation(const std::vector<double>& shape) {
  double squares = 0;
  for (const double value : shape) squares += (value - 1) * (value - 1);
  return squares / static_cast<double>(shape.size());
}

std::optional<Wait> wait_of(std::optional<double> rate, std::int64_t workers, double mean, double cv2) {
  if (!rate || *rate == 0) return Wait{};
  const double load = *rate * mean;
  if (!(load < static_cast<double>(workers))) return std::nullopt;
  return Wait{erlang_c(workers, load), (1 + cv2) / 2 * mean / (static_cast<double>(workers) - load)};
}

double exceedance(const Wait& wait, const ServiceTime& service, double t) {
  double sum = 0;
  for (const double value : *service.shape) {
    const double left = t - service.mean * value;
    if (left < 0) {
      sum += 1;
    } else if (wait.probability > 0 && wait.mean_if_waiting > 0) {
      sum += wait.probability * std::exp(-left / wait.mean_if_waiting);
    }
  }
  return sum / static_cast<double>(service.shape->size());
}

double quantile_of(const Wait& wait, const ServiceTime& service, double probability) {
  const double left_over = 1 - probability + kLoadRounding;
  const auto count = static_cast<double>(service.shape->size());
  const auto rank = static_cast<std::size_t>(std::ceil(probability * count - kLoadRounding * count));
  double low = service.mean * (*service.shape)[std::max<std::size_t>(rank, 1) - 1];
  if (exceedance(wait, service, low) <= left_over) return low;
  double high = 2 * low + wait.mean_if_waiting;
  while (exceedance(wait, service, high) > left_over) high *= 2;
  // The upper end always meets the probability, so what is quoted is never too short.
  while (high - low > 1e-9 * high) {
    const double middle = low + (high - low) / 2;
    (exceedance(wait, service, middle) > left_over ? low : high) = middle;
  }
  return high;
}

}  // namespace kvcast::analysis
