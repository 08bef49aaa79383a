#include "config/units.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/text.h"
#include "catch.h"

using namespace kvcast;
using namespace kvcast::config;

namespace {
using Ints = std::vector<std::int64_t>;
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
}  // namespace

TEST_CASE("whole numbers cover all of int64 and nothing else", "[config][units]") {
  CHECK(parse_int("0").value == 0);
  CHECK(parse_int("-5").value == -5);
  CHECK(parse_int("9223372036854775807").value == kMax);
  CHECK(parse_int("-9223372036854775808").value == kMin);
  for (const char* text : {"", " ", "x", "1x", "1.0", "1e3", "0x10", "+1", "--1", "-", " 1", "1 ", "1,2", "nan", "١"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_int(text).value);
    CHECK_FALSE(parse_int(text).problem.empty());
  }
  CHECK(parse_int("9223372036854775808").problem == "'9223372036854775808' does not fit 64 bits");
  CHECK_FALSE(parse_int("-9223372036854775809").value);
}

TEST_CASE("lists and ranges expand to ascending unique values", "[config][units]") {
  CHECK(parse_int_list("7").value == Ints{7});
  CHECK(parse_int_list("1,5,10").value == Ints{1, 5, 10});
  CHECK(parse_int_list(" 10 , 5,5,1 ").value == Ints{1, 5, 10});
  CHECK(parse_int_list("3-6").value == Ints{3, 4, 5, 6});
  CHECK(parse_int_list("4-4").value == Ints{4});
  CHECK(parse_int_list("100-500+100").value == Ints{100, 200, 300, 400, 500});
  CHECK(parse_int_list("100-550+200").value == Ints{100, 300, 500});
  CHECK(parse_int_list("1-1024*2").value == Ints{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024});
  CHECK(parse_int_list("1-1000*10").value == Ints{1, 10, 100, 1000});
  CHECK(parse_int_list("50,1-4*2,3-5").value == Ints{1, 2, 3, 4, 5, 50});
  CHECK(parse_int_list("0-20+10").value == Ints{0, 10, 20});
  CHECK(parse_int_list("-5").value == Ints{-5});  // a range check of the field refuses it by name
  CHECK(parse_int_list("-5--3").value == Ints{-5, -4, -3});
}

TEST_CASE("a range that cannot end is refused", "[config][units]") {
  for (const char* text : {"1-10+0", "1-10+-1", "1-10*1", "1-10*0", "0-10*2", "-4-10*2", "10-1", "10-1+5"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_int_list(text).value);
  }
  // The next value overflows: the range ends there.
  CHECK(parse_int_list("9223372036854775806-9223372036854775807").value == Ints{kMax - 1, kMax});
  CHECK(parse_int_list("4611686018427387904-9223372036854775807*2").value == Ints{std::int64_t{1} << 62});
}

TEST_CASE("malformed lists say what is wrong", "[config][units]") {
  for (const char* text :
       {"1,", ",1", "1,,2", "1-", "1-2-3", "1-2+", "1-2/3", "1;2", "a", "1-b", "1-2*x", "1.5", "1 2"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_int_list(text).value);
    CHECK_FALSE(parse_int_list(text).problem.empty());
  }
  CHECK(parse_int_list("").problem == "an empty list");
  CHECK(parse_int_list("1,99999999999999999999").problem == "'99999999999999999999' does not fit 64 bits");
}

TEST_CASE("a list is bounded before it is built", "[config][units]") {
  CHECK(parse_int_list("1-10000").value->size() == 10000);
  CHECK_FALSE(parse_int_list("1-10001").value);
  CHECK_FALSE(parse_int_list("1-9223372036854775807").value);
  CHECK_FALSE(parse_int_list("1-9000,1-9000").value);
}

TEST_CASE("names are trimmed and kept once", "[config][units]") {
  CHECK(parse_names("naive, shared,naive").value == std::vector<std::string>{"naive", "shared"});
  CHECK_FALSE(parse_names("").value);
  CHECK_FALSE(parse_names("naive,,shared").value);
}

TEST_CASE("bytes read every unit", "[config][units]") {
  CHECK(parse_bytes("0").value == 0);
  CHECK(parse_bytes("512").value == 512);
  CHECK(parse_bytes("512B").value == 512);
  CHECK(parse_bytes("2kB").value == 2000);
  CHECK(parse_bytes("500MB").value == 500'000'000);
  CHECK(parse_bytes("3GB").value == 3'000'000'000);
  CHECK(parse_bytes("1TB").value == 1'000'000'000'000);
  CHECK(parse_bytes("1KiB").value == 1024);
  CHECK(parse_bytes("1MiB").value == 1 << 20);
  CHECK(parse_bytes("8GiB").value == std::int64_t{8} << 30);
  CHECK(parse_bytes("8 GiB").value == std::int64_t{8} << 30);
  CHECK(parse_bytes("1TiB").value == std::int64_t{1} << 40);
  CHECK(parse_bytes("1.5GiB").value == std::int64_t{3} << 29);
  CHECK(parse_bytes("1e9").value == 1'000'000'000);
  CHECK(parse_bytes("9223372036854775807").value == kMax);  // exact, not through a double
  for (const char* text : {"", "GiB", "-1", "-1GiB", "1gib", "1Gi", "1 2", "nan", "inf", "infGiB",
                           "9223372036854775808", "8388608TiB", "1e300GiB", "1e999"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_bytes(text).value);
    CHECK_FALSE(parse_bytes(text).problem.empty());
  }
}

TEST_CASE("durations read every unit", "[config][units]") {
  CHECK(parse_duration("0").value == 0.0);  // of whatever
  CHECK(parse_duration("250\xc2\xb5s").value == 0.00025);
  CHECK(parse_duration("250\xce\xbcs").value == 0.00025);
  CHECK(parse_duration("50").problem == "'50' of what? 50ms or 50s");
  CHECK(parse_duration(" 0.5 ").problem == "' 0.5 ' of what? 0.5ms or 0.5s");
  CHECK(parse_duration("30s").value == 30.0);
  CHECK(parse_duration("500ms").value == 0.5);
  CHECK(parse_duration("7ms").value == 0.007);
  CHECK(parse_duration("250us").value == 0.00025);
  CHECK(parse_duration("3ns").value == 3e-9);
  CHECK(parse_duration("2min").value == 120.0);
  CHECK(parse_duration("1.5h").value == 5400.0);
  CHECK(parse_duration(" 2 min ").value == 120.0);
  for (const char* text : {"", "s", "-1s", "-0s", "1 day", "1m", "1S", "nan", "NaN", "inf", "infs", "1e999", "1e308h",
                           "30s30", "30", "0,5s", "1,000ms"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text).value);
    CHECK_FALSE(parse_duration(text).problem.empty());
  }
}

TEST_CASE("numbers of other countries are refused for what they are", "[config][units]") {
  const std::string cause = " is not a number: use a decimal point and no thousands separators";
  for (const std::string text : {"1,000", "1.000,5", "1 000", "1_000", "1'000", "0,5", "1,000.5", "0,5 ms"}) {
    CAPTURE(text);
    CHECK(parse_number(text).problem == "'" + text + "'" + cause);
    CHECK(parse_fraction(text).problem == "'" + text + "'" + cause);
    CHECK(parse_duration(text).problem == "'" + text + "'" + cause);
    CHECK(parse_bytes(text).problem == "'" + text + "'" + cause);
  }
  CHECK(parse_number("0.15").value == 0.15);
  for (const char* text : {"", "10k", "1.2.3", "5%", "1,", "x"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_number(text).value);
  }
}

TEST_CASE("fractions read percentages", "[config][units]") {
  CHECK(parse_fraction("0.02").value == 0.02);
  CHECK(parse_fraction("2%").value == 0.02);
  CHECK(parse_fraction("-1").value == -1.0);
  for (const char* text : {"", "%", "2%%", "2 percent", "nan", "inf%"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_fraction(text).value);
  }
}

TEST_CASE("formatted quantities read back within their four digits", "[config][units]") {
  CHECK(format_bytes(0) == "0B");
  CHECK(format_bytes(std::int64_t{8} << 30) == "8GiB");
  CHECK(format_bytes(1536) == "1.5KiB");
  CHECK(format_duration(0.0) == "0s");
  CHECK(format_duration(30.0) == "30s");
  CHECK(format_duration(0.05) == "50ms");
  CHECK(format_duration(150.0) == "2.5min");
  CHECK(format_duration(8760.0 * 3600.0) == "8760h");
  // In the unit of what is shown, not of what it was rounded from.
  CHECK(format_bytes((1 << 20) - 1) == "1MiB");
  CHECK(format_duration(0.99996) == "1s");
  CHECK(format_duration(119.996) == "2min");
  CHECK(format_bytes(kMax) == "9223372036854775807B");  // four digits would round past int64
  CHECK(format_bytes(std::int64_t{9998} << 40) == "9998TiB");
  for (double value = 1e-12; value < 1e9; value *= 1.37) {
    CAPTURE(value);
    CHECK(std::abs(*parse_duration(format_duration(value)).value - value) <= 5e-4 * value);
  }
  for (std::int64_t value = 1; value < kMax / 3; value = value * 2 + value / 3) {
    CAPTURE(value);
    const auto back = static_cast<double>(*parse_bytes(format_bytes(value)).value);
    CHECK(std::abs(back - static_cast<double>(value)) <= 5e-4 * static_cast<double>(value) + 1.0);
  }
}

TEST_CASE("checked arithmetic says when it does not fit", "[base][checked]") {
  STATIC_REQUIRE(checked_mul(3, 4) == 12);
  STATIC_REQUIRE(checked_mul(2, 3, 4, 5) == 120);
  STATIC_REQUIRE(checked_add(1, 2, 3) == 6);
  CHECK_FALSE(checked_mul(kMax, 2));
  CHECK_FALSE(checked_mul(kMin, -1));
  CHECK_FALSE(checked_mul(std::int64_t{1} << 32, std::int64_t{1} << 32, 0));  // not rescued by a later zero
  CHECK_FALSE(checked_add(kMax, 1));
  CHECK(checked_add(kMax, -1) == kMax - 1);
  CHECK_FALSE(checked_add(checked_mul(kMax, 2), 1));
}

TEST_CASE("edit distance counts slips of the finger", "[base][text]") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("dim", "dim") == 0);
  CHECK(edit_distance("dim", "") == 3);
  CHECK(edit_distance("dim", "dimm") == 1);
  CHECK(edit_distance("dim", "dum") == 1);
  CHECK(edit_distance("dim", "idm") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  const std::vector<std::string> names = {"dim", "heads", "history_length"};
  CHECK(suggest("dmi", names) == "did you mean 'dim'?");
  CHECK(suggest("histroy_lenght", names) == "did you mean 'history_length'?");
  CHECK(suggest("zebra", names) == "allowed: dim, heads, history_length");
  CHECK(nearest_name("", names).empty());
}

TEST_CASE("doubles print as the shortest text that reads back", "[base][text]") {
  CHECK(format_double(0.1) == "0.1");
  CHECK(format_double(30.0) == "30");
  for (const double value : {1.0 / 3.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2}) {
    CHECK(std::strtod(format_double(value).c_str(), nullptr) == value);
  }
}

TEST_CASE("what a user typed stays on one line", "[base][text]") {
  CHECK(in_quotes("a\nb\tc") == "'a\\nb\\tc'");
  CHECK(in_quotes(std::string("a\x1b[31m\0b", 8)) == "'a\\x1b[31m\\x00b'");
  CHECK(in_quotes("Größe 模型") == "'Größe 模型'");
  CHECK(in_quotes("\xff\xc3") == "'\\xff\\xc3'");
  CHECK(printable(std::string(1000, 'x')).size() == 63);
  CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");  // a C1 control that terminals obey
  CHECK(is_utf8("Größe"));
  CHECK_FALSE(is_utf8("\xc0\x80"));
  CHECK_FALSE(is_utf8("\xed\xa0\x80"));
  CHECK_FALSE(is_utf8("\xf4\x90\x80\x80"));
}
