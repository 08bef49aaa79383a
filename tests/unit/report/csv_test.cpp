#include "report/csv.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "catch.h"
#include "kvcast/kvcast.h"
#include "small_report.h"

namespace kvcast::report {
namespace {

using Row = std::vector<std::string>;

/// A reader written from RFC 4180 alone. Every row must end in CRLF.
std::vector<Row> read_csv(const std::string& text) {
  std::vector<Row> rows;
  std::size_t at = 0;
  while (at < text.size()) {
    Row row;
    for (;;) {
      std::string cell;
      if (text[at] == '"') {
        for (++at;; ++at) {
          REQUIRE(at < text.size());
          if (text[at] != '"') {
            cell += text[at];
          } else if (at + 1 < text.size() && text[at + 1] == '"') {
            cell += text[at++];
          } else {
            break;
          }
        }
        ++at;
      } else {
        const std::size_t end = text.find_first_of(",\r\n\"", at);
        REQUIRE(end != std::string::npos);
        cell = text.substr(at, end - at);
        at = end;
      }
      row.push_back(cell);
      REQUIRE(at < text.size());
      if (text[at] != ',') break;
      ++at;
    }
    REQUIRE(text.substr(at, 2) == "\r\n");
    at += 2;
    rows.push_back(row);
  }
  return rows;
}

std::vector<std::map<std::string, std::string>> read_table(const std::string& text) {
  const auto rows = read_csv(text);
  std::vector<std::map<std::string, std::string>> table;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    REQUIRE(rows[i].size() == rows[0].size());
    auto& named = table.emplace_back();
    for (std::size_t c = 0; c < rows[0].size(); ++c) named[rows[0][c]] = rows[i][c];
    REQUIRE(named.size() == rows[0].size());  // no column twice
  }
  return table;
}

}  // namespace

TEST_CASE("text cells are quoted where RFC 4180 asks for it", "[report]") {
  CHECK(csv_text("") == "");
  CHECK(csv_text("plain text") == "plain text");
  CHECK(csv_text("a,b") == "\"a,b\"");
  CHECK(csv_text("say \"hi\"") == "\"say \"\"hi\"\"\"");
  CHECK(csv_text("two\nlines") == "\"two\nlines\"");
  CHECK(csv_text("two\r\nlines") == "\"two\r\nlines\"");
  CHECK(csv_text("候选") == "候选");
  CHECK(csv_text("bad \xff") == "bad \xef\xbf\xbd");
}

TEST_CASE("text cells cannot start a formula", "[report]") {
  for (const char* start : {"=", "+", "-", "@", "\t"})
    CHECK(csv_text(start + std::string("x")) == "'" + (start + std::string("x")));
  CHECK(csv_text("\rx") == "\"'\rx\"");
  CHECK(csv_text("=1,2") == "\"'=1,2\"");
  CHECK(csv_text("a=b") == "a=b");
  CHECK(csv_text("'=x") == "'=x");
}

TEST_CASE("numbers are not text", "[report]") {
  CHECK(csv_cell(-1.5) == "-1.5");
  CHECK(csv_cell(std::int64_t{-3}) == "-3");
  CHECK(csv_cell(std::int64_t{9007199254740993}) == "9007199254740993");
  CHECK(csv_cell(true) == "true");
  CHECK(csv_cell(Value{}) == "");
  CHECK(csv_cell(std::numeric_limits<double>::quiet_NaN()) == "");
  CHECK(csv_cell(-std::numeric_limits<double>::infinity()) == "");
  for (const double value : {1.0 / 3, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -2.5e-17, 1e22}) {
    CHECK(static_cast<double>(std::stold(csv_cell(value))) == value);
  }
}

TEST_CASE("samples.csv has the columns of the contract", "[report]") {
  Report report = small_report();
  report.cases[0].samples = {{50, "shared", 3, Status::assembled, 0.5, 50, 0.25, 0.125, 0.75},
                             {50, "naive", 3, Status::extrapolated, 0.5, 2, std::nullopt, std::nullopt, 1}};
  const std::string text = render(report, "samples.csv");
  CHECK(text.substr(0, text.find("\r\n")) ==
        "history_length,dim,heads,kv_heads,layers,ffn_factor,token_merge,query_tokens,candidate_from_layer,"
        "dtype,kv_dtype,threads,mask,trim,workers,head_width,head_layers,"
        "candidates,scheme,round,status,measured_seconds,measured_candidates,prefill_s,scoring_s,canary_ratio,"
        "canary_gflops");
  const auto table = read_table(text);
  REQUIRE(table.size() == 2);
  CHECK(table[0].at("history_length") == "256");
  CHECK(table[0].at("scheme") == "shared");
  CHECK(table[0].at("status") == "assembled");
  CHECK(table[0].at("prefill_s") == "0.25");
  CHECK(table[1].at("measured_candidates") == "2");
  CHECK(table[1].at("prefill_s") == "");
}

TEST_CASE("summary.csv has a row per shape, N and scheme", "[report]") {
  Report report = small_report();
  small_shared(report).reason = "=cmd|' /C calc'!A0, \"x\"\r\n\xff";
  report.cases.push_back(report.cases[0]);
  report.cases[1].shape->dim = 512;
  const auto table = read_table(render(report, "csv"));
  REQUIRE(table.size() == 4);
  CHECK(table[0].at("scheme") == "naive");
  CHECK(table[0].at("speedup") == "");
  CHECK(table[1].at("scheme") == "shared");
  CHECK(table[1].at("reason") == "'=cmd|' /C calc'!A0, \"x\"\r\n\xef\xbf\xbd");
  CHECK(table[1].at("seconds_median") == "0.0625");
  CHECK(table[1].at("speedup") == "32");
  CHECK(table[1].at("speedup_lo") == "31.5");
  CHECK(table[1].at("speedup_hi") == "32.5");
  CHECK(table[1].at("kv_bytes") == "");
  CHECK(table[3].at("dim") == "512");
}

TEST_CASE("a column's names and values always pair", "[report]") {
  const Kind kinds[] = {Kind::boolean, Kind::integer,  Kind::number,   Kind::text,    Kind::texts,
                        Kind::name,    Kind::interval, Kind::estimate, Kind::seconds, Kind::errors};
  const Value values[] = {true,
                          std::int64_t{1},
                          1.0,
                          std::string("t"),
                          std::vector<std::string>{"t", "u"},
                          std::string("measured"),
                          Interval{},
                          Estimate{},
                          SecondsSummary{},
                          ErrorPair{}};
  for (std::size_t i = 0; i < std::size(kinds); ++i) {
    const std::size_t count = flat_names("x", kinds[i]).size();
    CHECK(flat_values(kinds[i], values[i]).size() == count);
    CHECK(flat_values(kinds[i], Value{}).size() == count);
  }
}

}  // namespace kvcast::report
