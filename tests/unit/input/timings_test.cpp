#include "input/timings.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "catch.h"
#include "fixed_report.h"
#include "input/csv.h"
#include "kvcast/kvcast.h"
#include "report/csv.h"
#include "report/shape.h"
#include "unit/report/small_report.h"

namespace kvcast::input {
namespace {

using namespace report;
using Catch::Contains;
using Cells = std::vector<std::string>;

std::vector<Cells> cells_of(const std::string& text) {
  std::vector<Cells> rows;
  const CsvTable table = parse_csv(text, "t.csv");
  if (!table.heading.names.empty()) rows.push_back(table.heading.names);
  for (const CsvRow& row : table.rows) rows.push_back(row.cells);
  return rows;
}

/// Message of the ConfigError that a text is refused with; "" when it is read.
std::string refused(const std::string& text, const ColumnNames& columns = {}) {
  try {
    read_csv(text, "t.csv", columns);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

const std::string kOwn = "candidates,naive_seconds,shared_seconds\n";

/// samples.csv of one sample with one cell changed.
std::string samples_with(const std::string& column, const std::string& value) {
  Report report = small_report();
  report.cases[0].samples = {{50, "shared", 3, Status::assembled, 0.5, 50, 0.25, 0.125, 0.75, 51.5}};
  std::vector<Cells> rows = cells_of(render(report, "samples.csv"));
  for (std::size_t i = 0; i < rows[0].size(); ++i) {
    if (rows[0][i] == column) rows[1][i] = value;
  }
  return csv_row(rows[0]) + csv_row(rows[1]);
}

void check_same(const Sample& a, const Sample& b) {
  CHECK(a.candidates == b.candidates);
  CHECK(a.scheme == b.scheme);
  CHECK(a.round == b.round);
  CHECK(a.status == b.status);
  CHECK(a.measured_seconds == b.measured_seconds);
  CHECK(a.measured_candidates == b.measured_candidates);
  CHECK(a.prefill_s == b.prefill_s);
  CHECK(a.scoring_s == b.scoring_s);
  CHECK((a.canary_ratio == b.canary_ratio || (std::isnan(a.canary_ratio) && std::isnan(b.canary_ratio))));
  CHECK(a.canary_gflops == b.canary_gflops);
}

}  // namespace

TEST_CASE("CSV text is cut into rows and cells", "[report][csv]") {
  CHECK(cells_of("a,b\r\n1,2\r\n") == std::vector<Cells>{{"a", "b"}, {"1", "2"}});
  CHECK(cells_of("a,b\n1,2") == std::vector<Cells>{{"a", "b"}, {"1", "2"}});
  CHECK(cells_of("a,b\r1,2\r") == std::vector<Cells>{{"a", "b"}, {"1", "2"}});
  CHECK(cells_of("\xef\xbb\xbf"
                 "a,b\n") == std::vector<Cells>{{"a", "b"}});
  CHECK(cells_of(" a , b\t\n\t1 ,  \n") == std::vector<Cells>{{"a", "b"}, {"1", ""}});
  CHECK(cells_of("\"a\",\"b \"\n \" 1\" ,2\n") == std::vector<Cells>{{"a", "b "}, {" 1", "2"}});
  CHECK(cells_of("\"say \"\"hi\"\"\",\"x,y\",\"two\r\nlines\"\n") ==
        std::vector<Cells>{{"say \"hi\"", "x,y", "two\r\nlines"}});
  CHECK(cells_of("a\n\n  \n\"\"\nb\n\n") == std::vector<Cells>{{"a"}, {"b"}});
  CHECK(cells_of("a,b\n,\n,,,\n \"\" , \n1,2,,\n") == std::vector<Cells>{{"a", "b"}, {"1", "2"}});
  CHECK(cells_of("a,") == std::vector<Cells>{{"a", ""}});
  CHECK(cells_of("# x\na,b\n #y\n1,2\n") == std::vector<Cells>{{"a", "b"}, {"1", "2"}});
  CHECK(cells_of("\"#a\",b\n\"#1\",2\n") == std::vector<Cells>{{"#a", "b"}, {"#1", "2"}});
  CHECK(cells_of("").empty());
  CHECK(cells_of("\xef\xbb\xbf\r\n\r\n").empty());
}

TEST_CASE("rows of a CSV know their line", "[report][csv]") {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    const CsvTable table = parse_csv("a" + end + end + "\"b" + end + "c\"" + end + "d" + end, "t.csv");
    CHECK(table.heading.line == 1);
    REQUIRE(table.rows.size() == 2);
    CHECK(table.rows[0].line == 3);
    CHECK(table.rows[1].line == 5);
  }
}

TEST_CASE("what a cell may hold comes back from a written row", "[report][csv]") {
  const Cells texts = {"",   "plain", " padded ", "\ttab", "a,b", "\"",   "\"\"", "x\"y",        "two\nlines",
                       "\r", "\r\n",  "候选",     "'",     "''",  "it's", "#",    "# no comment"};
  for (const auto& a : texts) {
    for (const auto& b : texts) {
      if (a.starts_with('\t') || a.starts_with('\r') || b.starts_with('\t') || b.starts_with('\r')) continue;
      if (a.empty() && b.empty()) continue;
      CHECK(cells_of("x,y\n" + csv_row({csv_text(a), csv_text(b)})) == std::vector<Cells>{{"x", "y"}, {a, b}});
    }
  }
}

TEST_CASE("broken CSV is refused with its place", "[report][csv]") {
  CHECK_THAT(refused("a,b\n1,\"x\n\n"), Contains("t.csv: line 2, cell 2: the quote is not closed; "));
  CHECK_THAT(refused("a,b\n\"x\" y,2\n"), Contains("t.csv: line 2, cell 1: text behind a closing quote; "));
  CHECK_THAT(refused("a,b\n1,x\"y\n"), Contains("t.csv: line 2, cell 2: a quote inside an unquoted cell"));
  CHECK_THAT(refused(std::string("a,b\n1,2\0x\n", 10)), Contains("t.csv: line 2: has bytes that are not text"));
  CHECK_THAT(refused("a,b\n1,2\n\xff\xfe,3\n"), Contains("t.csv: line 3: has bytes that are not text"));
  CHECK_THAT(refused("\x7f"
                     "ELF\x02\x01\x01\xf0\x9f"),
             Contains("t.csv: line 1: has bytes that are not text"));
}

TEST_CASE("samples.csv gives back every sample", "[report][csv]") {
  Report report = golden::fixed_report();
  auto& samples = report.cases[0].samples;
  for (const double value : {1.0 / 3, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, 2.5e-17, 1e22}) {
    samples.push_back(
        {std::int64_t{9007199254740993}, "=packed, \"5\"", 12, Status::measured, value, 3, value, value, value, value});
  }
  samples.push_back({1, " odd\nname ", -1, Status::skipped, 1, 1, 0.0, std::nullopt, 1, std::nullopt});
  // A scheme's name may begin as what csv_text protects from, or as what it protects with.
  for (const char* name : {"+x", "-x", "@x", "\tx", "'x", "'", "''x"})
    samples.push_back({1, name, 0, Status::extrapolated, 1, 1, {}, {}, 1, {}});
  report.cases[1].samples = {{7, "naive", 0, Status::measured, 0.25, 7, {}, {}, 1, {}}};
  const Report again = read_csv(render(report, "samples.csv"), "samples.csv");
  CHECK(again.warnings.empty());
  CHECK_FALSE(again.machine);
  CHECK_FALSE(again.config);
  REQUIRE(again.cases.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(same_shape(again.cases[i].shape, report.cases[i].shape));
    REQUIRE(again.cases[i].samples.size() == report.cases[i].samples.size());
    for (std::size_t j = 0; j < again.cases[i].samples.size(); ++j) {
      check_same(again.cases[i].samples[j], report.cases[i].samples[j]);
    }
  }
  CHECK(render(again, "samples.csv") == render(report, "samples.csv"));
}

TEST_CASE("rows of samples.csv find their case in any order", "[report][csv]") {
  Report report = small_report();
  report.cases[0].samples = {{1, "naive", 0, Status::measured, 1, 1, {}, {}, 1, {}}};
  report.cases.push_back(report.cases[0]);
  report.cases[1].shape->dim = 512;
  report.cases.push_back(report.cases[0]);
  report.cases[2].samples[0].round = 1;
  report.cases.push_back(report.cases[0]);
  report.cases[3].shape.reset();
  const Report again = read_csv(render(report, "samples.csv"), "samples.csv");
  REQUIRE(again.cases.size() == 3);
  CHECK(again.cases[0].samples.size() == 2);
  CHECK(again.cases[1].shape->dim == 512);
  CHECK(again.cases[1].samples.size() == 1);
  CHECK_FALSE(again.cases[2].shape);
}

TEST_CASE("samples.csv of an older version or with columns of one's own is read", "[report][csv]") {
  Report report = small_report();
  report.cases[0].samples = {{50, "shared", 3, Status::assembled, 0.5, 50, 0.25, 0.125, 0.75, {}}};
  std::vector<Cells> rows = cells_of(render(report, "samples.csv"));
  REQUIRE(rows[0].back() == "canary_gflops");
  for (auto& row : rows) row.pop_back();
  std::string text = csv_row(rows[0]) + csv_row(rows[1]);
  check_same(read_csv(text, "t.csv").cases[0].samples[0], report.cases[0].samples[0]);
  rows[0].insert(rows[0].begin(), "my note");
  rows[1].insert(rows[1].begin(), "x");
  text = csv_row(rows[0]) + csv_row(rows[1]);
  const Report again = read_csv(text, "t.csv");
  check_same(again.cases[0].samples[0], report.cases[0].samples[0]);
  REQUIRE(again.warnings.size() == 1);
  CHECK(again.warnings[0].code == "ignored-columns");
  CHECK(again.warnings[0].text == "t.csv: not used: 'my note'");
}

TEST_CASE("samples.csv without columns of the shape that were added later has its cases", "[report][csv]") {
  Report report = small_report();
  report.cases.push_back(report.cases[0]);
  report.cases[1].shape->history_length = 512;
  for (Case& one : report.cases) {
    one.samples.assign(2, {50, "shared", 3, Status::assembled, 0.5, 50, 0.25, 0.125, 0.75, {}});
  }
  std::vector<Cells> rows = cells_of(render(report, "samples.csv"));
  const Cells& head = rows[0];
  const auto at = std::find(head.begin(), head.end(), "head_width") - head.begin();
  REQUIRE(head.at(static_cast<std::size_t>(at) + 1) == "head_layers");
  std::string text;
  for (auto& row : rows) {
    row.erase(row.begin() + at, row.begin() + at + 2);
    text += csv_row(row);
  }
  const Report again = read_csv(text, "t.csv");
  REQUIRE(again.cases.size() == 2);
  for (const Case& one : again.cases) CHECK(one.samples.size() == 2);
  CHECK(again.cases[1].shape->history_length == 512);
}

TEST_CASE("what is wrong in samples.csv is named", "[report][csv]") {
  CHECK(refused(samples_with("measured_seconds", "0")) ==
        "t.csv: line 2, column 'measured_seconds': '0' is not above 0; allowed: seconds above 0, such as 0.0125");
  CHECK_THAT(refused(samples_with("measured_seconds", "")), Contains("column 'measured_seconds': is empty"));
  CHECK_THAT(refused(samples_with("candidates", "0")), Contains("column 'candidates': '0' is less than 1"));
  CHECK_THAT(refused(samples_with("measured_candidates", "0")), Contains("'measured_candidates': '0' is less than 1"));
  CHECK_THAT(refused(samples_with("prefill_s", "-1")), Contains("column 'prefill_s': '-1' is negative"));
  CHECK_THAT(refused(samples_with("scoring_s", "-1")), Contains("column 'scoring_s': '-1' is negative"));
  CHECK_THAT(refused(samples_with("status", "guessed")),
             Contains("column 'status': 'guessed' is unknown; allowed: measured, assembled, extrapolated, skipped"));
  CHECK_THAT(refused(samples_with("scheme", "")), Contains("column 'scheme': is empty"));
  CHECK_THAT(refused(samples_with("round", "x")), Contains("column 'round': 'x' is not a whole number"));
  CHECK_THAT(refused(samples_with("round", "99999999999999999999")), Contains("is out of range"));
  CHECK_THAT(refused(samples_with("trim", "1")), Contains("column 'trim': '1' is neither; allowed: true, false"));
  CHECK_THAT(refused(samples_with("dim", "")), Contains("column 'dim': is empty"));
  CHECK_THAT(refused(samples_with("canary_ratio", "nan")), Contains("column 'canary_ratio': 'nan' is not finite"));
  CHECK(refused(samples_with("canary_ratio", "")).empty());
  std::string head = samples_with("", "");
  head.resize(head.find("\r\n") + 2);
  CHECK(refused(head) == "t.csv: no rows; one row per timing below the header");
  std::string renamed = samples_with("", "");
  renamed.replace(renamed.find("measured_seconds"), 16, "measured_secs");
  CHECK_THAT(refused(renamed), Contains("t.csv: line 1: has no column 'measured_seconds'; did you mean "
                                        "'measured_seconds' where it has 'measured_secs'?"));
}

TEST_CASE("timings of one's own are read, columns in any order", "[report][csv]") {
  const Report report = read_csv(
      "\xef\xbb\xbfshared_seconds, \"candidates\" ,naive_seconds\r\n0.5,10,2\r\n\r\n1e-1, 1 ,0.125\r\n", "t.csv");
  CHECK(report.warnings.empty());
  CHECK_FALSE(report.machine);
  CHECK_FALSE(report.config);
  REQUIRE(report.cases.size() == 1);
  CHECK_FALSE(report.cases[0].shape);
  const Sample wanted[] = {{10, "naive", 0, Status::measured, 2, 10, {}, {}, 1, {}},
                           {10, "shared", 0, Status::measured, 0.5, 10, {}, {}, 1, {}},
                           {1, "naive", 1, Status::measured, 0.125, 1, {}, {}, 1, {}},
                           {1, "shared", 1, Status::measured, 0.1, 1, {}, {}, 1, {}}};
  REQUIRE(report.cases[0].samples.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) check_same(report.cases[0].samples[i], wanted[i]);
}

TEST_CASE("timings as spreadsheets of any country save them are read, and how is said", "[report][csv]") {
  struct Case {
    std::string text, taken;
  };
  const std::vector<Case> cases = {
      {"candidates,naive_seconds,shared_seconds\r\n1,0.125,0.5\r\n1000,2,0.25\r\n,,\r\n,,\r\n", ""},
      {"Candidates,Naive_Seconds,shared_seconds,\n1.0,0.125,0.5,\n1000.0,2,0.25,\n", ""},
      {"candidates;naive_seconds;shared_seconds\n1;0,125;0,5\n1000;2;0,25\n",
       "cells separated by semicolons, numbers with a decimal comma"},
      {"sep=;\ncandidates;naive_seconds;shared_seconds\n1;0,125;0,5\n1.000;2;0,25\n",
       "cells separated by semicolons, numbers with a decimal comma, a point between thousands"},
      {"candidates\tnaive_seconds\tshared_seconds\n1\t0.125\t0.5\n1'000\t2\t0.25\n", "cells separated by tabs"},
      {"candidates,naive_seconds,shared_seconds\n1,\"0,125\",\"5,00E-01\"\n1000,2,\"0,25\"\n",
       "numbers with a decimal comma"},
      {"candidates,naive_seconds,shared_seconds\n1,0.125,0.5\n\"1,000\",2,0.25\n", "a comma between thousands"},
      {"# host A\ncandidates,naive_seconds,shared_seconds\n1,0.125,0.5\n# warm\n1000,2,0.25\n",
       "2 lines that begin with # left out"},
      {"# candidates,naive_seconds,shared_seconds\n1,0.125,0.5\n1000,2,0.25\n", ""},
  };
  for (const Case& one : cases) {
    CAPTURE(one.text);
    const Report report = read_csv(one.text, "t.csv");
    const std::vector<Sample>& samples = report.cases.at(0).samples;
    REQUIRE(samples.size() == 4);
    check_same(samples[0], {1, "naive", 0, Status::measured, 0.125, 1, {}, {}, 1, {}});
    check_same(samples[1], {1, "shared", 0, Status::measured, 0.5, 1, {}, {}, 1, {}});
    check_same(samples[2], {1000, "naive", 1, Status::measured, 2, 1000, {}, {}, 1, {}});
    check_same(samples[3], {1000, "shared", 1, Status::measured, 0.25, 1000, {}, {}, 1, {}});
    std::string taken;
    for (const Warning& warning : report.warnings) {
      if (warning.code == "read-as") taken = warning.text;
    }
    CHECK(taken == (one.taken.empty() ? "" : "t.csv: read with " + one.taken));
  }
}

TEST_CASE("samples.csv that a spreadsheet saved again is read", "[report][csv]") {
  Report report = small_report();
  report.cases[0].samples = {{50, "shared", 3, Status::assembled, 0.5, 50, 0.25, 0.125, 0.75, 51.5}};
  std::string text = render(report, "samples.csv");
  for (char& c : text) c = c == ',' ? ';' : c == '.' ? ',' : c;
  const std::size_t trim = text.find(";true");
  REQUIRE(trim != std::string::npos);
  text.replace(trim, 5, ";TRUE");
  const Report again = read_csv(text, "t.csv");
  check_same(again.cases.at(0).samples.at(0), report.cases[0].samples[0]);
  CHECK(same_shape(again.cases[0].shape, report.cases[0].shape));
}

TEST_CASE("times are read in the unit that their column's name says, which is said", "[report][csv]") {
  struct Case {
    std::string naive, shared;
    double per_second;
    std::string taken;
  };
  const auto in = [](const std::string& naive, const std::string& shared, const std::string& unit) {
    return "t.csv: read with '" + naive + "' in " + unit + ", '" + shared + "' in " + unit;
  };
  std::vector<Case> cases = {{"naive_s", "shared_sec", 1, ""}, {"naive_secs", "shared (s)", 1, ""}};
  for (const char* unit : {"ms", "msec", "mseconds", "millis", "milliseconds"}) {
    const std::string naive = std::string("naive_") + unit, shared = std::string("shared (") + unit + ")";
    cases.push_back({naive, shared, 1e3, in(naive, shared, "milliseconds")});
  }
  for (const char* unit : {"us", "usec", "useconds", "micros", "\xc2\xb5s"}) {
    const std::string naive = std::string("Naive[") + unit + "]", shared = std::string("shared_time_") + unit;
    cases.push_back({naive, shared, 1e6, in(naive, shared, "microseconds")});
  }
  cases.push_back({"naiveNanos", "shared.latency.ns", 1e9, in("naiveNanos", "shared.latency.ns", "nanoseconds")});
  for (const Case& one : cases) {
    CAPTURE(one.naive, one.shared);
    const std::string text = "candidates," + one.naive + "," + one.shared + "\n10," +
                             std::to_string(static_cast<std::int64_t>(2 * one.per_second)) + "," +
                             std::to_string(static_cast<std::int64_t>(3 * one.per_second)) + "\n";
    const Report report = read_csv(text, "t.csv");
    CHECK(report.cases.at(0).samples.at(0).measured_seconds == 2);
    CHECK(report.cases[0].samples.at(1).measured_seconds == 3);
    CHECK((report.warnings.empty() ? "" : report.warnings[0].text) == one.taken);
  }
  // 7 ms is the double nearest to 0.007.
  CHECK(read_csv("candidates,naive_ms,shared_us\n1,7,7\n", "t.csv").cases[0].samples[0].measured_seconds == 0.007);
  CHECK(read_csv("candidates,naive_ms,shared_us\n1,7,7\n", "t.csv").cases[0].samples[1].measured_seconds == 7e-6);
  CHECK(read_csv("candidates,naive_seconds,naive_ms,shared_ms\n1,7,8,9\n", "t.csv")
            .cases[0]
            .samples[0]
            .measured_seconds == 7);
  CHECK(refused("candidates,naive_ms,shared_ms\n1,0,1\n") ==
        "t.csv: line 2, column 'naive_ms': '0' is not above 0; allowed: milliseconds above 0, such as 12.5");
  CHECK_THAT(refused("candidates,naive,shared\n1,2,3\n"),
             Contains("the column 'naive' does not name one time unit; --columns naive=naive:ms sets it, or :s"));
  CHECK_THAT(refused("candidates,naive_ms,naive_us,shared_ms\n1,2,3,4\n"),
             Contains("the columns 'naive_ms' and 'naive_us' may both be naive; --columns naive=naive_ms picks one"));
  CHECK_THAT(refused("candidates,naive_ms_per_candidate,shared_ms\n1,2,3\n"),
             Contains("'naive_ms_per_candidate' holds a rate, or times of a part of a request"));
  CHECK_THAT(refused("candidates,naive_ms,shared_qps\n1,2,3\n"), Contains("'shared_qps' holds a rate"));
  for (const char* unit : {"msceonds", "mseconsd", "p50", "min"}) {
    CAPTURE(unit);
    const std::string line = refused("candidates,naive_" + std::string(unit) + ",shared_ms\n1,2,3\n");
    CHECK_THAT(line, Contains("line 1: ") && Contains("--columns naive=") && !Contains("did you mean"));
  }
}

TEST_CASE("columns of one's own names are taken by them", "[report][csv]") {
  const std::string text = "n;gpu;t_full_ms;t_cached;note (us)\n10;H100;2000;3,5;7\n";
  const Report report =
      read_csv(text, "t.csv", {{"candidates", "n"}, {"naive", "t_full_ms"}, {"shared", "t_cached:s"}});
  REQUIRE(report.cases.at(0).samples.size() == 2);
  check_same(report.cases[0].samples[0], {10, "naive", 0, Status::measured, 2, 10, {}, {}, 1, {}});
  check_same(report.cases[0].samples[1], {10, "shared", 0, Status::measured, 3.5, 10, {}, {}, 1, {}});
  REQUIRE(report.warnings.size() == 2);
  CHECK(report.warnings[0].text ==
        "t.csv: read with cells separated by semicolons, numbers with a decimal comma, 't_full_ms' in milliseconds");
  CHECK(report.warnings[1].text == "t.csv: not used: 'gpu', 'note (us)'");
  // A name that holds the colon itself; and those that are not given have their own.
  CHECK(read_csv("candidates,t:ms,shared_s\n1,2000,3\n", "t.csv", {{"naive", "t:ms"}})
            .cases[0]
            .samples[0]
            .measured_seconds == 2);
  CHECK(refused(text, {{"candidates", "m"}, {"naive", "t_full_ms"}, {"shared", "t_cached:s"}}) ==
        "t.csv: line 1: has no column 'm'; it has 'n', 'gpu', 't_full_ms', 't_cached', 'note (us)'");
  CHECK_THAT(refused(text, {{"candidates", "n"}, {"naive", "t_full_ms"}, {"shared", "t_cached"}}),
             Contains("the column 't_cached' does not name one time unit; --columns shared=t_cached:ms sets it"));
  CHECK_THAT(refused(text, {{"candidates", "n"}, {"naive", "t_full_ms"}, {"shared", "t_cached:parsecs"}}),
             Contains("--columns: 'parsecs' is not a time unit; s, ms, us, ns"));
  CHECK_THAT(refused(text, {{"candidates", "n"}}), Contains("no column for the time of a request with naive"));
}

TEST_CASE("other columns of timings of one's own are passed over with a warning", "[report][csv]") {
  const Report report =
      read_csv("gpu,candidates,round,naive_seconds,scheme,shared_seconds,\nH100,1,5,2,x,1,\n", "t.csv");
  CHECK(report.cases[0].samples.size() == 2);
  CHECK(report.cases[0].samples[0].round == 0);
  REQUIRE(report.warnings.size() == 1);
  CHECK(report.warnings[0].text == "t.csv: not used: 'gpu', 'round', 'scheme', ''");
}

TEST_CASE("what is wrong in timings of one's own is named", "[report][csv]") {
  CHECK(refused(kOwn + "1,2,1\n10,0,1\n") ==
        "t.csv: line 3, column 'naive_seconds': '0' is not above 0; allowed: seconds above 0, such as 0.0125");
  CHECK_THAT(refused(kOwn + "1,2,-1\n"), Contains("line 2, column 'shared_seconds': '-1' is not above 0"));
  CHECK_THAT(refused(kOwn + "1,,1\n"), Contains("line 2, column 'naive_seconds': is empty; allowed: seconds above 0"));
  CHECK_THAT(refused(kOwn + "1,2, \n"), Contains("line 2, column 'shared_seconds': is empty"));
  for (const char* bad : {"inf", "-inf", "nan", "NaN"}) {
    CHECK_THAT(refused(kOwn + "1,2," + bad + "\n"),
               Contains("line 2, column 'shared_seconds': '" + std::string(bad) + "' is not"));
  }
  for (const char* bad : {"2s", "0x10", "1.5.2", "1 2", "\"1,5,5\"", "+1", "--1", "1e", "two", "1e999", "1e-999"}) {
    INFO(bad);
    CHECK_THAT(refused(kOwn + "1,2," + bad + "\n"), Contains("line 2, column 'shared_seconds': '"));
  }
  for (const char* bad : {"0", "-3", "1.5", "1e3", "ten", "9223372036854775808", ""}) {
    INFO(bad);
    CHECK_THAT(refused(kOwn + bad + ",2,1\n"), Contains("line 2, column 'candidates': "));
    CHECK_THAT(refused(kOwn + bad + ",2,1\n"), Contains("; allowed: a whole number, at least 1"));
  }
  CHECK(refused(kOwn + "1,2\n") == "t.csv: line 2: 2 cells, but the header has 3; as many as the header");
  CHECK(refused(kOwn + "1,2,3,4\n") ==
        "t.csv: line 2: 4 cells, but the header has 3; as many as the header; with decimal commas, separate cells by "
        "semicolons");
  CHECK(
      refused("Benchmark A\n" + kOwn + "1,2,3\n") ==
      "t.csv: line 2: 3 cells, but the header has 1; line 1 is taken for the header: lines above it must begin with #");
  CHECK_THAT(refused(kOwn), Contains("t.csv: no rows"));
  CHECK_THAT(refused(kOwn + "\n \n"), Contains("t.csv: no rows"));
  CHECK_THAT(refused(""), Contains("t.csv: is empty"));
  CHECK_THAT(refused("\xef\xbb\xbf"), Contains("t.csv: is empty"));
  CHECK(refused("candidates,naiv_seconds,shared_seconds\n1,2,3\n") ==
        "t.csv: line 1: no column for the time of a request with naive; it has 'candidates', 'naiv_seconds', "
        "'shared_seconds'; --columns naive=NAME:ms names it if it is not called 'naive_seconds' or 'naive_ms'");
  CHECK(refused("N,naive_seconds,shared_seconds\n1,2,3\n") ==
        "t.csv: line 1: no column for the candidates per request; it has 'N', 'naive_seconds', "
        "'shared_seconds'; --columns candidates=NAME names it if it is not called 'candidates'");
  CHECK_THAT(refused("candidates naive_seconds shared_seconds\n1 2 3\n"),
             Contains("separate cells by commas, semicolons or tabs, not by spaces"));
  CHECK_THAT(refused(kOwn + "1,\"1,234\",2\n"),
             Contains("t.csv: '1,234' in line 2 may be 1.234 or 1234, and no other number decides it; write 1234.5"));
  CHECK_THAT(refused(kOwn + "1,\"0,5\",0.5\n"),
             Contains("t.csv: numbers have decimal points and decimal commas: '0.5'"));
  CHECK_THAT(refused("candidates,candidates,naive_seconds,shared_seconds\n1,1,2,3\n"),
             Contains("t.csv: line 1: the column 'candidates' appears twice"));
  CHECK_THAT(refused("hello\n"), Contains("t.csv: line 1: no column for the candidates per request"));
  // Every message is one line, whatever is in the cell.
  CHECK(refused(kOwn + "1,2,\"a\nb\x1b[31m\"\n").find('\n') == std::string::npos);
}

TEST_CASE("shapes are compared in every column", "[report][csv]") {
  const std::optional<CaseShape> shape = small_report().cases[0].shape;
  CHECK(same_shape(shape, shape));
  CHECK(same_shape(std::nullopt, std::nullopt));
  CHECK_FALSE(same_shape(shape, std::nullopt));
  CHECK_FALSE(same_shape(std::nullopt, shape));
  auto other = shape;
  other->trim = !other->trim;
  CHECK_FALSE(same_shape(shape, other));
  other = shape;
  other->query_tokens = 4;
  CHECK_FALSE(same_shape(shape, other));
}

TEST_CASE("the shape of a config is what it measures", "[report][csv]") {
  Config config;
  config.model = {{1000, 768, 12, 6, 50, 3, 4, 100, 1}, Mask::history_blind, ""};
  config.run.dtype = "bf16";
  config.run.kv_dtype = "fp32";
  config.run.threads = 2;
  config.run.trim = false;
  CHECK(same_shape(shape_of(config),
                   CaseShape{{1000, 768, 12, 6, 50, 3, 4, 100, 1}, "bf16", "fp32", 2, "history-blind", false}));
  config.model.query_tokens = 0;
  CHECK(shape_of(config).query_tokens == 0);
}

}  // namespace kvcast::input
