#include "catch.h"
#include "kvcast/config.h"
#include "kvcast/error.h"

TEST_CASE("lists and fractions of flags are read as those of fields, and faults name the flag", "[config]") {
  using Catch::Contains;
  CHECK(kvcast::parse_list("1,5,8-10", "-N") == std::vector<std::int64_t>{1, 5, 8, 9, 10});
  CHECK(kvcast::parse_fraction("5%", "--threshold") == 0.05);
  CHECK_THROWS_WITH(kvcast::parse_list("1,x", "--layers"), Contains("--layers: 'x'") && Contains("such as 1,5,10"));
  CHECK_THROWS_WITH(kvcast::parse_fraction("much", "--threshold"), Contains("--threshold: 'much'"));
  CHECK_THROWS_AS(kvcast::parse_list("", "--layers"), kvcast::ConfigError);
}
