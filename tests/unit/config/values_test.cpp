#include "catch.h"
#include "kvcast/columns.h"
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

TEST_CASE("a rate that is none is answered with a rate", "[config]") {
  using Catch::Contains;
  CHECK(kvcast::parse_rate("200", "--qps") == 200);
  CHECK(kvcast::parse_rate("12000/min", "--qps") == 200);
  for (const char* text : {"1,000", "1_000", "1 000", "1.000,5", "10k", "5%", "fast", "0", "-1", "200/day", ""}) {
    CAPTURE(text);
    CHECK_THROWS_WITH(kvcast::parse_rate(text, "--qps"),
                      Contains("--qps: ") && Contains("; a rate above 0, such as 200, 200/s or 12000/min") &&
                          !Contains("percentage"));
  }
  CHECK_THROWS_WITH(kvcast::parse_seconds("50", "--p99"), Contains("--p99: '50' of what? 50ms or 50s"));
}

TEST_CASE("columns are named by what they are for", "[config]") {
  using Catch::Contains;
  const auto parse = [](const std::string& text) {
    return kvcast::parse_columns(text, kvcast::kTimingRoles, "--columns");
  };
  CHECK(parse("naive=t_full_ms, shared=t cached (ms)") ==
        kvcast::ColumnNames{{"naive", "t_full_ms"}, {"shared", "t cached (ms)"}});
  CHECK(parse("naive=a=b") == kvcast::ColumnNames{{"naive", "a=b"}});
  CHECK_THROWS_WITH(parse("nave=t"), Contains("--columns: 'nave' is not a column role; did you mean 'naive'?"));
  CHECK_THROWS_WITH(parse("timestamp=t"), Contains("allowed: candidates, naive, shared"));
  CHECK_THROWS_WITH(parse("naive"), Contains("'naive' names no column"));
  CHECK_THROWS_WITH(parse("naive="), Contains("'naive=' names no column"));
  CHECK_THROWS_WITH(parse("naive=a,naive=b"), Contains("naive has two columns: 'a', 'b'"));
  CHECK_THROWS_WITH(parse("naive=a,shared=a"), Contains("'a' is both naive and shared"));
  CHECK_THROWS_WITH(parse(""), Contains("--columns: "));
}
