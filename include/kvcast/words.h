// Sentences of a command, safe to print on one line of a terminal.
#pragma once

#include <string>
#include <string_view>

#include "kvcast/report.h"

namespace kvcast {

/// `text` made safe for one line of a terminal: characters that move the cursor, colour, end the line or change the
/// text direction (control characters, Unicode's too) become spaces, and invalid UTF-8 becomes U+FFFD.
std::string one_line(std::string_view text);

/// Code of the warning that replaces the figures of a report.
inline constexpr const char* kNoResult = "no-result";
/// "No usable result: other processes used 83% of the CPUs"; empty where the timings are usable.
std::string no_result(const Report& report);
/// The question to settle before trusting a report's timings: "Are the columns swapped, …? shared takes 50 times as
/// long as naive at N=100"; empty: none.
std::string doubt(const Report& report);

/// Which schemes are off, by how much, and what is allowed; empty when all agree.
std::string disagreement(const Equivalence& equivalence);

}  // namespace kvcast
