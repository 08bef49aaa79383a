// Timestamps of logs: recognises numbers in some unit since some time, and dates, and converts them to nanoseconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvcast::traffic {

inline constexpr std::int64_t kSecondNs = 1'000'000'000, kMillisecondNs = 1'000'000;

/// A cell as written, exact to 1e-9 of its unit: `whole` units and `billionths` of one. For a date: seconds since 1970.
struct Stamp {
  std::int64_t whole = 0;
  std::int32_t billionths = 0;
  bool date = false;
  bool zone = false;  ///< of a date: it has one
};

/// The allowed timestamps, for messages.
inline constexpr const char* kStampsAllowed = "a number from 0, or a date as in 2024-08-01T12:00:00.25Z";

/// "" or the problem: "is not a number or date", "is negative", "is out of range".
std::string parse_stamp(std::string_view text, Stamp& stamp);

/// As written in a file.
std::string stamp_text(const Stamp& stamp);

enum class StampUnit { s, ms, us, ns };
/// "s", "ms", "us" or "ns"; nullopt for anything else.
std::optional<StampUnit> parse_stamp_unit(std::string_view name);

/// Whether a column of this name holds timestamps: timestamp, ts, time, epoch, ..., with or without a unit, in any
/// case.
bool names_timestamps(std::string_view column);

/// How the stamps of a log are read.
class TimeScale {
 public:
  /// From the first rows of a log, at least one. Without `asked` by size: numbers that are a time from 2000 to 2060 in
  /// one of the units are in that unit, whatever the column's name; others are in the unit of the name, or `otherwise`.
  /// Errors: ConfigError naming `file` and `column` when the unit is unknown.
  TimeScale(const std::vector<Stamp>& first, const std::string& file, const std::string& column,
            std::optional<StampUnit> asked, std::optional<StampUnit> otherwise = std::nullopt);

  /// "" or the problem: of another kind than the others, or out of range.
  std::string to_ns(const Stamp& stamp, std::int64_t& ns) const;
  /// As written in the file.
  std::string text(std::int64_t ns) const;
  /// How the stamps were read, unless the column's name already says so; else "".
  const std::string& said() const noexcept { return said_; }
  /// The unit, where only the column's name gives it: "ms".
  std::optional<StampUnit> by_name() const noexcept { return by_name_; }
  /// Dates without a zone, whose clock may have been changed.
  bool local() const noexcept { return dates_ && !zones_; }

 private:
  bool dates_ = false, zones_ = false;
  StampUnit unit_ = StampUnit::ms;
  std::optional<StampUnit> by_name_;
  std::string said_;
};

/// "41 ms", "1 s", "2.5 min", "1 h", "365 d".
std::string span_text(double seconds);

}  // namespace kvcast::traffic
