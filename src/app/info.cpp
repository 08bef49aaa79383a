#include <fmt/core.h>
#include <unistd.h>
#include <zlib.h>

#include <nlohmann/json.hpp>

#include "app/build_info.h"
#include "app/refuse.h"
#include "base/text.h"
#include "engine/builtin/kernels/dense.h"
#include "engine/builtin/kernels/isa.h"
#include "kvcast/kvcast.h"
#include "measure/machine.h"

namespace kvcast {

HostLimits host_limits() { return measure::probe_limits(); }

MachineInfo machine_info(std::int64_t threads) {
  if (threads > 0) app::require_team("/run/threads", threads);
  return measure::probe_machine(threads);
}

std::vector<std::string> isa_names() { return kernels::isa_names(); }

void select_isa(const std::string& name) {
  if (const std::int64_t left = measure::address_space_left(); left >= 0 && left < measure::kCodeBytes) {
    throw ConfigError("ulimit -v", "leaves " + gib(static_cast<double>(left)) + " of address space",
                      gib(static_cast<double>(measure::kCodeBytes)) +
                          " at least, beside the model: dense products are compiled at run time");
  }
  if (!kernels::select_isa(name)) {
    throw ConfigError("/run/isa", in_quotes(name) + " is not a SIMD target of this CPU",
                      "allowed: auto, " + join(isa_names(), ", "));
  }
  if (name != "auto" && !kernels::dense_isa_follows()) {
    throw ConfigError("/run/isa", in_quotes(name) + " comes too late: dense products have already run",
                      "select it first");
  }
}

namespace {

// Of the one that is loaded, which need not be the one compiled against.
std::string glibc_version() {
  char text[64] = "";  // "glibc 2.36"
  ::confstr(_CS_GNU_LIBC_VERSION, text, sizeof text);
  const std::string version = text;
  return version.substr(version.find(' ') + 1);
}

}  // namespace

ToolInfo tool_info() {
  ToolInfo info{app::kVersion, app::kGitCommit, app::kCompiler, app::kBuildType, {}};
  info.dependencies = {
      {"oneDNN", kernels::dense_library_version()},
      {"Highway", KVCAST_HIGHWAY_VERSION},
      {"CLI11", KVCAST_CLI11_VERSION},
      {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
      {"nlohmann/json",
       fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)},
      {"libxlsxwriter", KVCAST_LIBXLSXWRITER_VERSION},
      {"zlib", zlibVersion()},
      {"Boost", KVCAST_BOOST_VERSION},
      {"Eigen", KVCAST_EIGEN_VERSION},
      {"Chart.js", KVCAST_CHART_JS_VERSION},
      {"OpenMP", fmt::format("{} of {}", KVCAST_OPENMP_VERSION, KVCAST_OPENMP_LIBRARY)},
      {"libstdc++", std::to_string(_GLIBCXX_RELEASE)},
      {"glibc", glibc_version()},
  };
  return info;
}

}  // namespace kvcast
