// Values of flags that are no config fields, parsed as those of fields are.
#include <algorithm>
#include <string>

#include "base/text.h"
#include "config/units.h"
#include "kvcast/columns.h"
#include "kvcast/config.h"
#include "kvcast/error.h"

namespace kvcast {
namespace {

template <typename T>
T value_or_throw(const config::Parsed<T>& parsed, const std::string& origin, const char* allowed) {
  if (!parsed.value) throw ConfigError(origin, parsed.problem, allowed);
  return *parsed.value;
}

}  // namespace

std::vector<std::int64_t> parse_list(const std::string& text, const std::string& origin) {
  return value_or_throw(config::parse_int_list(text), origin, "whole numbers and ranges, such as 1,5,10 or 1-1024*2");
}

double parse_fraction(const std::string& text, const std::string& origin) {
  return value_or_throw(config::parse_fraction(text), origin, "a number or a percentage, such as 0.05 or 5%");
}

double parse_percent(const std::string& text, const std::string& origin) {
  const char* const allowed = "a percentage above 0 and below 100, such as 40 or 40%";
  const bool marked = text.find('%') != std::string::npos;
  const double value = value_or_throw(config::parse_fraction(text), origin, allowed);
  // Nobody knows whether 0.4 is meant as 40% or as less than half a per cent.
  if (!marked && value > 0 && value < 1) {
    throw ConfigError(origin, in_quotes(text) + " could be a fraction or a percentage", allowed);
  }
  const double fraction = marked ? value : value / 100;
  if (!(fraction > 0 && fraction < 1)) throw ConfigError(origin, in_quotes(text) + " is out of range", allowed);
  return fraction;
}

double parse_seconds(const std::string& text, const std::string& origin) {
  const char* const allowed = "a time above 0, such as 50ms or 0.05s";
  const double value = value_or_throw(config::parse_duration(text), origin, allowed);
  if (!(value > 0)) throw ConfigError(origin, in_quotes(text) + " is out of range", allowed);
  return value;
}

std::int64_t parse_size(const std::string& text, const std::string& origin) {
  const char* const allowed = "a size of at least 1 byte, such as 8GiB or 500MB";
  const std::int64_t value = value_or_throw(config::parse_bytes(text), origin, allowed);
  if (value < 1) throw ConfigError(origin, in_quotes(text) + " is out of range", allowed);
  return value;
}

ColumnNames parse_columns(const std::string& text, const std::vector<std::string>& roles, const std::string& origin) {
  const std::string allowed = roles.back() + "=NAME, of " + join(roles, ", ");
  ColumnNames columns;
  for (const std::string& item : value_or_throw(config::parse_names(text), origin, allowed.c_str())) {
    const std::size_t equals = item.find('=');
    const std::string role = item.substr(0, equals);
    const std::string name = equals == std::string::npos ? "" : item.substr(equals + 1);
    if (name.empty()) throw ConfigError(origin, in_quotes(item) + " names no column", allowed);
    if (std::find(roles.begin(), roles.end(), role) == roles.end()) {
      throw ConfigError(origin, in_quotes(role) + " is not a column role", suggest(role, roles));
    }
    for (const auto& [known, column] : columns) {
      if (known == role)
        throw ConfigError(origin, role + " has two columns: " + in_quotes(column) + ", " + in_quotes(name), "keep one");
      if (column == name)
        throw ConfigError(origin, in_quotes(name) + " is both " + known + " and " + role, "one column each");
    }
    columns.emplace_back(role, name);
  }
  return columns;
}

double parse_rate(const std::string& text, const std::string& origin) {
  const char* const allowed = "a rate above 0, such as 200, 200/s or 12000/min";
  const std::size_t slash = text.find('/');
  const std::string unit = slash == std::string::npos ? "s" : text.substr(slash + 1);
  const double per = unit == "s" ? 1 : unit == "min" ? 60 : unit == "h" ? 3600 : 0;
  if (per == 0) throw ConfigError(origin, in_quotes(text) + " has no known unit", allowed);
  const double value = value_or_throw(config::parse_number(text.substr(0, slash)), origin, allowed);
  if (!(value > 0)) throw ConfigError(origin, in_quotes(text) + " is out of range", allowed);
  return value / per;
}

double parse_number(const std::string& text, const std::string& origin) {
  return value_or_throw(config::parse_number(text), origin, "a number, such as 0.15");
}

}  // namespace kvcast
