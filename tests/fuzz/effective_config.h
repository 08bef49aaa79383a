// What must hold for a config that was accepted, wherever it came from.
#pragma once

#include <cstdint>
#include <string>

#include "config/fields.h"
#include "fuzz/properties.h"
#include "kvcast/config.h"

namespace kvcast::fuzz {

/// No input may depend on the machine that it is tried on.
inline constexpr HostLimits kHost{8, std::int64_t{16} << 30};

inline void check_effective(const Config& config) {
  const std::string written = config_to_json(config);
  const Config again = parse_config(written, "what was written", {}, kHost);
  require(config_to_json(again) == written, "a config written and read is the same: " + written);
  require(!grid(config).empty(), "a config has a case");
  Config copy = config;
  for (const config::Field& field : config::fields()) {
    const std::string problem = field.read(copy, field.text(config));
    require(problem.empty(), "what is shown of " + field.path + " can be typed: " + problem);
  }
}

}  // namespace kvcast::fuzz
