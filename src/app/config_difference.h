// What two configs do not have in common.
#pragma once

#include <string>
#include <vector>

#include "kvcast/config.h"

namespace kvcast::app {

struct ConfigDifference {
  std::string path, in_a, in_b;  ///< "model.dim"; the values as in JSON
};

/// Fields that differ, in the order of the config, but for measure.max_memory: what a machine has available is another
/// from minute to minute.
std::vector<ConfigDifference> config_differences(const Config& a, const Config& b);

}  // namespace kvcast::app
