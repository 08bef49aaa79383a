#include <limits>
#include <locale>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "catch.h"
#include "kvcast/kvcast.h"
#include "report/text.h"
#include "small_report.h"

namespace kvcast::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Json parsed(const Report& report) { return Json::parse(render(report, "json")); }

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> result;
  for (const auto& item : object.items()) result.push_back(item.key());
  return result;
}

const Json& scheme(const Json& root, const char* name) { return root["cases"][0]["points"][0]["schemes"][name]; }

}  // namespace

TEST_CASE("report.json has the sections of the contract in order", "[report]") {
  const Json root = parsed(small_report());
  CHECK(keys(root) == std::vector<std::string>{"schema", "tool", "machine", "config", "shard", "conditions", "cases",
                                               "surfaces", "degradation", "sizing", "traffic", "warnings"});
  CHECK(root["schema"] == "kvcast.report/2");
  CHECK(keys(root["cases"][0]) == std::vector<std::string>{"shape", "machine", "equivalence", "after_timing", "points",
                                                           "fits", "composition", "micro_batches", "profiles",
                                                           "self_check", "memory"});
  CHECK(root["shard"].is_null());
  CHECK(root["conditions"].is_null());
  CHECK(root["surfaces"] == Json::array());
  CHECK(root["cases"][0]["machine"].is_null());
  CHECK(root["cases"][0]["equivalence"].is_null());
  CHECK(root["degradation"] == Json::array());
  CHECK(root["sizing"].is_null());
  CHECK(root["traffic"].is_null());
}

TEST_CASE("unknown is null, and what compares with naive is absent for naive", "[report]") {
  Report report = small_report();
  small_shared(report).flops = std::nullopt;
  small_shared(report).predicted_speedup = std::nullopt;
  const Json root = parsed(report);
  CHECK(scheme(root, "shared")["flops"].is_null());
  CHECK(scheme(root, "shared")["predicted_speedup"].is_null());
  for (const char* name : {"speedup", "improvement", "predicted_speedup", "gain_over_shared"}) {
    CHECK(scheme(root, "shared").contains(name));
    CHECK_FALSE(scheme(root, "naive").contains(name));
  }
  CHECK(root["tool"]["git_commit"].is_null());
  CHECK(root["machine"]["memory_bytes"].is_null());
}

TEST_CASE("numbers that are not finite become null", "[report]") {
  Report report = small_report();
  small_shared(report).flops = kNaN;
  small_shared(report).speedup = Estimate{kInfinity, Interval{1, kInfinity}};
  small_naive(report).seconds->median = -kInfinity;
  const std::string text = render(report, "json");
  CHECK(text.find("nan") == std::string::npos);
  CHECK(text.find("inf") == std::string::npos);
  const Json root = Json::parse(text);
  CHECK(scheme(root, "shared")["flops"].is_null());
  CHECK(scheme(root, "shared")["speedup"]["value"].is_null());
  CHECK(scheme(root, "shared")["speedup"]["ci95"] == Json::array({1.0, nullptr}));
  CHECK(scheme(root, "naive")["seconds"]["median"].is_null());
}

TEST_CASE("doubles in report.json read back as the same value", "[report]") {
  for (const double value : {1.0 / 3, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -2.5e-17, 1e22}) {
    Report report = small_report();
    small_shared(report).flops = value;
    CHECK(scheme(parsed(report), "shared")["flops"].get<double>() == value);
  }
}

TEST_CASE("the echoed config is the config", "[report]") {
  Report report = small_report();
  report.config->comment = "用户 \"quoted\"";
  report.config->run.candidates = {1, 7};
  report.config->measure.budget_s = 1.0 / 3;
  const std::string echo = parsed(report)["config"].dump();
  const Config again = parse_config(echo, "the echo", {}, HostLimits{2, 0});
  CHECK(config_to_json(again) == config_to_json(*report.config));
}

TEST_CASE("text from outside cannot break report.json", "[report]") {
  Report report = small_report();
  report.machine->cpu_model = "bad \xff byte";
  report.config->comment = "bad \xc3(";
  report.cases[0].shape->mask = "\xe2\x82";
  report.warnings = {{"code", std::string("nul \0 quote \" \n", 14), ""}};
  small_shared(report).reason = "\xed\xa0\x80 surrogate";
  const Json root = parsed(report);
  CHECK(root["machine"]["cpu_model"] == "bad \xef\xbf\xbd byte");
  CHECK(root["config"]["comment"] == "bad \xef\xbf\xbd(");
  CHECK(root["cases"][0]["shape"]["mask"] == "\xef\xbf\xbd");
  CHECK(root["warnings"][0]["text"] == std::string("nul \0 quote \" \n", 14));
  CHECK(root["warnings"][0]["advice"].is_null());
}

TEST_CASE("valid_utf8 keeps what is valid", "[report]") {
  CHECK(valid_utf8("").empty());
  CHECK(valid_utf8("a\t\"\\ naïve 候选 \xf0\x9f\x98\x80") == "a\t\"\\ naïve 候选 \xf0\x9f\x98\x80");
}

TEST_CASE("the equality summary is the worst of the schemes", "[report]") {
  Report report = small_report();
  Equivalence equivalence;
  equivalence.schemes = {{"naive", ErrorPair{3, 1}, std::nullopt, std::nullopt, std::nullopt, std::nullopt, 0.25, true},
                         {"shared", ErrorPair{1, 4}, ErrorPair{5, 6}, 0.75, 0.5, 0.625, 0.375, true},
                         {"shared-copy", ErrorPair{2, 2}, ErrorPair{7, 0}, 0.5, 1.0, 0.875, std::nullopt, true}};
  report.cases[0].equivalence = equivalence;
  const Json summary = parsed(report)["cases"][0]["equivalence"];
  CHECK(summary["vs_reference"] == Json{{"max_abs", 3.0}, {"max_rel", 4.0}});
  CHECK(summary["vs_naive"] == Json{{"max_abs", 7.0}, {"max_rel", 6.0}});
  CHECK(summary["top_k_overlap"] == 0.5);
  CHECK(summary["kendall_tau"] == 0.5);
  CHECK(summary["reference_top_k_overlap"] == 0.625);
  CHECK(summary["reference_kendall_tau"] == 0.25);
  CHECK(summary["schemes"]["shared"]["vs_naive"]["max_abs"] == 5.0);

  // A scheme whose output is not a number must not vanish behind one that is.
  for (std::size_t bad = 0; bad < 3; ++bad) {
    auto& schemes = report.cases[0].equivalence->schemes;
    schemes = equivalence.schemes;
    schemes[bad].vs_reference->max_abs = kNaN;
    CHECK(parsed(report)["cases"][0]["equivalence"]["vs_reference"]["max_abs"].is_null());
  }
}

TEST_CASE("no format reads the global locale", "[report]") {
  struct Comma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  std::vector<std::string> plain;
  for (const auto& format : formats()) plain.push_back(render(small_report(), format.name));
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Comma));
  std::vector<std::string> localised;
  for (const auto& format : formats()) localised.push_back(render(small_report(), format.name));
  std::locale::global(before);
  CHECK(localised == plain);
}

TEST_CASE("an unknown format is the user's fault and names the known ones", "[report]") {
  CHECK_THROWS_AS(render(small_report(), "xml"), ConfigError);
  CHECK_THROWS_WITH(render(small_report(), "xml"),
                    Catch::Contains("'xml'") && Catch::Contains("json") && Catch::Contains("samples.csv"));
}

TEST_CASE("a report without cases renders in every format", "[report]") {
  for (const auto& format : formats()) CHECK_FALSE(render(Report{}, format.name).empty());
}

}  // namespace kvcast::report
