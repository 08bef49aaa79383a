// The time of a request as a function of N, for sizing: by a fit, by a surface, or by r alone. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/size.h"
#include "analysis/surface.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

struct ServiceFit {
  ServiceModel service;
  std::function<double(std::int64_t)> naive_s;  ///< for all N candidates
  std::function<double(std::int64_t)> speedup;  ///< over naive
  std::optional<SpeedupLine> speedup_line;      ///< where it is N over a line
  Steps speedup_half;                           ///< half-width of the 95% interval of its log; empty: unknown
  std::vector<double> naive_residuals = {1};
  std::optional<double> limit;                         ///< largest speed-up
  std::int64_t least_measured = 1, most_measured = 1;  ///< N of the data
  std::vector<std::int64_t> measured;                  ///< N with timings
  std::vector<ScalableInput> inputs;                   ///< its constants
};

/// Speed-up by the form that the fit prefers, with the interval of predict().
///
/// Time of the scheme, and of naive, by a line a + bN of its own (a, b >= 0), by relative least squares on the trimmed
/// means of the logs of its timings at each N; below three N by the form of the fit. Not by the form throughout: that
/// is of ratios, and carries naive's departures from cN (it stacks short sequences) into the scheme's time. Measured
/// on preset `default`: the form's time is up to 7% off the medians, the line's up to 4%.
///
/// Interval of ln(time): what the line was off by at each N when it was fitted without it, widening beyond the data as
/// in predict(), and what rounds of this run say of the next run, at right angles. Made to not fall with N. Unknown
/// below four N, or with a single round, or where S has none.
///
/// Residuals are every usable timing, no round left out, over the line's time at its N. nullopt when the fit has no r.
std::optional<ServiceFit> service_of_fit(const std::vector<Sample>& samples, const Fit& fit);

/// T = c(1 + (N-1) r), naive cN. naive_candidate_s nullopt: in naive candidates. tail: P99 over mean of the service
/// time, taken for lognormal; 1 is constant. No interval: r is given.
ServiceFit service_of_r(double r, std::optional<double> naive_candidate_s, double tail);
/// Factors of mean 1, equally likely, of a lognormal whose P99 is `tail` times its mean; {1} where tail is 1.
std::vector<double> lognormal_residuals(double tail);
/// P99 over mean that a lognormal can have: exp(z²/2), z the normal quantile of 99%.
inline constexpr double kMostTail = 14.9;

/// By a surface at one shape of its family. residuals, naive_residuals: of the timings it was fitted to.
ServiceFit service_of_surface(const Surface& surface, const SurfaceFamily& family, std::int64_t history_length,
                              std::int64_t layers, std::vector<double> residuals, std::vector<double> naive_residuals);

}  // namespace kvcast::analysis
