#include "config/units.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

#include "base/checked.h"
#include "base/text.h"

namespace kvcast::config {
namespace {

struct Unit {
  std::string_view name;
  double scale;
};

// Largest first. Formatting picks from the binary ones.
constexpr std::array<Unit, 9> kByteUnits = {{{"TiB", 1099511627776.0},
                                             {"GiB", 1073741824.0},
                                             {"MiB", 1048576.0},
                                             {"KiB", 1024.0},
                                             {"TB", 1e12},
                                             {"GB", 1e9},
                                             {"MB", 1e6},
                                             {"kB", 1e3},
                                             {"B", 1.0}}};
constexpr std::array<Unit, 6> kTimeUnits = {
    {{"h", 3600.0}, {"min", 60.0}, {"s", 1.0}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}}};

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

template <typename T>
Parsed<T> fail(std::string problem) {
  return {std::nullopt, std::move(problem)};
}

template <typename T>
Parsed<T> succeed(T value) {
  return {std::move(value), ""};
}

std::string too_large(std::string_view text) { return in_quotes(text) + " does not fit 64 bits"; }

// Takes a whole number off the front of `rest`. `whole` is what the problem quotes.
Parsed<std::int64_t> take_int(std::string_view& rest, std::string_view whole) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error == std::errc::result_out_of_range) return fail<std::int64_t>(too_large(whole));
  if (error != std::errc()) return fail<std::int64_t>(in_quotes(whole) + " is not a whole number");
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return succeed(value);
}

// A number and the unit that follows it. Empty unit when there is none.
struct Quantity {
  double number = 0;
  std::string_view digits, unit;
};

Parsed<Quantity> split_quantity(std::string_view text) {
  const std::string_view body = trim(text);
  const std::string not_number = text.empty() ? "an empty text is not a number" : in_quotes(text) + " is not a number";
  // from_chars also reads "inf" and "nan"; a number here starts with a digit or a point.
  const std::string_view unsigned_body = !body.empty() && body[0] == '-' ? body.substr(1) : body;
  if (unsigned_body.empty() || !(unsigned_body[0] == '.' || (unsigned_body[0] >= '0' && unsigned_body[0] <= '9'))) {
    return fail<Quantity>(not_number);
  }
  Quantity result;
  const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), result.number);
  if (error == std::errc::result_out_of_range)
    return fail<Quantity>(in_quotes(text) + " is out of the range of a number");
  if (error != std::errc()) return fail<Quantity>(not_number);
  const auto length = static_cast<std::size_t>(end - body.data());
  // What other countries write inside numbers.
  const std::string_view rest = body.substr(length);
  const std::size_t mark = rest.find_first_not_of(",.' _");
  if (mark != 0 && mark != std::string_view::npos && rest[mark] >= '0' && rest[mark] <= '9') {
    return fail<Quantity>(in_quotes(text) + " is not a number: use a decimal point and no thousands separators");
  }
  result.digits = body.substr(0, length);
  result.unit = trim(body.substr(length));
  return succeed(result);
}

template <std::size_t kCount>
const Unit* find_unit(const std::array<Unit, kCount>& units, std::string_view name) {
  const auto found = std::find_if(units.begin(), units.end(), [&](const Unit& unit) { return unit.name == name; });
  return found == units.end() ? nullptr : &*found;
}

// Appends the values of one list item. Returns the problem, empty when there is none.
std::string expand_item(std::string_view item, std::vector<std::int64_t>& values) {
  std::string_view rest = item;
  const Parsed<std::int64_t> first = take_int(rest, item);
  if (!first.value) return first.problem;
  const auto room = [&] { return static_cast<std::int64_t>(values.size()) < kMaxListValues; };
  const std::string too_many = "a list of more than " + std::to_string(kMaxListValues) + " values";
  if (rest.empty()) {
    if (!room()) return too_many;
    values.push_back(*first.value);
    return "";
  }
  const std::string malformed =
      in_quotes(item) + " is neither a whole number nor a range such as 1-8, 100-500+100 or 1-1024*2";
  if (rest[0] != '-') return malformed;
  rest.remove_prefix(1);
  const Parsed<std::int64_t> last = take_int(rest, item);
  if (!last.value) return last.problem;
  char operation = '+';
  std::int64_t step = 1;
  if (!rest.empty()) {
    operation = rest[0];
    if (operation != '+' && operation != '*') return malformed;
    rest.remove_prefix(1);
    const Parsed<std::int64_t> parsed_step = take_int(rest, item);
    if (!parsed_step.value) return parsed_step.problem;
    if (!rest.empty()) return malformed;
    step = *parsed_step.value;
  }
  if (*last.value < *first.value) return "the range " + in_quotes(item) + " ends before it starts";
  const bool advances = operation == '+' ? step >= 1 : step >= 2 && *first.value >= 1;
  if (!advances) {
    return "the range " + in_quotes(item) + " does not advance (a + step is at least 1, a * step at least 2 from 1 on)";
  }
  for (Checked value = *first.value; value && *value <= *last.value;
       value = operation == '+' ? checked_add(value, step) : checked_mul(value, step)) {
    if (!room()) return too_many;
    values.push_back(*value);
  }
  return "";
}

// Comma-separated items, trimmed; the problem is set when the list or an item is empty.
Parsed<std::vector<std::string_view>> split_items(std::string_view text) {
  if (trim(text).empty()) return fail<std::vector<std::string_view>>("an empty list");
  std::vector<std::string_view> items;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view item = trim(text.substr(0, comma));
    if (item.empty()) return fail<std::vector<std::string_view>>("an empty item in the list");
    items.push_back(item);
    if (comma == std::string_view::npos) return succeed(std::move(items));
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

Parsed<std::int64_t> parse_int(std::string_view text) {
  if (text.empty()) return fail<std::int64_t>("an empty text is not a whole number");
  std::string_view rest = text;
  Parsed<std::int64_t> result = take_int(rest, text);
  if (result.value && !rest.empty()) return fail<std::int64_t>(in_quotes(text) + " is not a whole number");
  return result;
}

Parsed<std::vector<std::int64_t>> parse_int_list(std::string_view text) {
  using List = std::vector<std::int64_t>;
  const auto items = split_items(text);
  if (!items.value) return fail<List>(items.problem);
  List values;
  for (const std::string_view item : *items.value) {
    if (std::string problem = expand_item(item, values); !problem.empty()) return fail<List>(std::move(problem));
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return succeed(std::move(values));
}

Parsed<std::vector<std::string>> parse_names(std::string_view text) {
  using List = std::vector<std::string>;
  const auto items = split_items(text);
  if (!items.value) return fail<List>(items.problem);
  List names;
  for (const std::string_view item : *items.value) {
    if (std::find(names.begin(), names.end(), item) == names.end()) names.emplace_back(item);
    if (static_cast<std::int64_t>(names.size()) > kMaxListValues) {
      return fail<List>("a list of more than " + std::to_string(kMaxListValues) + " names");
    }
  }
  return succeed(std::move(names));
}

Parsed<std::int64_t> parse_bytes(std::string_view text) {
  const Parsed<Quantity> quantity = split_quantity(text);
  if (!quantity.value) return fail<std::int64_t>(quantity.problem);
  const auto& [number, digits, unit_name] = *quantity.value;
  const Unit* unit = find_unit(kByteUnits, unit_name.empty() ? "B" : unit_name);
  if (unit == nullptr) {
    return fail<std::int64_t>(in_quotes(text) + " has an unknown unit (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)");
  }
  if (std::signbit(number)) return fail<std::int64_t>(in_quotes(text) + " is negative");
  // Whole numbers stay exact; doubles would round them above 2^53.
  if (digits.find_first_not_of("0123456789") == std::string_view::npos) {
    const Parsed<std::int64_t> whole = parse_int(digits);
    const Checked bytes = checked_mul(whole.value, static_cast<std::int64_t>(unit->scale));
    return bytes ? succeed(*bytes) : fail<std::int64_t>(too_large(text));
  }
  const double bytes = std::floor(number * unit->scale);
  if (!(bytes < 9223372036854775808.0)) return fail<std::int64_t>(too_large(text));
  return succeed(static_cast<std::int64_t>(bytes));
}

Parsed<double> parse_duration(std::string_view text) {
  const Parsed<Quantity> quantity = split_quantity(text);
  if (!quantity.value) return fail<double>(quantity.problem);
  const auto& [number, digits, unit_name] = *quantity.value;
  if (unit_name.empty() && number > 0) {
    return fail<double>(in_quotes(text) + " of what? " + std::string(digits) + "ms or " + std::string(digits) + "s");
  }
  const bool micro = unit_name == "\xc2\xb5s" || unit_name == "\xce\xbcs";  // micro sign, Greek mu
  const Unit* unit = find_unit(kTimeUnits, unit_name.empty() ? "s" : micro ? "us" : unit_name);
  if (unit == nullptr) return fail<double>(in_quotes(text) + " has an unknown unit (ns, us, ms, s, min, h)");
  if (std::signbit(number)) return fail<double>(in_quotes(text) + " is negative");
  // Division by a whole power of ten rounds once: 7ms is the double nearest to 0.007.
  const double seconds = unit->scale < 1.0 ? number / std::round(1.0 / unit->scale) : number * unit->scale;
  if (!std::isfinite(seconds)) return fail<double>(in_quotes(text) + " is out of the range of a number");
  return succeed(seconds);
}

Parsed<double> parse_number(std::string_view text) {
  const Parsed<Quantity> quantity = split_quantity(text);
  if (!quantity.value) return fail<double>(quantity.problem);
  if (!quantity.value->unit.empty()) return fail<double>(in_quotes(text) + " is not a number");
  return succeed(quantity.value->number);
}

Parsed<double> parse_fraction(std::string_view text) {
  const Parsed<Quantity> quantity = split_quantity(text);
  if (!quantity.value) return fail<double>(quantity.problem);
  const auto& [number, digits, unit] = *quantity.value;
  if (unit.empty()) return succeed(number);
  if (unit == "%") return succeed(number / 100.0);
  return fail<double>(in_quotes(text) + " is neither a number nor a percentage");
}

namespace {

std::string in_best_unit(std::int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  // Four digits of more would need an exponent, and could round past int64.
  if (value < 9999.0 * kByteUnits[0].scale) {
    for (std::size_t i = 0; i < 4; ++i) {
      const Unit& unit = kByteUnits[i];
      if (value >= unit.scale) return format_plain(value / unit.scale, 4) + std::string(unit.name);
    }
  }
  return std::to_string(bytes) + "B";
}

std::string in_best_unit(double seconds) {
  for (const Unit& unit : kTimeUnits) {
    // Minutes and hours only from two on: 90s reads better than 1.5min.
    const double least = unit.scale > 1.0 ? 2.0 * unit.scale : unit.scale;
    if (seconds >= least) return format_plain(seconds / unit.scale, 4) + std::string(unit.name);
  }
  return seconds == 0.0 ? "0s" : format_plain(seconds * 1e9, 4) + "ns";
}

// Rounded up to 1024KiB, a value is 1MiB. Never down: reading drops what is no whole byte.
template <typename T>
std::string settled(T value, const Parsed<T>& shown) {
  return in_best_unit(std::max(value, shown.value.value_or(value)));
}

}  // namespace

std::string format_bytes(std::int64_t bytes) { return settled(bytes, parse_bytes(in_best_unit(bytes))); }

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds)) return format_double(seconds);
  return settled(seconds, parse_duration(in_best_unit(seconds)));
}

}  // namespace kvcast::config
