// Service times by a table over history lengths, ready to be asked millions of times a second. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "kvcast/traffic.h"

namespace kvcast::traffic {

class ServiceTable {
 public:
  /// The breakpoints ascend from history length 0, their times are not negative, history_s does not fall.
  explicit ServiceTable(const ServiceCosts& costs);

  /// Mean seconds of a request whose history has `length` tokens, `known` of them cached; 0 for what is not there: no
  /// prefill when all is known, no scoring pass without candidates.
  double seconds(std::int64_t length, std::int64_t known, std::int64_t candidates) const noexcept;
  /// What a request that joins a batch saves: the fixed part of its passes, which the batch takes once.
  double shared_seconds(std::int64_t length, std::int64_t known, std::int64_t candidates) const noexcept;
  /// Factor of one request; u uniform in [0,1).
  double residual(double u) const noexcept {
    return residuals_[static_cast<std::size_t>(u * static_cast<double>(residuals_.size()))];
  }
  double mean_residual() const noexcept { return mean_residual_; }

 private:
  struct At {
    double history_s, candidates_s, candidate_s;
  };
  At at(std::int64_t length) const noexcept;
  double curve(std::int64_t candidates) const noexcept;

  std::vector<ServiceBreakpoint> breakpoints_;
  std::vector<double> curve_candidates_, curve_;
  std::vector<double> residuals_;
  double mean_residual_ = 1, pass_s_ = 0;
};

}  // namespace kvcast::traffic
