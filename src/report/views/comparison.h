// What is said of two runs.
#pragma once

#include "kvcast/report.h"
#include "report/document.h"

namespace kvcast::report {

Document comparison_document(const Comparison& comparison);

}  // namespace kvcast::report
