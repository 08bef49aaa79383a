// Sheet `model`: the cost model and the sizing as formulas over cells that people may change.
#pragma once

#include "kvcast/report.h"
#include "report/render/xlsx_book.h"

namespace kvcast::report {

/// Whether there is one: a fit, or a sizing that knows times.
bool has_live_model(const Report& report);
void write_live_model(Book& book, Sheet& sheet, const Report& report);

}  // namespace kvcast::report
