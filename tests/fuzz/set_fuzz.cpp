// What follows --set, one per line of the input, over the defaults.
#include <vector>

#include "fuzz/effective_config.h"
#include "fuzz/target.h"

namespace kvcast::fuzz {

void set(std::string_view input) {
  std::vector<Assignment> assignments;
  for (std::size_t end = 0; !input.empty(); input.remove_prefix(end)) {
    end = std::min(input.find('\n'), input.size());
    assignments.push_back(parse_set(std::string(input.substr(0, end))));
    if (end < input.size()) ++end;
  }
  Config config;
  if (accepted([&] { config = parse_config("{}", "defaults", assignments, kHost); })) check_effective(config);
}

}  // namespace kvcast::fuzz
