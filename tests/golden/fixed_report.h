// A report that never changes, with every kind of row, for the approved files.
#pragma once

#include "kvcast/report.h"

namespace kvcast::golden {

Report fixed_report();

}  // namespace kvcast::golden
