// What is said of a simulation or a replay.
#pragma once

#include "kvcast/report.h"
#include "report/document.h"

namespace kvcast::report {

/// Of a report that has traffic.
Document traffic_document(const Report& report);

}  // namespace kvcast::report
