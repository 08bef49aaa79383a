// Reading and writing of single JSON values and of rows.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <type_traits>

#include "base/text.h"
#include "kvcast/error.h"
#include "report/json.h"
#include "report/text.h"

namespace kvcast::report {
namespace {

constexpr int kMaxDepth = 64;
// Some five times what the report of the largest grid has.
constexpr std::int64_t kMaxValues = 20'000'000;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// nlohmann would write NaN as null silently; here null is a decision and the value never reaches the writer.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json ends_json(const Interval& value) { return Json::array({number(value.lo), number(value.hi)}); }

Json interval_json(const std::optional<Interval>& value) { return value ? ends_json(*value) : Json(nullptr); }

// "line 3, column 5" of the byte at `offset`; the column alone in a text of one line.
std::string position(const std::string& text, std::size_t offset) {
  const std::size_t end = std::min(offset, text.size());
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), '\n');
  const std::size_t newline = end == 0 ? std::string::npos : text.rfind('\n', end - 1);
  const std::size_t column = end - (newline == std::string::npos ? 0 : newline + 1) + 1;
  const bool one_line = text.find('\n') == std::string::npos;
  return (one_line ? "" : "line " + std::to_string(line) + ", ") + "column " + std::to_string(column);
}

// nlohmann's message without its own tag and position.
std::string bare_message(std::string message) {
  if (const std::size_t tag = message.find("] "); message.starts_with('[') && tag != std::string::npos) {
    message.erase(0, tag + 2);
  }
  if (message.starts_with("parse error")) {
    const std::size_t colon = message.find(": ");
    if (colon != std::string::npos) message.erase(0, colon + 2);
  }
  return printable(message, 200);
}

std::string described(const Json& value) {
  if (value.is_null()) return "null or missing";
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_number()) return "the number " + value.dump();
  if (value.is_string()) return "the text " + in_quotes(value.get_ref<const std::string&>());
  return value.is_array() ? "a list" : "an object";
}

// RFC 6901.
std::string escaped(const std::string& key) {
  std::string result;
  for (const char c : key) result += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return printable(result);
}

bool is_whole(const Json& value) {
  if (value.is_number_unsigned()) {
    return value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  }
  return value.is_number_integer();
}

}  // namespace

std::string valid_utf8(const std::string& text) {
  const std::string encoded = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return Json::parse(encoded).get<std::string>();
}

Json to_json(const Value& value) {
  return std::visit(
      [](const auto& v) -> Json {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return nullptr;
        } else if constexpr (std::is_same_v<T, double>) {
          return number(v);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return valid_utf8(v);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          Json list = Json::array();
          for (const auto& text : v) list.push_back(valid_utf8(text));
          return list;
        } else if constexpr (std::is_same_v<T, std::vector<double>>) {
          Json list = Json::array();
          for (const double item : v) list.push_back(number(item));
          return list;
        } else if constexpr (std::is_same_v<T, Interval>) {
          return ends_json(v);
        } else if constexpr (std::is_same_v<T, Estimate>) {
          return {{"value", number(v.value)}, {"ci95", interval_json(v.ci95)}};
        } else if constexpr (std::is_same_v<T, SecondsSummary>) {
          return {{"median", number(v.median)}, {"ci95", interval_json(v.ci95)}, {"samples", v.samples}};
        } else if constexpr (std::is_same_v<T, ErrorPair>) {
          return {{"max_abs", number(v.max_abs)}, {"max_rel", number(v.max_rel)}};
        } else {
          return v;
        }
      },
      value);
}

Json tool_json(const ToolInfo& tool) {
  Json result = to_json(tool_columns(), tool);
  Json& dependencies = result["dependencies"] = Json::object();
  for (const auto& [name, version] : tool.dependencies) dependencies[valid_utf8(name)] = valid_utf8(version);
  return result;
}

Json parse_json(const std::string& text, const std::string& where) {
  // The parser would take a NUL byte for the end of the text.
  if (const std::size_t nul = text.find('\0'); nul != std::string::npos) {
    throw ConfigError(where + ": " + position(text, nul), "a NUL byte", "the file is JSON text");
  }
  std::vector<std::set<std::string>> keys;  // of the open objects
  std::int64_t values = 0;
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) {
      throw ConfigError(where, "nested deeper than " + std::to_string(kMaxDepth) + " levels",
                        "kvcast's own files are flat");
    }
    if (++values > kMaxValues) {
      throw ConfigError(where, "more than " + std::to_string(kMaxValues) + " values", "is this a file of kvcast?");
    }
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      throw ConfigError(where, "the key " + in_quotes(parsed.get<std::string>()) + " is twice in one object",
                        "keep one of them");
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::parse_error& error) {
    // `byte` counts the bytes read, the offending one included, and one more at the end of the text.
    throw ConfigError(where + ": " + position(text, error.byte == 0 ? 0 : error.byte - 1), bare_message(error.what()),
                      "");
  } catch (const Json::exception& error) {
    throw ConfigError(where, bare_message(error.what()), "");
  }
}

void JsonPlace::fail(const std::string& problem, const std::string& allowed) const {
  throw ConfigError(path(), problem, "allowed: " + allowed);
}

const JsonPlace& JsonPlace::object() const {
  if (!value_->is_object()) fail("is " + described(*value_), "an object");
  return *this;
}

JsonPlace JsonPlace::at(const std::string& key) const {
  static const Json kNull;
  object();
  const auto found = value_->find(key);
  return {found == value_->end() ? kNull : *found, where_, pointer_ + "/" + escaped(key)};
}

std::vector<std::pair<std::string, JsonPlace>> JsonPlace::members() const {
  std::vector<std::pair<std::string, JsonPlace>> members;
  if (value_->is_null()) return members;
  object();
  for (const auto& item : value_->items()) {
    members.emplace_back(item.key(), JsonPlace(item.value(), where_, pointer_ + "/" + escaped(item.key())));
  }
  return members;
}

std::vector<JsonPlace> JsonPlace::items() const {
  std::vector<JsonPlace> items;
  if (value_->is_null()) return items;
  if (!value_->is_array()) fail("is " + described(*value_), "a list");
  for (const auto& item : *value_) items.emplace_back(item, where_, pointer_ + "/" + std::to_string(items.size()));
  return items;
}

std::int64_t JsonPlace::integer() const {
  // 2.0, as programs write that know no whole numbers; up to where they are exact.
  if (value_->is_number_float()) {
    const double number = value_->get<double>();
    if (number == std::floor(number) && std::fabs(number) <= 0x1p53) return static_cast<std::int64_t>(number);
  }
  if (!is_whole(*value_)) fail("is " + described(*value_), "a whole number");
  return value_->get<std::int64_t>();
}

std::string JsonPlace::text() const {
  if (!value_->is_string()) fail("is " + described(*value_), "a text");
  return value_->get<std::string>();
}

Value JsonPlace::read(Kind kind, bool nullable) const {
  if (nullable && value_->is_null()) return {};
  const auto refuse = [&](const std::string& allowed) {
    fail("is " + described(*value_), allowed + (nullable ? " or null" : ""));
  };
  // Parts of the compound kinds.
  const auto part = [](const JsonPlace& place) {
    const Value value = place.read(Kind::number, true);
    const auto* number = std::get_if<double>(&value);
    return number == nullptr ? kNaN : *number;
  };
  const auto both_ends = [&](const JsonPlace& place) {
    const std::vector<JsonPlace> ends = place.items();
    if (ends.size() != 2) place.fail("is a list of " + std::to_string(ends.size()), "[low, high]");
    return Interval{part(ends[0]), part(ends[1])};
  };
  const auto ci95 = [&]() -> std::optional<Interval> {
    const JsonPlace place = at("ci95");
    return place.value().is_null() ? std::nullopt : std::optional(both_ends(place));
  };
  switch (kind) {
    case Kind::boolean:
      if (!value_->is_boolean()) refuse("true or false");
      return value_->get<bool>();
    case Kind::integer:
      if (!is_whole(*value_)) refuse("a whole number");
      return value_->get<std::int64_t>();
    case Kind::number:
      if (!value_->is_number()) refuse("a number");
      return value_->get<double>();
    case Kind::text:
      if (!value_->is_string()) refuse("a text");
      return value_->get<std::string>();
    case Kind::texts: {
      if (!value_->is_array()) refuse("a list of texts");
      std::vector<std::string> texts;
      for (const auto& item : items()) texts.push_back(item.text());
      return texts;
    }
    case Kind::numbers: {
      if (!value_->is_array()) refuse("a list of numbers");
      std::vector<double> numbers;
      for (const auto& item : items()) numbers.push_back(part(item));
      return numbers;
    }
    case Kind::status: {
      std::vector<std::string> names;
      for (const Status status : kStatuses) names.push_back(to_string(status));
      if (!value_->is_string() || !status_of(value_->get<std::string>())) refuse(join(names, ", "));
      return value_->get<std::string>();
    }
    case Kind::interval:
      if (!value_->is_array()) refuse("[low, high]");
      return both_ends(*this);
    case Kind::estimate:
      return Estimate{part(at("value")), ci95()};
    case Kind::seconds:
      return SecondsSummary{part(at("median")), ci95(), at("samples").integer()};
    case Kind::errors:
      return ErrorPair{part(at("max_abs")), part(at("max_rel"))};
  }
  return {};
}

ToolInfo tool_from_json(const JsonPlace& place) {
  ToolInfo tool;
  from_json(place, tool_columns(), tool);
  for (const auto& [name, version] : place.at("dependencies").members()) {
    tool.dependencies.emplace_back(name, version.text());
  }
  return tool;
}

Config config_from_json(const JsonPlace& place) {
  place.object();
  Json known = Json::object();
  for (const auto& field : config_fields()) {
    const std::size_t dot = field.path.find('.');
    if (dot == std::string::npos) {
      if (place.value().contains(field.path)) known[field.path] = place.value()[field.path];
      continue;
    }
    const std::string section = field.path.substr(0, dot), leaf = field.path.substr(dot + 1);
    const JsonPlace part = place.at(section);
    if (part.value().is_null() || !part.object().value().contains(leaf)) continue;
    known[section][leaf] = part.value()[leaf];
  }
  // The most CPUs there are: no thread count is too many here. 0 bytes: unknown, so none are taken over.
  const HostLimits host{std::numeric_limits<std::int64_t>::max(), 0};
  Config config;
  try {
    config = parse_config(known.dump(), place.path(), {}, host);
  } catch (const ConfigError& error) {
    // "FILE: /config: /model/dim: problem" with its two pointers in one.
    const std::string message = error.what(), two = place.path() + ": /";
    if (!message.starts_with(two)) throw;
    const std::size_t end = message.find(": ", two.size());
    throw ConfigError(place.path() + message.substr(two.size() - 1, end - two.size() + 1), message.substr(end + 2), "");
  }
  if (config.run.threads == host.cpus) config.run.threads = 0;  // was "auto", which is not known here
  return config;
}

}  // namespace kvcast::report
