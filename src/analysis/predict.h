// Speed-ups and times at any N, measured or not, by the form that the data prefer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::analysis {

/// One Prediction per entry of `candidates` (each >= 1), in that order; none when `fit`, which is fit_scheme's of the
/// same samples and scheme, has no r. By the preferred form, the one-parameter form where it is untested. The value is
/// the form's also where `source` says "measured". Speed-ups never fall with N.
///
/// Interval, on log S: two half-widths at right angles, ±√(f² + e²).
///   f: Student-t half-width of the fit itself at this N, by the design that gives r its interval (Uncertainty).
///   e: what the form was off by at N that it had not seen: t(K)·RMS of the K leave-one-out errors. Beyond the smallest
///      or largest N the RMS is not taken below the error at that very edge, and e grows by as much again for every
///      log distance as wide as that from the edge to the N beside it: over such a distance the edge itself was
///      predicted.
/// Where no N can be left out (a single N > 1), e is unknown; so there is an interval at that N only, of f alone.
///
/// Seconds, for all N candidates: naive c·N; the scheme's that over the speed-up, by the affine form a + bN exactly.
std::vector<Prediction> predict(const std::vector<Sample>& samples, const std::string& scheme, const Fit& fit,
                                const std::vector<std::int64_t>& candidates);

/// e of predict() at any N, of a log: `errors` are those of a form at each of `counts` (ascending) that it did not see.
/// nullopt when there are none.
std::optional<double> held_out_half_width(const std::vector<std::int64_t>& counts, const std::vector<double>& errors,
                                          std::int64_t candidates);

}  // namespace kvcast::analysis
