#include "traffic/distribution.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>
#include <numeric>
#include <optional>
#include <string_view>

#include "base/random.h"
#include "base/text.h"
#include "kvcast/error.h"
#include "statistics/statistics.h"
#include "traffic/trace.h"

namespace kvcast {
namespace {

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace

Distribution parse_distribution(const std::string& text, const std::string& origin) {
  const auto fail = [&](const std::string& problem, const std::string& hint) -> ConfigError {
    return {origin, in_quotes(text) + " " + problem, hint};
  };
  const std::string most = std::to_string(traffic::kMaxTokens);
  constexpr std::string_view kLognormal = "lognormal:", kFile = "file:";
  if (text.starts_with(kFile)) {
    if (text.size() == kFile.size()) throw fail("names no file", "file:TRACE.csv");
    return {"empirical", 0, 0, text.substr(kFile.size())};
  }
  if (text.starts_with(kLognormal)) {
    const std::string_view rest = std::string_view(text).substr(kLognormal.size());
    const std::size_t comma = rest.find(',');
    const auto median = number(rest.substr(0, comma));
    const auto p99 = comma == std::string_view::npos ? std::nullopt : number(rest.substr(comma + 1));
    if (!median || !p99) throw fail("is not lognormal:MEDIAN,P99", "two numbers, as in lognormal:200,900");
    if (!(*median > 0) || *p99 < *median || *p99 > static_cast<double>(traffic::kMaxTokens)) {
      throw fail("is not a lognormal distribution", "0 < MEDIAN <= P99 <= " + most);
    }
    return {"lognormal", *median, *p99, ""};
  }
  const auto value = number(text);
  if (!value) {
    throw fail("is not a distribution", "a whole number, lognormal:MEDIAN,P99 or file:TRACE.csv");
  }
  if (*value < 0 || *value > static_cast<double>(traffic::kMaxTokens) || *value != std::floor(*value)) {
    throw fail("is out of range", "a whole number from 0 to " + most);
  }
  return {"constant", *value, 0, ""};
}

namespace traffic {
namespace {

constexpr std::size_t kBins = 4096;
constexpr std::size_t kReservoir = 65536;
constexpr double kMost = static_cast<double>(kMaxTokens);

// A uniform sample of the column's values. Source: Vitter's algorithm R, ACM TOMS 11(1), 1985.
std::vector<std::int64_t> column_values(const std::string& file, const std::string& column,
                                        std::optional<double> skip_bad_rows, const ColumnNames& columns,
                                        const std::string& origin, std::int64_t& seen) {
  const bool candidates = column == "n_candidates";
  const TraceFormat format =
      read_format(file, {candidates ? TraceColumn::candidates : TraceColumn::history}, skip_bad_rows, columns);
  const TraceFile opened(format);
  TraceReader reader(format, opened, kReadBytes);
  const RandomStream random(0, 0);
  std::vector<std::int64_t> values;
  seen = 0;
  std::int64_t rows = 0;
  for (TraceRow row; reader.next(row); ++rows) {
    const std::int64_t value = candidates ? row.candidates : row.history;
    if (candidates && value == 0) continue;
    if (values.size() < kReservoir) {
      values.push_back(value);
    } else {
      std::uint64_t rest = 0;
      const std::uint64_t at =
          index_of(random.bits(static_cast<std::uint64_t>(seen)), static_cast<std::uint64_t>(seen) + 1, rest);
      if (at < kReservoir) values[at] = value;
    }
    ++seen;
  }
  check_bad_rows(format, reader.skipped(), rows);
  if (values.empty()) {
    throw ConfigError(origin, "nothing to draw from in " + file, "n_candidates is 0 (not recorded) in all of its rows");
  }
  std::sort(values.begin(), values.end());
  return values;
}

}  // namespace

Sampler::Sampler(const Distribution& distribution, const std::string& column, std::int64_t least,
                 std::optional<double> skip_bad_rows, const std::string& origin, const ColumnNames& columns)
    : least_(least) {
  if (distribution.kind == "empirical") {
    std::int64_t seen = 0;
    values_ = column_values(distribution.file, column, skip_bad_rows, columns, origin, seen);
    size_ = values_.size();
    text_ = "drawn from " + column + " of " + input_name(distribution.file);
    if (static_cast<std::size_t>(seen) > values_.size()) {
      text_ += " (" + std::to_string(values_.size()) + " of its " + std::to_string(seen) + " rows)";
    }
    for (std::int64_t& value : values_) value = std::max(value, least_);
  } else if (distribution.kind == "lognormal") {
    mu_ = std::log(distribution.median);
    sigma_ = (std::log(distribution.p99) - mu_) / normal_quantile(0.99);
    between_ = true;
    size_ = kBins;
    breakpoints_.resize(kBins + 1);
    for (std::size_t i = 1; i < kBins; ++i) {
      const double z = normal_quantile(static_cast<double>(i) / kBins);
      breakpoints_[i] = std::min(kMost, std::exp(mu_ + sigma_ * z));
    }
    text_ =
        "lognormal with median " + format_double(distribution.median) + " and P99 " + format_double(distribution.p99);
  } else {
    if (distribution.median < static_cast<double>(least_)) {
      throw ConfigError(origin, "'" + format_double(distribution.median) + "' is too small",
                        "at least " + std::to_string(least_));
    }
    values_ = {std::llround(distribution.median)};
    text_ = std::to_string(values_[0]);
  }
}

std::int64_t Sampler::exact(std::uint64_t bits) const noexcept {
  const double u = open_unit(bits);
  const double z = u < 0.5 ? normal_quantile(u) : -normal_quantile(1 - u);
  return std::max(least_, static_cast<std::int64_t>(std::min(kMost, std::exp(mu_ + sigma_ * z)) + 0.5));
}

AliasTable::AliasTable(const std::vector<double>& weights) {
  const std::size_t n = weights.size();
  assert(n > 0 && n < (std::uint64_t{1} << 32));
  const double scale = static_cast<double>(n) / std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<double> share(n);
  std::transform(weights.begin(), weights.end(), share.begin(), [scale](double weight) { return weight * scale; });
  entries_.resize(n);
  // One array holds both stacks: what has too little grows from the left, what has too much from the right.
  std::vector<std::uint32_t> stacks(n);
  std::size_t small = 0, large = n;
  for (std::size_t i = 0; i < n; ++i) {
    if (share[i] < 1) {
      stacks[small++] = static_cast<std::uint32_t>(i);
    } else {
      stacks[--large] = static_cast<std::uint32_t>(i);
    }
  }
  while (small > 0 && large < n) {
    const std::uint32_t poor = stacks[--small], rich = stacks[large];
    entries_[poor] = {static_cast<std::uint32_t>(share[poor] * 0x1p32), rich};
    share[rich] -= 1 - share[poor];
    if (share[rich] < 1) {
      ++large;
      stacks[small++] = rich;
    }
  }
  // What is left is 1 but for rounding: all of it is its own.
  while (small > 0) {
    const std::uint32_t i = stacks[--small];
    entries_[i] = {0, i};
  }
  while (large < n) {
    const std::uint32_t i = stacks[large++];
    entries_[i] = {0, i};
  }
}

std::vector<double> zipf_weights(std::int64_t n, double exponent) {
  std::vector<double> weights(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = std::pow(static_cast<double>(i + 1), -exponent);
  return weights;
}

}  // namespace traffic
}  // namespace kvcast
