#include <optional>
#include <string>
#include <vector>

#include "catch.h"
#include "kvcast/kvcast.h"
#include "small_report.h"

namespace kvcast::report {
namespace {

using Catch::Contains;

Degradation drop(std::int64_t length, std::int64_t candidates, const std::string& scheme, double value) {
  Degradation row;
  row.history_length = length;
  row.layers = 4;
  row.candidates = candidates;
  row.scheme = scheme;
  row.head_s = 3e-3;
  row.with_s = 5e-3;
  row.drop = {value, Interval{value - 0.01, value + 0.02}};
  if (scheme != "naive") row.drop_design_note = 0.0625, row.drop_exact = 0.096;
  return row;
}

std::string table(const Report& report) { return render(report, "table", false, true); }

/// Whether a line has these words, apart from how they are spaced.
bool has_row(const std::string& text, const std::vector<std::string>& words) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    std::size_t at = 0;
    bool all = true;
    for (const std::string& word : words) {
      at = line.find(word, at);
      if (at == std::string::npos) {
        all = false;
        break;
      }
      at += word.size();
    }
    if (all) return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

TEST_CASE("the throughput drops of a case are in the table, those of others are not", "[report][degradation]") {
  Report report = small_report();
  CHECK_THAT(table(report), !Contains("throughput drop"));
  report.degradation = {drop(256, 10, "naive", 0.4), drop(256, 10, "shared", 0.1), drop(256, 50, "naive", 0.5),
                        drop(64, 10, "naive", 0.77)};
  const std::string text = table(report);
  CHECK(has_row(text, {"10", "naive", "3.00 ms", "5.00 ms", "40.0%", "[39.0%, 42.0%]"}));
  CHECK(has_row(text, {"10", "shared", "3.00 ms", "5.00 ms", "10.0%", "[9.0%, 12.0%]", "6.2%", "9.6%"}));
  CHECK(has_row(text, {"50", "naive", "50.0%"}));
  CHECK_THAT(text, !Contains("77.0%"));
  CHECK_THAT(render(report, "table"),
             Contains("drop      throughput of the ranking head behind shared -10.0% at N=10 |"));
  CHECK_THAT(render(report, "table"), Contains("naive -50.0% at N=50\n"));
}

TEST_CASE("a large grid has the drops at the largest N of every shape", "[report][degradation]") {
  Report report = small_report();
  const Case one = report.cases[0];
  report.cases.clear();
  for (const std::int64_t length : {16, 32, 64, 128, 256}) {
    report.cases.push_back(one);
    report.cases.back().shape->history_length = length;
    for (const std::int64_t n : {50, 10}) {  // in any order
      report.degradation.push_back(drop(length, n, "naive", n == 50 ? 0.4 : 0.7));
      report.degradation.push_back(drop(length, n, "shared", n == 50 ? 0.1 : 0.3));
    }
  }
  const std::string text = table(report);
  for (const char* length : {"16", "32", "64", "128", "256"}) {
    CHECK(has_row(text, {length, "4", "50", "naive", "40.0%"}));
    CHECK(has_row(text, {length, "4", "50", "shared", "10.0%"}));
  }
  CHECK_THAT(text, !Contains("70.0%"));
}

TEST_CASE("what literal copies take of memory stands beside what sharing takes", "[report][memory]") {
  Report report = small_report();
  constexpr std::int64_t kMiB = 1 << 20;
  std::vector<ResidentMemory>& memory = report.cases[0].memory;
  memory = {{"shared", 50, 3 * kMiB, 2 * kMiB, kMiB}};
  CHECK_THAT(table(report), !Contains("resident"));
  memory.push_back({"shared-copy", 50, 53 * kMiB, 52 * kMiB, 50 * kMiB});
  CHECK_THAT(table(report), Contains("resident  shared 3.00 MiB at N=50 | shared-copy 53.0 MiB at N=50 (measured)\n"));
  memory[0].candidates = 100;
  CHECK_THAT(table(report), Contains("shared 3.00 MiB at N=100 | shared-copy 53.0 MiB at N=50 (measured)\n"));
}

}  // namespace kvcast::report
