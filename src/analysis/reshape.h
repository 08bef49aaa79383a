// A sizing problem at another shape, so that the shapes of one table agree with each other. Pure.
#pragma once

#include <cstdint>

#include "analysis/service_model.h"
#include "analysis/sizing.h"

namespace kvcast::analysis {

/// `own` at another shape: the times and speed-ups of a model that knows both shapes, each with the factor by which the
/// model misses `own` at `at` candidates. So a row beside `own` differs from it by what the shape does, never by how
/// far a model is off. here, there: the model at own's shape and at the other. Budgets and residuals stay own's; the
/// interval holds own's and the model's, and is unknown where either is.
SizingProblem anchored(const SizingProblem& own, const ServiceFit& here, const ServiceFit& there, std::int64_t at);

/// Between two problems: times and speed-ups on the way from a (weight 0) to b (weight 1) by a straight line of their
/// logs, the wider interval of the two; budgets and residuals are a's. No line in N.
SizingProblem between(const SizingProblem& a, const SizingProblem& b, double weight);

}  // namespace kvcast::analysis
