// Equality of the schemes' outputs, of a run and of a proof.
#pragma once

#include <string>
#include <vector>

#include "kvcast/report.h"
#include "report/document.h"

namespace kvcast::report {

/// Errors of every scheme against float64 and naive, their tolerances, and what was judged behind the timing.
Section equality_section(const Equivalence& equality, const std::vector<TimedOutputs>& timed, const std::string& title,
                         bool details);
/// "1.3e-06"; "-" where it is unknown, NaN where it is no number.
Cell error_cell(const std::optional<double>& value);

}  // namespace kvcast::report
