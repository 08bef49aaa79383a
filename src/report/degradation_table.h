// The parts of the table that are about a ranking head and about memory.
#pragma once

#include <string>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::report {

/// Throughput drops of one case, a row per N and scheme; empty without any.
std::string degradation_block(const std::vector<Degradation>& rows, const Case& one);
/// The same of a whole grid, a row per shape and scheme, each at its largest N.
std::string degradation_summary(const std::vector<Degradation>& rows);

/// What shared and the literal copies of its cache took of memory; empty unless both were measured.
std::string resident_line(const std::vector<ResidentMemory>& memory);

}  // namespace kvcast::report
