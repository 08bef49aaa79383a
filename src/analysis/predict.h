// Speed-ups and times at any N: as measured, between what was measured, or by the form that the data prefer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "analysis/curve.h"
#include "analysis/uncertainty.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// Predictions for any N from a fit with an r, by fit_scheme of the same samples and scheme.
///
/// At a measured N: the measured speed-up and median times, with their intervals. Between measured N the curves through
/// them (curve.h), beyond them the preferred form (the one-parameter form where it is untested), scaled to meet the
/// outermost N. No prediction, with a `reason`, beyond the fit's known_to (unless `extrapolate` is set and a form
/// reaches beyond the measured N), and where the interval spans more than a factor of 16.
///
/// Interval where a form holds, on log S: two half-widths at right angles, ±√(f² + e²).
///   f: Student-t half-width of the fit itself at this N, by the design that gives r its interval (Uncertainty).
///   e: the error of the form at N that it had not seen: t(K)·RMS of the K leave-one-out errors. Beyond the smallest or
///      largest N the RMS is at least the error at that edge, and e grows by the same amount for every log distance as
///      wide as that from the edge to its neighbour, the distance over which the edge itself was predicted.
/// Beyond the largest N, M, its upper end is at most N/M times that at M: more candidates never make a request cheaper.
/// Where no N can be left out (a single N > 1), e is unknown, and only measured N have an interval.
/// Where no form holds: between two measured N, from the lower to the upper end of their intervals.
class Predictor {
 public:
  Predictor(const TimingTable& table, const Fit& fit, bool extrapolate);

  Prediction at(std::int64_t candidates) const;
  /// Naive candidates that a request takes, N/S.
  const Curve& relative() const { return relative_; }
  /// Largest N with a prediction.
  std::int64_t reach() const { return reach_; }

 private:
  const Level* level_of(std::int64_t candidates) const;
  std::string beyond() const;
  std::optional<Interval> by_form(std::int64_t candidates, double value) const;
  std::optional<Interval> between(std::int64_t candidates) const;

  std::shared_ptr<const Fit> fit_;  ///< shared with copies, which point into it
  std::vector<Level> levels_;
  const FittedModel* model_;        ///< in use, of fit_; null where none holds
  const CostForm* form_ = nullptr;  ///< its form
  Uncertainty uncertainty_;
  std::vector<double> errors_;
  Curve relative_, naive_, scheme_;
  std::vector<std::int64_t> counts_;
  std::int64_t reach_;
};

/// Predictor::at of every entry of `candidates` (each >= 1), in that order; none when the fit has no r.
std::vector<Prediction> predict(const TimingTable& table, const Fit& fit, const std::vector<std::int64_t>& candidates,
                                bool extrapolate = false);

/// e of predict() at any N, of a log: `errors` are those of a form at each of `counts` (ascending) that it did not see.
/// nullopt when there are none.
std::optional<double> held_out_half_width(const std::vector<std::int64_t>& counts, const std::vector<double>& errors,
                                          std::int64_t candidates);

}  // namespace kvcast::analysis
