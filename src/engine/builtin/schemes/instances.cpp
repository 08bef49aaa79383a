// Schemes by name, and those that a config asks for.
#include <algorithm>

#include "engine/builtin/schemes/scheme.h"
#include "kvcast/kvcast.h"
#include "kvcast/mask.h"

namespace kvcast {

std::vector<SchemeInfo> schemes() {
  std::vector<SchemeInfo> infos;
  for (const SchemeEntry& entry : scheme_list()) infos.push_back({entry.name, entry.doc, entry.shares});
  return infos;
}

const SchemeEntry* find_scheme(const std::string& name) {
  const auto& list = scheme_list();
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const SchemeEntry& entry) { return entry.name == name; });
  return found == list.end() ? nullptr : &*found;
}

std::string why_not(const SchemeEntry& entry, const ModelConfig& model) {
  if (entry.shares && !shareable(model)) {
    return "history positions see the candidate, so no history K,V can be shared";
  }
  if (entry.name == "append" && model.mask == Mask::bidirectional && model.history_length > 0) {
    return "old history positions see the new ones, so their K,V cannot be kept";
  }
  return "";
}

std::vector<SchemeInstance> scheme_instances(const Config& config) {
  std::vector<SchemeInstance> instances;
  for (const std::string& name : config.run.schemes) {
    const SchemeEntry* entry = find_scheme(name);
    SchemeOptions options;
    if (name == "append") options.append = config.run.append / config.model.token_merge;
    if (name != "packed" || config.run.micro_batch.empty()) {
      instances.push_back({name, entry, options});
      continue;
    }
    for (const std::int64_t size : config.run.micro_batch) {
      options.micro_batch = size;
      instances.push_back(
          {config.run.micro_batch.size() > 1 ? name + "-" + std::to_string(size) : name, entry, options});
    }
  }
  return instances;
}

}  // namespace kvcast
