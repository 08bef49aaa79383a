#include "base/column_name.h"

#include <string>
#include <vector>

#include "catch.h"

namespace kvcast {

TEST_CASE("names of columns are cut into words", "[columns]") {
  using Words = std::vector<std::string>;
  CHECK(words_of("naive_ms") == Words{"naive", "ms"});
  CHECK(words_of("Naive (ms)") == Words{"naive", "ms"});
  CHECK(words_of("naive[ms]") == Words{"naive", "ms"});
  CHECK(words_of("naiveMillis") == Words{"naive", "millis"});
  CHECK(words_of("NAIVE.TIME-US") == Words{"naive", "time", "us"});
  CHECK(words_of("t99_\xc2\xb5s") == Words{"t99", "\xc2\xb5s"});
  CHECK(words_of("__").empty());
  CHECK(words_of("").empty());
}

TEST_CASE("units of time are known by every name that people give them", "[columns]") {
  const std::vector<std::pair<std::vector<std::string>, double>> units = {
      {{"s", "sec", "secs", "second", "seconds"}, 1},
      {{"ms", "msec", "msecs", "msecond", "mseconds", "milli", "millis", "millisec", "millisecond", "milliseconds"},
       1e3},
      {{"us", "usec", "usecs", "useconds", "micro", "micros", "microsec", "microseconds", "\xc2\xb5s", "\xce\xbcs",
        "\xc2\xb5sec"},
       1e6},
      {{"ns", "nsec", "nsecs", "nseconds", "nano", "nanos", "nanosec", "nanoseconds"}, 1e9}};
  for (const auto& [words, per_second] : units) {
    for (const std::string& word : words) {
      CAPTURE(word);
      REQUIRE(time_unit(word));
      CHECK(time_unit(word)->per_second == per_second);
    }
  }
  for (const char* none : {"", "m", "min", "minutes", "h", "mss", "ks", "n", "u", "mn", "secondary", "nan", "status"}) {
    CAPTURE(none);
    CHECK_FALSE(time_unit(std::string_view(none)));
  }
  CHECK(time_unit(words_of("naive_ms_p50"))->name == "milliseconds");
  CHECK(time_unit(words_of("t (ms, milliseconds)"))->name == "milliseconds");
  CHECK_FALSE(time_unit(words_of("naive_ms_s")));
  CHECK_FALSE(time_unit(words_of("naive")));
  CHECK(names_a_rate(words_of("naive_ms_per_candidate")));
  CHECK(names_a_rate(words_of("shared QPS")));
  CHECK_FALSE(names_a_rate(words_of("naive_ms_p50")));
}

}  // namespace kvcast
