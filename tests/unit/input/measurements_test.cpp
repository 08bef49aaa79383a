#include "input/measurements.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "catch.h"
#include "fixed_report.h"
#include "journal/journal.h"
#include "kvcast/kvcast.h"
#include "report/shape.h"
#include "unit/files.h"

namespace kvcast::input {
namespace {

using namespace journal;
using namespace kvcast::testing;
using Catch::Contains;

std::vector<std::string> codes(const Report& report) {
  std::vector<std::string> result;
  for (const auto& warning : report.warnings) result.push_back(warning.code);
  return result;
}

bool has_code(const Report& report, const std::string& code) {
  const auto all = codes(report);
  return std::find(all.begin(), all.end(), code) != all.end();
}

Report golden_with_samples() {
  Report report = golden::fixed_report();
  report.cases[1].samples = {{7, "naive", 0, Status::measured, 0.25, 7, {}, {}, 1, {}}};
  return report;
}

JournalHead grid_head() {
  JournalHead head;
  head.tool.version = "0.1.0";
  head.machine.threads = 2;
  head.config.model.kv_heads = 4;
  head.config.run.threads = 2;
  head.config.run.kv_dtype = "fp32";
  head.config.sweep.layers = {2, 4};
  head.plan.cases = {{128, 2, 0, 0, 0, 0, 0, 0}, {256, 4, 1, 0, 0, 0, 0, 0}};
  head.shard = Shard{2, 3};
  return head;
}

Sample one_sample(std::int64_t round) { return {7, "naive", round, Status::measured, 0.25, 7, {}, {}, 1, {}}; }

void write_journal(const std::string& folder, int rounds) {
  auto writer = JournalWriter::create(folder, grid_head());
  for (int i = 0; i < rounds; ++i) writer.append({i, i % 2, 1, {{i % 2, one_sample(i)}}});
}

}  // namespace

TEST_CASE("a folder gives its report with its samples", "[journal][read]") {
  const TemporaryFolder folder;
  const Report report = golden_with_samples();
  write_report(report, folder.path().string());
  const std::string samples = render(report, "samples.csv");
  for (const std::string& path : {folder.path().string(), (folder.path() / "report.json").string()}) {
    const Report again = read_measurements(path);
    CHECK(render(again, "samples.csv") == samples);
    CHECK(render(again, "json") == render(report, "json"));
  }
  const Report alone = read_measurements((folder.path() / "samples.csv").string());
  CHECK(render(alone, "samples.csv") == samples);
  CHECK(alone.cases[0].points.empty());

  fs::remove(folder.path() / "report.json");
  CHECK(render(read_measurements(folder.path().string()), "samples.csv") == samples);
}

TEST_CASE("a report without its samples gives the medians, and says so", "[journal][read]") {
  const TemporaryFolder folder;
  const Report report = golden_with_samples();
  write_file(folder.path() / "r.json", render(report, "json"));
  const Report again = read_measurements((folder.path() / "r.json").string());
  CHECK(has_code(again, "no-samples"));
  // Of each point with a time: 3 + 2 + 2, and the naive point of the second case that has one.
  REQUIRE(again.cases[0].samples.size() == 7);
  REQUIRE(again.cases[1].samples.size() == 1);
  const Sample& naive = again.cases[0].samples[0];
  CHECK(naive.scheme == "naive");
  CHECK(naive.round == 0);
  CHECK(naive.measured_seconds == 6.75);
  CHECK(naive.canary_ratio == 1);
  const Sample& assembled = again.cases[0].samples[4];
  CHECK(assembled.candidates == 10);
  CHECK(assembled.scheme == "shared");
  CHECK(assembled.status == Status::assembled);
  CHECK(assembled.measured_seconds == 7.0625);
  CHECK(assembled.prefill_s == 6.75);
  CHECK(assembled.scoring_s == 0.3125);
  // Timed on 2 of 10 candidates: 67.5 s for all are 13.5 s for those.
  const Sample& scaled = again.cases[0].samples[3];
  CHECK(scaled.status == Status::extrapolated);
  CHECK(scaled.measured_candidates == 2);
  CHECK(scaled.measured_seconds == 13.5);
  CHECK_FALSE(scaled.prefill_s);
}

TEST_CASE("a journal gives its cases with their shapes and samples", "[journal][read]") {
  const TemporaryFolder folder;
  write_journal(folder.path().string(), 3);
  for (const std::string& path : {folder.path().string(), (folder.path() / "journal.jsonl").string()}) {
    const Report report = read_measurements(path);
    CHECK(codes(report) == std::vector<std::string>{"unfinished-run"});
    CHECK_THAT(report.warnings[0].text, Contains("3 rounds"));
    CHECK(report.tool.version == "0.1.0");
    CHECK(report.machine->threads == 2);
    CHECK(report.shard->index == 2);
    CHECK(report.config->sweep.layers == std::vector<std::int64_t>{2, 4});
    REQUIRE(report.cases.size() == 2);
    CHECK(report.cases[0].shape->history_length == 128);
    CHECK(report.cases[0].shape->layers == 2);
    CHECK(report.cases[1].shape->history_length == 256);
    CHECK(report.cases[1].shape->layers == 4);
    REQUIRE(report.cases[0].samples.size() == 2);
    CHECK(report.cases[0].samples[1].round == 2);
    REQUIRE(report.cases[1].samples.size() == 1);
  }
  // Under another name it is told by its first line.
  fs::copy_file(folder.path() / "journal.jsonl", folder.path() / "saved");
  CHECK(read_measurements((folder.path() / "saved").string()).cases.size() == 2);
}

TEST_CASE("a report beside an unfinished run is read, and the run named", "[journal][read]") {
  const TemporaryFolder folder;
  const Report report = golden_with_samples();
  write_report(report, folder.path().string());
  write_journal(folder.path().string(), 1);
  const Report again = read_measurements(folder.path().string());
  CHECK(render(again, "samples.csv") == render(report, "samples.csv"));
  CHECK(has_code(again, "unfinished-run"));
}

TEST_CASE("files are told apart by their ending, else by how they begin", "[journal][read]") {
  const TemporaryFolder folder;
  const auto file = [&](const char* name, const std::string& text) {
    write_file(folder.path() / name, text);
    return (folder.path() / name).string();
  };
  const std::string own = "candidates,naive_seconds,shared_seconds\n1,2,1\n",
                    json = render(golden_with_samples(), "json");
  CHECK(read_measurements(file("own.csv", own)).cases[0].samples.size() == 2);
  CHECK(read_measurements(file("own.CSV", own)).cases[0].samples.size() == 2);
  CHECK(read_measurements(file("own", own)).cases[0].samples.size() == 2);
  CHECK(read_measurements(file("r", "\n" + json)).cases.size() == 2);
  CHECK_THROWS_WITH(read_measurements(file("own.json", own)), Contains("own.json: line 1, column 1"));
  CHECK_THROWS_WITH(read_measurements(file("r.csv", json)), Contains("r.csv: line "));
}

TEST_CASE("what cannot give timings is refused", "[journal][read]") {
  const TemporaryFolder folder;
  const std::string name = folder.path().string();
  CHECK_THROWS_AS(read_measurements(name), IoError);
  CHECK_THROWS_WITH(read_measurements(name), Contains("has neither report.json nor journal.jsonl nor samples.csv"));
  CHECK_THROWS_AS(read_measurements(name + "/absent.csv"), IoError);
  write_file(folder.path() / "junk.json", "\x01\x02");
  CHECK_THROWS_AS(read_measurements(name + "/junk.json"), ConfigError);

  write_journal(name, 0);
  CHECK_THROWS_AS(read_measurements(name), ConfigError);
  CHECK_THROWS_WITH(read_measurements(name), Contains("has no timings"));
  remove_journal(name);

  Report report = golden_with_samples();
  for (auto& one : report.cases) one.points.clear();
  write_file(folder.path() / "report.json", render(report, "json"));
  CHECK_THROWS_WITH(read_measurements(name), Contains("has no timings"));

  // Of another run.
  write_report(golden_with_samples(), name);
  report = golden_with_samples();
  report.cases[1].shape->dim = 128;
  write_file(folder.path() / "samples.csv", render(report, "samples.csv"));
  CHECK_THROWS_AS(read_measurements(name), ConfigError);
  CHECK_THROWS_WITH(read_measurements(name),
                    Contains("samples.csv: has samples of L=0, layers=1 of a shape that is not among the cases"));

  // Which case is a sample's?
  report = golden_with_samples();
  report.cases[1].shape = report.cases[0].shape;
  write_report(report, name);
  CHECK_THROWS_WITH(read_measurements(name), Contains("report.json: /cases/1: has the shape of case 0"));
}

}  // namespace kvcast::input
