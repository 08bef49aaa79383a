// Estimates from a simulation: pooled quantiles where enough requests lie beyond, and 95% intervals.
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

/// A quantile is only quoted with this many independent requests beyond it; with fewer, its 95% interval is unbounded.
inline constexpr double kMinBeyond = 5;

/// Mean, with Student's 95% interval from two values on. Nothing here is negative.
Estimate mean_estimate(const std::vector<double>& values);

/// The kind of sample. A law gives each replication its own requests; a log gives all of them the same rows, and its
/// parts show how another log of its law would differ.
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
  double enough = 0;  ///< without a value: the factor by which more requests are needed
};
/// A quantile of the pooled times, with the interval of Woodruff (1952): the times beyond which its share lies, less
/// and plus the half-width of that share. Requests are not independent: Spells gives how many count as one at the
/// quantile, or at the one with ten times as many beyond, where the sample is larger.
///
/// For a law: no value with fewer than kMinBeyond independent requests beyond. The half-width is Student's over the
/// replications, and at least that of so many independent requests; no interval with one replication, nor where the
/// share may be zero (users are drawn anew in each replication, and few are late).
///
/// For a log: no value with fewer than kMinBeyond of its rows beyond. `log_half` is the half-width of the share about
/// that of the law (see LogParts). The interval covers the quantile of another log, which differs from the law's as
/// much as this one does: hence the root of two. No interval where log_half is unknown.
QuantileEstimate quantile_estimate(const PooledTimes& times, double probability, const Sample& sample,
                                   std::optional<double> log_half);

/// A log in parts: by users and by time. The differences between the parts show how a figure would differ in another
/// log of the same law, if users are independent of each other and stretches of time nearly so. A user also makes
/// others wait, in proportion to its work and to the change of the figure with load. Variance of a ratio of sums over
/// clusters in two ways, added up; subtracting their overlap would give less. Source: Cameron, Gelbach, Miller, "Robust
/// inference with multiway clustering", JBES 2011.
class LogParts {
 public:
  enum Sum : std::size_t { requests, total, wait, service, waited, found, tokens, known, within, beyond_total };
  static constexpr std::size_t beyond_wait = beyond_total + kQuantiles.size(), kSums = beyond_wait + kQuantiles.size();
  using Sums = std::array<double, kSums>;

  /// rows: the counted ones. copies: of each row among them; their users count as different although they are not.
  LogParts(std::int64_t rows, double copies);
  /// number: of the row, from 0.
  void add(std::int64_t number, std::uint64_t user, const Sums& sums);
  /// Sets the parts of the same log with its clock faster by this share.
  void set_faster(const LogParts& faster, double by);
  /// Half-width of 95% of sum/over about that of the law; nullopt with too few users.
  std::optional<double> half_width(std::size_t sum, std::size_t over) const;
  /// `value` with an interval that covers it in another log, from such a half-width.
  static Estimate in_the_next(double value, std::optional<double> half);

 private:
  Sums all() const;

  static constexpr std::size_t kBlocks = 16, kGroups = 1024, kMinUsers = 8;
  double rows_, copies_;
  std::vector<Sums> blocks_, groups_;
  std::optional<Sums> faster_;  ///< the sums at a load higher by faster_by_
  double faster_by_ = 0;
};

}  // namespace kvcast::traffic
