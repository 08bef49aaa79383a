#include "engine/engine.h"

#include <algorithm>

#include "base/text.h"

namespace kvcast {

std::string Capabilities::why_not(const std::string& engine, const std::string& scheme,
                                  const std::string& dtype) const {
  const auto lacks = [](const std::vector<std::string>& all, const std::string& one) {
    return !all.empty() && std::find(all.begin(), all.end(), one) == all.end();
  };
  if (lacks(schemes, scheme)) return engine + " runs " + join(schemes, ", ") + " only";
  if (lacks(dtypes, dtype)) return engine + " runs in " + join(dtypes, ", ") + " only";
  return "";
}

}  // namespace kvcast
