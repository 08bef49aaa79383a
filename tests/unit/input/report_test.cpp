#include "input/report.h"

#include <clocale>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "catch.h"
#include "fixed_report.h"
#include "input/text/file.h"
#include "kvcast/kvcast.h"
#include "unit/report/small_report.h"

namespace kvcast::input {
namespace {

using namespace report;
using Catch::Contains;
using Json = nlohmann::ordered_json;

std::string json(const Report& report) { return render(report, "json"); }
Report read(const Json& document) { return read_report_json(document.dump(2), "r.json"); }

/// Message of the ConfigError that the changed report is refused with; "" when it is read.
std::string refused(const Report& report, const std::function<void(Json&)>& change) {
  Json document = Json::parse(json(report));
  change(document);
  try {
    read(document);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

/// Every pointer of a document at which an object member stands.
void collect(const Json& value, const std::string& pointer, std::vector<std::string>& members) {
  if (value.is_object()) {
    for (const auto& item : value.items()) {
      std::string key;
      for (const char c : item.key()) key += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
      members.push_back(pointer + "/" + key);
      collect(item.value(), pointer + "/" + key, members);
    }
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) collect(value[i], pointer + "/" + std::to_string(i), members);
  }
}

}  // namespace

TEST_CASE("a report read back renders as it was", "[report][read]") {
  Report other = small_report();
  other.tool = {};
  other.cases[0].shape.reset();
  other.machine.reset();
  other.config.reset();
  other.warnings = {{"a/b", "c~d \"x\"\n", ""}};
  for (const Report& report : {golden::fixed_report(), small_report(), other, Report{}}) {
    const std::string text = json(report);
    CHECK(json(read_report_json(text, "r.json")) == text);
  }
}

TEST_CASE("a report is read under a locale with a decimal comma", "[report][read]") {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  const std::string text = json(golden::fixed_report());
  // Where the locale is not installed this test says nothing.
  for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"}) {
    if (std::setlocale(LC_ALL, name) == nullptr) continue;
    CHECK(json(read_report_json(text, "r.json")) == text);
  }
  std::setlocale(LC_ALL, before.c_str());
}

TEST_CASE("null is read as unknown, not as a number", "[report][read]") {
  Report report = small_report();
  small_shared(report).flops.reset();
  small_shared(report).seconds->median = std::nan("");
  small_shared(report).speedup->ci95 = Interval{1, std::nan("")};
  const Report again = read_report_json(json(report), "r.json");
  const SchemePoint& shared = again.cases[0].points[0].schemes[1];
  CHECK_FALSE(shared.flops);
  CHECK(std::isnan(shared.seconds->median));
  CHECK(shared.speedup->ci95->lo == 1);
  CHECK(std::isnan(shared.speedup->ci95->hi));
  CHECK_FALSE(again.cases[0].shape->query_tokens);
  CHECK_FALSE(again.machine->memory_bytes);
  CHECK(again.tool.git_commit.empty());
}

TEST_CASE("fields that a report has and this version does not know are passed over", "[report][read]") {
  const std::string text = json(golden::fixed_report());
  Json document = Json::parse(text);
  std::vector<std::string> members;
  collect(document, "", members);
  // Where any key is the name of a scheme or library, a new one is no unknown field.
  const auto is_map = [](const std::string& pointer) {
    return pointer.ends_with("/schemes") || pointer.ends_with("/fits") || pointer.ends_with("/dependencies");
  };
  std::size_t objects = 0;
  for (const auto& pointer : members) {
    Json& value = document[Json::json_pointer(pointer)];
    if (!value.is_object() || is_map(pointer)) continue;
    value["later"] = {{"deep", {1, 2}}};
    ++objects;
  }
  document["later"] = "x";
  document["schema"] = "kvcast.report/2.7";
  CHECK(objects > 20);
  CHECK(json(read(document)) == text);
}

TEST_CASE("reports from before a field was added are read", "[report][read]") {
  Report report = golden::fixed_report();
  Json document = Json::parse(json(report));
  for (const char* name : {"shard", "conditions", "surfaces"}) document.erase(name);
  for (auto& one : document["cases"]) {
    for (const char* name : {"machine", "self_check"}) one.erase(name);
    for (auto& fit : one["fits"]) {
      for (const char* name : {"lack_of_fit_pct", "identifiable", "verdict", "next", "slowdowns", "observed", "models",
                               "predictions", "explanation"}) {
        fit.erase(name);
      }
    }
  }
  for (const char* name : {"cold", "pin"}) document["config"]["measure"].erase(name);
  document["config"].erase("sweep");
  const Report read_back = read(document);
  CHECK_FALSE(read_back.conditions);
  CHECK(read_back.surfaces.empty());
  CHECK(read_back.cases[0].fits[0].verdict.empty());
  CHECK(read_back.cases[0].fits[0].r->value == report.cases[0].fits[0].r->value);
  CHECK(read_back.config->sweep.layers.empty());
}

TEST_CASE("the two models of kvcast.report/1 are read as a list", "[report][read]") {
  Json document = Json::parse(json(golden::fixed_report()));
  document["schema"] = "kvcast.report/1";
  Json& fit = document["cases"][0]["fits"]["shared"];
  const Json observed = fit["observed"];
  fit.erase("observed");
  fit.erase("models");
  fit["max_residual_pct"] = 3.4;
  fit["loo_error_pct"] = 2.1;
  fit["affine"] = {{"prefill_s", 6.921}, {"candidate_s", 0.013579}, {"naive_candidate_s", 6.75}};
  fit["marginal_r"] = {{"value", 0.0020117}, {"ci95", {0.0019875, 0.0020359}}};
  fit["affine_max_residual_pct"] = 0.9;
  fit["affine_loo_error_pct"] = 0.65;
  fit["residuals"] = Json::array();
  for (const Json& one : observed) {
    const bool first = one["candidates"] == 1;
    fit["residuals"].push_back({{"candidates", one["candidates"]},
                                {"speedup", one["speedup"]},
                                {"one_parameter_pct", first ? 1.8537 : 0.46},
                                {"affine_pct", first ? 0.125 : -0.0625},
                                {"loo_pct", first ? Json(nullptr) : Json(0.457)},
                                {"affine_loo_pct", first ? Json(nullptr) : Json(-1.0 / 3)}});
  }
  // What is written of it is what was written of the same models in the first place.
  CHECK(json(read(document)) == json(golden::fixed_report()));
}

TEST_CASE("formulas and symbols of a stranger are not taken, nor a model that is none of ours", "[report][read]") {
  Json document = Json::parse(json(golden::fixed_report()));
  Json& models = document["cases"][0]["fits"]["shared"]["models"];
  models[1]["formula"] = "HYPERLINK(1)";
  models[1]["limit"] = models[1]["for_90"] = "=1+1";
  models[1]["parameters"][0]["name"] = models[1]["parameters"][0]["unit"] = "=1+1";
  models[1]["parameters"].push_back(models[1]["parameters"][1]);
  models[1]["parameters"].back()["symbol"] = "=1+1";
  models.push_back(models[0]);
  models[2]["model"] = "=1+1";
  CHECK(json(read(document)) == json(golden::fixed_report()));
}

TEST_CASE("every field of the fixed report is read or refused, none by chance", "[report][read]") {
  // Each member in turn becomes a list in a list, which no field may be; what is derived is not read.
  const Report report = golden::fixed_report();
  const Json document = Json::parse(json(report));
  std::vector<std::string> members;
  collect(document, "", members);
  CHECK(members.size() > 500);
  std::size_t passed_over = 0;
  for (const auto& pointer : members) {
    Json changed = document;
    changed[Json::json_pointer(pointer)] = Json::array({Json::array()});
    INFO(pointer);
    try {
      read(changed);
      ++passed_over;
      const bool of_schemes =
          pointer.find("/equivalence/") != std::string::npos && pointer.find("/schemes/") == std::string::npos;
      const bool formula = pointer.ends_with("/formula") || pointer.ends_with("/limit") || pointer.ends_with("/for_90");
      const bool derived = of_schemes || (formula && pointer.find("/models/") != std::string::npos);
      CHECK((derived || pointer == "/sizing/answer" || pointer == "/traffic/answer"));
    } catch (const ConfigError& error) {
      const std::string message = error.what();
      CHECK_THAT(message, Contains("r.json: " + pointer));
      CHECK_THAT(message, Contains("; "));
      CHECK(message.find('\n') == std::string::npos);
    }
  }
  // Six figures of each of the two equivalences are derived from its schemes, two of them with two parts where known.
  // So are the answers of a sizing and of traffic, and the three formulas of each of three models.
  CHECK(passed_over == 2 * 6 + 2 * 2 + 2 + 3 * 3);
}

TEST_CASE("what is wrong in a report is named", "[report][read]") {
  const Report small = small_report();
  CHECK(refused(small, [](Json& d) { d["schema"] = "kvcast.report/3"; }) ==
        "r.json: /schema: is 'kvcast.report/3'; allowed: kvcast.report/2 or kvcast.report/1, which this version reads");
  CHECK_THAT(refused(small, [](Json& d) { d["schema"] = "kvcast.report/20"; }), Contains("kvcast.report/20"));
  CHECK_THAT(refused(small, [](Json& d) { d.erase("schema"); }), Contains("/schema: is null or missing"));
  CHECK(refused(small, [](Json& d) { d["cases"][0]["shape"]["dim"] = "big"; }) ==
        "r.json: /cases/0/shape/dim: is the text 'big'; allowed: a whole number");
  CHECK(refused(small, [](Json& d) { d["cases"][0]["shape"]["dim"] = 1.5; }) ==
        "r.json: /cases/0/shape/dim: is the number 1.5; allowed: a whole number");
  CHECK_THAT(refused(small, [](Json& d) { d["cases"][0]["shape"]["dim"] = 9223372036854775808ULL; }),
             Contains("9223372036854775808; allowed: a whole number"));
  CHECK_THAT(refused(small, [](Json& d) { d["cases"][0]["shape"].erase("dim"); }),
             Contains("/cases/0/shape/dim: is null or missing"));
  CHECK_THAT(
      refused(small, [](Json& d) { d["cases"][0]["points"][0]["schemes"]["shared"]["status"] = "guessed"; }),
      Contains("/schemes/shared/status: is the text 'guessed'; allowed: measured, assembled, extrapolated, skipped"));
  CHECK_THAT(refused(small, [](Json& d) { d["cases"][0]["points"][0]["schemes"]["shared"]["speedup"]["ci95"] = {1}; }),
             Contains("/speedup/ci95: is a list of 1; allowed: [low, high]"));
  CHECK_THAT(refused(small, [](Json& d) { d["cases"][0]["points"][0]["schemes"]["shared"]["flops"] = "1"; }),
             Contains("/flops: is the text '1'; allowed: a number or null"));
  CHECK_THAT(refused(small, [](Json& d) { d["config"]["model"]["dim"] = -1; }),
             Contains("r.json: /config/model/dim: "));
  CHECK_THAT(refused(small, [](Json& d) { d["config"]["model"]["heads"] = 7; }), Contains("r.json: /config"));
  CHECK_THAT(refused(small, [](Json& d) { d["tool"]["dependencies"]["a/b"] = 1; }),
             Contains("/tool/dependencies/a~1b: is the number 1"));
  CHECK_THAT(refused(small, [](Json& d) { d = Json::array(); }), Contains("r.json: is a list; allowed: an object"));
}

TEST_CASE("a config is read as it was, whatever this machine has", "[report][read]") {
  Report report = small_report();
  report.config->run.threads = 4096;
  report.config->measure.max_memory_bytes = std::int64_t{1} << 60;
  report.config->run.isa = "SVE_of_elsewhere";
  const Report again = read_report_json(json(report), "r.json");
  CHECK(config_to_json(*again.config) == config_to_json(*report.config));
  // What a config did not say is not made up from this machine.
  report.config->run.threads = 0;
  report.config->measure.max_memory_bytes = 0;
  CHECK(config_to_json(*read_report_json(json(report), "r.json").config) == config_to_json(*report.config));
}

TEST_CASE("broken JSON is refused with its place", "[report][read]") {
  const auto message = [](const std::string& text) -> std::string {
    try {
      read_report_json(text, "r.json");
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  CHECK_THAT(message(""), Contains("r.json: column 1: "));
  CHECK_THAT(message("{\n  \"schema\": }"), Contains("r.json: line 2, column 13: "));
  CHECK_THAT(message("{\"a\": 1, \"a\": 2}"), Contains("r.json: /a: the key appears twice; keep one of them"));
  CHECK_THAT(message(std::string("{\"a\": 1}\0{", 10)), Contains("a NUL byte"));
  CHECK_THAT(message("{\"a\": 1} x"), Contains("r.json: column 10: "));
  CHECK_THAT(message("{\"schema\": \"\xff\"}"), Contains("r.json: "));
  CHECK_THAT(message("{\"a\": 1e999}"), Contains("r.json: "));
  CHECK_THAT(message(std::string(1000000, '[')), Contains("nested deeper than 64 levels"));
  const std::string whole = json(small_report());
  for (std::size_t size = 0; size + 1 < whole.size(); size += 7) {
    const std::string problem = message(whole.substr(0, size));
    CHECK_THAT(problem, Contains("r.json: "));
    CHECK(problem.find('\n') == std::string::npos);
  }
}

TEST_CASE("a report file that cannot be read is an IoError", "[report][read]") {
  CHECK_THROWS_AS(read_file("/nonexistent/report.json"), IoError);
  CHECK_THROWS_WITH(read_file("/nonexistent/report.json"), Contains("/nonexistent/report.json: cannot open: "));
  CHECK_THROWS_WITH(read_file("/"), Contains("is a directory"));
}

TEST_CASE("a text of a closed set is one of its names, unknown or refused", "[report][read]") {
  const Report report = golden::fixed_report();
  REQUIRE(report.conditions);
  const auto change = [](const Json& value) {
    return [value](Json& document) { document["conditions"]["stopped_by"] = value; };
  };
  CHECK(refused(report, change("budget")).empty());
  CHECK(refused(report, change(nullptr)).empty());
  CHECK(refused(report, change("")).empty());  // as earlier versions wrote what is unknown
  CHECK(refused(report, change("=1+1")).find("allowed: precision, budget, rounds, interrupt, end or null") !=
        std::string::npos);
  CHECK_FALSE(refused(report, change(3)).empty());
}

}  // namespace kvcast::input
