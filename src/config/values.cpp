// Values of flags that are no config fields, parsed as those of fields are.
#include "config/units.h"
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

}  // namespace kvcast
