// The JSON of a config: its reader, and the checks of its fields and between them.
#include "fuzz/effective_config.h"
#include "fuzz/target.h"

namespace kvcast::fuzz {

void config(std::string_view input) {
  Config config;
  if (accepted([&] { config = parse_config(std::string(input), "fuzz.json", {}, kHost); })) check_effective(config);
}

}  // namespace kvcast::fuzz
