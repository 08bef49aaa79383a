// What is said of a sizing.
#pragma once

#include "kvcast/report.h"
#include "report/document.h"

namespace kvcast::report {

/// Of a report that has a sizing.
Document sizing_document(const Report& report);

}  // namespace kvcast::report
