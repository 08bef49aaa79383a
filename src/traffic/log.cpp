#include "traffic/log.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <utility>

#include "base/random.h"
#include "base/text.h"
#include "kvcast/error.h"
#include "traffic/distribution.h"

namespace kvcast::traffic {
namespace {

// Rows that decide how the others' timestamps are read.
constexpr std::size_t kFirstRows = 1024;
// Of more rows that are far out of order it is not their clocks that are wrong.
constexpr double kMaxStrays = 0.05;
// A gap is reported when it holds this share of the span; with fewer rows chance makes such gaps. A few rows on one
// side of it have a wrong clock.
constexpr double kGapShare = 0.9, kFewRows = 0.01;
constexpr std::size_t kGapRows = 8;
// What no log of requests is but by the wrong unit: that many per second, or a moment of fewer.
constexpr double kDense = 50'000, kDenseMoment = 5'000, kMomentS = 1;
constexpr std::int64_t kDenseRows = 100;
// Fewer rows that share their timestamp do not move a 99th percentile.
constexpr double kSharing = 0.01;
struct Tick {
  std::int64_t ns, slack_ns = 0;  ///< slack: how far a stamp may be beside it, by rounding
};
constexpr Tick kTicks[] = {{86'400 * kSecondNs},
                           {3'600 * kSecondNs},
                           {1'800 * kSecondNs},
                           {900 * kSecondNs},
                           {600 * kSecondNs},
                           {300 * kSecondNs},
                           {60 * kSecondNs},
                           {30 * kSecondNs},
                           {15 * kSecondNs},
                           {10 * kSecondNs},
                           {5 * kSecondNs},
                           {2 * kSecondNs},
                           {kSecondNs},
                           {500 * kMillisecondNs},
                           {250 * kMillisecondNs},
                           {200 * kMillisecondNs},
                           {100 * kMillisecondNs},
                           {50 * kMillisecondNs},
                           {20 * kMillisecondNs},
                           {15'625'000, kMillisecondNs},  // of the timer of Windows
                           {10 * kMillisecondNs},
                           {5 * kMillisecondNs},
                           {2 * kMillisecondNs},
                           {kMillisecondNs}};
constexpr std::size_t kTickSample = 4096;
// Finer ticks are looked behind for those of another clock, that of this share of the rows.
constexpr std::int64_t kFineNs = 10 * kMillisecondNs;
constexpr double kOtherClock = 0.2;

using Rows = std::span<LogRow>;

std::string grouped(std::int64_t value) {
  std::string text = std::to_string(value);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
  return text;
}
std::string count_of(std::int64_t n, const char* noun) { return grouped(n) + " " + noun + (n == 1 ? "" : "s"); }
std::string seconds_text(std::int64_t ns) { return span_text(static_cast<double>(ns) / 1e9); }

bool in_order(const LogRow& a, const LogRow& b) {
  return a.time_ns != b.time_ns ? a.time_ns < b.time_ns : a.line < b.line;
}

/// A row whose time is not between those of its neighbours in the file; and by how much, ahead of them if above 0.
struct Stray {
  std::size_t row = 0;
  std::int64_t off_ns = 0;
};

/// The fewest rows without which the others are in order of time. Source: Fredman, "On computing the length of longest
/// increasing subsequences", Discrete Mathematics 11, 1975.
std::vector<Stray> strays(std::span<const LogRow> rows) {
  constexpr auto kNoRow = static_cast<std::uint32_t>(-1);
  std::vector<std::uint32_t> ends, before(rows.size(), kNoRow);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto at = std::partition_point(ends.begin(), ends.end(),
                                         [&](std::uint32_t end) { return rows[end].time_ns <= rows[i].time_ns; });
    if (at != ends.begin()) before[i] = at[-1];
    if (at == ends.end()) {
      ends.push_back(static_cast<std::uint32_t>(i));
    } else {
      *at = static_cast<std::uint32_t>(i);
    }
  }
  std::vector<std::uint32_t> steady;
  for (std::uint32_t i = ends.back(); i != kNoRow; i = before[i]) steady.push_back(i);
  std::reverse(steady.begin(), steady.end());
  // Of two first rows, each of which is in order with the others, it is the one near them that is right.
  if (steady.size() > 1 && rows[steady[1]].time_ns - rows[steady[0]].time_ns > kSortWithinNs) {
    for (std::uint32_t i = 0; i < steady[1]; ++i) {
      const std::int64_t by = rows[steady[1]].time_ns - rows[i].time_ns;
      if (by >= 0 && by <= kSortWithinNs) steady[0] = i;
    }
  }
  std::vector<Stray> found;
  for (std::size_t i = 0, next = 0; i < rows.size(); ++i) {
    if (next < steady.size() && i == steady[next]) {
      ++next;
    } else if (next < steady.size() && rows[i].time_ns > rows[steady[next]].time_ns) {
      found.push_back({i, rows[i].time_ns - rows[steady[next]].time_ns});
    } else {
      const std::size_t near = next > 0 ? steady[next - 1] : steady[0];
      found.push_back({i, rows[i].time_ns - rows[near].time_ns});
    }
  }
  return found;
}

/// A tick, and a time at which it falls.
struct Grid {
  Tick tick{0};
  std::int64_t origin_ns = 0;
  bool has(const LogRow& row) const noexcept {
    const std::int64_t beside = std::abs(row.time_ns - origin_ns) % tick.ns;
    return std::min(beside, tick.ns - beside) <= tick.slack_ns;
  }
};

/// The longest tick that nearly all rows are on; or, where that is fine, one of a good part of them. 0: none.
Grid grid_of(std::span<const LogRow> rows) {
  const std::size_t step = std::max<std::size_t>(1, rows.size() / kTickSample);
  const std::int64_t span = rows.back().time_ns - rows.front().time_ns;
  const auto share = [&](const Grid& grid) {
    // By its slack a few stamps may be on such a tick that know nothing of it.
    if (grid.tick.slack_ns > 0 && span < 20 * grid.tick.ns) return 0.0;
    double seen = 0, there = 0;
    for (std::size_t i = 0; i < rows.size(); i += step, ++seen) there += grid.has(rows[i]) ? 1 : 0;
    return there / seen;
  };
  const std::int64_t origins[] = {0, rows[rows.size() / 2].time_ns};
  Grid fine;
  for (const Tick& tick : kTicks) {
    for (const std::int64_t origin : origins) {
      if (fine.tick.ns == 0 && share({tick, origin}) >= 0.99) fine = {tick, origin};
    }
  }
  if (fine.tick.ns >= kFineNs) return fine;
  // Of a finer clock a share of the rows is on any longer tick by chance; and of those on a tick some are on twice it.
  const auto chance = [&](const Tick& tick) {
    return std::min(1.0, static_cast<double>(std::max<std::int64_t>(fine.tick.ns, 1) + 2 * tick.slack_ns) /
                             static_cast<double>(tick.ns));
  };
  double most = kOtherClock / 0.8;
  Grid found = fine;
  for (auto tick = std::rbegin(kTicks); tick != std::rend(kTicks) && fine.tick.ns < kFineNs; ++tick) {
    for (const std::int64_t origin : origins) {
      const Grid grid{*tick, origin};
      const double beyond = tick->ns > kFineNs ? share(grid) - chance(*tick) : 0;
      if (beyond < 0.8 * most) continue;
      most = std::max(most, beyond);
      found = grid;
      break;
    }
  }
  return found;
}

}  // namespace

class LogReader {
 public:
  LogReader(const TraceFormat& format, const LogOptions& options)
      : format_(format),
        options_(options),
        file_(format),
        reader_(format, file_, kReadBytes),
        column_(format.name(TraceColumn::timestamp)) {
    log_.file_ = format.file;
  }

  Log read() {
    timed_ = std::find(format_.columns.begin(), format_.columns.end(), TraceColumn::timestamp) != format_.columns.end();
    read_rows();
    check_bad_rows(format_, bad_, log_.size());
    if (timed_) {
      put_in_order();
      check_gaps();
      check_unit();
      find_ticks();
      spread();
    }
    count();
    return std::move(log_);
  }

 private:
  Rows rows() noexcept { return log_.rows_->rows(); }
  void say(std::string text) { log_.reading_.push_back(std::move(text)); }
  std::string at(const LogRow& row) const { return format_.file + ":" + std::to_string(row.line); }
  std::string stamp_of(const LogRow& row) const { return column_ + " " + in_quotes(scale_->text(row.time_ns)); }

  void read_rows() {
    std::vector<TraceRow> first;
    TraceRow row;
    while (first.size() < kFirstRows && reader_.next(row)) first.push_back(row);
    if (timed_ && !first.empty()) {
      std::vector<Stamp> stamps;
      for (const TraceRow& one : first) stamps.push_back(one.stamp);
      // Who says which column it is says that it is what timestamp_ms is.
      const auto otherwise = format_.timestamps_guessed ? std::nullopt : std::optional(StampUnit::ms);
      scale_.emplace(stamps, format_.file, column_, options_.unit, otherwise);
      if (!scale_->said().empty()) say(scale_->said());
    }
    const bool more = first.size() == kFirstRows;
    for (const TraceRow& one : first) append(one);
    while (more && reader_.next(row)) append(row);
    log_.rows_->close();
    const BadRows& skipped = reader_.skipped();
    bad_.add(skipped.line, skipped.problem, skipped.count);
    const std::string taken =
        taken_for(format_.heading, format_.numbers, format_.heading.comments + reader_.comments());
    if (!taken.empty()) say(format_.file + ": read with " + taken);
  }

  void append(const TraceRow& row) {
    LogRow kept{0, row.user, static_cast<std::int32_t>(row.history), static_cast<std::int32_t>(row.candidates),
                row.line};
    if (timed_) {
      const std::string problem = scale_->to_ns(row.stamp, kept.time_ns);
      if (!problem.empty()) {
        left_out(kept, column_ + " " + in_quotes(stamp_text(row.stamp)) + " " + problem,
                 "all rows need the same kind of timestamp");
        return;
      }
      latest_ns_ = std::max(latest_ns_, kept.time_ns);
      late_ += kept.time_ns < latest_ns_ ? 1 : 0;
      latest_by_ns_ = std::max(latest_by_ns_, latest_ns_ - kept.time_ns);
    }
    log_.rows_->append(kept);
  }

  /// A row that is bad, or the end.
  void left_out(const LogRow& row, const std::string& problem, const std::string& hint) {
    if (!format_.skip_bad_rows) throw ConfigError(at(row), problem, hint);
    bad_.add(row.line, problem);
  }

  void put_in_order() {
    if (late_ == 0) return;
    if (latest_by_ns_ > kSortWithinNs) drop_strays();
    if (late_ == 0) return;
    std::sort(rows().begin(), rows().end(), in_order);
    say(count_of(late_, "row") + " out of order by up to " + seconds_text(latest_by_ns_) +
        ": sorted (tolerated up to " + seconds_text(kSortWithinNs) + ")");
  }

  /// Rows whose clock is too far off.
  void drop_strays() {
    const Rows all = rows();
    if (all.size() >= std::numeric_limits<std::uint32_t>::max()) {
      throw ConfigError(format_.file, "is out of order", "sort it by " + column_);
    }
    std::vector<Stray> off = strays(all);
    std::erase_if(off, [](const Stray& stray) { return std::abs(stray.off_ns) <= kSortWithinNs; });
    const std::string within = " out of order by more than " + seconds_text(kSortWithinNs);
    const auto count = static_cast<std::int64_t>(off.size());
    const double share = static_cast<double>(count) / static_cast<double>(all.size());
    if (count > 1 && share > std::max(kMaxStrays, format_.skip_bad_rows.value_or(0))) {
      std::size_t falls = 0;
      for (std::size_t i = 1; i < all.size(); ++i) falls += all[i].time_ns < all[i - 1].time_ns ? 1 : 0;
      const bool backwards = 10 * falls > 9 * (all.size() - 1);
      throw ConfigError(format_.file + ":" + std::to_string(all[off.front().row].line),
                        (backwards ? "the rows run backwards in time: " : "") + grouped(count) + " of " +
                            count_of(log_.size(), "row") + " are" + within + ", from this one on",
                        "sort the file by " + column_);
    }
    std::size_t kept = 0, next = 0;
    latest_ns_ = all.front().time_ns;
    late_ = latest_by_ns_ = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (next < off.size() && off[next].row == i) {
        const std::int64_t by = off[next++].off_ns;
        std::string problem = stamp_of(all[i]) + " is " + seconds_text(std::abs(by)) +
                              (by > 0 ? " ahead of" : " behind") + " the rows around it";
        if (count > 1) problem += "; " + count_of(count, "row") + " are" + within;
        left_out(all[i], problem,
                 scale_->local()
                     ? "local clocks are set back in autumn: write UTC, or skip such rows with --skip-bad-rows"
                     : "correct or remove it, or skip it with --skip-bad-rows");
        continue;
      }
      const LogRow row = all[i];
      if (kept == 0) latest_ns_ = row.time_ns;
      latest_ns_ = std::max(latest_ns_, row.time_ns);
      late_ += row.time_ns < latest_ns_ ? 1 : 0;
      latest_by_ns_ = std::max(latest_by_ns_, latest_ns_ - row.time_ns);
      all[kept++] = row;
    }
    log_.rows_->keep(0, kept);
    check_bad_rows(format_, bad_, log_.size());
  }

  /// A unit guessed from the column's name is refused when the log would last only a moment.
  void check_unit() {
    const double span = log_.span_s(), rate = log_.requests_per_s();
    if (!scale_->by_name() || *scale_->by_name() == StampUnit::s || log_.size() < kDenseRows) return;
    if (!(rate > kDense || (span < kMomentS && rate > kDenseMoment))) return;
    std::string own = "ms";
    if (*scale_->by_name() != StampUnit::ms) own = *scale_->by_name() == StampUnit::us ? "us" : "ns";
    throw ConfigError(format_.file,
                      count_of(log_.size(), "request") + " in " + span_text(span) + ": is " + column_ + " in seconds?",
                      "--timestamps s if it is, --timestamps " + own + " if not");
  }

  /// A gap that holds nearly all of the span: a few rows behind it, or before it, have a wrong clock.
  void check_gaps() {
    while (rows().size() >= kGapRows) {
      const Rows all = rows();
      const std::int64_t span = all.back().time_ns - all.front().time_ns;
      std::size_t behind = 1;
      for (std::size_t i = 2; i < all.size(); ++i) {
        if (all[i].time_ns - all[i - 1].time_ns > all[behind].time_ns - all[behind - 1].time_ns) behind = i;
      }
      const std::int64_t gap = all[behind].time_ns - all[behind - 1].time_ns;
      const double share = static_cast<double>(gap) / static_cast<double>(span);
      if (!(share >= kGapShare)) return;
      const bool at_end = 2 * behind > all.size();
      const std::size_t few = at_end ? all.size() - behind : behind;
      const std::string one_gap =
          "one gap of " + seconds_text(gap) + " holds nearly all of the log's " + seconds_text(span);
      if (static_cast<double>(few) > std::max(1.0, kFewRows * static_cast<double>(all.size()))) {
        say(one_gap + ", before line " + std::to_string(all[behind].line) + ": rates are averages across it");
        return;
      }
      const LogRow& first = all[at_end ? behind : 0];
      for (std::size_t i = 0; i < few; ++i) {
        left_out(all[at_end ? behind + i : i],
                 stamp_of(first) + ": " + one_gap + ", and only " + count_of(static_cast<std::int64_t>(few), "row") +
                     (few == 1 ? " is " : " are ") + (at_end ? "after it" : "before it"),
                 "correct or remove " + std::string(few == 1 ? "it" : "them") + ", or skip with --skip-bad-rows");
      }
      log_.rows_->keep(at_end ? 0 : few, all.size() - few);
      check_bad_rows(format_, bad_, log_.size());
    }
  }

  void find_ticks() {
    const Rows all = rows();
    const auto n = static_cast<std::int64_t>(all.size());
    if (n < 2) return;
    if (all.front().time_ns == all.back().time_ns) {
      log_.ticks_ = {std::numeric_limits<double>::infinity(),
                     "all " + count_of(n, "row") + " have the same timestamp, " + scale_->text(all.front().time_ns) +
                         ": waits are unknown"};
      return;
    }
    grid_ = grid_of(all);
    if (grid_.tick.ns == 0) return;
    log_.ticks_.seconds = static_cast<double>(grid_.tick.ns) / 1e9;
    std::int64_t distinct = 0, on_grid = 0, shared = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const bool as_before = i > 0 && all[i - 1].time_ns == all[i].time_ns;
      const bool as_after = i + 1 < all.size() && all[i + 1].time_ns == all[i].time_ns;
      distinct += as_before ? 0 : 1;
      if (!grid_.has(all[i])) continue;
      ++on_grid;
      shared += as_before || as_after ? 1 : 0;
    }
    whole_grid_ = on_grid == n;
    if (static_cast<double>(shared) <= kSharing * static_cast<double>(n)) return;
    const std::string multiples = format_double(log_.ticks_.seconds * 1000) + " ms";
    std::string which = grid_.origin_ns == 0 ? "multiples of " + multiples : "multiples of " + multiples + " apart";
    if (on_grid * 100 >= n * 99) {
      which = (whole_grid_ ? "all " : "nearly all ") + which;
    } else {
      const double share = static_cast<double>(on_grid) / static_cast<double>(n);
      which = format_significant(100 * share, 3) + "% of the rows at " + which;
    }
    log_.ticks_.text = count_of(n, "row") + " have " + count_of(distinct, "distinct timestamp") + ", " + which +
                       ": the log has a resolution of " + span_text(log_.ticks_.seconds) + "; waits are unknown";
  }

  /// Of the ticks between the first and the last; 0 when there are none.
  double rows_per_tick() {
    const Rows all = rows();
    const auto of = [&](const LogRow& end) {
      return std::count_if(all.begin(), all.end(), [&](const LogRow& row) { return row.time_ns == end.time_ns; });
    };
    const std::int64_t between = (all.back().time_ns - all.front().time_ns) / grid_.tick.ns - 1;
    if (between < 1) return 0;
    const auto inner = static_cast<std::int64_t>(all.size()) - of(all.front()) - of(all.back());
    return static_cast<double>(inner) / static_cast<double>(between);
  }

  /// Times within their tick, in the order of the file, so that a user's requests keep theirs.
  void spread() {
    if (options_.spread != Spread::random && options_.spread != Spread::even) return;
    if (!(log_.ticks_.seconds < std::numeric_limits<double>::infinity())) {
      throw ConfigError("--spread-timestamps", log_.ticks_.text, "the file gives no interval to spread them over");
    }
    if (grid_.tick.ns == 0) {
      say("no timestamps to spread: they are finer than 1 ms");
      return;
    }
    const Rows all = rows();
    const RandomStream random(options_.seed, 0x7370726561640000);
    const bool even = options_.spread == Spread::even;
    const std::int64_t first_ns = all.front().time_ns, last_ns = all.back().time_ns;
    const double per_tick = rows_per_tick();
    std::vector<double> places;
    for (std::size_t i = 0, end = 0; i < all.size(); i = end) {
      for (end = i + 1; end < all.size() && all[end].time_ns == all[i].time_ns;) ++end;
      if (!grid_.has(all[i])) continue;
      const auto count = static_cast<double>(end - i);
      places.clear();
      for (std::size_t k = i; k < end; ++k) {
        places.push_back(even ? (static_cast<double>(k - i) + 0.5) / count : open_unit(random.bits(k)));
      }
      std::sort(places.begin(), places.end());
      const std::int64_t tick_at = all[i].time_ns;
      // A log begins and ends within a tick, of which it has a part.
      const bool cut = tick_at == first_ns || tick_at == last_ns;
      const double part = cut && per_tick > 0 ? std::min(1.0, count / per_tick) : 1;
      const double from = tick_at == first_ns ? 1 - part : 0;
      for (std::size_t k = i; k < end; ++k) {
        const double place = (from + part * places[k - i]) * static_cast<double>(grid_.tick.ns);
        all[k].time_ns = tick_at + static_cast<std::int64_t>(place);
      }
    }
    if (!whole_grid_ || grid_.tick.slack_ns > 0) std::sort(all.begin(), all.end(), in_order);
    say("timestamps with a resolution of " + span_text(log_.ticks_.seconds) + " spread " +
        (even ? "evenly within it, which is smoother than real arrivals" : "at random within it") +
        ": waits hold for such arrivals");
    log_.ticks_ = {};
  }

  void count() {
    for (const LogRow& row : rows()) {
      if (row.candidates == 0 && (log_.unrecorded_++ == 0 || row.line < log_.unrecorded_line_)) {
        log_.unrecorded_line_ = row.line;
      }
    }
    log_.skipped_ = bad_.count;
  }

  const TraceFormat& format_;
  const LogOptions options_;
  TraceFile file_;
  TraceReader reader_;
  Log log_;
  const std::string column_;  // of the timestamps
  bool timed_ = true, whole_grid_ = false;
  std::optional<TimeScale> scale_;
  Grid grid_;
  BadRows bad_;
  std::int64_t latest_ns_ = 0, late_ = 0, latest_by_ns_ = 0;
};

Log read_log(const TraceFormat& format, const LogOptions& options) { return LogReader(format, options).read(); }

}  // namespace kvcast::traffic
