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
  std::vector<double> naive_residuals = {1};
  std::optional<double> limit;                          ///< largest speed-up
  std::int64_t least_measured = 1, most_measured = 0;   ///< N of the data; none where most is below least
  std::vector<std::int64_t> measured;                   ///< N with timings
  std::vector<ScalableInput> inputs;                    ///< its constants
};

/// By the form that the fit prefers, of samples that it was made of. Residuals are every usable timing of the scheme,
/// no round left out, over the form's time at its N. The interval of ln S at N is that of predict(), made to not fall
/// with N; it is unknown where predict() has none. nullopt when the fit has no r.
std::optional<ServiceFit> service_of_fit(const std::vector<Sample>& samples, const Fit& fit);

/// T = c(1 + (N-1) r), naive cN. naive_candidate_s nullopt: in naive candidates. tail: P99 over mean of the service
/// time, taken for lognormal; 1 is constant. No interval: r is given.
ServiceFit service_of_r(double r, std::optional<double> naive_candidate_s, double tail);
/// P99 over mean that a lognormal can have: exp(z²/2), z the normal quantile of 99%.
inline constexpr double kMostTail = 14.9;

/// By a surface at one shape of its family. residuals, naive_residuals: of the timings it was fitted to.
ServiceFit service_of_surface(const Surface& surface, const SurfaceFamily& family, std::int64_t history_length,
                              std::int64_t layers, std::vector<double> residuals, std::vector<double> naive_residuals);

/// Makes history pass, candidates and naive this many times as long.
void scale_times(SizingProblem& problem, double user, double candidates, double naive);

}  // namespace kvcast::analysis
