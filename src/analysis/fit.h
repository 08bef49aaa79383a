// Fits of the cost model to measured speed-ups. Pure functions of the raw samples, in any order.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// Why nothing can be fitted to these samples, in one line: no timings of the scheme, no naive timing in the same round
/// and at the same N, or only N = 1. Empty when fit_scheme gives an r.
std::string unfittable(const TimingTable& table, const std::string& scheme);

/// Fits both forms of docs/model.md §2 to one scheme's speed-ups over naive.
///
/// Data: naive and scheme timings paired by (round, N), each brought to N candidates. Where an N has both whole and
/// assembled (or extrapolated) rows, one kind serves all rounds of that N (prevailing). Pairs that a
/// canary refutes are left out (pair_rounds). The speed-up of an N is the trimmed mean of its log ratios.
///
/// One-parameter form S = N/(1+(N-1) r): r > 0 by weighted least squares on log speed-ups (fit_forms). The
/// interval is Student t on log(1+(M-1) r), the log time at the largest N, M: for a single N it is the interval of the
/// speed-up, carried over; a lower end of 0 means that these N cannot separate r from 0. Its error: Uncertainty, by
/// blocks of rounds, by N, or by the scatter about the form, whichever the data have. N = 1 says nothing about r.
/// lack_of_fit_pct is 100τ of fit_forms.
///
/// Affine form S = cN/(a+bN): a/c and b/c >= 0 by relative least squares on the same speed-ups, c the naive time of a
/// candidate; so a and b are in seconds, and what a round does to both schemes cancels. Needs three distinct N.
/// marginal_r is b/c with its interval by the same design.
///
/// Both are judged by leave-one-N-out: predict S(N) from the other N. "affine" is preferred when its error is clearly
/// the smaller (< 0.8x) and a+b, the time of one candidate, differs from c beyond its 95% interval: a+b = c is the
/// one-parameter form, so where it holds, "affine" comes by chance in less than 5% of runs. Below three distinct N > 1
/// the form is "untested".
/// A form that is off by more than 10% beyond the noise of a measured N does not describe the data, whatever it
/// predicts: then the other one is preferred, or "neither", which predicts nothing beyond the measured N.
///
/// asymptote, candidates_for_90 and identifiable are of the preferred form (the one-parameter form where untested).
/// known_to is four times the largest N; that N itself where no form holds, or where the interval of the cost of one
/// more candidate does not exclude 0: flat times do not show where growth begins.
///
/// `work_r`: r by FLOPs (kvcast::r_flops), echoed into the result; NaN when unknown. Units: seconds.
/// Fields that the data cannot give are nullopt. Does not set predictions and explanation.
/// Source: docs/model.md §2; Efron and Stein, "The jackknife estimate of variance", Annals of Statistics 9 (1981).
Fit fit_scheme(const TimingTable& table, const std::string& scheme, double work_r);

/// Speed-up at each measured N as the preferred form predicts it when fitted without that N (one-parameter where the
/// form is untested). N that the others cannot predict are absent.
std::map<std::int64_t, double> loo_predictions(const TimingTable& table, const std::string& scheme);

}  // namespace kvcast::analysis
