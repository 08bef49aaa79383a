// Text from outside (CPU names, reasons, comments) made safe for a document.
#pragma once

#include <string>

namespace kvcast::report {

/// The text with every byte that is not part of valid UTF-8 replaced by U+FFFD.
std::string valid_utf8(const std::string& text);

}  // namespace kvcast::report
