// How long requests take when they arrive at random and wait for a worker. Pure; times in seconds, rates per second.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace kvcast::analysis {

/// Workers busier than this are not sized for: the wait grows as 1/(1 - utilisation), so that a small error of the
/// service time becomes a large one of the latency. Source: docs/model.md §8.
inline constexpr double kMaxUtilisation = 0.9;

/// Probability that a Poisson arrival finds all of `workers` >= 1 busy; load = rate · mean service time, below
/// `workers`. Source: Erlang (1917), by the recursion of the loss formula, which no factorial overflows.
double erlang_c(std::int64_t workers, double load);

/// Service times: `mean` with these shapes, equally likely; `shape` ascending, positive, of mean 1.
struct ServiceTime {
  double mean = 0;
  const std::vector<double>* shape = nullptr;
};
/// Squared coefficient of variation of equally likely values of mean 1.
double squared_variation(const std::vector<double>& shape);

/// The wait before service: none with probability 1 - probability, else exponential.
struct Wait {
  double probability = 0, mean_if_waiting = 0;
};
/// M/G/c: Erlang C for the probability; the mean of M/M/c times (1 + cv²)/2, exact for one worker
/// (Pollaczek-Khinchine), an approximation for more (Lee and Longton, "Queueing processes associated with airline
/// passenger check-in", 1959); an exponential tail of that mean. cv2: squared coefficient of variation of the service
/// time. No wait without a rate. nullopt where the workers fall behind: rate · mean >= workers.
std::optional<Wait> wait_of(std::optional<double> rate, std::int64_t workers, double mean, double cv2);

/// P(wait + service > t), the two being independent (first come, first served).
double exceedance(const Wait& wait, const ServiceTime& service, double t);
/// Smallest t with P(wait + service > t) <= 1 - probability. Without a wait the nearest-rank quantile of the service
/// time: so a median is never taken for a tail, and few timings give their largest.
double quantile_of(const Wait& wait, const ServiceTime& service, double probability);

}  // namespace kvcast::analysis
