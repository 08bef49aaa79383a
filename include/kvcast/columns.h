// Names of columns in files that are not kvcast's own.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace kvcast {

/// Columns by what they are for: {"naive", "t_full_ms"}. A role that is not there has its own name.
using ColumnNames = std::vector<std::pair<std::string, std::string>>;

/// Of timings: "candidates", "naive", "shared". The unit of a time comes from its column's name, or from behind a
/// colon: "t_full:ms".
inline const std::vector<std::string> kTimingRoles = {"candidates", "naive", "shared"};
/// Of traces.
inline const std::vector<std::string> kTraceRoles = {"timestamp", "user", "history", "candidates"};

/// "naive=t_full_ms,shared=t_cached_ms". Errors: ConfigError naming `origin` on a role that is none of `roles` or is
/// there twice, on a column that has two, and on what is no such list.
ColumnNames parse_columns(const std::string& text, const std::vector<std::string>& roles, const std::string& origin);

}  // namespace kvcast
