#include <string>
#include <vector>

#include "catch.h"
#include "folders.h"
#include "kvcast/kvcast.h"

namespace {

using Catch::Contains;
using Catch::Matchers::WithinRel;
using namespace kvcast;

constexpr const char* kHead = "candidates,naive_seconds,shared_seconds\n";

/// A CSV of one's own in which shared follows r exactly.
std::string csv_of(double r) {
  std::string text = kHead;
  for (const int n : {1, 5, 20}) {
    for (int round = 0; round < 3; ++round) {
      text += std::to_string(n) + "," + std::to_string(n) + "," + std::to_string(1 + (n - 1) * r) + "\n";
    }
  }
  return text;
}

}  // namespace

TEST_CASE("a CSV of one's own gives its planted r and predictions", "[app][fit]") {
  const testing::TemporaryFolder folder;
  const std::string path = (folder.path() / "mine.csv").string();
  testing::write_file(path, csv_of(0.25));
  FitOptions options;
  options.candidates = {100, 20};
  options.extrapolate = true;
  const Report report = fit(path, options);
  REQUIRE(report.cases.size() == 1);
  REQUIRE(report.cases[0].fits.size() == 1);
  const Fit& of_shared = report.cases[0].fits[0];
  CHECK_THAT(of_shared.r->value, WithinRel(0.25, 1e-6));  // std::to_string has six decimals
  REQUIRE(of_shared.predictions.size() == 2);
  CHECK_THAT(of_shared.predictions[0].speedup->value, WithinRel(100 / (1 + 99 * 0.25), 1e-5));
  CHECK(report.cases[0].points.size() == 3);
  CHECK(report.tool.version == tool_info().version);
  CHECK_FALSE(report.machine);
}

TEST_CASE("a folder is fitted as the run was", "[app][fit]") {
  const testing::TemporaryFolder folder;
  write_report(testing::part(1, 1), folder.path().string());
  const Report report = fit(folder.path().string(), {});
  CHECK(report.tool.version == "1.0.0");
  REQUIRE(report.cases.size() == 4);
  for (const Case& one : report.cases) CHECK_THAT(one.fits.at(0).r->value, WithinRel(0.1, 2e-3));
}

TEST_CASE("a shape of a type that is none is refused with file, value and what is allowed", "[app][fit]") {
  for (const bool cache : {false, true}) {
    const testing::TemporaryFolder folder;
    Report report = testing::part(1, 1);
    CaseShape& shape = *report.cases.back().shape;
    (cache ? shape.kv_dtype : shape.dtype) = "int8";
    write_report(report, folder.path().string());
    const std::string expected =
        folder.path().string() + (cache ? ": kv_dtype" : ": dtype") + ": 'int8' is unknown; allowed: fp32, bf16";
    CHECK_THROWS_MATCHES(fit(folder.path().string(), {}), ConfigError, Catch::Matchers::Message(expected));
    CHECK_THROWS_AS(compare(folder.path().string(), folder.path().string(), {}), ConfigError);
  }
}

TEST_CASE("a mask that is none is refused, not taken for causal", "[app][fit]") {
  const testing::TemporaryFolder folder;
  Report report = testing::part(1, 1);
  report.cases.back().shape->mask = "sideways";
  write_report(report, folder.path().string());
  CHECK_THROWS_MATCHES(
      fit(folder.path().string(), {}), ConfigError,
      Catch::Matchers::Message(folder.path().string() + ": mask: 'sideways' is unknown; allowed: "
                                                        "causal, history-blind, target-first-causal, bidirectional"));
}

TEST_CASE("what cannot be fitted is refused with the reason", "[app][fit]") {
  const testing::TemporaryFolder folder;
  const std::string path = (folder.path() / "mine.csv").string();
  testing::write_file(path, std::string(kHead) + "1,1,1\n1,1,1.1\n");
  CHECK_THROWS_WITH(fit(path, {}), Contains("mine.csv: only N = 1 was timed") && Contains("an N above 1"));
  CHECK_THROWS_AS(fit(path, {}), ConfigError);

  Report naive = testing::part(1, 1);
  for (Case& one : naive.cases) std::erase_if(one.samples, [](const Sample& s) { return s.scheme != "naive"; });
  write_report(naive, (folder.path() / "naive").string());
  CHECK_THROWS_WITH(fit((folder.path() / "naive").string(), {}), Contains("no usable timing of shared"));

  testing::write_file(path, csv_of(0.25) + "5,1,fast\n");
  CHECK_THROWS_WITH(fit(path, {}), Contains("mine.csv") && Contains("line 11") && Contains("'fast'"));
}

TEST_CASE("options that the data cannot serve are refused", "[app][fit]") {
  const testing::TemporaryFolder folder;
  const std::string path = (folder.path() / "mine.csv").string();
  testing::write_file(path, csv_of(0.25));
  FitOptions options;
  options.candidates = {0};
  CHECK_THROWS_WITH(fit(path, options), Contains("--candidates: '0'"));
  options = {};
  options.layers = {4};
  CHECK_THROWS_WITH(fit(path, options), Contains("--layers") && Contains("1 shape") && Contains("a grid"));
  options = {};
  options.history_length = {64};
  CHECK_THROWS_WITH(fit(path, options), Contains("--history") && Contains("a grid"));
  options = {};
  options.holdout = 0.25;
  CHECK_THROWS_WITH(fit(path, options), Contains("--holdout") && Contains("a grid"));
  options.holdout = 1.0;
  CHECK_THROWS_WITH(fit(path, options), Contains("--holdout: '1'"));
}
