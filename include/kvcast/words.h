// Words of a command, on one line and without anything that a terminal would act on.
#pragma once

#include <string>
#include <string_view>

#include "kvcast/report.h"

namespace kvcast {

/// `text` for one line of a terminal: what would move the cursor, colour, end the line or turn the direction of what
/// follows (control characters, Unicode's too) is a space, and what is not UTF-8 is U+FFFD.
std::string one_line(std::string_view text);

/// Which schemes are off, by how much, and what is allowed; empty when all agree.
std::string disagreement(const Equivalence& equivalence);

}  // namespace kvcast
