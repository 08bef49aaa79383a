// Names of columns in files that are not kvcast's own.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace kvcast {

/// Columns by role: {"naive", "t_full_ms"}. A role that is not listed is the name of its column.
using ColumnNames = std::vector<std::pair<std::string, std::string>>;

/// Of timings: "candidates", "naive", "shared". The unit of a time comes from its column's name, or from behind a
/// colon: "t_full:ms".
inline const std::vector<std::string> kTimingRoles = {"candidates", "naive", "shared"};
/// Of traces.
inline const std::vector<std::string> kTraceRoles = {"timestamp", "user", "history", "candidates"};

/// "naive=t_full_ms,shared=t_cached_ms". Errors: ConfigError naming `origin` for an unknown or repeated role, a
/// column with two roles, and text that is not such a list.
ColumnNames parse_columns(const std::string& text, const std::vector<std::string>& roles, const std::string& origin);

}  // namespace kvcast
