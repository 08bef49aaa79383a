#include "app/config_difference.h"

#include <nlohmann/json.hpp>

namespace kvcast::app {
namespace {

using Json = nlohmann::ordered_json;

// Both have the same keys: config_to_json writes every field.
void collect(const Json& a, const Json& b, const std::string& path, std::vector<ConfigDifference>& differences) {
  if (a.is_object()) {
    for (const auto& [key, value] : a.items()) {
      collect(value, b.at(key), path.empty() ? key : path + "." + key, differences);
    }
  } else if (a != b && path != "measure.max_memory") {
    differences.push_back({path, a.dump(), b.dump()});
  }
}

}  // namespace

std::vector<ConfigDifference> config_differences(const Config& a, const Config& b) {
  std::vector<ConfigDifference> differences;
  collect(Json::parse(config_to_json(a)), Json::parse(config_to_json(b)), "", differences);
  return differences;
}

}  // namespace kvcast::app
