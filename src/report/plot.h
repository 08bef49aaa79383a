// A small plot of a speed-up curve in characters.
#pragma once

#include <string>

#include "kvcast/report.h"

namespace kvcast::report {

/// Speed-up of a fit's scheme against N, both on log axes: `o` measured, `.` by the form that the fit prefers. Empty
/// below three measured N.
std::string speedup_plot(const Case& one, const Fit& fit);

}  // namespace kvcast::report
