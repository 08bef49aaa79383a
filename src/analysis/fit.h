// Fits of the cost model to measured speed-ups. Pure functions of the raw samples, in any order.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::analysis {

/// The scheme every speed-up is over.
inline constexpr const char* kBaseline = "naive";

/// Fits both forms of docs/model.md §2 to one scheme's speed-ups over naive.
///
/// Data: naive and scheme timings paired by (round, N), each brought to N candidates. Where an N has both whole and
/// composed (or scaled) rows, those that stand for the point serve all rounds of that N (prevailing). Pairs with
/// a slow canary are left out (pair_rounds).
///
/// One-parameter form S = N/(1+(N-1) r): r in (0,1] minimises Σ w_N (mean log S_obs(N) - log S(N; r))². w_N is one over
/// the variance of the log ratios over rounds, floored by its median over N and by 0.5%². The interval is the
/// delete-one-round jackknife on log r with Student t of R-1 degrees: a round is the unit that is repeated, the N of
/// one round share their history pass and the machine's mood. N = 1 says nothing about r.
///
/// Affine form S = cN/(a+bN): c is the geometric mean naive time per candidate; a, b >= 0 by relative least squares on
/// the scheme's median times. Needs three distinct N.
///
/// Both are judged by leave-one-N-out: predict S(N) from the other N. "affine" is preferred when its error is clearly
/// the smaller (< 0.8x); below three distinct N > 1 the form is "untested".
///
/// `work_r`: r by FLOPs (kvcast::r_flops), echoed into the result; NaN when unknown. Units: seconds.
/// Fields that the data cannot give are nullopt. Source: docs/model.md §2; Efron and Stein, "The jackknife estimate of
/// variance", Annals of Statistics 9 (1981).
Fit fit_scheme(const std::vector<Sample>& samples, const std::string& scheme, double work_r);

/// Speed-up at each measured N as the preferred form predicts it when fitted without that N (one-parameter where the
/// form is untested). N that the others cannot predict are absent.
std::map<std::int64_t, double> loo_predictions(const std::vector<Sample>& samples, const std::string& scheme);

}  // namespace kvcast::analysis
