#include "kvcast/suggest.h"

#include "base/text.h"

namespace kvcast {

std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const std::string nearest = nearest_name(word, names);
  return nearest.empty() ? "" : "did you mean '" + nearest + "'?";
}

}  // namespace kvcast
