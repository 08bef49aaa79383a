// Numbers, lists and quantities with units as people type them. Total functions: any text gives a value or a problem.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvcast::config {

/// A value, or one phrase that says why `text` is not one ("'12x' is not a whole number").
template <typename T>
struct Parsed {
  std::optional<T> value;
  std::string problem;
};

/// Values that one list may hold after ranges are expanded.
inline constexpr std::int64_t kMaxListValues = 10000;

/// Decimal digits with an optional minus sign, nothing else.
Parsed<std::int64_t> parse_int(std::string_view text);

/// Comma-separated whole numbers and ranges: "5", "1-8" (step 1), "100-500+100", "1-1024*2". A range holds the values
/// that do not pass its end. The result is ascending and unique, 1 to kMaxListValues long.
Parsed<std::vector<std::int64_t>> parse_int_list(std::string_view text);

/// Comma-separated names, spaces around them dropped; at least one, none empty; repeated names are kept once.
Parsed<std::vector<std::string>> parse_names(std::string_view text);

/// Bytes: a number with B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024), or no unit (bytes).
/// A fraction of a byte is dropped. Not negative.
Parsed<std::int64_t> parse_bytes(std::string_view text);

/// Seconds: a number with ns, us, ms, s, min, h; 0 needs none. Not negative, finite.
Parsed<double> parse_duration(std::string_view text);

/// A plain number. Finite.
Parsed<double> parse_number(std::string_view text);

/// A plain number, or a percentage: "0.02", "2%". Finite.
Parsed<double> parse_fraction(std::string_view text);

/// Bytes in the binary unit that reads best, four significant digits: "7.5GiB". parse_bytes reads it back.
std::string format_bytes(std::int64_t bytes);

/// Seconds in the unit that reads best, four significant digits: "50ms". parse_duration reads it back.
std::string format_duration(double seconds);

}  // namespace kvcast::config
