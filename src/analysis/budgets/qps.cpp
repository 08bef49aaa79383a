// The request rate that the workers must sustain at no more than 90% utilisation.
#include "analysis/budgets/budget.h"
#include "analysis/queueing.h"
#include "kvcast/config.h"

namespace kvcast::analysis {

Budget qps_budget() {
  return {.info = {.name = "qps",
                   .type = "RATE",
                   .doc = "Target rate in req/s, arriving at random: 200, 12000/min",
                   .unit = "1/s",
                   .parse = parse_rate,
                   .limit = &SizingLimits::requests_per_s,
                   .floor = true,
                   .title = "request rate",
                   .one = "with one candidate the workers can serve",
                   .against = "the request rate",
                   .head = "rate",
                   .below = "of a request rate, what is used is what the workers could serve at 90% utilisation"},
          .used = [](const SizingProblem& problem, std::int64_t candidates, bool conservative) {
            return kMaxUtilisation * static_cast<double>(problem.workers) /
                   mean_seconds(problem, candidates, conservative);
          }};
}

}  // namespace kvcast::analysis
