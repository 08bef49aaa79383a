// The one description of every config field. JSON reading, --set, flags, help, docs and the echoed config all loop
// over this table: adding a field is one member in kvcast/config.h and one line here.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "input/text/json.h"
#include "kvcast/config.h"

namespace kvcast::config {

struct Field {
  std::string path;     ///< "model.dim"
  std::string flags;    ///< "-d,--dim"; "--no-…" sets a bool to false; empty when only --set reaches it
  std::string type;     ///< as in FieldInfo
  std::string allowed;  ///< in words, after "allowed: "
  std::string doc;

  /// Text as typed into the member. Returns the problem, empty when there is none (and the member is unchanged).
  std::function<std::string(Config&, std::string_view)> read;
  /// The member as one types it ("30s").
  std::function<std::string(const Config&)> text;
  /// The member as JSON ("30").
  std::function<std::string(const Config&)> json;

  /// Path of the list that a grid runs over in place of this value; empty for most. A flag of this field takes a list.
  std::string swept{};
  /// Its flag is in --help-all, and not in the --help of a command that has all fields.
  bool advanced = false;
  /// Names a file. In a config file it is relative to that file's folder and does not leave it.
  bool is_path = false;
  /// All values of a closed list, or of the items of a list; empty where any text will do.
  std::vector<std::string> choices{};
};

/// Every field in display order; fields of one section stand together.
const std::vector<Field>& fields();

/// The field at `path`, nullptr when there is none.
const Field* find_field(std::string_view path);

/// A JSON value into the member: checks that the JSON type fits the field, then read(). Returns the problem.
std::string read_json(const Field& field, const JsonPlace& place, Config& config);

/// "model", "dim" of "model.dim"; the section of a top-level path is empty.
std::string_view section_of(std::string_view path);
std::string_view leaf_of(std::string_view path);

}  // namespace kvcast::config
