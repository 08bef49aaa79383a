// How much of the budget the equality check may take.
#pragma once

#include <cstdint>

#include "engine/builtin/schemes/check.h"
#include "kvcast/config.h"
#include "kvcast/report.h"

namespace kvcast::app {

struct EqualityPlan {
  std::int64_t checked = 2;  ///< candidates compared at the full shape
  std::int64_t batch = 2;    ///< candidates that sharing schemes run, the checked ones among them
  double reference_s = 1;    ///< seconds for the float64 reference
  /// After the timing (docs/method.md §9): candidates that naive computes beforehand, and of the users that --cold
  /// rotates through, those whose outputs are judged.
  std::int64_t expected_naive = 0, judged_users = 1;
};
/// Of one case; `cases` of them share the budget.
EqualityPlan plan_equality(const Config& config, const MachineInfo& machine, std::int64_t cases);

/// Where the float64 reference of a check runs that judges among this many candidates and takes so long.
ReferenceShape checked_shape(const Config& config, std::int64_t candidates, double seconds);

/// Bytes that the check takes beyond weights, tokens and schemes: the float64 reference, and the weights of a smaller
/// model where it is cut, and of one in fp32 where the run is not; or the samples of the layers at the full shape,
/// which come later.
double check_bytes(const ModelShape& shape, std::int64_t history_length, const ReferenceShape& cut);

}  // namespace kvcast::app
