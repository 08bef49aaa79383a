#include "traffic/timestamps.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <utility>

#include "base/column_name.h"
#include "base/text.h"
#include "kvcast/error.h"
#include "kvcast/traffic.h"

namespace kvcast::traffic {
namespace {

constexpr std::int64_t kMaxNs = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kDayS = 86400;
// 2000-01-01 and 2060-01-01.
constexpr std::int64_t kFirstEpochS = 946'684'800, kLastEpochS = 2'840'140'800;
// What 64 bits of nanoseconds hold.
constexpr std::int64_t kFirstYear = 1970, kLastYear = 2261;

struct UnitNames {
  StampUnit unit;
  const char* name;
  const char* words;
  std::int64_t ns;
};
constexpr UnitNames kUnits[] = {{StampUnit::s, "s", "seconds", kSecondNs},
                                {StampUnit::ms, "ms", "milliseconds", kMillisecondNs},
                                {StampUnit::us, "us", "microseconds", 1000},
                                {StampUnit::ns, "ns", "nanoseconds", 1}};
// "request_time" is as often how long a request took.
constexpr const char* kStampNames[] = {"timestamp",  "ts",         "time",       "datetime",
                                       "date_time",  "epoch",      "unixtime",   "unix_time",
                                       "event_time", "created_at", "arrived_at", "arrival_time"};

const UnitNames& of(StampUnit unit) { return kUnits[static_cast<std::size_t>(unit)]; }

std::optional<StampUnit> named_unit(std::string_view column) {
  const auto unit = time_unit(words_of(column));
  if (!unit) return std::nullopt;
  return std::find_if(std::begin(kUnits), std::end(kUnits),
                      [&](const UnitNames& known) { return known.words == unit->name; })
      ->unit;
}

bool digit(char c) { return c >= '0' && c <= '9'; }

class DateReader {
 public:
  explicit DateReader(std::string_view text) : text_(text) {}

  bool read(Stamp& stamp) {
    std::int64_t year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
    if (!number(4, year)) return false;
    const char between = text_.empty() ? '\0' : text_.front();
    if ((between != '-' && between != '/') || !take(between) || !number(2, month) || !take(between) ||
        !number(2, day)) {
      return false;
    }
    if (!text_.empty()) {
      if (!take('T') && !take('t') && !take(' ')) return false;
      while (take(' ')) {
      }
      if (!number(2, hour) || !take(':') || !number(2, minute)) return false;
      if (take(':') && (!number(2, second) || ((take('.') || take(',')) && !fraction(stamp.billionths)))) return false;
    }
    std::int64_t offset_s = 0;
    if (!zone(stamp, offset_s) || !text_.empty()) return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in(year, month)) return false;
    // A leap second is the second before it.
    if (hour > 23 || minute > 59 || second > 60) return false;
    stamp.whole = days_since_1970(year, month, day) * kDayS + hour * 3600 + minute * 60 +
                  std::min<std::int64_t>(second, 59) - offset_s;
    stamp.date = true;
    in_range_ = year >= kFirstYear && year <= kLastYear && stamp.whole >= 0;
    return true;
  }
  bool in_range() const noexcept { return in_range_; }

 private:
  bool take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool number(std::size_t digits, std::int64_t& value) {
    if (text_.size() < digits ||
        !std::all_of(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(digits), digit)) {
      return false;
    }
    value = 0;
    for (std::size_t i = 0; i < digits; ++i) value = 10 * value + (text_[i] - '0');
    text_.remove_prefix(digits);
    return true;
  }
  bool fraction(std::int32_t& billionths) {
    if (text_.empty() || !digit(text_.front())) return false;
    std::int32_t unit = 100'000'000;
    for (billionths = 0; !text_.empty() && digit(text_.front()); text_.remove_prefix(1), unit /= 10) {
      billionths += unit * (text_.front() - '0');
    }
    return true;
  }
  bool zone(Stamp& stamp, std::int64_t& offset_s) {
    while (take(' ')) {
    }
    if (text_.empty()) return true;
    stamp.zone = true;
    if (text_ == "UTC" || text_ == "GMT") {
      text_ = {};
      return true;
    }
    if (take('Z') || take('z')) return true;
    const bool west = text_.front() == '-';
    if (!take('-') && !take('+')) return false;
    std::int64_t hours = 0, minutes = 0;
    if (!number(2, hours)) return false;
    if ((take(':') || !text_.empty()) && !number(2, minutes)) return false;
    if (hours > 23 || minutes > 59) return false;
    offset_s = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
  }
  static bool leap(std::int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }
  static std::int64_t days_in(std::int64_t year, std::int64_t month) {
    constexpr std::int64_t kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return kDays[month - 1] + (month == 2 && leap(year) ? 1 : 0);
  }

 public:
  // Source: Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil, 2013.
  static std::int64_t days_since_1970(std::int64_t year, std::int64_t month, std::int64_t day) {
    if (month <= 2) --year;
    const std::int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    const std::int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
  }

 private:
  std::string_view text_;
  bool in_range_ = false;
};

std::string two(std::int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

std::string without_zeros(std::string fraction) {
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return fraction.empty() ? "" : "." + fraction;
}
// Billionths as decimals.
std::string decimals(std::int64_t billionths) {
  std::string digits = std::to_string(billionths);
  return without_zeros(std::string(9 - digits.size(), '0') + digits);
}

// Source: as days_since_1970; civil_from_days.
std::string date_text(std::int64_t ns) {
  const std::int64_t seconds = ns / kSecondNs, of_day = seconds % kDayS;
  const std::int64_t days = seconds / kDayS + 719468;
  const std::int64_t era = days / 146097, of_era = days % 146097;
  const std::int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const std::int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const std::int64_t shifted = (5 * of_year + 2) / 153;
  const std::int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  return std::to_string(year + era * 400 + (month <= 2 ? 1 : 0)) + "-" + two(month) + "-" +
         two(of_year - (153 * shifted + 2) / 5 + 1) + " " + two(of_day / 3600) + ":" + two(of_day / 60 % 60) + ":" +
         two(of_day % 60) + decimals(ns % kSecondNs);
}

std::string number_text(const Stamp& stamp) { return std::to_string(stamp.whole) + decimals(stamp.billionths); }

std::optional<StampUnit> unit_by_size(std::int64_t whole) {
  for (const UnitNames& unit : kUnits) {
    const std::int64_t per_s = kSecondNs / unit.ns;
    if (whole >= kFirstEpochS * per_s && whole < kLastEpochS * per_s) return unit.unit;
  }
  return std::nullopt;
}

}  // namespace

std::string parse_stamp(std::string_view text, Stamp& stamp) {
  stamp = {};
  const char* begin = text.data();
  const char* end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, stamp.whole);
  if (error == std::errc() && stamp.whole >= 0 && begin != end && *begin != '-') {
    if (stop == end) return "";
    if (*stop == '.') {
      const char* at = stop + 1;
      std::int32_t unit = 100'000'000;
      for (; at != end && digit(*at); ++at, unit /= 10) stamp.billionths += unit * (*at - '0');
      if (at == end) return "";
    }
  }
  stamp = {};
  DateReader date(text);
  if (date.read(stamp)) return date.in_range() ? "" : "is out of range";
  stamp = {};
  // With an exponent, or no number of this machine.
  double value = 0;
  const auto [double_stop, double_error] = std::from_chars(begin, end, value);
  if (double_error == std::errc::result_out_of_range) return "is out of range";
  if (double_error != std::errc() || double_stop != end || !std::isfinite(value)) return "is not a number or date";
  if (value < 0) return "is negative";
  if (value >= static_cast<double>(kMaxNs)) return "is out of range";
  stamp.whole = static_cast<std::int64_t>(value);
  stamp.billionths = static_cast<std::int32_t>((value - std::floor(value)) * 1e9);
  return "";
}

std::string stamp_text(const Stamp& stamp) {
  return stamp.date ? date_text(stamp.whole * kSecondNs + stamp.billionths) : number_text(stamp);
}

std::optional<StampUnit> parse_stamp_unit(std::string_view name) {
  for (const UnitNames& unit : kUnits) {
    if (name == unit.name) return unit.unit;
  }
  return std::nullopt;
}

bool names_timestamps(std::string_view column) {
  std::vector<std::string> words = words_of(column);
  std::erase_if(words, [](const std::string& word) { return time_unit(word).has_value(); });
  return std::find(std::begin(kStampNames), std::end(kStampNames), join(words, "_")) != std::end(kStampNames);
}

TimeScale::TimeScale(const std::vector<Stamp>& first, const std::string& file, const std::string& column,
                     std::optional<StampUnit> asked, std::optional<StampUnit> otherwise) {
  const auto dates = std::count_if(first.begin(), first.end(), [](const Stamp& stamp) { return stamp.date; });
  if (2 * static_cast<std::size_t>(dates) > first.size()) {
    if (asked) {
      throw ConfigError(
          "--timestamps",
          "'" + std::string(of(*asked).name) + "' is a unit of numbers, and " + column + " of " + file + " holds dates",
          "leave out --timestamps");
    }
    dates_ = true;
    const auto one = std::find_if(first.begin(), first.end(), [](const Stamp& stamp) { return stamp.date; });
    zones_ = one->zone;
    std::int64_t ns = 0;
    if (to_ns(*one, ns).empty()) {
      said_ = "timestamps read as dates (the first is " + date_text(ns) + " UTC" +
              (zones_ ? ")" : ", as no zone is given)");
    }
    return;
  }
  std::vector<Stamp> numbers;
  std::copy_if(first.begin(), first.end(), std::back_inserter(numbers), [](const Stamp& stamp) { return !stamp.date; });
  const Stamp shown = numbers.front();
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
  std::nth_element(numbers.begin(), middle, numbers.end(),
                   [](const Stamp& a, const Stamp& b) { return a.whole < b.whole; });
  const std::optional<StampUnit> named = named_unit(column);
  const std::optional<StampUnit> sized = unit_by_size(middle->whole);
  if (asked) {
    unit_ = *asked;
    said_ = std::string("timestamps read as ") + of(unit_).words + " (--timestamps)";
  } else if (sized) {
    unit_ = *sized;
    std::int64_t ns = 0;
    const Stamp& one = unit_by_size(shown.whole) == sized ? shown : *middle;
    if (named != sized && to_ns(one, ns).empty()) {
      said_ = std::string("timestamps read as epoch ") + of(unit_).words + " (" + number_text(one) + " is " +
              date_text(ns) + " UTC)";
    }
  } else if (named) {
    unit_ = *named;
    by_name_ = named;
  } else if (otherwise) {
    unit_ = *otherwise;
    by_name_ = otherwise;
    said_ = std::string("timestamps read as ") + of(unit_).words + ", for lack of a unit; --timestamps sets another";
  } else {
    throw ConfigError(file, "the unit of " + in_quotes(column) + " is unknown; it begins with " + number_text(shown),
                      "set it: --timestamps s, ms, us or ns");
  }
}

std::string TimeScale::to_ns(const Stamp& stamp, std::int64_t& ns) const {
  if (stamp.date != dates_) return stamp.date ? "is a date where others are numbers" : "is not a date, as others are";
  const std::int64_t unit = stamp.date ? kSecondNs : of(unit_).ns;
  // A day is left for what is spread within a tick.
  if (stamp.whole >= kMaxNs / unit - 2 * kDayS * (kSecondNs / unit)) {
    const std::optional<StampUnit> sized = unit_by_size(stamp.whole);
    return sized ? std::string("is epoch ") + of(*sized).words + " by its size, where others are " + of(unit_).words
                 : "is out of range";
  }
  // Less than a nanosecond is cut off.
  ns = stamp.whole * unit + stamp.billionths * unit / kSecondNs;
  return "";
}

std::string TimeScale::text(std::int64_t ns) const {
  if (dates_) return date_text(ns);
  const std::int64_t unit = of(unit_).ns;
  return number_text({ns / unit, static_cast<std::int32_t>(ns % unit * (kSecondNs / unit))});
}

std::string span_text(double seconds) {
  constexpr std::pair<double, const char*> kSteps[] = {
      {31557600, "years"}, {86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}};
  for (const auto& [step, name] : kSteps) {
    if (seconds >= 0.9995 * step || step == 1e-9) {
      return format_significant(seconds / step, seconds / step >= 999.5 ? 4 : 3) + " " + name;
    }
  }
  return "0 s";
}

}  // namespace kvcast::traffic

std::vector<std::string> kvcast::timestamp_units() {
  std::vector<std::string> names;
  for (const auto& unit : traffic::kUnits) names.emplace_back(unit.name);
  return names;
}
