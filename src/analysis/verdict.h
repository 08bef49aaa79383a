// What a fit means, in plain sentences. Pure function of the numbers of a fit.
#pragma once

#include <vector>

#include "analysis/curve.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// Measured times of naive and of the scheme, ascending by N; they show why no form fits.
struct Times {
  std::vector<Curve::Anchor> naive, scheme;
};

/// Fills verdict, next and slowdowns from the rest of `fit`.
///
/// verdict: one sentence: the form that describes the timings and how far the one-parameter law is off; or that neither
/// does, and the reason (naive in batches, a jump, a bend); or why r is unknown.
/// next: one sentence with the most useful thing to measure next; empty when nothing is missing. N are rounded up to
/// 1, 2 or 5 times a power of ten.
/// slowdowns: the N at which naive is faster by more than the interval of the speed-up (or at all, for a single
/// timing), in percent of its throughput; then the N from which sharing wins by the affine form.
void put_into_words(Fit& fit, const Times& times);

}  // namespace kvcast::analysis
