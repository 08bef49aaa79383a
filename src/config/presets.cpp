#include <string>
#include <vector>

#include "config/embedded.h"
#include "input/text/json.h"
#include "kvcast/config.h"

namespace kvcast {

const std::vector<PresetInfo>& presets() {
  static const std::vector<PresetInfo> kPresets = [] {
    std::vector<PresetInfo> infos;
    for (const auto& [name, json] : config::kEmbeddedPresets) {
      infos.push_back({name, parse_json(json, "preset " + name).value("comment", ""), json});
    }
    return infos;
  }();
  return kPresets;
}

}  // namespace kvcast
