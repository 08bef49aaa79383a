#include "traffic/trace.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "catch.h"
#include "kvcast/error.h"
#include "traffic/log.h"
#include "unit/files.h"

namespace kvcast::traffic {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

const std::string kHeader = "timestamp_ms,user_id,history_len,n_candidates\n";
const std::vector<TraceColumn> kAll = {TraceColumn::timestamp, TraceColumn::user, TraceColumn::history,
                                       TraceColumn::candidates};

std::vector<TraceRow> rows_of(const TraceFormat& format, std::size_t block) {
  const TraceFile file(format);
  TraceReader reader(format, file, block);
  std::vector<TraceRow> rows;
  for (TraceRow row; reader.next(row);) rows.push_back(row);
  return rows;
}

struct TextFile {
  explicit TextFile(const std::string& text) : path((folder.path() / "t.csv").string()) { write_file(path, text); }
  TraceFormat format(bool skip = false) const {
    return read_format(path, kAll, skip ? std::optional(1.0) : std::nullopt);
  }
  std::vector<TraceRow> rows(bool skip = false, std::size_t block = 4096) const { return rows_of(format(skip), block); }
  TemporaryFolder folder;
  std::string path;
};

bool same_stamp(const Stamp& a, const Stamp& b) {
  return a.whole == b.whole && a.billionths == b.billionths && a.date == b.date;
}
bool equal(const TraceRow& a, const TraceRow& b) {
  return same_stamp(a.stamp, b.stamp) && a.user == b.user && a.history == b.history && a.candidates == b.candidates &&
         a.line == b.line;
}

template <typename Action>
std::string config_error(const Action& action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no ConfigError";
}

// Long enough for many blocks and marks; every seventh row is bad when asked for.
std::string long_text(int rows, bool with_bad) {
  const RandomStream random(7, 1);
  std::string text = kHeader;
  for (int i = 0; i < rows; ++i) {
    const std::uint64_t bits = random.bits(static_cast<std::uint64_t>(i));
    if (with_bad && i % 7 == 3) text += "1,bad\n";
    text += std::to_string(1000 + 10 * i) + "." + std::to_string(bits % 10) + "," + std::to_string(bits % 97) + "," +
            std::to_string(bits % 1000000) + "," + std::to_string(bits % 5) + (bits % 3 == 0 ? "\r\n" : "\n");
  }
  return text;
}

}  // namespace

TEST_CASE("a trace's rows are read by the names of its columns", "[traffic]") {
  const auto rows = TextFile(kHeader + "1000,7,20,3\n1000.5,8,0,0\n").rows();
  REQUIRE(rows.size() == 2);
  CHECK(equal(rows[0], {{1000}, 7, 20, 3, 2}));
  CHECK(equal(rows[1], {{1000, 500'000'000}, 8, 0, 0, 3}));

  // A BOM, CRLF, another order, a column more, quotes, blanks, an empty line, and no line end behind the last row.
  const auto odd = TextFile(
                       "\xef\xbb\xbf"
                       "n_candidates, \"note\",history_len,user_id,timestamp_ms\r\n"
                       "3,\"a, \"\"b\"\"\",20,7,1000\r\n\r\n 0 , , \"5\" ,\"8\",1e3")
                       .rows();
  REQUIRE(odd.size() == 2);
  CHECK(equal(odd[0], {{1000}, 7, 20, 3, 2}));
  CHECK(equal(odd[1], {{1000}, 8, 5, 0, 4}));
}

TEST_CASE("users are any text, and only a plain number is that number", "[traffic]") {
  const auto rows = TextFile(kHeader +
                             "1,7,0,1\n1,007,0,1\n1,alice,0,1\n1,\"alice\",0,1\n1,bob smith,0,1\n1,-7,0,1\n"
                             "1,18446744073709551615,0,1\n1,18446744073709551616,0,1\n1,0,0,1\n")
                        .rows();
  REQUIRE(rows.size() == 9);
  CHECK(rows[0].user == 7);
  CHECK(rows[6].user == 18446744073709551615u);
  CHECK(rows[8].user == 0);
  CHECK(rows[2].user == rows[3].user);
  std::vector<std::uint64_t> users;
  for (const TraceRow& row : rows) users.push_back(row.user);
  std::sort(users.begin(), users.end());
  CHECK(std::unique(users.begin(), users.end()) - users.begin() == 8);
}

TEST_CASE("a bad row is named with its line, column and value, or left out", "[traffic]") {
  struct Case {
    std::string row, problem;
  };
  const std::string whole = "; a whole number from 0 to 1000000000",
                    ms = "; a number from 0, or a date as in 2024-08-01T12:00:00.25Z";
  const std::vector<Case> cases = {
      {"abc,1,1,1", "timestamp_ms 'abc' is not a number or date" + ms},
      {"nan,1,1,1", "timestamp_ms 'nan' is not a number or date" + ms},
      {"12x,1,1,1", "timestamp_ms '12x' is not a number or date" + ms},
      {"-1,1,1,1", "timestamp_ms '-1' is negative" + ms},
      {"1e300,1,1,1", "timestamp_ms '1e300' is out of range" + ms},
      {"1e400,1,1,1", "timestamp_ms '1e400' is out of range" + ms},
      {"99999999999999999999,1,1,1", "timestamp_ms '99999999999999999999' is out of range" + ms},
      {",1,1,1", "timestamp_ms is empty" + ms},
      {"2024-02-30,1,1,1", "timestamp_ms '2024-02-30' is not a number or date" + ms},
      {"11,,1,1", "user_id is empty; any text or number"},
      {"11,1,x,1", "history_len 'x' is not a whole number" + whole},
      {"11,1,1.5,1", "history_len '1.5' is not a whole number" + whole},
      {"11,1,-3,1", "history_len '-3' is negative" + whole},
      {"11,1,-99999999999999999999,1", "history_len '-99999999999999999999' is negative" + whole},
      {"11,1,1000000001,1", "history_len '1000000001' is out of range" + whole},
      {"11,1,1,99999999999999999999", "n_candidates '99999999999999999999' is out of range" + whole},
      {"11,1,1,", "n_candidates is empty" + whole},
      {"11,1,1,one", "n_candidates 'one' is not a whole number" + whole},
      {"11,1,1", "3 cells: '11,1,1'; the header has 4"},
      {"11", "1 cell: '11'; the header has 4"},
      {"11,1,1,1,1", "5 cells: '11,1,1,1,1'; the header has 4"},
      {"11,\"1,1,1", "the quote is not closed; quote the whole cell, and double quotes inside it"},
      {"11,\"1\"2,1,1", "text behind a closing quote; quote the whole cell"},
      {"11,1\"2,1,1", "a quote inside an unquoted cell; quote the whole cell"},
      {"11,a\r,1,1", "has a carriage return inside: '11,a"},
      {std::string("11,a\0b,1,1", 10), "holds a NUL byte; a trace is text"},
      {"11," + std::string(kMaxLineBytes, 'u') + ",1,1", "the line is longer than 65536 bytes"},
      {"11," + std::string(10 * kMaxLineBytes, 'u') + ",1,1", "the line is longer than 65536 bytes"}};
  for (const Case& bad : cases) {
    INFO(bad.problem);
    for (const std::string behind : {"\n12,2,6,1\n", "\r\n12,2,6,1", ""}) {
      const TextFile file(kHeader + "10,1,5,1\n" + bad.row + behind);
      for (const std::size_t block : {64u, 4096u, 1u << 18}) {
        CHECK_THAT(config_error([&] { file.rows(false, block); }), Catch::StartsWith(file.path + ":3: " + bad.problem));
      }
      const TraceFormat format = file.format(true);
      const TraceFile opened(file.path);
      TraceReader reader(format, opened, 4096);
      std::int64_t good = 0;
      for (TraceRow row; reader.next(row); ++good) CHECK(row.stamp.whole == (good == 0 ? 10 : 12));
      CHECK(good == (behind.empty() ? 1 : 2));
      CHECK(reader.skipped().count == 1);
      CHECK(reader.skipped().line == 3);
      const std::string& problem = reader.skipped().problem;
      CHECK(problem.substr(0, bad.problem.size()) == bad.problem.substr(0, problem.size()));
    }
  }
}

TEST_CASE("the longest line that is allowed is read", "[traffic]") {
  const TextFile file(kHeader + "11," + std::string(kMaxLineBytes - 7, 'u') + ",1,1\n12,2,6,1\n");
  CHECK(file.rows(false, 64).size() == 2);
}

TEST_CASE("a trace without what it needs is refused", "[traffic]") {
  const auto error = [](const std::string& text) {
    const TextFile file(text);
    const std::string what = config_error([&] { read_log(file.format(), {}); });
    return what.starts_with(file.path) ? what.substr(file.path.size()) : what;
  };
  const std::string columns = "; a trace has the columns timestamp_ms, user_id, history_len, n_candidates";
  CHECK(error("") == ": is empty" + columns);
  CHECK(error(kHeader) == ": has no rows; a trace has one row per request");
  CHECK(error(kHeader.substr(0, kHeader.size() - 1)) == ": has no rows; a trace has one row per request");
  const std::string others = columns + "; --columns gives them other names";
  CHECK(error("1,2,3,4\n") == ":1: no column timestamp_ms among '1,2,3,4'" + others);
  CHECK(error("timestamp_ms,user_id,n_candidates\n1,1,1\n") ==
        ":1: no column history_len among 'timestamp_ms,user_id,n_candidates'" + others);
  CHECK(error("user_id," + kHeader) == ":1: the column user_id appears twice");
  CHECK(error(std::string(kMaxLineBytes + 1, 'x')).starts_with(":1: the line is longer than 65536 bytes"));
  const TextFile bad(kHeader + "x,1,1,1\ny,1,1,1\n");
  CHECK(config_error([&] { read_log(bad.format(true), {}); }) ==
        bad.path +
            ": none of its 2 rows is good; line 2: timestamp_ms 'x' is not a number or date; a trace has one row "
            "per request");

  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_format(folder.path() / "no.csv", kAll, std::nullopt),
                    Catch::Contains("cannot be opened: No such"));
  CHECK_THROWS_AS(read_format(folder.path() / "no.csv", kAll, std::nullopt), IoError);
  CHECK_THROWS_WITH(read_format(folder.path(), kAll, std::nullopt), Catch::Contains("is a folder"));
  CHECK_THROWS_WITH(read_format("/dev/null", kAll, std::nullopt), Catch::Contains("is not a regular file"));
}

TEST_CASE("traces as other programs write them are read", "[traffic]") {
  struct Case {
    std::string text;
    std::int64_t comments, first_line;
  };
  const std::string bom = "\xef\xbb\xbf";
  const std::vector<Case> cases = {
      {"timestamp_ms;user_id;history_len;n_candidates\n1000,5;alice;20;3\n2000;bob;1.000;7\n", 0, 2},
      {"sep=;\r\ntimestamp_ms;user_id;history_len;n_candidates\r\n1000,5;alice;20;3\r\n2.000,0;bob;1000;7\r\n", 0, 3},
      {"timestamp_ms\tuser_id\thistory_len\tn_candidates\n1000.5\talice\t20\t3\n2000\tbob\t1000.0\t7.0\n", 0, 2},
      {"# a log\n" + bom.substr(3) + kHeader + "1000.5,alice,20,3\n# restarted\n2000,bob,\"1,000\",7\n,,,\n,,\n", 2, 3},
      {"# timestamp_ms,user_id,history_len,n_candidates\n1000.5,alice,20,3\n2000,bob,1000,7,,\n", 0, 2},
      {bom + "timestamp_ms\xef\xbc\x8cuser_id\xef\xbc\x8chistory_len\xef\xbc\x8cn_candidates\n"
             "1000.5\xef\xbc\x8c"
             "alice\xef\xbc\x8c"
             "20\xef\xbc\x8c"
             "3\n"
             "2000\xef\xbc\x8c"
             "bob\xef\xbc\x8c"
             "1000\xef\xbc\x8c"
             "7\n",
       0, 2},
  };
  const auto plain = TextFile(kHeader + "1000.5,alice,20,3\n2000,bob,1000,7\n").rows();
  for (const Case& one : cases) {
    CAPTURE(one.text);
    const TextFile file(one.text);
    const auto rows = file.rows(false, 64);
    REQUIRE(rows.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
      TraceRow wanted = plain[i];
      wanted.line = rows[i].line;
      CHECK(equal(rows[i], wanted));
    }
    CHECK(rows[0].line == one.first_line);
    const TraceFormat format = file.format(true);
    const TraceFile opened(format);
    TraceReader reader(format, opened, 64);
    for (TraceRow row; reader.next(row);) {
    }
    CHECK(format.heading.comments + reader.comments() == one.comments);
    CHECK(reader.skipped().count == 0);
  }
  const auto problem = [](const std::string& text) {
    const TextFile file(text);
    return config_error([&] { read_log(file.format(), {}); });
  };
  CHECK_THAT(problem(kHeader + "\"1,234\",a,5,1\n"), Catch::Contains("t.csv: '1,234' in line 2 may be 1.234 or 1234"));
  CHECK_THAT(
      problem(kHeader + "0.5,a,5,1\n\"1,5\",a,5,1\n"),
      Catch::Contains("t.csv: numbers have decimal points and decimal commas: '0.5' in line 2, '1,5' in line 3"));
  CHECK_THAT(problem("timestamp_ms user_id history_len n_candidates\n1 a 5 1\n"), Catch::Contains("not by spaces"));
  CHECK_THAT(problem("timestamp_ms,user_id,history_len,n_candidates\r1,a,5,1\r"),
             Catch::Contains("end in a lone carriage return"));
  CHECK_THAT(problem("PK\x03\x04 and more of it"), Catch::Contains("is an Excel workbook"));
}

TEST_CASE("dates are read whatever separates the cells and the decimals", "[traffic]") {
  for (const std::string text :
       {"timestamp;user_id;history_len;n_candidates\n2024-08-01 12:00:00,25;alice;20;3\n2024-08-01 "
        "12:00:01,5;bob;5;3\n",
        "timestamp\tuser_id\thistory_len\tn_candidates\n2024-08-01T14:00:00.25+02:00\talice\t20\t3\n"
        "2024-08-01T14:00:01.5+02:00\tbob\t5\t3\n",
        "sep=;\nTime (s);user_id;history_len;n_candidates\n1722513600,25;alice;20;3\n1722513601,5;bob;5;3\n"}) {
    CAPTURE(text);
    const TextFile file(text);
    const Log log = read_log(file.format(), {});
    REQUIRE(log.size() == 2);
    CHECK(log.rows()[0].time_ns == 1'722'513'600'250'000'000);
    CHECK(log.rows()[1].time_ns == 1'722'513'601'500'000'000);
  }
}

TEST_CASE("a trace in UTF-16 is read through a plain copy", "[traffic]") {
  const std::string text = long_text(20000, false);
  std::string wide = "\xff\xfe";
  for (const char c : text) wide += std::string{c, '\0'};
  const TextFile file(wide), plain(text);
  const TraceFormat format = file.format();
  CHECK(format.plain.open());
  CHECK_FALSE(plain.format().plain.open());
  const std::vector<TraceRow> rows = plain.rows(), copied = rows_of(format, 4096), again = rows_of(format, 4096);
  REQUIRE(rows.size() == 20000);
  CHECK(std::equal(copied.begin(), copied.end(), rows.begin(), rows.end(), equal));
  CHECK(std::equal(again.begin(), again.end(), rows.begin(), rows.end(), equal));
}

TEST_CASE("columns of a trace have the names that they are given", "[traffic]") {
  const TextFile file("ts,uid,hist len,n,n_candidates\n1000,7,20,3,x\n2000,8,30,-1,x\n");
  const ColumnNames names = {{"timestamp", "ts"}, {"user", "uid"}, {"history", "hist len"}, {"candidates", "n"}};
  const TraceFormat format = read_format(file.path, kAll, 1.0, names);
  const auto rows = rows_of(format, 64);
  REQUIRE(rows.size() == 1);
  CHECK(equal(rows[0], {{1000}, 7, 20, 3, 2}));
  CHECK(config_error([&] { read_log(read_format(file.path, kAll, std::nullopt, names), {}); }) ==
        file.path + ":3: n '-1' is negative; a whole number from 0 to 1000000000");
  CHECK_THAT(config_error([&] {
               read_format(file.path, kAll, std::nullopt, {{"timestamp", "ts"}, {"user", "who"}});
             }),
             Catch::Contains(":1: no column who among 'ts,uid,hist len,n,n_candidates'"));
  // Who names the column says that it is what timestamp_ms is; who does not may mean seconds.
  const TextFile log("ts;uid;h;n\n0;a;20;3\n2500,5;b;30;1\n");
  const ColumnNames own = {{"timestamp", "ts"}, {"user", "uid"}, {"history", "h"}, {"candidates", "n"}};
  const Log read = read_log(read_format(log.path, kAll, std::nullopt, own), {});
  CHECK(read.span_s() == 2.5005);
  CHECK(read.reading().front() == "timestamps read as milliseconds, for lack of a unit; --timestamps sets another");
  CHECK_THAT(config_error([&] {
               read_log(read_format(log.path, kAll, std::nullopt, {own.begin() + 1, own.end()}), {});
             }),
             Catch::Contains("the unit of 'ts' is unknown"));
  write_file(log.path, "when;uid;h;n\n2024-08-01 12:00:00,25;a;20;3\n2024-08-01 12:00:01,5;b;30;1\n");
  const ColumnNames dates = {{"timestamp", "when"}, {"user", "uid"}, {"history", "h"}, {"candidates", "n"}};
  CHECK(read_log(read_format(log.path, kAll, std::nullopt, dates), {}).span_s() == 1.25);
}

TEST_CASE("columns that are not needed are not checked", "[traffic]") {
  const TextFile file("timestamp_ms,history_len\n1,x\n2,\n");
  CHECK(rows_of(read_format(file.path, {TraceColumn::timestamp}, std::nullopt), 64).size() == 2);
}

TEST_CASE("rows are the same whatever the block, and a reader holds one block", "[traffic]") {
  const bool skip = GENERATE(false, true);
  const TextFile file(long_text(20000, skip));
  const TraceFormat format = file.format(skip);
  const std::vector<TraceRow> whole = rows_of(format, 1 << 22);
  REQUIRE(whole.size() == 20000);
  for (const std::size_t block : {64u, 65u, 127u, 1000u, 4096u}) {
    const std::vector<TraceRow> rows = rows_of(format, block);
    REQUIRE(rows.size() == whole.size());
    CHECK(std::equal(rows.begin(), rows.end(), whole.begin(), equal));
  }
  const TraceFile opened(format);
  TraceReader reader(format, opened, 128);
  for (TraceRow row; reader.next(row);) {
  }
  CHECK(reader.buffer_bytes() == 128);
  CHECK(reader.skipped().count == (skip ? 20000 / 7 : 0));
}

TEST_CASE("damaged files give the same rows, or the same error, whatever the block", "[traffic]") {
  const std::string alphabet = std::string("0123456789,,\"\"\n\r\n .-ex\t\xff") + '\0';
  const RandomStream random(11, 1);
  int refused = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    std::string text = long_text(12, false);
    for (std::uint64_t k = 0; k < 1 + i % 4; ++k) {
      const std::uint64_t bits = random.bits(10 * i + k);
      // Behind the header, whose faults have messages of their own.
      const std::size_t at = kHeader.size() + (bits >> 8) % (text.size() - kHeader.size());
      const std::string piece(1, alphabet[(bits >> 40) % alphabet.size()]);
      text.replace(at, bits % 3 == 0 ? 0 : 1, bits % 3 == 1 ? "" : piece);
    }
    const TextFile file(text);
    const auto result = [&](bool skip, std::size_t block) {
      std::string out;
      try {
        for (const TraceRow& row : file.rows(skip, block)) {
          out += stamp_text(row.stamp) + " " + std::to_string(row.user) + " " + std::to_string(row.history) + " " +
                 std::to_string(row.candidates) + " " + std::to_string(row.line) + "\n";
        }
      } catch (const ConfigError& error) {
        out = error.what();
      }
      return out;
    };
    const std::string whole = result(false, 1 << 18);
    refused += whole.starts_with(file.path) ? 1 : 0;
    CHECK(result(false, 64) == whole);
    CHECK(result(true, 64) == result(true, 1 << 18));
    CHECK_FALSE(result(true, 64).starts_with(file.path));
  }
  // Of both kinds enough.
  CHECK(refused > 50);
  CHECK(refused < 290);
}

TEST_CASE("timestamps are in timestamp_ms, or else in the one column whose name says so", "[traffic]") {
  const std::string rest = ",user_id,history_len,n_candidates\n";
  const auto stamps = [&](const std::string& head, const std::string& row) {
    const TextFile file(head + rest + row + ",1,1,1\n");
    const std::vector<TraceRow> rows = file.rows();
    CHECK(file.format().name(TraceColumn::timestamp) ==
          (head.find("timestamp_ms") != std::string::npos ? "timestamp_ms" : "Time (s)"));
    return stamp_text(rows.at(0).stamp);
  };
  CHECK(stamps("Time (s)", "5") == "5");
  CHECK(stamps("ts,timestamp_ms", "5,6") == "6");
  CHECK(stamps("Time (s)", "2024-08-01T12:00:00+02:00") == "2024-08-01 10:00:00");
  CHECK(stamps("Time (s)", "\"2024-08-01 12:00:00,5\"") == "2024-08-01 12:00:00.5");
  const TextFile two("ts,time" + rest);
  CHECK(config_error([&] { two.format(); }) ==
        two.path + ":1: the columns ts and time are both times; --columns timestamp=ts picks the first");
}

}  // namespace kvcast::traffic
