#include "traffic/service.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

namespace kvcast::traffic {

ServiceTable::ServiceTable(const ServiceCosts& costs)
    : breakpoints_(costs.breakpoints),
      curve_candidates_(costs.curve_candidates),
      curve_(costs.curve),
      residuals_(costs.residuals) {
  assert(curve_candidates_.size() == curve_.size());
  assert(!breakpoints_.empty() && breakpoints_.front().history_length == 0);
  assert(std::adjacent_find(breakpoints_.begin(), breakpoints_.end(),
                            [](const ServiceBreakpoint& a, const ServiceBreakpoint& b) {
                              return a.history_length >= b.history_length || a.history_s > b.history_s;
                            }) == breakpoints_.end());
  if (residuals_.empty()) residuals_ = {1};
  mean_residual_ = std::accumulate(residuals_.begin(), residuals_.end(), 0.0) / static_cast<double>(residuals_.size());
  pass_s_ = breakpoints_.front().history_s;
}

ServiceTable::At ServiceTable::at(std::int64_t length) const noexcept {
  // The last breakpoint at or below, so that beyond the table its last slope goes on.
  std::size_t low = 0, high = breakpoints_.size();
  while (high - low > 1) {
    const std::size_t middle = (low + high) / 2;
    (breakpoints_[middle].history_length <= length ? low : high) = middle;
  }
  if (breakpoints_.size() == 1)
    return {breakpoints_[0].history_s, breakpoints_[0].candidates_s, breakpoints_[0].candidate_s};
  low = std::min(low, breakpoints_.size() - 2);
  const ServiceBreakpoint &a = breakpoints_[low], &b = breakpoints_[low + 1];
  const double t =
      static_cast<double>(length - a.history_length) / static_cast<double>(b.history_length - a.history_length);
  const auto between = [t](double x, double y) { return std::max(0.0, x + t * (y - x)); };
  return {between(a.history_s, b.history_s), between(a.candidates_s, b.candidates_s),
          between(a.candidate_s, b.candidate_s)};
}

double ServiceTable::curve(std::int64_t candidates) const noexcept {
  if (curve_.empty()) return 1;
  const auto n = static_cast<double>(candidates);
  const auto above = std::lower_bound(curve_candidates_.begin(), curve_candidates_.end(), n);
  if (above == curve_candidates_.begin()) return curve_.front();
  if (above == curve_candidates_.end()) return curve_.back();
  const auto i = static_cast<std::size_t>(above - curve_candidates_.begin());
  const double t = (n - curve_candidates_[i - 1]) / (curve_candidates_[i] - curve_candidates_[i - 1]);
  return curve_[i - 1] + t * (curve_[i] - curve_[i - 1]);
}

double ServiceTable::seconds(std::int64_t length, std::int64_t known, std::int64_t candidates) const noexcept {
  const At whole = at(length);
  double seconds = 0;
  if (candidates > 0) {
    seconds = (whole.candidates_s + static_cast<double>(candidates) * whole.candidate_s) * curve(candidates);
  }
  if (known < length) seconds += whole.history_s - (known > 0 ? at(known).history_s - pass_s_ : 0);
  return seconds;
}

double ServiceTable::shared_seconds(std::int64_t length, std::int64_t known, std::int64_t candidates) const noexcept {
  return (known < length ? pass_s_ : 0) + (candidates > 0 ? at(length).candidates_s : 0);
}

}  // namespace kvcast::traffic
