// Requests drawn on the spot, for tests of the simulator.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/random.h"
#include "traffic/request.h"
#include "traffic/service.h"
#include "traffic/simulate.h"

namespace kvcast::traffic {

inline double uniform(const RandomStream& stream, std::uint64_t i) {
  return (static_cast<double>(stream.bits(i) >> 11) + 0.5) * 0x1p-53;
}

/// Poisson arrivals whose rate at a time is rate(share of the requests that have come).
class DrawnSource final : public RequestSource {
 public:
  DrawnSource(std::function<double(double)> rate, std::int64_t requests, std::uint64_t seed)
      : rate_(std::move(rate)), requests_(static_cast<std::uint64_t>(requests)), gaps_(seed, 1), sizes_(seed, 2) {}
  std::size_t next(std::span<Request> block) override {
    std::size_t filled = 0;
    for (; filled < block.size() && at_ < requests_; ++filled, ++at_) {
      if (at_ > 0) {
        now_ -= std::log(uniform(gaps_, at_)) / rate_(static_cast<double>(at_) / static_cast<double>(requests_));
      }
      block[filled] = {now_, sizes_.bits(at_) % 50, 0, 1 + static_cast<std::int64_t>(sizes_.bits(at_) >> 32) % 20};
    }
    return filled;
  }

 private:
  std::function<double(double)> rate_;
  std::uint64_t requests_, at_ = 0;
  RandomStream gaps_, sizes_;
  double now_ = 0;
};

/// Requests of a list.
class ListedSource final : public RequestSource {
 public:
  explicit ListedSource(std::vector<Request> requests) : requests_(std::move(requests)) {}
  std::size_t next(std::span<Request> block) override {
    std::size_t filled = 0;
    while (filled < block.size() && at_ < requests_.size()) block[filled++] = requests_[at_++];
    return filled;
  }

 private:
  std::vector<Request> requests_;
  std::size_t at_ = 0;
};

inline Arrivals poisson(double rate, std::int64_t requests, std::uint64_t seed, std::int64_t warm_up) {
  return {[=](std::uint64_t replication) {
            return std::make_unique<DrawnSource>([rate](double) { return rate; }, requests,
                                                 RandomStream(seed, 9).bits(replication));
          },
          warm_up};
}

/// Every request takes one second times a residual.
inline ServiceTable seconds_times(std::vector<double> residuals) {
  ServiceCosts costs;
  costs.breakpoints = {{0, 0, 1, 0}};
  costs.residuals = std::move(residuals);
  return ServiceTable(costs);
}

/// Middles of equally likely parts of a distribution, by its quantile function.
inline std::vector<double> stratified(int parts, const std::function<double(double)>& quantile) {
  std::vector<double> values;
  for (int i = 0; i < parts; ++i) values.push_back(quantile((i + 0.5) / parts));
  return values;
}
inline std::vector<double> exponential() {
  return stratified(100'000, [](double p) { return -std::log1p(-p); });
}

}  // namespace kvcast::traffic
