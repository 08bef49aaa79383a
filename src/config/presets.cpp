#include <string>
#include <vector>

#include "config/embedded.h"
#include "config/json.h"
#include "kvcast/config.h"

namespace kvcast {

const std::vector<PresetInfo>& presets() {
  static const std::vector<PresetInfo> kPresets = [] {
    std::vector<PresetInfo> infos;
    for (const auto& [name, json] : config::kEmbeddedPresets) {
      PresetInfo info{name, "", json};
      for (const config::JsonValue& member : config::parse_json(json, "preset " + name).items) {
        if (member.key == "comment") info.comment = member.literal;
      }
      infos.push_back(info);
    }
    return infos;
  }();
  return kPresets;
}

}  // namespace kvcast
