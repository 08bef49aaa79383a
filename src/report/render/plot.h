// A chart in characters.
#pragma once

#include <string>

#include "report/document.h"

namespace kvcast::report {

/// The chart's curves over its measured points, 75 columns wide, on logarithmic axes that reach from the first measured
/// x to the last; empty with fewer than three measured points.
std::string plot_text(const Chart& chart);

}  // namespace kvcast::report
