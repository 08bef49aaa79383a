// Reading and writing of single JSON values and of rows.
#include <cmath>
#include <limits>
#include <type_traits>

#include "base/text.h"
#include "kvcast/error.h"
#include "report/json.h"
#include "report/text.h"

namespace kvcast::report {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// nlohmann would write NaN as null silently; here null is a decision and the value never reaches the writer.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json ends_json(const Interval& value) { return Json::array({number(value.lo), number(value.hi)}); }

Json interval_json(const std::optional<Interval>& value) { return value ? ends_json(*value) : Json(nullptr); }

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

Value read_value(const JsonPlace& place, Kind kind, bool nullable, const std::vector<std::string>& names) {
  const Json& value = place.value();
  if (nullable && value.is_null()) return {};
  const auto refuse = [&](const std::string& allowed) { place.refuse(allowed + (nullable ? " or null" : "")); };
  // Parts of the compound kinds.
  const auto part = [](const JsonPlace& of) {
    const Value read = read_value(of, Kind::number, true);
    const auto* number = std::get_if<double>(&read);
    return number == nullptr ? kNaN : *number;
  };
  const auto both_ends = [&](const JsonPlace& of) {
    const std::vector<JsonPlace> ends = of.items();
    if (ends.size() != 2) of.fail("is a list of " + std::to_string(ends.size()), "[low, high]");
    return Interval{part(ends[0]), part(ends[1])};
  };
  const auto ci95 = [&]() -> std::optional<Interval> {
    const JsonPlace interval = place.at("ci95");
    return interval.value().is_null() ? std::nullopt : std::optional(both_ends(interval));
  };
  switch (kind) {
    case Kind::boolean:
      if (!value.is_boolean()) refuse("true or false");
      return value.get<bool>();
    case Kind::integer:
      if (!place.is_whole()) refuse("a whole number");
      return value.get<std::int64_t>();
    case Kind::number:
      if (!value.is_number()) refuse("a number");
      return value.get<double>();
    case Kind::text:
      if (!value.is_string()) refuse("a text");
      return value.get<std::string>();
    case Kind::texts: {
      if (!value.is_array()) refuse("a list of texts");
      std::vector<std::string> texts;
      for (const auto& item : place.items()) texts.push_back(item.text());
      return texts;
    }
    case Kind::numbers: {
      if (!value.is_array()) refuse("a list of numbers");
      std::vector<double> numbers;
      for (const auto& item : place.items()) numbers.push_back(part(item));
      return numbers;
    }
    case Kind::name: {
      // What was unknown to earlier versions.
      if (nullable && value.is_string() && value.get<std::string>().empty()) return {};
      const bool known =
          value.is_string() && std::find(names.begin(), names.end(), value.get<std::string>()) != names.end();
      if (!known) refuse(join(names, ", "));
      return value.get<std::string>();
    }
    case Kind::interval:
      if (!value.is_array()) refuse("[low, high]");
      return both_ends(place);
    case Kind::estimate:
      return Estimate{part(place.at("value")), ci95()};
    case Kind::seconds:
      return SecondsSummary{part(place.at("median")), ci95(), place.at("samples").integer()};
    case Kind::errors:
      return ErrorPair{part(place.at("max_abs")), part(place.at("max_rel"))};
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
  // What was "auto" is not known here.
  if (config.run.threads == host.cpus / config.run.workers) config.run.threads = 0;
  if (config.run.cpus == host.cpus) config.run.cpus = 0;
  return config;
}

}  // namespace kvcast::report
