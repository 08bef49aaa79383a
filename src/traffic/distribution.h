// Numbers drawn by 64 random bits each: lengths, candidates, users. Pure but for reading an empirical distribution.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/traffic.h"

namespace kvcast::traffic {

/// 52 of the bits as a number in the open interval (0, 1). With one bit more the last number would be rounded to 1.
inline double open_unit(std::uint64_t bits) noexcept { return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52; }

/// One of n indices, equally likely; `rest` becomes the random bits that are left.
inline std::uint64_t index_of(std::uint64_t bits, std::uint64_t n, std::uint64_t& rest) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(bits) * n;
  rest = static_cast<std::uint64_t>(product);
  return static_cast<std::uint64_t>(product >> 64);
}

/// Draws of a Distribution, rounded to whole numbers, at least `least`. Larger bits give no smaller number.
class Sampler {
 public:
  /// column: of an empirical distribution, "history_len" or "n_candidates"; candidates of 0 are not recorded and left
  /// out. Memory does not grow with the file: of more than 65536 rows a random sample of that size is kept.
  /// Errors: ConfigError naming `origin` or the file's line; IoError.
  Sampler(const Distribution& distribution, const std::string& column, std::int64_t least,
          std::optional<double> skip_bad_rows, const std::string& origin, const ColumnNames& columns = {});

  std::int64_t operator()(std::uint64_t bits) const noexcept {
    std::uint64_t rest = 0;
    const std::uint64_t i = index_of(bits, size_, rest);
    if (!between_) return values_[i];
    if (i < kExact || i >= size_ - kExact) return exact(bits);
    const double t = static_cast<double>(rest >> 11) * 0x1p-53;
    return std::max(least_,
                    static_cast<std::int64_t>(breakpoints_[i] + t * (breakpoints_[i + 1] - breakpoints_[i]) + 0.5));
  }

  /// In words: "200", "lognormal with median 200 and P99 900", "drawn from n_candidates of FILE".
  const std::string& text() const noexcept { return text_; }

 private:
  // Bins at either end of the quantile table in which a straight line is too far from the quantile.
  static constexpr std::uint64_t kExact = 16;
  std::int64_t exact(std::uint64_t bits) const noexcept;

  std::vector<std::int64_t> values_;  // constant, empirical: equally likely, ascending
  std::vector<double> breakpoints_;   // lognormal: quantiles of i/size_
  std::uint64_t size_ = 1;
  bool between_ = false;
  double mu_ = 0, sigma_ = 0;
  std::int64_t least_ = 0;
  std::string text_;
};

/// Indices drawn in proportion to weights, by one table look-up.
/// Source: Vose, "A linear algorithm for generating random numbers with a given distribution", IEEE TSE 17(9), 1991.
class AliasTable {
 public:
  /// weights: positive, at least one and fewer than 2^32. Probabilities are kept to 2^-32 of 1/n.
  explicit AliasTable(const std::vector<double>& weights);

  std::uint32_t operator()(std::uint64_t bits) const noexcept {
    std::uint64_t rest = 0;
    const std::uint64_t i = index_of(bits, entries_.size(), rest);
    const Entry& entry = entries_[i];
    return (rest >> 32) < entry.own ? static_cast<std::uint32_t>(i) : entry.alias;
  }

 private:
  struct Entry {
    std::uint32_t own, alias;  // own: share of the entry that is its own index, in 2^-32
  };
  std::vector<Entry> entries_;
};

/// Weights 1/k^exponent of k = 1..n.
std::vector<double> zipf_weights(std::int64_t n, double exponent);

}  // namespace kvcast::traffic
