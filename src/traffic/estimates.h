// What a simulation can say of its figures: pooled quantiles where enough requests lie beyond, and 95% intervals.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/traffic.h"
#include "traffic/latency_histogram.h"
#include "traffic/request.h"
#include "traffic/spells.h"

namespace kvcast::traffic {

struct NamedQuantile {
  const char* name;
  double probability;
};
inline constexpr std::array<NamedQuantile, 4> kQuantiles{
    {{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}, {"p99.9", 0.999}}};

/// Independent requests that must lie beyond a quantile for it to be quoted. With fewer an interval of 95% has no end.
inline constexpr double kMinBeyond = 5;

/// Mean, with Student's 95% interval from two values on. Nothing here is negative.
Estimate mean_estimate(const std::vector<double>& values);

/// What a log is taken for. A law gives each replication requests of its own; a log gives all the same rows, and how
/// the next log of its law differs is in its parts.
struct Sample {
  std::int64_t counted = 0;  ///< of all replications
  /// Of them, for one row of the log: replications times copies. 0: each replication draws its own.
  double per_row = 0;
};

/// Times of all replications, and of each.
struct PooledTimes {
  LatencyHistogram all;
  Spells spells;
  std::vector<WindowHistogram> each;

  /// Standard error of the share beyond a time, over the replications; nullopt with one.
  std::optional<double> error_beyond(double seconds) const;
};

struct QuantileEstimate {
  std::optional<Estimate> value;
  double enough = 0;  ///< where there is none: how many times as many requests it takes
};
/// A quantile of the pooled times. Its interval is that of Woodruff (1952): the times beyond which the share lies that
/// is its own, less and more the half-width of that share. Requests do not come independently: so many count as one as
/// Spells says of the quantile, or of the one with ten times as many beyond, where more of them have been seen.
///
/// Of a law: where fewer than kMinBeyond independent requests lie beyond there is none. The half-width is Student's
/// over the replications, and no less than that of so many requests; no interval with one replication, nor where the
/// share may be nothing (of users who are drawn anew in each, of whom a few are late).
///
/// Of a log: where fewer than kMinBeyond of its rows lie beyond there is none. `log_half` is the half-width of
/// the share about that of the law (see LogParts). The interval holds the quantile of the next log, which differs from
/// the law's as this one does: hence the root of two. There is none where the log does not tell.
QuantileEstimate quantile_estimate(const PooledTimes& times, double probability, const Sample& sample,
                                   std::optional<double> log_half);

/// A log in parts: by its users and by time. What one of its figures differs by in the next log of the same law is
/// known from how the parts differ, when users are independent of each other and stretches of time nearly so. A user
/// also makes others wait: by the work that is theirs, and by what the figure changes with the load.
/// Variance of a ratio of sums over clusters in two ways, added up, which is more than with what both share taken off:
/// Cameron, Gelbach, Miller, "Robust inference with multiway clustering", JBES 2011.
class LogParts {
 public:
  enum Sum : std::size_t { requests, total, wait, service, waited, found, tokens, known, within, beyond_total };
  static constexpr std::size_t beyond_wait = beyond_total + kQuantiles.size(), kSums = beyond_wait + kQuantiles.size();
  using Sums = std::array<double, kSums>;

  /// rows: that are counted. copies: of each row among them, whose users count as different ones and are not.
  LogParts(std::int64_t rows, double copies);
  /// number: of the row, from 0.
  void add(std::int64_t number, std::uint64_t user, const Sums& sums);
  /// The same log, its clock faster by this share.
  void set_faster(const LogParts& faster, double by);
  /// Half-width of 95% of sum/over about that of the law; nullopt with too few users.
  std::optional<double> half_width(std::size_t sum, std::size_t over) const;
  /// `value` with an interval that holds it in the next log, from such a half-width.
  static Estimate in_the_next(double value, std::optional<double> half);

 private:
  Sums all() const;

  static constexpr std::size_t kBlocks = 16, kGroups = 1024, kMinUsers = 8;
  double rows_, copies_;
  std::vector<Sums> blocks_, groups_;
  std::optional<Sums> faster_;  ///< all of it, at a load that is higher by faster_by_
  double faster_by_ = 0;
};

}  // namespace kvcast::traffic
