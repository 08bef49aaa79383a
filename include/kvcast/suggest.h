// Suggestions for typos.
#pragma once

#include <string>
#include <vector>

namespace kvcast {

/// "did you mean 'budget'?" when one of the names is close to `word`, else empty.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& names);

}  // namespace kvcast
