// Bytes of one process: weights, workers, cached users.
#include "analysis/budgets/budget.h"
#include "kvcast/config.h"

namespace kvcast::analysis {

Budget memory_budget() {
  return {.info = {.name = "memory",
                   .type = "BYTES",
                   .doc = "Memory budget of one process, workers and cached users included: 8GiB",
                   .unit = "bytes",
                   .parse = [](const std::string& text,
                               const std::string& origin) { return static_cast<double>(parse_size(text, origin)); },
                   .limit = &SizingLimits::memory_bytes,
                   .timed = false,
                   .title = "memory"},
          .used = [](const SizingProblem& problem, std::int64_t candidates, bool) {
            return bytes_of(problem, candidates);
          }};
}

}  // namespace kvcast::analysis
