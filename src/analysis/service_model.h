// The time of a request as a function of N, for sizing: by a fit, by a surface, or by r alone. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "analysis/size.h"
#include "analysis/surface.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

struct ServiceFit {
  ServiceModel service;
  std::function<double(std::int64_t)> naive_s;  ///< for all N candidates
  std::function<double(std::int64_t)> speedup;  ///< over naive
  std::optional<SpeedupLine> speedup_line;      ///< N over it is the speed-up beyond the measured N, where it is one
  bool speedup_straight = true;                 ///< between measured N, N/S is a line in N; else its log in ln N
  std::function<std::optional<Interval>(std::int64_t)> speedup_interval;  ///< 95%; none: unknown at any N
  std::vector<double> naive_residuals = {1};
  std::optional<double> limit;                      ///< largest speed-up
  std::int64_t min_measured = 1, max_measured = 1;  ///< N of the data
  std::vector<std::int64_t> measured;               ///< N with timings
  std::vector<ScalableInput> inputs;                ///< its constants
  std::int64_t known_to = kMaxCandidates;           ///< largest N with an answer
};

/// Speed-up as by predict(): as measured, between measured N by the curve through them, beyond by the preferred form.
///
/// The times of the scheme and of naive also follow their own curves through the medians of their timings (curve.h),
/// beyond them the line a + bN (a, b >= 0); with a single N the form of the fit. The form is not used throughout
/// because it describes ratios: it would carry naive's departures from cN (it stacks short sequences) into the scheme's
/// time.
///
/// Interval of ln(time): at a measured N its own, for the next run. Between and beyond, where the line holds, its
/// leave-one-N-out errors, widening beyond the data as in predict(), combined at right angles with the spread between
/// runs that the rounds imply; unknown below four N. Where the line does not hold: up to the upper
/// end of the next measured N. Unknown with a single round, or where S has none.
///
/// Residuals are every usable timing, no round left out, over the curve at its N. nullopt when the fit has no r.
std::optional<ServiceFit> service_of_fit(const TimingTable& table, const Fit& fit, bool extrapolate = false);

/// T = c(1 + (N-1) r), naive cN. naive_candidate_s nullopt: in naive candidates. tail: P99 over mean of the service
/// time, taken for lognormal; 1 is constant. No interval: r is given.
ServiceFit service_of_r(double r, std::optional<double> naive_candidate_s, double tail);
/// Factors of mean 1, equally likely, of a lognormal whose P99 is `tail` times its mean; {1} where tail is 1.
std::vector<double> lognormal_residuals(double tail);
/// P99 over mean that a lognormal can have: exp(z²/2), z the normal quantile of 99%.
inline constexpr double kMaxTail = 14.9;

/// By a surface at one shape of its family. residuals, naive_residuals: of the timings it was fitted to.
ServiceFit service_of_surface(const Surface& surface, const SurfaceFamily& family, std::int64_t history_length,
                              std::int64_t layers, std::vector<double> residuals, std::vector<double> naive_residuals,
                              bool extrapolate = false);

}  // namespace kvcast::analysis
