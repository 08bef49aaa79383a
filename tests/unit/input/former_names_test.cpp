#include "input/former_names.h"

#include <map>
#include <regex>
#include <string>

#include "catch.h"
#include "fixed_report.h"
#include "input/report.h"
#include "input/timings.h"
#include "kvcast/kvcast.h"

namespace kvcast::input {
namespace {

/// A report as version 1 wrote it.
std::string formerly(std::string text) {
  const std::pair<const char*, const char*> changes[] = {
      {R"("kvcast.report/2")", R"("kvcast.report/1")"},
      {R"("prefill_s": )", R"("user_seconds": )"},
      {R"("scoring_s": )", R"("fusion_seconds": )"},
      {R"("expected_candidates": )", R"("likely_candidates": )"},
      {R"("conservative_candidates": )", R"("safe_candidates": )"},
      {R"("p99_conservative_s": )", R"("p99_safe_s": )"},
      {R"re("min_(history|layers|candidates)": )re", R"("least_$1": )"},
      {R"re("max_(history|layers|candidates)": )re", R"("most_$1": )"},
      {R"("slowdowns": )", R"("losses": )"},
      {R"("r_design_note": )", R"("r_seed": )"},
      {R"("drop_design_note": )", R"("drop_seed_rule": )"},
      {R"("design_note_advice": )", R"("seed_advice": )"},
      {R"("design_note_improvement": )", R"("seed_improvement": )"},
      {R"("design_note_candidates": )", R"("seed_candidates": )"},
      {R"("offered_load_workers": )", R"("perfect_workers": )"},
      {R"("batch_max": )", R"("batch_most": )"},
      {R"("status": "assembled")", R"("status": "composed")"},
      {R"("status": "extrapolated")", R"("status": "scaled")"},
      {R"("pass": "prefill")", R"("pass": "history")"},
      {R"("pass": "scoring")", R"("pass": "candidates")"},
      {R"re("execution": ("within"|"across"),\s*"detail": null)re", R"("form": $1)"},
      {R"re("execution": "across",\s*"detail": "([^"]*)")re", R"("form": "across, $1")"},
      {R"re("execution": null,\s*"detail": (null|"[^"]*"))re", R"("form": $1)"}};
  for (const auto& [now, then] : changes) {
    const std::string before = text;
    text = std::regex_replace(text, std::regex(now), then);
    INFO("nothing of the fixed report is called " << now);
    CHECK(text != before);
  }
  return text;
}

std::string fixed_json() {
  Report report = golden::fixed_report();
  report.cases[0].points[0].schemes[0].detail = "";
  report.cases[0].points[1].schemes[0].detail = "2 stacked";
  return render(report, "json");
}

TEST_CASE("a report of version 1 is read by the names of today", "[input][report]") {
  const std::string now = fixed_json();
  CHECK(render(read_report_json(formerly(now), "old.json"), "json") ==
        render(read_report_json(now, "new.json"), "json"));
}

TEST_CASE("a scheme that is called like a former name keeps it", "[input][report]") {
  Json document =
      Json::parse(R"({"config": {"losses": 1}, "fits": {"losses": {"losses": []}}, "likely_candidates": 3})");
  use_current_names(document);
  CHECK(document == Json::parse(R"({"config": {"losses": 1}, "fits": {"losses": {"slowdowns": []}},
                                    "expected_candidates": 3})"));
}

TEST_CASE("a member beside its former name wins", "[input][report]") {
  Json document = Json::parse(R"({"user_seconds": 1, "prefill_s": 2})");
  use_current_names(document);
  CHECK(document["prefill_s"] == 2);
}

TEST_CASE("samples of version 1 are read by the names of today", "[input][csv]") {
  const std::string now = render(golden::fixed_report(), "samples.csv");
  std::string then = now;
  for (const auto& [name, former] : {std::pair{"prefill_s", "user_seconds"},
                                     {"scoring_s", "fusion_seconds"},
                                     {",assembled,", ",composed,"},
                                     {",extrapolated,", ",scaled,"}}) {
    then = std::regex_replace(then, std::regex(name), former);
  }
  REQUIRE(then.find("composed") != std::string::npos);
  CHECK(render(read_csv(then, "old.csv", {}), "samples.csv") == render(read_csv(now, "new.csv", {}), "samples.csv"));
}

}  // namespace
}  // namespace kvcast::input
