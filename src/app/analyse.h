// From raw samples to a finished report: the pure end of a run, and all of `fit` and `merge`.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/kvcast.h"

namespace kvcast::app {

/// Fills in what follows from the samples: points, fits, surfaces, compositions, self-check, conditions and warnings.
/// Of what is there already it keeps the forms of points and the reasons of skipped ones, and warnings that do not
/// come from samples. Pure.
void analyse(Report& report, const FitOptions& options);

/// Every speed-up over naive at every N of every case has an interval no wider than the precision; where there are no
/// speed-ups, every scheme's time has. samples: by case.
bool precise_enough(const std::map<std::int64_t, std::vector<Sample>>& samples, double precision);

/// Why no figure of a report may be used, and what to do about it.
struct Unusable {
  std::string why, advice;
};
/// Outputs that were wrong when they were timed, times that no machine reaches, timings that others spoilt; nullopt
/// where the figures hold.
std::optional<Unusable> unusable(const Report& report);

/// Replaces the warnings that follow from the rest of the report.
void refresh_warnings(Report& report);

/// Errors: ConfigError when an analysed report, read from `path`, warns that its times are not those of whole requests.
void refuse_implausible(const Report& report, const std::string& path);

}  // namespace kvcast::app
