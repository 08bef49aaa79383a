// Reports and samples read back from what report/ writes, by the same columns.
#pragma once

#include <string>

#include "kvcast/report.h"

namespace kvcast::report {

/// A file as it is. Errors: IoError when it cannot be read or is larger than 1 GiB.
std::string read_file(const std::string& path);

}  // namespace kvcast::report
