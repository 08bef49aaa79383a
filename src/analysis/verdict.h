// What a fit means, in plain sentences. Pure function of the numbers of a fit.
#pragma once

#include "kvcast/report.h"

namespace kvcast::analysis {

/// Fills identifiable, verdict, next and losses from the rest of `fit`.
///
/// identifiable: the interval of r exists, lies above 0, and its upper end is below twice its lower end.
/// verdict: one sentence: the form to trust and how far the one-parameter form is off, or why r is not known.
/// next: one sentence with the most useful thing to measure next; empty when nothing is missing. N are rounded up to
/// 1, 2 or 5 times a power of ten.
/// losses: the N at which naive is the faster one beyond the interval of the speed-up (or at all, where a single timing
/// gives none), in percent of its throughput; then the N from which sharing wins by the affine form.
void put_into_words(Fit& fit);

}  // namespace kvcast::analysis
