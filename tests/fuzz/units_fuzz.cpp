// Numbers, lists and quantities as people type them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/units.h"
#include "fuzz/properties.h"
#include "fuzz/target.h"
#include "kvcast/config.h"

namespace kvcast::fuzz {
namespace {

using namespace config;

/// The value, when there is one. Parsers are total: a value or a problem that can be shown, never both.
template <typename T>
std::optional<T> value_of(const Parsed<T>& parsed) {
  require(parsed.value.has_value() == parsed.problem.empty(), "a value or a problem: " + parsed.problem);
  require(printable(parsed.problem, 1000) == parsed.problem, "a problem is one line of text");
  return parsed.value;
}

void check_lists(std::string_view text) {
  if (const auto values = value_of(parse_int_list(text))) {
    require(!values->empty() && static_cast<std::int64_t>(values->size()) <= kMaxListValues, "a list is bounded");
    require(std::adjacent_find(values->begin(), values->end(), std::greater_equal<>()) == values->end(),
            "a list ascends");
    std::vector<std::string> items;
    for (const std::int64_t value : *values) items.push_back(std::to_string(value));
    require(parse_int_list(join(items, ",")).value == *values, "a list written out is the same");
  }
  if (const auto names = value_of(parse_names(text))) {
    require(!names->empty() && parse_names(join(*names, ",")).value == *names, "names written out are the same");
  }
}

void check_quantities(std::string_view text) {
  if (const auto bytes = value_of(parse_bytes(text))) {
    require(*bytes >= 0, "bytes are not negative");
    const std::string shown = format_bytes(*bytes);
    const auto again = parse_bytes(shown);
    require(again.value.has_value(), "bytes shown can be typed: " + shown);
    require(std::abs(static_cast<double>(*again.value) - static_cast<double>(*bytes)) <=
                5e-4 * static_cast<double>(*bytes) + 1,
            "bytes shown are right to four digits: " + shown);
    require(!shown.starts_with("1024") || shown.ends_with("TiB"), "1024 of a unit are one of the next: " + shown);
  }
  const auto seconds = value_of(parse_duration(text));
  require(!seconds || (*seconds >= 0 && std::isfinite(*seconds)), "a duration is a time");
  // Four digits of the largest double round past it.
  if (seconds && *seconds < 1e300) {
    const std::string shown = format_duration(*seconds);
    const auto again = parse_duration(shown);
    require(again.value.has_value(), "a duration shown can be typed: " + shown + ": " + again.problem);
    require(std::abs(*again.value - *seconds) <= 5.001e-4 * *seconds + 1e-300,
            "a duration shown is right to four digits: " + shown);
    require(format_duration(*again.value) == shown, "a duration shown and typed is shown the same: " + shown);
  }
  if (const auto fraction = value_of(parse_fraction(text))) {
    require(parse_fraction(format_double(*fraction)).value == *fraction, "a number shown and typed is the same");
  }
}

// The same for flags, where a fault is thrown.
void check_flags(const std::string& text) {
  accepted([&] { require(!parse_list(text, "--flag").empty(), "a list has a value"); });
  accepted([&] { require(std::isfinite(parse_number(text, "--flag")), "a number is finite"); });
  accepted([&] { require(std::isfinite(parse_fraction(text, "--flag")), "a fraction is finite"); });
  accepted([&] {
    const double percent = parse_percent(text, "--flag");
    require(percent > 0 && percent < 1, "a percentage is a part of 1");
  });
  accepted([&] {
    const double seconds = parse_seconds(text, "--flag");
    require(seconds > 0 && std::isfinite(seconds), "a time is above 0");
  });
  accepted([&] { require(parse_size(text, "--flag") > 0, "a size is above 0"); });
  accepted([&] {
    const double rate = parse_rate(text, "--flag");
    require(rate > 0 && std::isfinite(rate), "a rate is above 0");
  });
}

}  // namespace

void units(std::string_view input) {
  if (const auto whole = value_of(parse_int(input))) {
    require(parse_int(std::to_string(*whole)).value == *whole, "a whole number written out is the same");
  }
  check_lists(input);
  check_quantities(input);
  check_flags(std::string(input));
}

}  // namespace kvcast::fuzz
