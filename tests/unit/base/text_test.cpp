#include "base/text.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "catch.h"
#include "report/layout.h"

namespace kvcast {
namespace {

struct Written {
  double value;
  int digits;
  const char* text;
  const char* plain;
};

TEST_CASE("a number in a sentence has no exponent", "[base][text]") {
  const std::vector<Written> numbers = {
      {360, 2, "360", "360"},
      {364.9, 2, "360", "360"},
      {0.9996, 3, "1", "1"},
      {99.96, 3, "100", "100"},
      {12.34, 3, "12.3", "12.3"},
      {12345678, 3, "12,300,000", "12300000"},
      {-1234.5, 5, "-1,234.5", "-1234.5"},
      {3e-5, 2, "0.00003", "0.00003"},
      {-2.5e-6, 3, "-0.0000025", "-0.0000025"},
      {1.27e-9, 2, "1.3 x 10^-9", "0.0000000013"},
      {3.5e13, 3, "35,000,000,000,000", "35000000000000"},
      {1.5e20, 3, "1.5 x 10^20", "150000000000000000000"},
      {-1e300, 3, "-1 x 10^300", nullptr},
      {0, 3, "0", "0"},
  };
  for (const Written& number : numbers) {
    CAPTURE(number.value, number.digits);
    CHECK(format_significant(number.value, number.digits) == number.text);
    if (number.plain != nullptr) CHECK(format_plain(number.value, number.digits) == number.plain);
  }
  CHECK(format_significant(std::numeric_limits<double>::infinity(), 3) == "inf");
  CHECK(format_plain(std::numeric_limits<double>::max(), 1).size() == 309);
  CHECK(format_plain(std::numeric_limits<double>::denorm_min(), 3).find('e') == std::string::npos);
}

TEST_CASE("nor has one in a table", "[base][text]") {
  CHECK(report::significant(3.6e2, 2) == "360");
  CHECK(report::significant(4e8, 4) == "400,000,000");
  CHECK(report::factor(3.73e-5, 2) == "0.0000373x");
  CHECK(report::fixed(1.5e15, 2) == "1.5x10^15");
  CHECK(report::seconds(1.02e-11) == "10.2 ps");
  CHECK(report::seconds(3.5e13) == "over 10,000 years");
  CHECK(report::whole(1e20) == "1x10^20");
}

}  // namespace
}  // namespace kvcast
