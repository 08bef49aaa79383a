// THE reader of JSON: text to a tree, and the values of a tree with the place where they stand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace kvcast {

using Json = nlohmann::ordered_json;

/// Numbers by their JSON pointer, as they were written.
using JsonLiterals = std::map<std::string, std::string>;

/// Deepest nesting of any text.
inline constexpr std::size_t kMaxJsonDepth = 64;

struct JsonOptions {
  std::int64_t max_values = 20'000'000;  ///< some five times what the report of the largest grid has
  /// Messages name the line of a text of one line too. Without it such a text may be a line itself, which `where`
  /// tells.
  bool names_lines = false;
  /// Receives the numbers that the tree may hold only rounded: so 2^70 can be refused as it stands.
  JsonLiterals* literals = nullptr;
};

/// One JSON text. Errors: ConfigError "where: line 3, column 5: …" on bad syntax and a NUL byte; "where: /pointer: …"
/// on a repeated key; "where: …" on nesting beyond kMaxJsonDepth or too many values.
Json parse_json(const std::string& text, const std::string& where, const JsonOptions& options = {});

/// A message of nlohmann's parser without its own tag and position, printable.
std::string json_problem(std::string message);

/// A value and where it stands. What it refuses is a ConfigError "where: /pointer: problem; what is allowed".
class JsonPlace {
 public:
  JsonPlace(const Json& value, std::string where, const JsonLiterals* literals = nullptr, std::string pointer = "")
      : value_(&value), literals_(literals), where_(std::move(where)), pointer_(std::move(pointer)) {}

  const Json& value() const { return *value_; }
  std::string path() const { return pointer_.empty() ? where_ : where_ + ": " + pointer_; }
  /// "the text 'abc'", "the number 1.5", "a list", "an object", "true", "null".
  std::string described() const;
  /// Content of a text, a number as it was written (where JsonOptions::literals kept it), anything else as JSON.
  std::string literal() const;
  [[noreturn]] void fail(const std::string& problem, const std::string& allowed) const;
  /// Fails because the value is of another kind.
  [[noreturn]] void refuse(const std::string& allowed) const;

  /// Refuses anything but an object.
  const JsonPlace& object() const;
  /// A member of an object, JSON null when it is missing.
  JsonPlace at(const std::string& key) const;
  /// The members of an object; none when it is null.
  std::vector<std::pair<std::string, JsonPlace>> members() const;
  /// The items of a list; none when it is null.
  std::vector<JsonPlace> items() const;
  /// A whole number that fits 64 bits, written as one.
  bool is_whole() const;
  /// A whole number; 2.0, as programs write that know no whole numbers, up to where such are exact.
  std::int64_t integer() const;
  std::string text() const;

 private:
  JsonPlace below(const Json& value, const std::string& token) const {
    return {value, where_, literals_, pointer_ + "/" + token};
  }

  const Json* value_;
  const JsonLiterals* literals_;
  std::string where_, pointer_;
};

}  // namespace kvcast
