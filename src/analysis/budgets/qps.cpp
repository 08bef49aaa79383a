// The rate of requests, which the workers must be able to serve without being too busy.
#include "analysis/budgets/budget.h"
#include "analysis/queueing.h"
#include "kvcast/config.h"

namespace kvcast::analysis {

Budget qps_budget() {
  return {.info = {.name = "qps",
                   .type = "RATE",
                   .doc = "Requests that arrive, at random: 200, 12000/min",
                   .unit = "1/s",
                   .parse = parse_rate,
                   .limit = &SizingLimits::requests_per_s,
                   .floor = true,
                   .title = "request rate",
                   .one = "with one candidate the workers can serve",
                   .against = "the request rate",
                   .head = "rate",
                   .below = "of the request rate the third column is what the workers could serve at 90% utilisation"},
          .used = [](const SizingProblem& problem, std::int64_t candidates, bool conservative) {
            return kMaxUtilisation * static_cast<double>(problem.workers) /
                   mean_seconds(problem, candidates, conservative);
          }};
}

}  // namespace kvcast::analysis
