#include "base/column_name.h"

#include <algorithm>
#include <array>

namespace kvcast {
namespace {

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

struct Prefix {
  std::string_view text;
  double per_second;
  std::string_view name;
};
// Micro sign, Greek mu, and what people type for them.
constexpr std::array<Prefix, 9> kPrefixes = {{{"milli", 1e3, "milliseconds"},
                                              {"micro", 1e6, "microseconds"},
                                              {"nano", 1e9, "nanoseconds"},
                                              {"m", 1e3, "milliseconds"},
                                              {"u", 1e6, "microseconds"},
                                              {"\xc2\xb5", 1e6, "microseconds"},
                                              {"\xce\xbc", 1e6, "microseconds"},
                                              {"n", 1e9, "nanoseconds"},
                                              {"", 1, "seconds"}}};
constexpr std::array<std::string_view, 5> kSeconds = {"s", "sec", "secs", "second", "seconds"};

}  // namespace

std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words(1);
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool part = is_lower(c) || is_upper(c) || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80;
    if ((!part || (i > 0 && is_upper(c) && is_lower(name[i - 1]))) && !words.back().empty()) words.emplace_back();
    if (part) words.back() += is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

std::optional<TimeUnit> time_unit(std::string_view word) {
  for (const Prefix& prefix : kPrefixes) {
    if (!word.starts_with(prefix.text)) continue;
    const std::string_view rest = word.substr(prefix.text.size());
    const bool plural = prefix.text.size() > 3 && (rest.empty() || rest == "s");  // "millis"
    if (plural || std::find(kSeconds.begin(), kSeconds.end(), rest) != kSeconds.end()) {
      return TimeUnit{prefix.per_second, std::string(prefix.name)};
    }
  }
  return std::nullopt;
}

std::optional<TimeUnit> time_unit(const std::vector<std::string>& words) {
  std::optional<TimeUnit> found;
  for (const std::string& word : words) {
    const auto unit = time_unit(word);
    if (!unit) continue;
    if (found && found->per_second != unit->per_second) return std::nullopt;
    found = unit;
  }
  return found;
}

bool names_a_rate(const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return word == "per" || word == "qps" || word == "rps" || word == "tps" || word == "rate" || word == "throughput";
  });
}

}  // namespace kvcast
