// Presets compiled into the binary. Generated from configs/*.json by cmake/KvcastGenerated.cmake.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace kvcast::config {

/// Name and JSON text of every preset, by name.
extern const std::vector<std::pair<std::string, std::string>> kEmbeddedPresets;

}  // namespace kvcast::config
