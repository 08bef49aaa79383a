#include "config/json.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/text.h"
#include "kvcast/error.h"

namespace kvcast::config {
namespace {

// "line 3, column 5" of the byte at `offset`.
std::string line_and_column(const std::string& text, std::size_t offset) {
  const std::size_t end = std::min(offset, text.size());
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), '\n');
  const std::size_t newline = end == 0 ? std::string::npos : text.rfind('\n', end - 1);
  const std::size_t column = end - (newline == std::string::npos ? 0 : newline + 1) + 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

// nlohmann's message without its own tag and position.
std::string strip_prefix(std::string message) {
  if (const std::size_t tag = message.find("] "); message.starts_with('[') && tag != std::string::npos) {
    message.erase(0, tag + 2);
  }
  if (message.starts_with("parse error")) {
    const std::size_t colon = message.find(": ");
    if (colon != std::string::npos) message.erase(0, colon + 2);
  }
  return message;
}

// Builds the tree from nlohmann's events. The event parser keeps its own stack, so depth is bounded here alone.
class TreeBuilder {
 public:
  TreeBuilder(const std::string& text, std::string where) : text_(text), where_(std::move(where)) {}

  // The interface that nlohmann::json::sax_parse calls.
  bool null() { return add(JsonValue::Kind::null, "null"); }
  bool boolean(bool value) { return add(JsonValue::Kind::boolean, value ? "true" : "false"); }
  bool number_integer(std::int64_t value) { return add(JsonValue::Kind::number, std::to_string(value)); }
  bool number_unsigned(std::uint64_t value) { return add(JsonValue::Kind::number, std::to_string(value)); }
  bool number_float(double, const std::string& literal) { return add(JsonValue::Kind::number, literal); }
  bool string(std::string& value) { return add(JsonValue::Kind::text, std::move(value)); }
  bool binary(nlohmann::json::binary_t&) { return false; }  // never in text
  bool start_object(std::size_t) { return open(JsonValue::Kind::object); }
  bool start_array(std::size_t) { return open(JsonValue::Kind::list); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    if (!open_.back().keys.insert(name).second) {
      throw ConfigError(where_ + ": " + pointer() + "/" + printable(name), "the key is given twice",
                        "keep one of them");
    }
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) {
    // `position` counts the bytes read, the offending one included, and one more at the end of the text.
    throw ConfigError(where_ + ": " + line_and_column(text_, position == 0 ? 0 : position - 1),
                      printable(strip_prefix(error.what()), 200), "");
  }

  JsonValue take() { return std::move(root_); }

 private:
  struct Open {
    JsonValue value;
    std::set<std::string> keys;
  };

  std::string pointer() const {
    std::string path;
    for (std::size_t i = 1; i < open_.size(); ++i) {
      const bool in_list = open_[i - 1].value.kind == JsonValue::Kind::list;
      path += "/" + (in_list ? std::to_string(open_[i - 1].value.items.size()) : printable(open_[i].value.key));
    }
    return path;
  }

  void count() {
    if (++values_ > kMaxJsonValues) {
      throw ConfigError(where_, "more than " + std::to_string(kMaxJsonValues) + " values", "");
    }
  }

  void place(JsonValue value) { (open_.empty() ? root_ : open_.back().value.items.emplace_back()) = std::move(value); }

  bool add(JsonValue::Kind kind, std::string literal) {
    count();
    place({kind, std::exchange(key_, ""), std::move(literal), {}});
    return true;
  }

  bool open(JsonValue::Kind kind) {
    count();
    if (open_.size() >= kMaxJsonDepth) {
      throw ConfigError(where_, "nested deeper than " + std::to_string(kMaxJsonDepth) + " levels", "");
    }
    open_.push_back({{kind, std::exchange(key_, ""), "", {}}, {}});
    return true;
  }

  bool close() {
    JsonValue value = std::move(open_.back().value);
    open_.pop_back();
    place(std::move(value));
    return true;
  }

  const std::string& text_;
  std::string where_;
  JsonValue root_;
  std::vector<Open> open_;
  std::string key_;
  std::size_t values_ = 0;
};

}  // namespace

std::string describe(const JsonValue& value) {
  switch (value.kind) {
    case JsonValue::Kind::null:
      return "null";
    case JsonValue::Kind::boolean:
      return value.literal;
    case JsonValue::Kind::number:
      return "the number " + printable(value.literal);
    case JsonValue::Kind::text:
      return "the text " + in_quotes(value.literal);
    case JsonValue::Kind::list:
      return "a list";
    case JsonValue::Kind::object:
      return "an object";
  }
  return "";
}

JsonValue parse_json(const std::string& text, const std::string& where) {
  // The parser would take a NUL byte for the end of the text.
  if (const std::size_t nul = text.find('\0'); nul != std::string::npos) {
    throw ConfigError(where + ": " + line_and_column(text, nul), "a NUL byte", "");
  }
  TreeBuilder builder(text, where);
  nlohmann::json::sax_parse(text, &builder);
  return builder.take();
}

}  // namespace kvcast::config
