// A log ready for use: the rows of a trace in order of time, its faults, and the resolution of its clock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "traffic/log_rows.h"
#include "traffic/timestamps.h"
#include "traffic/trace.h"

namespace kvcast::traffic {

/// Rows out of order by no more than this are sorted: several threads write a log as their requests end. Rows further
/// off come from a wrong clock, or from several clocks.
inline constexpr std::int64_t kSortWithinNs = 60 * kSecondNs;

/// What to do with rows that share a timestamp because the clock of the log is coarse.
enum class Spread { ask, random, even, none };

struct LogOptions {
  std::optional<StampUnit> unit;  ///< of numbers; nullopt: by their size and the column's name
  Spread spread = Spread::ask;
  std::uint64_t seed = 1;  ///< of Spread::random
};

/// A clock that ticks: timestamps that are multiples of something.
struct Ticks {
  double seconds = 0;  ///< 0: none; infinity: one timestamp for all
  std::string text;    ///< the evidence, where so many rows share a timestamp that waits are unknown; else empty
};

class Log {
 public:
  const std::string& file() const noexcept { return file_; }
  /// In order of time, at least one.
  std::span<const LogRow> rows() const noexcept { return rows_->rows(); }
  std::int64_t size() const noexcept { return static_cast<std::int64_t>(rows().size()); }
  std::int64_t skipped_rows() const noexcept { return skipped_; }
  std::int64_t unrecorded() const noexcept { return unrecorded_; }            ///< rows with 0 candidates
  std::int64_t unrecorded_line() const noexcept { return unrecorded_line_; }  ///< the first of them
  const Ticks& ticks() const noexcept { return ticks_; }
  /// How it was read, where that may surprise, in words.
  const std::vector<std::string>& reading() const noexcept { return reading_; }

  double since_first_s(std::size_t row) const noexcept {
    return static_cast<double>(rows()[row].time_ns - rows().front().time_ns) / 1e9;
  }
  double span_s() const noexcept { return since_first_s(rows().size() - 1); }
  /// Period of a repeated log: its span plus one mean gap.
  double period_s() const noexcept {
    const auto n = static_cast<double>(size());
    return size() > 1 ? span_s() * (n / (n - 1)) : 0;
  }
  /// 0 when all rows have the same time.
  double requests_per_s() const noexcept { return period_s() > 0 ? static_cast<double>(size()) / period_s() : 0; }

 private:
  friend class LogReader;
  std::string file_;
  std::shared_ptr<LogRows> rows_ = std::make_shared<LogRows>();
  std::int64_t skipped_ = 0, unrecorded_ = 0, unrecorded_line_ = 0;
  Ticks ticks_;
  std::vector<std::string> reading_;
};

/// Reads, checks and sorts all rows. Errors: those of the readers; ConfigError, unless bad rows are skipped, for rows
/// whose clock is far off, naming the line; ConfigError when there are no rows, when most are out of order, when
/// the unit of the timestamps is unknown or seems wrong, or when there is nothing to spread them over.
Log read_log(const TraceFormat& format, const LogOptions& options);

}  // namespace kvcast::traffic
