#include "traffic/timestamps.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "kvcast/error.h"

namespace kvcast::traffic {
namespace {

constexpr std::int64_t kAugust = 1'722'470'400;  // 2024-08-01 00:00:00 UTC

Stamp stamp(const std::string& text) {
  Stamp stamp;
  INFO(text);
  REQUIRE(parse_stamp(text, stamp).empty());
  return stamp;
}
std::string problem(const std::string& text) {
  Stamp stamp;
  return parse_stamp(text, stamp);
}
TimeScale scale_of(const std::vector<std::string>& texts, const std::string& column,
                   std::optional<StampUnit> asked = std::nullopt) {
  std::vector<Stamp> stamps;
  for (const std::string& text : texts) stamps.push_back(stamp(text));
  return TimeScale(stamps, "log.csv", column, asked);
}
std::int64_t ns_of(const TimeScale& scale, const std::string& text) {
  std::int64_t ns = -1;
  REQUIRE(scale.to_ns(stamp(text), ns).empty());
  return ns;
}

}  // namespace

TEST_CASE("numbers keep nine digits behind the point", "[traffic]") {
  CHECK(stamp("12").whole == 12);
  CHECK(stamp("12.").billionths == 0);
  CHECK(stamp("0.0041").billionths == 4'100'000);
  CHECK(stamp("1722470400.0041239999").billionths == 4'123'999);
  CHECK(stamp("1722470400004145001").whole == 1'722'470'400'004'145'001);
  CHECK(stamp("1.7225e9").whole == 1'722'500'000);
  CHECK(problem("-1") == "is negative");
  CHECK(problem("1e300") == "is out of range");
  CHECK(problem("9223372036854775808") == "is out of range");
  for (const char* text : {"", "x", "12x", "1 2", "nan", "inf", "1,5", "--1"}) {
    INFO(text);
    CHECK(problem(text) == "is not a number or date");
  }
}

TEST_CASE("dates are read in the forms that programs write, to the nanosecond", "[traffic]") {
  for (const char* text : {"2024-08-01T12:30:45.25Z", "2024-08-01 12:30:45.25", "2024-08-01 12:30:45,250",
                           "2024/08/01 12:30:45.25", "2024-08-01T12:30:45.250000000Z", "2024-08-01t12:30:45.25z",
                           "2024-08-01 12:30:45.25 UTC", "2024-08-01T14:30:45.25+02:00", "2024-08-01T14:30:45.25+0200",
                           "2024-08-01 07:00:45.25 -05:30", "2024-08-02T00:30:45.25+12"}) {
    INFO(text);
    const Stamp read = stamp(text);
    CHECK(read.date);
    CHECK(read.whole == kAugust + 12 * 3600 + 30 * 60 + 45);
    CHECK(read.billionths == 250'000'000);
  }
  CHECK(stamp("2024-08-01").whole == kAugust);
  CHECK(stamp("2024-08-01T12:30").whole == kAugust + 45000);
  CHECK(stamp("2024-02-29T00:00:00Z").whole == 1'709'164'800);
  CHECK(stamp("1970-01-01T00:00:00Z").whole == 0);
  CHECK(stamp("2016-12-31T23:59:60Z").whole == 1'483'228'799);
  CHECK(stamp("2024-08-01T12:00:00Z").zone);
  CHECK_FALSE(stamp("2024-08-01T12:00:00").zone);
  for (const char* text :
       {"2023-02-29", "2024-13-01", "2024-00-01", "2024-04-31", "2024-08-01T24:00", "2024-08-01T12:60", "2024-08-01T12",
        "2024-08-01T12:00:0", "2024-08-01T12:00:00.", "2024-08-01T12:00:00+2", "2024-08-01T12:00:00Zx", "2024-8-1",
        "01/08/2024", "12:00:01", "2024-08/01"}) {
    INFO(text);
    CHECK(problem(text) == "is not a number or date");
  }
  CHECK(problem("1969-12-31T23:59:59Z") == "is out of range");
  CHECK(problem("2300-01-01T00:00:00Z") == "is out of range");
}

TEST_CASE("stamps are written as they were", "[traffic]") {
  for (const char* text : {"0", "12", "0.0041", "1722470400.004"}) CHECK(stamp_text(stamp(text)) == text);
  for (const char* text : {"2024-08-01 12:30:45.25", "1970-01-01 00:00:00", "2000-02-29 23:59:59.000000001",
                           "2023-12-31 00:00:00", "2100-03-01 01:02:03"}) {
    CHECK(stamp_text(stamp(text)) == text);
  }
}

TEST_CASE("columns of timestamps are known by their names", "[traffic]") {
  for (const char* name : {"timestamp", "Timestamp", "ts", "TIME", "timestamp_ms", "timestamp_s", "ts_us", "time_ns",
                           "Timestamp (ms)", "time [s]", "epoch", "epoch_ms", "datetime", "arrival time", "created_at",
                           "timestamp_seconds", "time-millis", "timestampMs"}) {
    INFO(name);
    CHECK(names_timestamps(name));
  }
  for (const char* name :
       {"", "ms", "s", "user_id", "service_time_ms", "request_time", "history_len", "n_candidates", "times", "note"}) {
    INFO(name);
    CHECK_FALSE(names_timestamps(name));
  }
}

TEST_CASE("an epoch is read in its unit by its size, whatever the column's name", "[traffic]") {
  struct Case {
    std::string text, words, unit;
  };
  const std::vector<std::pair<std::string, std::string>> columns = {
      {"timestamp_ms", "ms"}, {"timestamp", ""}, {"ts", ""},      {"timestamp_s", "s"},
      {"timestamp_us", "us"}, {"time_ns", "ns"}, {"uhrzeit", ""}, {"Timestamp (ms)", "ms"}};
  for (const Case& one :
       {Case{"1722470400.5", "seconds", "s"}, Case{"1722470400500", "milliseconds", "ms"},
        Case{"1722470400500000", "microseconds", "us"}, Case{"1722470400500000000", "nanoseconds", "ns"}}) {
    for (const auto& [column, unit] : columns) {
      INFO(one.text << " in " << column);
      const TimeScale scale = scale_of({one.text}, column);
      CHECK(ns_of(scale, one.text) == kAugust * kSecondNs + 500 * kMillisecondNs);
      CHECK_FALSE(scale.by_name());
      CHECK(scale.said() == (unit == one.unit ? ""
                                              : "timestamps read as epoch " + one.words + " (" + one.text +
                                                    " is 2024-08-01 00:00:00.5 UTC)"));
    }
  }
  // The first and the last that are taken for one.
  CHECK_FALSE(scale_of({"946684799"}, "timestamp_ms").said().starts_with("timestamps read as epoch"));
  CHECK(scale_of({"946684800"}, "timestamp_ms").said().starts_with("timestamps read as epoch seconds"));
  CHECK(scale_of({"2840140799999"}, "ts").said().starts_with("timestamps read as epoch milliseconds"));
  // A row of a broken clock decides nothing.
  CHECK(ns_of(scale_of({"0", "1722470400", "1722470401"}, "timestamp_ms"), "1722470400") == kAugust * kSecondNs);
}

TEST_CASE("other numbers have the unit of the column's name, or that which is asked for", "[traffic]") {
  CHECK(ns_of(scale_of({"4.145"}, "timestamp_ms"), "4.145") == 4'145'000);
  CHECK(ns_of(scale_of({"4.145"}, "Timestamp (s)"), "4.145") == 4'145'000'000);
  CHECK(ns_of(scale_of({"4145.5"}, "ts_us"), "4145.5") == 4'145'500);
  CHECK(ns_of(scale_of({"4145"}, "time_ns"), "4145") == 4145);
  CHECK(scale_of({"4.145"}, "timestamp_ms").by_name() == StampUnit::ms);
  CHECK(scale_of({"4.145"}, "timestamp_ms").said().empty());
  CHECK_THROWS_WITH(scale_of({"0.25", "7"}, "ts"),
                    "log.csv: the unit of 'ts' is unknown; it begins with 0.25; set it: --timestamps s, ms, us or "
                    "ns");
  const TimeScale asked = scale_of({"1722470400"}, "ts", StampUnit::ms);
  CHECK(ns_of(asked, "1722470400") == 1'722'470'400 * kMillisecondNs);
  CHECK(asked.said() == "timestamps read as milliseconds (--timestamps)");
  CHECK_FALSE(asked.by_name());
  CHECK_THROWS_WITH(scale_of({"2024-08-01"}, "ts", StampUnit::s), Catch::Contains("log.csv holds dates"));
}

TEST_CASE("rows of another kind have a problem", "[traffic]") {
  std::int64_t ns = 0;
  const TimeScale dates = scale_of({"2024-08-01T00:00:00Z"}, "timestamp_ms");
  CHECK(dates.said() == "timestamps read as dates (the first is 2024-08-01 00:00:00 UTC)");
  CHECK(scale_of({"2024-08-01 00:00"}, "ts").said() ==
        "timestamps read as dates (the first is 2024-08-01 00:00:00 UTC, as no zone is given)");
  CHECK(dates.to_ns(stamp("5"), ns) == "is not a date, as others are");
  const TimeScale seconds = scale_of({"1722470400"}, "ts");
  CHECK(seconds.to_ns(stamp("2024-08-01"), ns) == "is a date where others are numbers");
  CHECK(seconds.to_ns(stamp("1722470400000"), ns) == "is epoch milliseconds by its size, where others are seconds");
  CHECK(seconds.to_ns(stamp("99999999999999"), ns) == "is out of range");
}

TEST_CASE("spans of time in words", "[traffic]") {
  for (const auto& [seconds, text] : std::vector<std::pair<double, std::string>>{{0.041, "41 ms"},
                                                                                 {1, "1 s"},
                                                                                 {0.015625, "15.6 ms"},
                                                                                 {3600, "1 h"},
                                                                                 {150, "2.5 min"},
                                                                                 {31536000, "365 d"},
                                                                                 {1722470400, "54.6 years"},
                                                                                 {5e-6, "5 us"},
                                                                                 {2e-9, "2 ns"},
                                                                                 {0.9999999, "1 s"}}) {
    CHECK(span_text(seconds) == text);
  }
}

}  // namespace kvcast::traffic
