// Words and numbers as every format shows them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::report {

inline constexpr std::size_t kSchemeWidth = 12;

// ---- text

/// Columns that UTF-8 text takes on a terminal: two for what is wide, none for marks, of emphasis too.
std::size_t width(const std::string& text);
/// As much from the front as `columns` hold, in whole characters.
std::string prefix(const std::string& text, std::size_t columns);
/// one_line(), "-" when empty.
std::string one_line_or_dash(const std::string& text);
/// one_line() cut to `columns`, with a ~ where something is missing.
std::string clipped(const std::string& text, std::size_t columns);
/// Markdown in which no text from outside is a tag, a link, an image or code: we write none ourselves. By entities,
/// which are never markup and which no backslash before them undoes.
std::string inert(const std::string& markdown);
/// Filled up with spaces, on the left when `right`.
std::string padded(const std::string& text, std::size_t columns, bool right);

/// Words as a sentence: a capital in front, a full stop behind.
std::string sentence(std::string text);
// ---- numbers; "-" for what is unknown or not finite

/// 1,234,567.
std::string integer(std::int64_t value);
/// One that is held as a double, rounded; as 1.23x10^20 beyond int64.
std::string whole(double value);
/// "1 round", "1,000 rounds".
std::string counted(std::int64_t count, const char* noun);
/// With this many decimals, or as 0.0000123 or 1.23x10^20 where they would not do.
std::string fixed(double value, int decimals);
std::string significant(double value, int digits);
std::string significant(const std::optional<double>& value, int digits);
std::string with_unit(const std::optional<double>& value, int digits, const char* unit);
/// Two digits and a %; 0.00% below half a hundredth.
std::string percent(const std::optional<double>& value);
/// "84.5%" of 0.845.
std::string share(double fraction, int decimals);
std::string share(const std::optional<double>& fraction, int decimals);
/// Half-width over value from which an estimate is shown with a digit less.
inline constexpr double kWideInterval = 0.125;
/// Decimals of an estimate: `digits` digits of the value, more where they hide the width of its interval.
int estimate_decimals(const Estimate& estimate, int digits);
/// "9.56x".
std::string factor(double value, int decimals);
/// "[9.48, 9.64]".
std::string interval(const Estimate& estimate, int decimals);
/// In the unit that reads best, from ns to years: "62.5 ms".
std::string seconds(double value);
std::string bytes(double value);
std::string bytes(std::int64_t value);

/// Why a run ended: "stopped: target precision (±2%) reached". config: of the run; null where it is not known.
std::string stopped_text(const Conditions& conditions, const Config* config = nullptr);

}  // namespace kvcast::report
