// Text from outside, made fit for a terminal.
#pragma once

#include <string>
#include <string_view>

namespace kvcast {

/// `text` for one line of a terminal: what would move the cursor, colour, end the line or turn the direction of what
/// follows (control characters, Unicode's too) is a space, and what is not UTF-8 is U+FFFD.
std::string one_line(std::string_view text);

}  // namespace kvcast
