#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "app/build_info.h"
#include "kernels/dense.h"
#include "kvcast/kvcast.h"
#include "measure/machine.h"

namespace kvcast {

HostLimits host_limits() { return measure::probe_limits(); }

MachineInfo machine_info(std::int64_t threads) { return measure::probe_machine(threads); }

ToolInfo tool_info() {
  ToolInfo info{app::kVersion, app::kGitCommit, app::kCompiler, app::kBuildType, {}};
  info.dependencies = {
      {"oneDNN", kernels::dense_library_version()},
      {"Highway", KVCAST_HIGHWAY_VERSION},
      {"CLI11", KVCAST_CLI11_VERSION},
      {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
      {"nlohmann/json",
       fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)},
  };
  return info;
}

}  // namespace kvcast
