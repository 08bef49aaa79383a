// Traces that are not kept as plain files: standard input, compressed by gzip, in UTF-16.
#pragma once

#include <string>

#include "base/input.h"

namespace kvcast::traffic {

/// A copy as plain text in a file without a name, since a trace is read more than once and at any offset. Not open
/// where the file itself is plain, or is not there. Standard input is that copy afterwards, so that it can be asked for
/// again. Errors: IoError; ConfigError when it is a terminal or is no text.
Descriptor plain_copy(const std::string& path);

}  // namespace kvcast::traffic
