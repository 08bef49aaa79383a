#include "journal/journal.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "kvcast/error.h"
#include "unit/files.h"

namespace kvcast::journal {
namespace {

using namespace kvcast::testing;
using Catch::Contains;

JournalHead sample_head() {
  JournalHead head;
  head.tool = {"0.1.0", "0123abc", "GNU 12.2.0", "Release", {{"oneDNN", "2.6.3"}, {"Highway", "1.0.3"}}};
  head.machine = {"AMD \"EPYC\" naïve", "AVX2", "avx2", 2, std::int64_t{1} << 34, 2, 105.25, std::nullopt, 1.0 / 3};
  head.config.comment = "用户";
  head.config.model.kv_heads = 2;
  head.config.run.candidates = {1, 7};
  head.config.run.kv_dtype = "fp32";
  head.config.run.threads = 2;
  head.config.sweep.layers = {2, 4};
  head.config.measure.budget_s = 1.0 / 3;
  head.plan.cases = {{128, 2, 1, 2, 0, 0.5, 0.25, 0.125, 1000}, {256, 4, 2, 1, 1, 1.5, 1.25, 1.125, 2000}};
  head.plan.points = {{0, "naive", 7, Status::extrapolated, 2, 0.0625, 0.25, ""},
                      {1, "shared", 7, Status::skipped, 0, 0, 0, "needs 3 GiB, \"2\" are left\n"}};
  head.plan.batches = 2;
  head.plan.setup_s = 2;
  head.plan.round_s = 1.5;
  head.plan.check_s = 0.1;
  head.plan.total_s = 20.5;
  head.plan.rounds = 11;
  head.plan.min_rounds = 4;
  head.plan.max_rounds = 200;
  head.plan.memory_bytes = 9007199254740993;  // beyond what a double holds
  head.plan.whole_check_rounds = 5;
  head.shard = Shard{2, 3};
  head.self_check = true;
  return head;
}

JournalRound sample_round(std::int64_t round) {
  JournalRound result{round, round % 2, 0.1 + 0.2, {}};
  result.samples.emplace_back(
      0, Sample{7, "naive", round, Status::extrapolated, 1.0 / 3, 2, std::nullopt, std::nullopt, 1, std::nullopt});
  result.samples.emplace_back(1, Sample{7, "shared", round, Status::assembled, 0.3, 7, 0.1, 0.2, 0.97, 51.5});
  return result;
}

/// A closed journal of three rounds in `folder`; its text.
std::string three_rounds(const fs::path& folder) {
  {
    auto writer = JournalWriter::create(folder.string(), sample_head());
    for (std::int64_t round = 0; round < 3; ++round) writer.append(sample_round(round));
  }
  return contents(folder / "journal.jsonl");
}

std::vector<std::size_t> line_ends(const std::string& text) {
  std::vector<std::size_t> ends;
  for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 1)) ends.push_back(at + 1);
  return ends;
}

void check_round(const JournalRound& read, const JournalRound& written) {
  CHECK(read.round == written.round);
  CHECK(read.batch == written.batch);
  CHECK(read.measured_s == written.measured_s);
  REQUIRE(read.samples.size() == written.samples.size());
  for (std::size_t i = 0; i < read.samples.size(); ++i) {
    CHECK(read.samples[i].first == written.samples[i].first);
    const Sample& a = read.samples[i].second;
    const Sample& b = written.samples[i].second;
    CHECK(a.candidates == b.candidates);
    CHECK(a.scheme == b.scheme);
    CHECK(a.round == b.round);
    CHECK(a.status == b.status);
    CHECK(a.measured_seconds == b.measured_seconds);
    CHECK(a.measured_candidates == b.measured_candidates);
    CHECK(a.prefill_s == b.prefill_s);
    CHECK(a.scoring_s == b.scoring_s);
    CHECK(a.canary_ratio == b.canary_ratio);
    CHECK(a.canary_gflops == b.canary_gflops);
  }
}

}  // namespace

TEST_CASE("a journal gives back the run that it was begun with", "[journal]") {
  const TemporaryFolder folder;
  const std::string text = three_rounds(folder.path());
  CHECK(line_ends(text).size() == 4);
  const JournalContents read = read_journal(journal_path(folder.path().string()));
  const JournalHead want = sample_head();
  const JournalHead& head = read.head;
  CHECK(head.tool.version == want.tool.version);
  CHECK(head.tool.git_commit == want.tool.git_commit);
  CHECK(head.tool.compiler == want.tool.compiler);
  CHECK(head.tool.build_type == want.tool.build_type);
  CHECK(head.tool.dependencies == want.tool.dependencies);
  CHECK(head.machine.cpu_model == want.machine.cpu_model);
  CHECK(head.machine.isa == want.machine.isa);
  CHECK(head.machine.dense_isa == want.machine.dense_isa);
  CHECK(head.machine.threads == want.machine.threads);
  CHECK(head.machine.memory_bytes == want.machine.memory_bytes);
  CHECK(head.machine.peak_gflops == want.machine.peak_gflops);
  CHECK(head.machine.bf16_peak_gflops == want.machine.bf16_peak_gflops);
  CHECK(head.machine.read_gb_per_s == want.machine.read_gb_per_s);
  CHECK(config_to_json(head.config) == config_to_json(want.config));
  REQUIRE(head.plan.cases.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    const PlannedCase& a = head.plan.cases[i];
    const PlannedCase& b = want.plan.cases[i];
    CHECK(a.history_length == b.history_length);
    CHECK(a.layers == b.layers);
    CHECK(a.workers == b.workers);
    CHECK(a.threads == b.threads);
    CHECK(a.batch == b.batch);
    CHECK(a.setup_s == b.setup_s);
    CHECK(a.round_s == b.round_s);
    CHECK(a.check_s == b.check_s);
    CHECK(a.memory_bytes == b.memory_bytes);
  }
  REQUIRE(head.plan.points.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    const PlannedPoint& a = head.plan.points[i];
    const PlannedPoint& b = want.plan.points[i];
    CHECK(a.case_index == b.case_index);
    CHECK(a.scheme == b.scheme);
    CHECK(a.candidates == b.candidates);
    CHECK(a.status == b.status);
    CHECK(a.measured_candidates == b.measured_candidates);
    CHECK(a.estimated_s == b.estimated_s);
    CHECK(a.whole_s == b.whole_s);
    CHECK(a.reason == b.reason);
  }
  CHECK(head.plan.batches == want.plan.batches);
  CHECK(head.plan.setup_s == want.plan.setup_s);
  CHECK(head.plan.round_s == want.plan.round_s);
  CHECK(head.plan.check_s == want.plan.check_s);
  CHECK(head.plan.total_s == want.plan.total_s);
  CHECK(head.plan.rounds == want.plan.rounds);
  CHECK(head.plan.min_rounds == want.plan.min_rounds);
  CHECK(head.plan.max_rounds == want.plan.max_rounds);
  CHECK(head.plan.memory_bytes == want.plan.memory_bytes);
  CHECK(head.plan.whole_check_rounds == want.plan.whole_check_rounds);
  REQUIRE(head.shard);
  CHECK(head.shard->index == 2);
  CHECK(head.shard->count == 3);
  CHECK(head.self_check);
  CHECK_FALSE(read.torn);
  CHECK(read.whole_bytes == static_cast<std::int64_t>(text.size()));
  REQUIRE(read.rounds.size() == 3);
  for (std::int64_t i = 0; i < 3; ++i) check_round(read.rounds[static_cast<std::size_t>(i)], sample_round(i));
}

TEST_CASE("every cut of a journal leaves the rounds before it", "[journal]") {
  const TemporaryFolder folder;
  const std::string text = three_rounds(folder.path());
  const std::vector<std::size_t> ends = line_ends(text);
  const fs::path path = folder.path() / "cut.jsonl";
  for (std::size_t size = 0; size <= text.size(); ++size) {
    write_file(path, text.substr(0, size));
    INFO("cut at byte " << size << " of " << text.size());
    if (size < ends[0]) {
      REQUIRE_THROWS_AS(read_journal(path.string()), ConfigError);
      continue;
    }
    std::size_t whole = 0;
    while (whole < ends.size() && ends[whole] <= size) ++whole;
    const JournalContents read = read_journal(path.string());
    REQUIRE(read.rounds.size() == whole - 1);
    REQUIRE(read.whole_bytes == static_cast<std::int64_t>(ends[whole - 1]));
    REQUIRE(read.torn == (size != ends[whole - 1]));
    for (std::size_t i = 0; i + 1 < whole; ++i) REQUIRE(read.rounds[i].round == static_cast<std::int64_t>(i));
  }
}

TEST_CASE("numbers survive a journal bit for bit", "[journal]") {
  const TemporaryFolder folder;
  using Limits = std::numeric_limits<double>;
  const std::vector<double> values = {
      1.0 / 3,          0.1 + 0.2, 1e-9, 5e-324, Limits::min(), Limits::max(), -0.0, 1e22, 123456789.12345678,
      Limits::epsilon()};
  JournalRound round;
  for (const double value : values) {
    Sample sample;
    sample.measured_seconds = value;
    sample.prefill_s = value;
    sample.canary_ratio = value;
    round.samples.emplace_back(0, sample);
  }
  JournalWriter::create(folder.path().string(), sample_head()).append(round);
  const auto read = read_journal(journal_path(folder.path().string())).rounds.at(0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = std::bit_cast<std::uint64_t>(values[i]);
    CHECK(std::bit_cast<std::uint64_t>(read.samples[i].second.measured_seconds) == bits);
    CHECK(std::bit_cast<std::uint64_t>(*read.samples[i].second.prefill_s) == bits);
    CHECK(std::bit_cast<std::uint64_t>(read.samples[i].second.canary_ratio) == bits);
  }
}

TEST_CASE("a number that is not known stays unknown in a journal", "[journal]") {
  const TemporaryFolder folder;
  JournalRound round = sample_round(0);
  round.samples[0].second.canary_ratio = std::numeric_limits<double>::quiet_NaN();
  JournalWriter::create(folder.path().string(), sample_head()).append(round);
  const auto read = read_journal(journal_path(folder.path().string())).rounds.at(0);
  CHECK(std::isnan(read.samples[0].second.canary_ratio));
  CHECK_FALSE(read.samples[0].second.prefill_s);
}

TEST_CASE("a line of a journal that is broken before the last is named", "[journal]") {
  const TemporaryFolder folder;
  const std::string text = three_rounds(folder.path());
  const auto ends = line_ends(text);
  const fs::path path = folder.path() / "journal.jsonl";
  const auto spoilt = [&](const std::string& spoilt_text) {
    write_file(path, spoilt_text);
    return read_journal(path.string());
  };
  const auto with_line = [&](std::size_t line, const std::string& content) {
    const std::size_t from = line == 1 ? 0 : ends[line - 2];
    return text.substr(0, from) + content + "\n" + text.substr(ends[line - 1]);
  };
  CHECK_THROWS_WITH(spoilt(with_line(3, "{\"round\":1,")), Contains("journal.jsonl: line 3: column"));
  CHECK_THROWS_AS(spoilt(with_line(3, "{\"round\":1,")), ConfigError);
  CHECK_THROWS_WITH(spoilt(with_line(2, "")), Contains("line 2"));
  CHECK_THROWS_WITH(spoilt(with_line(1, "{}")), Contains("line 1: /schema: is null or missing; allowed: a text"));
  // Whole JSON of a wrong kind is no torn write, the last line included.
  CHECK_THROWS_WITH(spoilt(with_line(4, R"({"round":"x","batch":0,"measured_s":1,"samples":[]})")),
                    Contains("line 4: /round: is the text 'x'; allowed: a whole number"));
  CHECK_THROWS_WITH(spoilt(with_line(3, R"({"round":1,"batch":0,"measured_s":1,"samples":[[2,{}]]})")),
                    Contains("line 3: /samples/0/0: no such case"));
  CHECK_THROWS_WITH(spoilt(with_line(3, R"({"round":1,"batch":0,"measured_s":1,"samples":[[-1,{}]]})")),
                    Contains("/samples/0/0"));
  CHECK_THROWS_WITH(spoilt(with_line(3, R"({"round":1,"batch":0,"measured_s":1,"samples":[[0,{}]]})")),
                    Contains("line 3: /samples/0/1/candidates: is null or missing"));
  // Blocks that never reached the disk read as zeros.
  const auto zeros = spoilt(with_line(4, std::string(20, '\0')));
  CHECK(zeros.torn);
  CHECK(zeros.rounds.size() == 2);
}

TEST_CASE("a journal of another schema is refused", "[journal]") {
  const TemporaryFolder folder;
  std::string text = three_rounds(folder.path());
  const fs::path path = folder.path() / "journal.jsonl";
  text.replace(text.find("kvcast.journal/1"), 16, "kvcast.journal/2");
  write_file(path, text);
  CHECK_THROWS_WITH(read_journal(path.string()),
                    Contains("line 1: /schema: is 'kvcast.journal/2'; allowed: kvcast.journal/1"));
  CHECK_THROWS_AS(read_journal((folder.path() / "none.jsonl").string()), IoError);
}

TEST_CASE("a new journal does not take the place of an unfinished run", "[journal]") {
  const TemporaryFolder folder;
  const std::string name = folder.path().string();
  const std::string text = three_rounds(folder.path());
  CHECK_THROWS_WITH(JournalWriter::create(name, sample_head()),
                    Contains("journal.jsonl: holds an unfinished run; --resume " + name));
  CHECK_THROWS_AS(JournalWriter::create(name, sample_head()), ConfigError);
  CHECK(contents(folder.path() / "journal.jsonl") == text);
  CHECK_THROWS_AS(JournalWriter::create(name + "/absent", sample_head()), IoError);
  remove_journal(name);
  CHECK(names_in(folder.path()).empty());
  remove_journal(name);  // nothing there: no error
}

TEST_CASE("a journal that is being written is in use", "[journal]") {
  const TemporaryFolder folder;
  const std::string name = folder.path().string();
  refuse_when_in_use(name);
  {
    std::optional<JournalWriter> writer = JournalWriter::create(name, sample_head());
    writer->append(sample_round(0));
    const auto seen = read_journal(journal_path(name));  // looking is allowed
    CHECK(seen.rounds.size() == 1);
    CHECK_THROWS_WITH(refuse_when_in_use(name), Contains("in use by another kvcast"));
    CHECK_THROWS_WITH(JournalWriter::create(name, sample_head()), Contains("in use by another kvcast"));
    CHECK_THROWS_WITH(JournalWriter::reopen(name, seen), Contains("in use by another kvcast"));
    CHECK_THROWS_AS(JournalWriter::reopen(name, seen), ConfigError);
    JournalWriter moved = std::move(*writer);
    writer.reset();
    CHECK_THROWS_AS(refuse_when_in_use(name), ConfigError);
    moved.append(sample_round(1));
    CHECK(read_journal(journal_path(name)).rounds.size() == 2);
  }
  refuse_when_in_use(name);
}

TEST_CASE("a journal taken up again goes on after its last whole line", "[journal]") {
  const TemporaryFolder folder;
  const std::string name = folder.path().string();
  const fs::path path = folder.path() / "journal.jsonl";
  const std::string text = three_rounds(folder.path());
  const auto ends = line_ends(text);
  write_file(path, text.substr(0, ends[2] + 40));
  const JournalContents torn = read_journal(path.string());
  REQUIRE(torn.torn);
  {
    auto writer = JournalWriter::reopen(name, torn);
    CHECK(contents(path) == text.substr(0, ends[2]));
    writer.append(sample_round(2));
  }
  CHECK(contents(path) == text);

  // Read before someone else went on with it.
  CHECK_THROWS_WITH(JournalWriter::reopen(name, torn), Contains("has changed since it was read"));
  JournalContents other = read_journal(path.string());
  other.head.config.run.seed += 1;
  CHECK_THROWS_AS(JournalWriter::reopen(name, other), ConfigError);
  CHECK(contents(path) == text);
  remove_journal(name);
  CHECK_THROWS_AS(JournalWriter::reopen(name, torn), IoError);
}

TEST_CASE("a round that does not fit on the disk leaves the rounds before it", "[journal]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "journal.jsonl";
  auto writer = JournalWriter::create(folder.path().string(), sample_head());
  writer.append(sample_round(0));
  const std::string before = contents(path);
  {
    const FileSizeLimit limit(before.size() + 50);  // a part of the line fits
    CHECK_THROWS_AS(writer.append(sample_round(1)), IoError);
    CHECK_THROWS_WITH(writer.append(sample_round(1)), Contains("journal.jsonl: cannot write: "));
  }
  CHECK(contents(path) == before);
  writer.append(sample_round(1));
  const auto read = read_journal(path.string());
  CHECK_FALSE(read.torn);
  REQUIRE(read.rounds.size() == 2);
  check_round(read.rounds[1], sample_round(1));
}

TEST_CASE("a journal whose first line does not fit is not left behind", "[journal]") {
  const TemporaryFolder folder;
  {
    const FileSizeLimit limit(100);
    CHECK_THROWS_AS(JournalWriter::create(folder.path().string(), sample_head()), IoError);
  }
  CHECK(names_in(folder.path()).empty());
}

}  // namespace kvcast::journal
