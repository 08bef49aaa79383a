// Words of a command, on one line and without anything that a terminal would act on.
#pragma once

#include <string>
#include <string_view>

#include "kvcast/report.h"

namespace kvcast {

/// `text` for one line of a terminal: what would move the cursor, colour, end the line or turn the direction of what
/// follows (control characters, Unicode's too) is a space, and what is not UTF-8 is U+FFFD.
std::string one_line(std::string_view text);

/// Code of the warning that takes the place of the figures of a report.
inline constexpr const char* kNoResult = "no-result";
/// "No usable result: other processes used 83% of the CPUs"; empty where the timings are the program's.
std::string no_result(const Report& report);
/// What is asked before figures that rest on the timings of a report are believed: "Are the columns swapped, …? shared
/// takes 50 times as long as naive at N=100"; empty: nothing.
std::string doubt(const Report& report);

/// Which schemes are off, by how much, and what is allowed; empty when all agree.
std::string disagreement(const Equivalence& equivalence);

}  // namespace kvcast
