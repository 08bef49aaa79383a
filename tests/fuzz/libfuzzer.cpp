// One target under libFuzzer, which has a main of its own. What a target throws ends the process, with its message.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const kvcast::fuzz::Run kRun = [] {
    for (const kvcast::fuzz::Target& target : kvcast::fuzz::targets()) {
      if (target.name == std::string(KVCAST_FUZZ_TARGET)) return target.run;
    }
    std::fputs(KVCAST_FUZZ_TARGET " is not in tests/fuzz/targets.cpp\n", stderr);
    std::exit(1);
  }();
  kRun({reinterpret_cast<const char*>(data), size});
  return 0;
}
