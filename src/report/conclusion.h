// What a report says, in a sentence.
#pragma once

#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::report {

/// Of the largest shape with a fit: the speed-up at its largest N, where 90% of the ceiling is reached, and the queue
/// where it was sized; in their place what is wrong with the timings, or asked of them. Empty without a fit that has
/// an r.
std::string conclusion(const Report& report);

/// What was judged behind the timing, and how far the worst is off; "not judged" where it was not.
std::string judged_after_timing(const std::vector<TimedOutputs>& rows);

/// The limit of the speed-up, "160x", with no more digits than its interval supports; "-" where it is not known.
std::string ceiling(const Fit& fit);

/// The fit that stands for a case: that of `shared`, else the first with an r; null when there is none.
const Fit* main_fit(const Case& one);
/// The case that stands for a report: the largest with a main fit; null when there is none.
const Case* main_case(const Report& report);

}  // namespace kvcast::report
