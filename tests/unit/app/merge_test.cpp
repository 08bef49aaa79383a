#include <functional>
#include <string>
#include <vector>

#include "catch.h"
#include "folders.h"
#include "kvcast/kvcast.h"

namespace {

using Catch::Contains;
using Catch::Matchers::WithinRel;
using namespace kvcast;
using testing::part;

class Folders {
 public:
  std::string write(const std::string& name, const Report& report) const {
    const std::string path = (temporary_.path() / name).string();
    write_report(report, path);
    return path;
  }
  /// Merges both parts after `change` to the second; gives the message of the refusal.
  std::string refusal(const std::function<void(Report&)>& change) const {
    Report second = part(2, 2);
    change(second);
    return refusal({write("one", part(1, 2)), write("two", second)});
  }
  static std::string refusal(const std::vector<std::string>& folders) {
    try {
      merge(folders);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "not refused";
  }

 private:
  testing::TemporaryFolder temporary_;
};

}  // namespace

TEST_CASE("parts join in the order of the grid and are analysed anew", "[app][merge]") {
  const Folders folders;
  const Report merged = merge({folders.write("two", part(2, 2, 0.2)), folders.write("one", part(1, 2, 0.1))});
  const std::vector<Config> cases = grid(testing::grid_config());
  REQUIRE(merged.cases.size() == cases.size());
  for (std::size_t i = 0; i < cases.size(); ++i) {
    CHECK(merged.cases[i].shape->history_length == cases[i].model.history_length);
    CHECK(merged.cases[i].shape->layers == cases[i].model.layers);
    REQUIRE(merged.cases[i].fits.size() == 1);
    // The wobble of the rounds is 0.1% of the time, so half of that of N = 50's r-carrying part is the bound.
    CHECK_THAT(merged.cases[i].fits[0].r->value, WithinRel(i % 2 == 0 ? 0.1 : 0.2, 2e-3));
    CHECK(merged.cases[i].points.size() == 3);
    CHECK(merged.cases[i].machine->peak_gflops == (i % 2 == 0 ? 101.0 : 102.0));
  }
  CHECK_FALSE(merged.shard);
  CHECK(merged.machine->peak_gflops == 102.0);
  CHECK(merged.conditions->rounds == 5);
  CHECK(merged.conditions->measured_s == 20);
  CHECK(merged.conditions->steal_pct == 2.0);
  CHECK(merged.conditions->stopped_by == StoppedBy::precision);
  std::size_t kept = 0;
  for (const Warning& warning : merged.warnings) kept += warning.code == "kept" ? 1 : 0;
  CHECK(kept == 1);
}

TEST_CASE("a merged report of two machines has none of its own", "[app][merge]") {
  const Folders folders;
  Report second = part(2, 2);
  second.machine->cpu_model = "other";
  second.conditions->stopped_by = StoppedBy::budget;
  const Report merged = merge({folders.write("one", part(1, 2)), folders.write("two", second)});
  CHECK_FALSE(merged.machine);
  CHECK(merged.cases[0].machine->cpu_model == "CPU");
  CHECK(merged.cases[1].machine->cpu_model == "other");
  CHECK(merged.conditions->stopped_by == StoppedBy::budget);
}

TEST_CASE("a whole run merges alone, and may skip a shape", "[app][merge]") {
  const Folders folders;
  Report whole = part(1, 1);
  whole.shard.reset();
  whole.cases[3].samples.clear();
  SchemePoint skipped;
  skipped.scheme = "naive";
  skipped.status = Status::skipped;
  skipped.reason = "needs 15 GB";
  whole.cases[3].points = {{1, {skipped}}};
  CHECK(merge({folders.write("whole", whole)}).cases.size() == 4);

  whole.cases[3].points[0].schemes[0].reason = "not measured";
  CHECK_THAT(Folders::refusal({folders.write("whole", whole)}), Contains("no samples of L=128, layers=2"));
}

TEST_CASE("parts that do not make the grid are refused by name", "[app][merge]") {
  const Folders folders;
  const std::string one = folders.write("one", part(1, 3)), two = folders.write("two", part(2, 3)),
                    again = folders.write("again", part(2, 3)), other = folders.write("other", part(2, 2));
  CHECK_THAT(Folders::refusal({one, two}), Contains("a gap: part 3/3 is not among the folders"));
  CHECK_THAT(Folders::refusal({two}), Contains("a gap: parts 1/3, 3/3 are not"));
  CHECK_THAT(Folders::refusal({one, two, again}), Contains(again + ": overlaps: part 2/3, as " + two));
  CHECK_THAT(Folders::refusal({one, other}), Contains(other + ": is part 2/2") && Contains("one of 3"));
  CHECK_THAT(folders.refusal([](Report& report) { report.shard.reset(); }), Contains("two: is a whole run"));
  // The shards say that all is there, the cases do not.
  CHECK_THAT(folders.refusal([](Report& report) { report.cases.pop_back(); }),
             Contains("a gap: L=128, layers=2 is in none"));
  CHECK_THAT(folders.refusal([](Report& report) { report.cases.push_back(part(1, 2).cases[0]); }),
             Contains("two: overlaps: has L=64, layers=1"));
  CHECK_THAT(folders.refusal([](Report& report) {
    report.cases.push_back(report.cases[0]);
    report.cases.back().shape->dim = 32;
  }),
             Contains("which is not part of its grid"));
}

TEST_CASE("parts of another build or config are refused", "[app][merge]") {
  const Folders folders;
  CHECK_THAT(folders.refusal([](Report& report) { report.tool.version = "1.0.1"; }),
             Contains("two: has version '1.0.1', but '1.0.0' in"));
  CHECK_THAT(folders.refusal([](Report& report) { report.tool.git_commit = "x"; }), Contains("has commit 'x'"));
  CHECK_THAT(folders.refusal([](Report& report) { report.tool.compiler = "x"; }), Contains("has compiler 'x'"));
  CHECK_THAT(folders.refusal([](Report& report) { report.tool.build_type = "x"; }), Contains("has build type 'x'"));
  CHECK_THAT(folders.refusal([](Report& report) { report.config->run.seed = 7; }),
             Contains("two: has run.seed 7, but 1 in"));
  CHECK(folders.refusal([](Report& report) { report.config->measure.max_memory_bytes = 1 << 30; }) == "not refused");
}

TEST_CASE("unfinished parts are refused", "[app][merge]") {
  const Folders folders;
  CHECK_THAT(folders.refusal([](Report& report) { report.conditions->stopped_by = StoppedBy::interrupt; }),
             Contains("two: was interrupted"));
  CHECK_THAT(folders.refusal([](Report& report) { report.cases[0].samples.clear(); }), Contains("two: has no samples"));
  const std::string one = folders.write("one", part(1, 2)), two = folders.write("two", part(2, 2));
  testing::write_file(two + "/journal.jsonl", "");
  CHECK_THAT(Folders::refusal({one, two}), Contains("two: is an unfinished run"));
  testing::fs::remove(two + "/journal.jsonl");
  testing::fs::remove(two + "/samples.csv");
  CHECK_THROWS_WITH(merge({one, two}), Contains("two: has no samples.csv"));
  CHECK_THROWS_AS(merge({one, two}), IoError);
  CHECK_THROWS_AS(merge({}), ConfigError);
}
