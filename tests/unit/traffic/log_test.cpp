#include "traffic/log.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/text.h"
#include "catch.h"
#include "kvcast/error.h"
#include "traffic/distribution.h"
#include "unit/files.h"

namespace kvcast::traffic {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

const std::vector<TraceColumn> kAll = {TraceColumn::timestamp, TraceColumn::user, TraceColumn::history,
                                       TraceColumn::candidates};

// Times in ms of Poisson arrivals, 150/s.
std::vector<double> poisson(int rows) {
  const RandomStream random(5, 5);
  std::vector<double> times;
  double ms = 0;
  for (int i = 0; i < rows; ++i) {
    ms -= std::log(open_unit(random.bits(static_cast<std::uint64_t>(i)))) * 1000 / 150;
    times.push_back(std::round(ms * 1000) / 1000);
  }
  return times;
}

struct LogFile {
  explicit LogFile(const std::vector<double>& times, const std::string& column = "timestamp_ms")
      : path((folder.path() / "t.csv").string()) {
    std::string text = column + ",user_id,history_len,n_candidates\n";
    for (std::size_t i = 0; i < times.size(); ++i) {
      text += format_double(times[i]) + "," + std::to_string(i % 97) + "," + std::to_string(i) + ",1\n";
    }
    write_file(path, text);
  }
  Log read(std::optional<double> skip = std::nullopt, const LogOptions& options = {}) const {
    return read_log(read_format(path, kAll, skip), options);
  }
  std::string error(std::optional<double> skip = std::nullopt, const LogOptions& options = {}) const {
    try {
      read(skip, options);
    } catch (const ConfigError& error) {
      const std::string what = error.what();
      return what.starts_with(path) ? what.substr(path.size()) : what;
    }
    return "none";
  }
  TemporaryFolder folder;
  std::string path;
};

std::vector<double> changed(std::vector<double> times, const std::function<double(std::size_t, double)>& change) {
  for (std::size_t i = 0; i < times.size(); ++i) times[i] = change(i, times[i]);
  return times;
}

std::vector<double> quantised(double tick_ms, int rows = 3000) {
  return changed(poisson(rows), [&](std::size_t, double ms) { return std::floor(ms / tick_ms) * tick_ms; });
}

bool in_order(const Log& log) {
  return std::is_sorted(log.rows().begin(), log.rows().end(),
                        [](const LogRow& a, const LogRow& b) { return a.time_ns < b.time_ns; });
}

std::string said(const Log& log) { return join(log.reading(), "|"); }

}  // namespace

TEST_CASE("a log in order is as it stands", "[traffic]") {
  const std::vector<double> times = poisson(3000);
  const Log log = LogFile(times).read();
  REQUIRE(log.size() == 3000);
  for (std::size_t i = 0; i < times.size(); ++i) {
    REQUIRE(log.rows()[i].time_ns == std::llround(times[i] * 1e6));
    REQUIRE(log.rows()[i].history == static_cast<std::int32_t>(i));
    REQUIRE(log.rows()[i].line == static_cast<std::int64_t>(i) + 2);
  }
  CHECK(log.requests_per_s() == Approx(2999 / log.span_s()));
  CHECK(log.requests_per_s() == Approx(150).epsilon(0.1));
  CHECK(said(log).empty());
  CHECK(log.ticks().text.empty());
  CHECK(log.skipped_rows() == 0);
}

TEST_CASE("the same log has the same rate in every unit", "[traffic]") {
  const std::vector<double> times = poisson(3000);
  const double rate = LogFile(times).read().requests_per_s();
  for (const double unit : {1e-3, 1e3, 1e6}) {
    // In the unit of 1 ms / unit since 2024-08-01.
    const LogFile file(changed(
        times, [&](std::size_t, double ms) { return std::round((1'722'470'400'000 + ms) * unit * 1e3) / 1e3; }));
    const Log log = file.read();
    CHECK(log.requests_per_s() == Approx(rate).epsilon(1e-4));
    CHECK(said(log).starts_with("timestamps read as epoch "));
  }
  const LogFile seconds(changed(times, [](std::size_t, double ms) { return ms / 1000; }));
  CHECK(seconds.error() == ": 3,000 requests in " + span_text(LogFile(times).read().span_s() / 1000) +
                               ": is timestamp_ms in seconds?; --timestamps s if it is, --timestamps ms if not");
  LogOptions options;
  options.unit = StampUnit::s;
  CHECK(seconds.read({}, options).requests_per_s() == Approx(rate).epsilon(1e-6));
  options.unit = StampUnit::ms;
  CHECK(seconds.read({}, options).requests_per_s() == Approx(1000 * rate).epsilon(1e-6));
  const LogFile named(changed(times, [](std::size_t, double ms) { return ms / 1000; }), "Timestamp (s)");
  CHECK(named.read().requests_per_s() == Approx(rate).epsilon(1e-6));
}

TEST_CASE("a dense log of more than a moment is no log in seconds", "[traffic]") {
  std::vector<double> times;
  for (int i = 0; i < 40000; ++i) times.push_back(i * 0.05);
  CHECK(LogFile(times).read().requests_per_s() == Approx(20000));
  // Few rows in a moment are an example, not a log.
  CHECK(LogFile({0, 0.5, 1, 1.5, 2}).read().size() == 5);
}

TEST_CASE("rows out of order by less than a minute are sorted, and said", "[traffic]") {
  std::vector<double> times = poisson(3000);
  std::vector<double> mixed = times;
  for (std::size_t i = 0; i + 4 < mixed.size(); i += 5) std::swap(mixed[i], mixed[i + 4]);
  const Log log = LogFile(mixed).read();
  CHECK(in_order(log));
  CHECK(log.size() == 3000);
  CHECK(log.skipped_rows() == 0);
  CHECK(said(log).find("rows out of order by up to ") != std::string::npos);
  CHECK(said(log).find(": sorted (tolerated up to 1 min)") != std::string::npos);
  for (std::size_t i = 0; i < times.size(); ++i) REQUIRE(log.rows()[i].time_ns == std::llround(times[i] * 1e6));
  std::reverse(times.begin(), times.end());
  CHECK(in_order(LogFile(times).read()));
  // At equal times the order of the file stays.
  const Log equal = LogFile({5, 7, 7, 6, 6, 8}).read();
  std::vector<std::int32_t> histories;
  for (const LogRow& row : equal.rows()) histories.push_back(row.history);
  CHECK(histories == std::vector<std::int32_t>{0, 3, 4, 1, 2, 5});
}

TEST_CASE("of a clock that jumps the row is named, and no other is left out", "[traffic]") {
  const std::vector<double> times = poisson(200);
  for (const double jump : {3.6e6, -3.6e6, 86.4e6, 90e3}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{1}, std::size_t{20}, std::size_t{198}, std::size_t{199}}) {
      INFO(jump << " at " << at);
      const LogFile file(changed(times, [&](std::size_t i, double ms) { return 1e8 + ms + (i == at ? jump : 0); }));
      CHECK(file.error().starts_with(":" + std::to_string(at + 2) + ": timestamp_ms '"));
      const Log log = file.read(0.05);
      CHECK(log.size() == 199);
      CHECK(log.skipped_rows() == 1);
      CHECK(in_order(log));
      CHECK(std::none_of(log.rows().begin(), log.rows().end(),
                         [&](const LogRow& row) { return row.history == static_cast<std::int32_t>(at); }));
    }
  }
  CHECK_THAT(LogFile(changed(times, [](std::size_t i, double ms) { return ms + (i == 20 ? 3.6e6 : 0); })).error(),
             Catch::StartsWith(":22: timestamp_ms '3600") &&
                 Catch::EndsWith("' is 1 h ahead of the rows around it; correct or remove it, or skip it with "
                                 "--skip-bad-rows"));
}

TEST_CASE("a log of which much is out of order is refused whatever is skipped", "[traffic]") {
  const std::vector<double> times =
      changed(poisson(1000), [](std::size_t, double ms) { return 1000 * ms; });  // 2 hours
  std::vector<double> joined(times.begin() + 500, times.end());
  joined.insert(joined.end(), times.begin(), times.begin() + 500);
  for (const auto skip : {std::optional<double>(), std::optional<double>(0.05)}) {
    CHECK(LogFile(joined).error(skip) ==
          ":2: 500 of 1,000 rows are out of order by more than 1 min, from this one on; sort the file by timestamp_ms");
    CHECK(LogFile({times.rbegin(), times.rend()}).error(skip).find("the rows run backwards in time: ") !=
          std::string::npos);
  }
}

TEST_CASE("one gap that holds nearly all of the span is named", "[traffic]") {
  const std::vector<double> times = changed(poisson(1000), [](std::size_t, double ms) { return 1.7e12 + ms; });
  const auto moved = [&](const std::function<bool(std::size_t)>& which, double by) {
    return LogFile(changed(times, [&](std::size_t i, double ms) { return ms + (which(i) ? by : 0); }));
  };
  const double year = 365 * 86400e3;
  const LogFile last = moved([](std::size_t i) { return i == 999; }, year);
  CHECK_THAT(last.error(),
             Catch::StartsWith(":1001: timestamp_ms '") &&
                 Catch::Contains("one gap of 365 d holds nearly all of the log's 365 d, and only 1 row is "
                                 "after it; correct or remove it"));
  CHECK(last.read(0.05).size() == 999);
  CHECK(last.read(0.05).requests_per_s() == Approx(150).epsilon(0.1));
  const LogFile first = moved([](std::size_t i) { return i < 3; }, -year);
  CHECK_THAT(first.error(), Catch::StartsWith(":2: ") && Catch::Contains("only 3 rows are before it"));
  CHECK(first.read(0.05).size() == 997);
  const LogFile both = moved([](std::size_t i) { return i == 0; }, -year);
  CHECK(both.read(0.05).size() == 999);
  const Log parts = moved([](std::size_t i) { return i >= 400; }, 6 * 3600e3).read();
  CHECK(parts.size() == 1000);
  CHECK(said(parts) ==
        "one gap of 6 h holds nearly all of the log's 6 h, before line 402: rates are averages across it");
  // A pause of a third is one.
  CHECK(said(moved([](std::size_t i) { return i >= 400; }, 5e3).read()).empty());
}

TEST_CASE("a log stamped to a tick tells it, and only such a one", "[traffic]") {
  struct Case {
    double tick_ms;
    const char *multiples, *tick;
  };
  for (const Case& one : {Case{1000, "1000 ms", "1 s"}, Case{2000, "2000 ms", "2 s"}, Case{5000, "5000 ms", "5 s"},
                          Case{100, "100 ms", "100 ms"}, Case{10, "10 ms", "10 ms"}, Case{20, "20 ms", "20 ms"}}) {
    const Log log = LogFile(quantised(one.tick_ms)).read();
    INFO(log.ticks().text);
    CHECK(log.ticks().seconds == Approx(one.tick_ms / 1000));
    CHECK_THAT(log.ticks().text,
               Catch::StartsWith("3,000 rows have ") &&
                   Catch::EndsWith(std::string(" distinct timestamps, all multiples of ") + one.multiples +
                                   ": the log has a resolution of " + one.tick + "; waits are unknown"));
  }
  // Not from 0; nearly all; half of the rows; the timer of Windows.
  CHECK_THAT(LogFile(changed(quantised(1000), [](std::size_t, double ms) { return ms + 250.5; })).read().ticks().text,
             Catch::Contains("all multiples of 1000 ms apart: the log has a resolution of 1 s"));
  CHECK_THAT(LogFile(changed(quantised(1000), [](std::size_t i, double ms) { return i == 77 ? ms + 3 : ms; }))
                 .read()
                 .ticks()
                 .text,
             Catch::Contains("nearly all multiples of 1000 ms"));
  const std::vector<double> fine = poisson(3000), coarse = quantised(1000);
  CHECK_THAT(
      LogFile(changed(fine, [&](std::size_t i, double ms) { return i % 2 == 0 ? ms : coarse[i]; })).read().ticks().text,
      Catch::Contains("% of the rows at multiples of 1000 ms: the log has a resolution of 1 s"));
  CHECK(LogFile(changed(fine, [](std::size_t, double ms) { return std::round(std::floor(ms / 15.625) * 15.625); }))
            .read()
            .ticks()
            .seconds == 0.015625);
  // Whole milliseconds are a tick of a millisecond; few equal times are none; nor are whole seconds that are far apart.
  CHECK(LogFile(quantised(1)).read().ticks().seconds == 0.001);
  CHECK(LogFile(changed(fine, [&](std::size_t i, double ms) { return i % 500 == 1 ? fine[i - 1] : ms; }))
            .read()
            .ticks()
            .text.empty());
  std::vector<double> sparse;
  for (int i = 0; i < 500; ++i) sparse.push_back(1000.0 * std::floor(i * 618.034));
  CHECK(LogFile(sparse).read().ticks().text.empty());
  CHECK(LogFile({7, 7, 7}).read().ticks().text == "all 3 rows have the same timestamp, 7: waits are unknown");
}

TEST_CASE("stamps are spread within their tick, in the order of the file", "[traffic]") {
  for (const double tick_ms : {1000.0, 10000.0}) {
    const LogFile file(quantised(tick_ms, 6000));
    for (const Spread spread : {Spread::random, Spread::even}) {
      LogOptions options;
      options.spread = spread;
      const Log log = file.read({}, options);
      INFO(said(log));
      CHECK(in_order(log));
      CHECK(log.ticks().text.empty());
      bool within = true, same_order = true;
      const std::vector<double> stamps = quantised(tick_ms, 6000);
      for (std::size_t i = 0; i < stamps.size(); ++i) {
        const double ms = static_cast<double>(log.rows()[i].time_ns) / 1e6;
        within = within && ms >= stamps[i] && ms < stamps[i] + tick_ms;
        same_order = same_order && log.rows()[i].history == static_cast<std::int32_t>(i);
      }
      CHECK(within);
      CHECK(same_order);
      // What ends within a tick has a part of it.
      CHECK(log.requests_per_s() == Approx(150).epsilon(0.05));
      double squares = 0;
      for (std::size_t i = 1; i < stamps.size(); ++i) {
        squares += std::pow(static_cast<double>(log.rows()[i].time_ns - log.rows()[i - 1].time_ns) / 1e9, 2);
      }
      // Of exponential gaps 2 means squared, of even ones 1.
      CHECK(squares / 5999 * 150 * 150 == Approx(spread == Spread::random ? 2 : 1).epsilon(0.15));
      options.seed = 2;
      CHECK((file.read({}, options).rows()[7].time_ns == log.rows()[7].time_ns) == (spread == Spread::even));
    }
    LogOptions none;
    none.spread = Spread::none;
    CHECK_FALSE(file.read({}, none).ticks().text.empty());
  }
  LogOptions options;
  options.spread = Spread::random;
  CHECK(LogFile({7, 7, 7}).error({}, options) ==
        "--spread-timestamps: all 3 rows have the same timestamp, 7: waits are unknown; the file gives no interval "
        "to spread them over");
  CHECK(said(LogFile(poisson(300)).read({}, options)) == "no timestamps to spread: they are finer than 1 ms");
}

TEST_CASE("more bad rows than a share are refused, with the first of them", "[traffic]") {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "t.csv").string();
  std::string text = "timestamp_ms,user_id,history_len,n_candidates\n";
  for (int i = 0; i < 100; ++i) text += std::to_string(40 * i) + ",1," + (i % 10 == 3 ? "x" : "1") + ",1\n";
  write_file(path, text);
  CHECK_THROWS_WITH(read_log(read_format(path, kAll, 0.05), {}),
                    "--skip-bad-rows: 10 of 100 rows of " + path +
                        " are bad (10%), the first at line 5: history_len "
                        "'x' is not a whole number; at most 5% may be skipped; --skip-bad-rows=10% skips these");
  CHECK(read_log(read_format(path, kAll, 0.1), {}).size() == 90);
  CHECK(read_log(read_format(path, kAll, 0.1), {}).skipped_rows() == 10);
}

TEST_CASE("rows are the same in memory and in a file", "[traffic]") {
  LogRows memory, file(100);
  for (std::int64_t i = 0; i < 100'000; ++i) {
    const LogRow row{3 * i, static_cast<std::uint64_t>(7 * i), static_cast<std::int32_t>(i % 1000), 1, i + 2};
    memory.append(row);
    file.append(row);
  }
  memory.close();
  file.close();
  REQUIRE(memory.rows().size() == 100'000);
  REQUIRE(file.rows().size() == 100'000);
  const auto same = [](const LogRow& a, const LogRow& b) {
    return a.time_ns == b.time_ns && a.user == b.user && a.history == b.history && a.candidates == b.candidates &&
           a.line == b.line;
  };
  CHECK(std::equal(memory.rows().begin(), memory.rows().end(), file.rows().begin(), same));
  file.rows()[99'999].time_ns = -1;
  std::sort(file.rows().begin(), file.rows().end(),
            [](const LogRow& a, const LogRow& b) { return a.time_ns < b.time_ns; });
  CHECK(file.rows()[0].line == 100'001);
  file.keep(1, 10);
  CHECK(file.rows().size() == 10);
  CHECK(file.rows()[0].line == 2);
}

}  // namespace kvcast::traffic
