// How a scheme ran, as engines report it.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "kvcast/names.h"

namespace kvcast {

/// How a scheme used the threads.
enum class Execution {
  unknown,
  within,  ///< all threads in one candidate, or one stack of them, at a time
  across,  ///< each thread its own candidates
};
template <>
struct Names<Execution> {
  static constexpr std::pair<Execution, std::string_view> all[] = {
      {Execution::unknown, ""}, {Execution::within, "within"}, {Execution::across, "across"}};
};

/// How a scheme ran at one N.
struct HowRun {
  Execution execution = Execution::unknown;
  std::string detail;  ///< for people: "2 stacked", "b_m 10", "8 new"; empty: none

  bool operator==(const HowRun&) const = default;
};

}  // namespace kvcast
