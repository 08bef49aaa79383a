// JSON text to a plain tree that still knows how numbers were written, so that 2^70 is refused instead of rounded.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace kvcast::config {

/// One value of a JSON text.
struct JsonValue {
  enum class Kind { null, boolean, number, text, list, object };
  Kind kind = Kind::null;
  std::string key;               ///< name inside the enclosing object
  std::string literal;           ///< of a number or boolean as written, or the content of a text
  std::vector<JsonValue> items;  ///< of a list, or the members of an object in order
};

/// "the text 'abc'", "the number 1.5", "a list", "an object", "null": for messages.
std::string describe(const JsonValue& value);

/// Deepest nesting and most values that a config text may have.
inline constexpr std::size_t kMaxJsonDepth = 64;
inline constexpr std::size_t kMaxJsonValues = 100000;

/// Reads one JSON text; `where` names it in messages.
/// Errors: ConfigError on bad syntax (line and column), text after the value, a repeated key, too deep or too many.
JsonValue parse_json(const std::string& text, const std::string& where);

}  // namespace kvcast::config
