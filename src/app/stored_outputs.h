// The outputs that an imported file holds, against what this config makes of the rest of it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "app/problem.h"

namespace kvcast::app {

/// Each outputs.* of the file, by name, against naive on the first candidates, at most those that `naive` is made for.
/// Empty without import or outputs, and when stop_requested said so. Errors: IoError.
std::vector<StoredOutputs> compare_stored_outputs(const Problem& problem, const NamedScheme& naive,
                                                  const std::function<bool()>& stop_requested);

}  // namespace kvcast::app
