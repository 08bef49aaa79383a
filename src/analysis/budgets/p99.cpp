// P99 latency, queueing included.
#include <limits>

#include "analysis/budgets/budget.h"
#include "analysis/queueing.h"
#include "kvcast/config.h"

namespace kvcast::analysis {
namespace {

constexpr double kTail = 0.99;
// Of probabilities that are sums of n terms 1/n: rounding must not turn 1% into more than 1%.
constexpr double kRounding = 1e-12;

struct RequestTime {
  std::vector<double> shape;  ///< residuals of mean 1
  double mean = 0;
  std::optional<Wait> wait;  ///< nullopt: no steady state
  ServiceTime service() const { return {mean, &shape}; }
};
RequestTime request_time(const SizingProblem& problem, std::int64_t candidates, bool conservative) {
  RequestTime time{problem.service.residuals, mean_seconds(problem, candidates, conservative), {}};
  const double centre = problem.service.mean_residual();
  for (double& value : time.shape) value /= centre;
  time.wait = wait_of(problem.requests_per_s, problem.workers, time.mean, squared_variation(time.shape));
  return time;
}

bool in_time(const SizingProblem& problem, double limit, std::int64_t candidates, bool conservative) {
  const RequestTime time = request_time(problem, candidates, conservative);
  return time.wait && exceedance(*time.wait, time.service(), limit) <= 1 - kTail + kRounding;
}

}  // namespace

double p99_seconds(const SizingProblem& problem, std::int64_t candidates, bool conservative) {
  const RequestTime time = request_time(problem, candidates, conservative);
  if (!time.wait) return std::numeric_limits<double>::infinity();
  return quantile_of(*time.wait, time.service(), kTail);
}

bool meets_p99(const SizingProblem& problem, std::int64_t candidates) {
  return in_time(problem, *problem.p99_s, candidates, false);
}

Budget p99_budget() {
  return {.info = {.name = "p99",
                   .type = "TIME",
                   .doc = "P99 latency budget, queueing included, e.g. 50ms",
                   .unit = "s",
                   .parse = parse_seconds,
                   .limit = &SizingLimits::p99_s,
                   .title = "P99 latency",
                   .brief = "P99",
                   .against = "the P99 latency"},
          .used = p99_seconds,
          .within = in_time};
}

}  // namespace kvcast::analysis
