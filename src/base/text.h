// Text for people: messages on one line, suggestions, numbers that read back unchanged.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace kvcast {

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
/// Source: optimal string alignment distance (Boytsov, "Indexing methods for approximate dictionary searching", 2011).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The name closest to `word` when it is close enough to be a typo, else empty.
std::string nearest_name(std::string_view word, const std::vector<std::string>& names);

/// "did you mean 'dim'?" when a name is close to `word`, else "allowed: dim, heads, ...".
std::string suggest(std::string_view word, const std::vector<std::string>& names);

/// Shortest decimal text that reads back as the same double, whatever the locale.
std::string format_double(double value);

/// `digits` of a number with a comma between the thousands: "1,234.5".
std::string grouped(std::string digits);

/// `value` with at most `digits` significant digits and no trailing zeros, as people write it: "360", "1,200",
/// "0.00003". Below 1e-6 and from 1e15 on as format_power().
std::string format_significant(double value, int digits);

/// The same as "1.2 x 10^-9". Finite.
std::string format_power(double value, int digits);

/// As format_significant(), for a program that reads it back: neither commas nor an exponent.
std::string format_plain(double value, int digits);

/// Bytes of memory in a message: "1.25 GiB".
std::string gib(double bytes);

/// `text` on one line of a terminal: controls (C0, C1, and those of Unicode that end a line or turn the direction of
/// what follows) become spaces, what is no UTF-8 becomes U+FFFD.
std::string one_line(std::string_view text);

/// What a user typed, fit for one line of a message: controls as of one_line() and invalid UTF-8 escaped, long text cut
/// to about `max_bytes`.
std::string printable(std::string_view text, std::size_t max_bytes = 60);

/// printable() between single quotes.
std::string in_quotes(std::string_view text);

/// Items with `separator` between them.
std::string join(const std::vector<std::string>& items, std::string_view separator);

/// Length of the well-formed UTF-8 sequence at the front of `text`, which has at least a byte; 0 when there is none.
std::size_t utf8_length(std::string_view text);

/// Whether `text` is well-formed UTF-8 (no surrogates, no overlong forms).
bool is_utf8(std::string_view text);

}  // namespace kvcast
