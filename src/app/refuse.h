// How commands refuse the value of a flag.
#pragma once

#include <cstdint>
#include <string>

#include "base/parallel.h"
#include "base/text.h"
#include "kvcast/error.h"
#include "kvcast/traffic.h"
#include "traffic/policies/policy.h"

namespace kvcast::app {

/// Errors: ConfigError, always.
[[noreturn]] inline void refuse(const std::string& flag, const std::string& problem, const std::string& allowed) {
  throw ConfigError(flag, problem, allowed);
}

/// Errors: ConfigError when `value` is not in [least, most].
inline void require_range(const char* flag, std::int64_t value, std::int64_t least, std::int64_t most) {
  if (value >= least && value <= most) return;
  refuse(flag, "'" + std::to_string(value) + "' is out of range",
         std::to_string(least) + " to " + std::to_string(most));
}

/// Errors: ConfigError when that many threads cannot run here. Call before any parallel work.
inline void require_team(const std::string& where, std::int64_t threads) {
  const std::string problem = team_problem(static_cast<int>(threads));
  if (problem.empty()) return;
  refuse(where, std::to_string(threads) + " threads cannot run here: " + problem,
         "fewer threads, or a higher limit: OMP_THREAD_LIMIT, OMP_DYNAMIC, OMP_STACKSIZE, ulimit -u and -v, the "
         "cgroup's pids.max");
}

// Limits that simulate and replay share.
inline constexpr std::int64_t kMaxWorkers = 4096;
inline void require_warm_up(double share) {
  if (share >= 0 && share <= 0.9) return;
  refuse("--warm-up", "'" + format_significant(share, 6) + "' is out of range", "0 to 0.9");
}

/// blind: why the requests to come cannot be known; empty: they can.
inline void require_policy(const std::string& name, const std::string& blind) {
  std::vector<std::string> able;
  for (const traffic::PolicyKind& kind : traffic::policies()) {
    if (blind.empty() || !kind.foresees) able.push_back(kind.name);
  }
  const traffic::PolicyKind* kind = traffic::find_policy(name);
  if (kind == nullptr) refuse("--policy", "'" + printable(name, 60) + "' is unknown", join(cache_policies(), ", "));
  if (kind->foresees && !blind.empty()) {
    refuse("--policy", name + " needs to know the requests to come; " + blind, "one of: " + join(able, ", "));
  }
}

}  // namespace kvcast::app
