// The outputs that an imported file holds, against what this config makes of the rest of it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "equality/equality.h"

namespace kvcast::equality {

/// Name of the float64 reference among them.
inline constexpr const char* kReferenceOutputs = "outputs.reference";

/// Each outputs.* of the file, by name, against naive on the first candidates, at most those that `naive` is made for.
/// Empty without import or outputs, and when stopped. Errors: IoError.
std::vector<StoredOutputs> compare_stored_outputs(const Opened& opened, const Judged& naive,
                                                  const std::function<bool()>& stop_requested);

}  // namespace kvcast::equality
