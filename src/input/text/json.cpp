#include "input/text/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/text.h"
#include "kvcast/error.h"

namespace kvcast {
namespace {

// RFC 6901.
std::string escaped(const std::string& key) {
  std::string result;
  for (const char c : key) result += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return printable(result);
}

// Builds the tree from nlohmann's events. The event parser keeps its own stack, so depth is bounded here alone.
class TreeBuilder {
 public:
  TreeBuilder(const std::string& text, const std::string& where, const JsonOptions& options)
      : text_(text), where_(where), options_(options) {}

  // The interface that nlohmann's sax_parse calls.
  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(std::int64_t value) { return add(value); }
  bool number_unsigned(std::uint64_t value) { return add(value); }
  bool number_float(double value, const std::string& literal) {
    if (options_.literals != nullptr) options_.literals->emplace(pointer(), literal);
    return add(value);
  }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }  // never in text
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    Open& object = open_.back();
    object.key = std::move(name);
    if (!object.keys.insert(object.key).second) {
      throw ConfigError(where_ + ": " + pointer(), "the key appears twice", "keep one of them");
    }
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& error) {
    // `byte` counts the bytes read, the offending one included, and one more at the end of the text.
    fail_at(byte == 0 ? 0 : byte - 1, json_problem(error.what()), "");
  }

  [[noreturn]] void fail_at(std::size_t offset, const std::string& problem, const std::string& hint) const {
    const std::size_t end = std::min(offset, text_.size());
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(end), '\n');
    const std::size_t newline = end == 0 ? std::string::npos : text_.rfind('\n', end - 1);
    const std::size_t column = end - (newline == std::string::npos ? 0 : newline + 1) + 1;
    const bool named = options_.names_lines || text_.find('\n') != std::string::npos;
    throw ConfigError(
        where_ + ": " + (named ? "line " + std::to_string(line) + ", " : "") + "column " + std::to_string(column),
        problem, hint);
  }
  Json take() { return std::move(root_); }

 private:
  struct Open {
    Json* value;
    std::string key;  // of the member that comes
    std::set<std::string> keys;
  };

  // Of the value that comes.
  std::string pointer() const {
    std::string path;
    for (const Open& level : open_) {
      const bool last = &level == &open_.back();
      path +=
          "/" + (level.value->is_object() ? escaped(level.key) : std::to_string(level.value->size() - (last ? 0 : 1)));
    }
    return path;
  }

  Json* place(Json value) {
    if (++values_ > options_.max_values) {
      throw ConfigError(where_, "more than " + std::to_string(options_.max_values) + " values",
                        "is this a file of kvcast?");
    }
    if (open_.empty()) return &(root_ = std::move(value));
    Json& parent = *open_.back().value;
    // Not operator[], which would look through all members for one that is not there.
    if (parent.is_object()) {
      return &parent.get_ref<Json::object_t&>().emplace_back(open_.back().key, std::move(value)).second;
    }
    return &parent.emplace_back(std::move(value));
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (open_.size() == kMaxJsonDepth) {
      throw ConfigError(where_, "nested deeper than " + std::to_string(kMaxJsonDepth) + " levels",
                        "kvcast's own files are flat");
    }
    open_.push_back({place(std::move(value)), "", {}});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& text_;
  const std::string& where_;
  const JsonOptions& options_;
  Json root_;
  std::vector<Open> open_;
  std::int64_t values_ = 0;
};

}  // namespace

Json parse_json(const std::string& text, const std::string& where, const JsonOptions& options) {
  TreeBuilder builder(text, where, options);
  // The parser would take a NUL byte for the end of the text.
  if (const std::size_t nul = text.find('\0'); nul != std::string::npos) {
    builder.fail_at(nul, "a NUL byte", "the file is JSON text");
  }
  Json::sax_parse(text, &builder);
  return builder.take();
}

std::string json_problem(std::string message) {
  if (const std::size_t tag = message.find("] "); message.starts_with('[') && tag != std::string::npos) {
    message.erase(0, tag + 2);
  }
  if (const std::size_t colon = message.find(": "); message.starts_with("parse error") && colon != std::string::npos) {
    message.erase(0, colon + 2);
  }
  return printable(message, 200);
}

std::string JsonPlace::described() const {
  if (value_->is_number()) return "the number " + printable(literal());
  if (value_->is_string()) return "the text " + in_quotes(literal());
  return value_->is_array() ? "a list" : value_->is_object() ? "an object" : literal();
}

std::string JsonPlace::literal() const {
  if (value_->is_string()) return value_->get<std::string>();
  if (literals_ != nullptr && value_->is_number_float()) {
    if (const auto written = literals_->find(pointer_); written != literals_->end()) return written->second;
  }
  return value_->dump();
}

void JsonPlace::fail(const std::string& problem, const std::string& allowed) const {
  throw ConfigError(path(), problem, "allowed: " + allowed);
}

void JsonPlace::refuse(const std::string& allowed) const {
  fail(value_->is_null() ? "is null or missing" : "is " + described(), allowed);
}

const JsonPlace& JsonPlace::object() const {
  if (!value_->is_object()) refuse("an object");
  return *this;
}

JsonPlace JsonPlace::at(const std::string& key) const {
  static const Json kNull;
  object();
  const auto found = value_->find(key);
  return below(found == value_->end() ? kNull : *found, escaped(key));
}

std::vector<std::pair<std::string, JsonPlace>> JsonPlace::members() const {
  std::vector<std::pair<std::string, JsonPlace>> members;
  if (value_->is_null()) return members;
  object();
  for (const auto& item : value_->items()) members.emplace_back(item.key(), below(item.value(), escaped(item.key())));
  return members;
}

std::vector<JsonPlace> JsonPlace::items() const {
  std::vector<JsonPlace> items;
  if (value_->is_null()) return items;
  if (!value_->is_array()) refuse("a list");
  for (const auto& item : *value_) items.push_back(below(item, std::to_string(items.size())));
  return items;
}

bool JsonPlace::is_whole() const {
  if (value_->is_number_unsigned()) {
    return value_->get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  }
  return value_->is_number_integer();
}

std::int64_t JsonPlace::integer() const {
  if (value_->is_number_float()) {
    const double number = value_->get<double>();
    if (number == std::floor(number) && std::fabs(number) <= 0x1p53) return static_cast<std::int64_t>(number);
  }
  if (!is_whole()) refuse("a whole number");
  return value_->get<std::int64_t>();
}

std::string JsonPlace::text() const {
  if (!value_->is_string()) refuse("a text");
  return value_->get<std::string>();
}

}  // namespace kvcast
