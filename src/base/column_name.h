// What names of columns say: their words, and units of time among them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvcast {

/// In lower case: "naive_ms", "Naive (ms)", "naiveMs" are "naive" and "ms".
std::vector<std::string> words_of(std::string_view name);

struct TimeUnit {
  double per_second = 1;
  std::string name;  ///< "milliseconds"
};
/// "ms", "msec", "mseconds", "millis", ...; from nanoseconds to seconds. "min" is a minimum as often as a minute.
std::optional<TimeUnit> time_unit(std::string_view word);

/// The one unit of time among the words; nothing for none, and for several.
std::optional<TimeUnit> time_unit(const std::vector<std::string>& words);

/// Whether a name of these words is of a rate, or of a part of a request: "naive_ms_per_candidate", "shared_qps".
bool names_a_rate(const std::vector<std::string>& words);

}  // namespace kvcast
