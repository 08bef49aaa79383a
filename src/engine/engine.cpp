#include "engine/engine.h"

#include <algorithm>

#include "base/text.h"
#include "kvcast/config.h"

namespace kvcast {

std::string Capabilities::why_not(const std::string& engine, const std::string& scheme, const Config& config) const {
  const auto lacks = [](const std::vector<std::string>& all, const std::string& one) {
    return !all.empty() && std::find(all.begin(), all.end(), one) == all.end();
  };
  if (lacks(schemes, scheme)) return engine + " runs " + join(schemes, ", ") + " only";
  if (lacks(dtypes, config.run.dtype)) return engine + " runs in " + join(dtypes, ", ") + " only";
  if (!loads_weights && !config.model.import.empty()) return engine + " runs weights of its own only, not a file's";
  if (!serves_workers && config.run.workers > 1) return engine + " serves one request at a time";
  if (!changes_history && config.measure.cold) return engine + " keeps to one history, and --cold takes another's";
  return "";
}

}  // namespace kvcast
