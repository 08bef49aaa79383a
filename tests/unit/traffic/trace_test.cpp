#include "traffic/trace.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "catch.h"
#include "kvcast/error.h"
#include "unit/files.h"

namespace kvcast::traffic {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

const std::string kHeader = "timestamp_ms,user_id,history_len,n_candidates\n";
const std::vector<TraceColumn> kAll = {TraceColumn::timestamp, TraceColumn::user, TraceColumn::history,
                                       TraceColumn::candidates};

std::vector<TraceRow> rows_of(const TraceFormat& format, std::size_t block, const TraceMark* from = nullptr) {
  const TraceFile file(format);
  TraceReader reader(format, file, block);
  if (from != nullptr) reader.seek(*from);
  std::vector<TraceRow> rows;
  for (TraceRow row; reader.next(row);) rows.push_back(row);
  return rows;
}

struct TextFile {
  explicit TextFile(const std::string& text) : path((folder.path() / "t.csv").string()) { write_file(path, text); }
  std::vector<TraceRow> rows(bool skip = false, std::size_t block = 4096) const {
    return rows_of(read_format(path, kAll, skip), block);
  }
  Trace index(bool skip = false) const { return index_trace(read_format(path, kAll, skip)); }
  TemporaryFolder folder;
  std::string path;
};

bool equal(const TraceRow& a, const TraceRow& b) {
  return a.timestamp_ms == b.timestamp_ms && a.user == b.user && a.history == b.history &&
         a.candidates == b.candidates && a.number == b.number && a.line == b.line;
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
  CHECK(equal(rows[0], {1000, 7, 20, 3, 0, 2}));
  CHECK(equal(rows[1], {1000.5, 8, 0, 0, 1, 3}));

  // A BOM, CRLF, another order, a column more, quotes, blanks, an empty line, and no line end behind the last row.
  const auto odd = TextFile(
                       "\xef\xbb\xbf"
                       "n_candidates, \"note\",history_len,user_id,timestamp_ms\r\n"
                       "3,\"a, \"\"b\"\"\",20,7,1000\r\n\r\n 0 , , \"5\" ,\"8\",1e3")
                       .rows();
  REQUIRE(odd.size() == 2);
  CHECK(equal(odd[0], {1000, 7, 20, 3, 0, 2}));
  CHECK(equal(odd[1], {1000, 8, 5, 0, 1, 4}));
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
  const std::string whole = "; a whole number from 0 to 1000000000", ms = "; milliseconds as a number from 0 to 2^53";
  const std::vector<Case> cases = {
      {"abc,1,1,1", "timestamp_ms 'abc' is not a number" + ms},
      {"nan,1,1,1", "timestamp_ms 'nan' is not a number" + ms},
      {"12x,1,1,1", "timestamp_ms '12x' is not a number" + ms},
      {"-1,1,1,1", "timestamp_ms '-1' is negative" + ms},
      {"1e300,1,1,1", "timestamp_ms '1e300' is out of range" + ms},
      {"1e400,1,1,1", "timestamp_ms '1e400' is out of range" + ms},
      {"99999999999999999999,1,1,1", "timestamp_ms '99999999999999999999' is out of range" + ms},
      {",1,1,1", "timestamp_ms is empty" + ms},
      {"9.5,1,1,1", "timestamp_ms '9.5' is before 10 of the row before it; rows are in order of time"},
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
      {"11,\"1,1,1", "the quote is not closed; quotes stand around a whole cell, and twice for one inside it"},
      {"11,\"1\"2,1,1", "text behind a closing quote; quotes stand"},
      {"11,1\"2,1,1", "a quote inside a cell that does not begin with one; quotes stand"},
      {"11,a\r,1,1", "holds a carriage return within: '11,a"},
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
      CHECK_THAT(config_error([&] { file.index(); }), Catch::StartsWith(file.path + ":3: " + bad.problem));
      const Trace trace = file.index(true);
      CHECK(trace.skipped_rows == 1);
      CHECK(trace.rows == (behind.empty() ? 1 : 2));
      CHECK(trace.last_ms == (behind.empty() ? 10 : 12));
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
    const std::string what = config_error([&] { file.index(); });
    return what.starts_with(file.path) ? what.substr(file.path.size()) : what;
  };
  const std::string columns = "; a trace has the columns timestamp_ms, user_id, history_len, n_candidates";
  CHECK(error("") == ": is empty" + columns);
  CHECK(error(kHeader) == ": has no rows; a trace has a row per request");
  CHECK(error(kHeader.substr(0, kHeader.size() - 1)) == ": has no rows; a trace has a row per request");
  const std::string others = columns + "; --columns gives them other names";
  CHECK(error("1,2,3,4\n") == ":1: no column timestamp_ms among '1,2,3,4'" + others);
  CHECK(error("timestamp_ms,user_id,n_candidates\n1,1,1\n") ==
        ":1: no column history_len among 'timestamp_ms,user_id,n_candidates'" + others);
  CHECK(error("user_id," + kHeader) == ":1: the column user_id is there twice");
  CHECK(error(std::string(kMaxLineBytes + 1, 'x')).starts_with(":1: the line is longer than 65536 bytes"));
  const TextFile bad(kHeader + "x,1,1,1\ny,1,1,1\n");
  CHECK(config_error([&] { bad.index(true); }) ==
        bad.path + ": none of its 2 rows is good; a trace has a row per request");

  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_format(folder.path() / "no.csv", kAll, false), Catch::Contains("cannot be opened: No such"));
  CHECK_THROWS_AS(read_format(folder.path() / "no.csv", kAll, false), IoError);
  CHECK_THROWS_WITH(read_format(folder.path(), kAll, false), Catch::Contains("is a folder"));
  CHECK_THROWS_WITH(read_format("/dev/null", kAll, false), Catch::Contains("is no regular file"));
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
    CHECK(file.index().comment_lines == one.comments);
    CHECK(file.index(true).skipped_rows == 0);
  }
  CHECK_THAT(config_error([] { TextFile(kHeader + "\"1,234\",a,5,1\n").index(); }),
             Catch::Contains("t.csv: '1,234' in line 2 may be 1.234 or 1234"));
  CHECK_THAT(
      config_error([] { TextFile(kHeader + "0.5,a,5,1\n\"1,5\",a,5,1\n").index(); }),
      Catch::Contains("t.csv: numbers have decimal points and decimal commas: '0.5' in line 2, '1,5' in line 3"));
  CHECK_THAT(config_error([] { TextFile("timestamp_ms user_id history_len n_candidates\n1 a 5 1\n").index(); }),
             Catch::Contains("not by spaces"));
  CHECK_THAT(config_error([] { TextFile("timestamp_ms,user_id,history_len,n_candidates\r1,a,5,1\r").index(); }),
             Catch::Contains("end in a carriage return alone"));
}

TEST_CASE("a trace in UTF-16 is read through a plain copy, again and from any place", "[traffic]") {
  const std::string text = long_text(20000, false);
  std::string wide = "\xff\xfe";
  for (const char c : text) wide += std::string{c, '\0'};
  const TextFile file(wide), plain(text);
  const Trace trace = file.index();
  CHECK(trace.format.plain.open());
  CHECK_FALSE(plain.index().format.plain.open());
  const std::vector<TraceRow> rows = plain.rows();
  REQUIRE(trace.rows == 20000);
  REQUIRE(trace.marks.size() > 2);
  for (const TraceMark& mark : {trace.marks.front(), trace.marks[trace.marks.size() / 2]}) {
    const Trace copy = trace;
    const std::vector<TraceRow> rest = rows_of(copy.format, 4096, &mark);
    CHECK(std::equal(rest.begin(), rest.end(), rows.begin() + mark.number, rows.end(), equal));
  }
  check_unchanged(trace.format, TraceFile(trace.format));
  CHECK_THAT(config_error([] { TextFile("PK\x03\x04 and more of it").index(); }),
             Catch::Contains("is an Excel workbook"));
}

TEST_CASE("columns of a trace have the names that they are given", "[traffic]") {
  const TextFile file("ts,uid,hist len,n,n_candidates\n1000,7,20,3,x\n2000,8,30,-1,x\n");
  const ColumnNames names = {{"timestamp", "ts"}, {"user", "uid"}, {"history", "hist len"}, {"candidates", "n"}};
  const TraceFormat format = read_format(file.path, kAll, true, names);
  const auto rows = rows_of(format, 64);
  REQUIRE(rows.size() == 1);
  CHECK(equal(rows[0], {1000, 7, 20, 3, 0, 2}));
  CHECK(config_error([&] { index_trace(read_format(file.path, kAll, false, names)); }) ==
        file.path + ":3: n '-1' is negative; a whole number from 0 to 1000000000");
  CHECK_THAT(config_error([&] {
               read_format(file.path, kAll, false, {{"timestamp", "ts"}, {"user", "who"}});
             }),
             Catch::Contains(":1: no column who among 'ts,uid,hist len,n,n_candidates'"));
}

TEST_CASE("columns that are not needed are not checked", "[traffic]") {
  const TextFile file("timestamp_ms,history_len\n1,x\n2,\n");
  CHECK(rows_of(read_format(file.path, {TraceColumn::timestamp}, false), 64).size() == 2);
}

TEST_CASE("rows are the same whatever the block, and a reader holds one block", "[traffic]") {
  const bool skip = GENERATE(false, true);
  const TextFile file(long_text(20000, skip));
  const TraceFormat format = read_format(file.path, kAll, skip);
  const std::vector<TraceRow> whole = rows_of(format, format.bytes + 1);
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
  CHECK(reader.skipped() == (skip ? 20000 / 7 : 0));
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
          out += std::to_string(row.timestamp_ms) + " " + std::to_string(row.user) + " " + std::to_string(row.history) +
                 " " + std::to_string(row.candidates) + " " + std::to_string(row.line) + "\n";
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

TEST_CASE("from any mark of the index the rest of the rows follows", "[traffic]") {
  const bool skip = GENERATE(false, true);
  const TextFile file(long_text(20000, skip));
  const Trace trace = file.index(skip);
  const std::vector<TraceRow> whole = rows_of(trace.format, 4096);
  REQUIRE(trace.rows == 20000);
  CHECK(trace.first_ms == whole.front().timestamp_ms);
  CHECK(trace.last_ms == whole.back().timestamp_ms);
  REQUIRE(trace.marks.size() > 50);
  for (const TraceMark& mark : trace.marks) {
    const std::vector<TraceRow> rest = rows_of(trace.format, 4096, &mark);
    REQUIRE(rest.size() == whole.size() - static_cast<std::size_t>(mark.number));
    REQUIRE(std::equal(rest.begin(), rest.end(), whole.begin() + mark.number, equal));
  }
  for (double since = -5; since < trace.span_ms() + 100; since += 997.3) {
    const TraceMark& mark = trace.mark_before(since);
    const auto first = std::find_if(whole.begin(), whole.end(),
                                    [&](const TraceRow& row) { return row.timestamp_ms - trace.first_ms >= since; });
    CHECK(mark.number <= first - whole.begin());
    // Near enough: within two marks.
    CHECK((first - whole.begin()) - mark.number < 2 * 20000 / static_cast<std::int64_t>(trace.marks.size() - 2));
  }
}

TEST_CASE("a file that changed between two passes is noticed", "[traffic]") {
  const TextFile file(kHeader + "1,1,1,1\n");
  const Trace trace = file.index();
  write_file(file.path, kHeader + "1,1,1,1\n2,1,1,1\n");
  const TraceFile opened(file.path);
  CHECK_THROWS_WITH(check_unchanged(trace.format, opened), Catch::Contains("changed while it was in use"));
  // Of the same size, at another time.
  const TextFile other(kHeader + "1,1,1,1\n");
  const Trace before = other.index();
  check_unchanged(before.format, TraceFile(other.path));
  testing::fs::last_write_time(other.path, testing::fs::last_write_time(other.path) + std::chrono::seconds(1));
  CHECK_THROWS_AS(check_unchanged(before.format, TraceFile(other.path)), IoError);
}

}  // namespace kvcast::traffic
