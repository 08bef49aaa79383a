// What is said of a run, or of timings that were fitted.
#pragma once

#include "kvcast/report.h"
#include "report/document.h"

namespace kvcast::report {

/// The cases of a report: speed-ups, fits, equality, warnings.
Document run_document(const Report& report);
/// All that a report has: its run, its sizing and its traffic, under one answer.
Document report_document(const Report& report);

}  // namespace kvcast::report
