// From a report's cases to what the cost surface needs to know of the schemes that ran.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/surface.h"
#include "kvcast/kvcast.h"

namespace kvcast::app {

/// What the cases have in common, with the passes of one scheme; nullopt where they are no family, or no surface
/// describes the scheme.
std::optional<analysis::SurfaceFamily> surface_family(const Report& report, const std::string& label);

/// Why no grid can give a surface of this scheme; empty where one may.
std::string why_no_surface(const Report& report, const std::string& label);

/// Timings over the fitted times of their own shapes, ascending, of all cases together.
struct PooledResiduals {
  std::vector<double> scheme, naive;
};
PooledResiduals pooled_residuals(const Report& report, const std::string& label);

/// Fits a surface to every fitted scheme, where the cases are shapes of one family (they differ in L and layers only)
/// and there are enough of them; adds the predictions that `options` requests; explains the r of every fit. Replaces
/// both in the report. Pure.
void fit_surfaces(Report& report, std::vector<analysis::TimingTable> tables, const FitOptions& options);

}  // namespace kvcast::app
