// What a report says, in a sentence.
#pragma once

#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::report {

/// Of the largest shape with a fit: the speed-up at its largest N, where 90% of the ceiling is reached, and the queue
/// where it was sized. Empty without a fit that has an r.
std::string conclusion(const Report& report);

/// What was judged behind the timing, and how far the worst is off; "not judged" where it was not.
std::string judged_after_timing(const std::vector<TimedOutputs>& rows);

/// The fit that stands for a case: that of `shared`, else the first with an r; null when there is none.
const Fit* main_fit(const Case& one);
/// The case that stands for a report: the largest with a main fit; null when there is none.
const Case* main_case(const Report& report);

}  // namespace kvcast::report
