#include "report/conclusion.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "catch.h"
#include "fitted_models.h"
#include "kvcast/kvcast.h"
#include "kvcast/words.h"

using Catch::Contains;

namespace kvcast::report {
namespace {

Point point_of(std::int64_t candidates, const std::string& scheme, double speedup) {
  SchemePoint row;
  row.scheme = scheme;
  row.speedup = Estimate{speedup, Interval{0.95 * speedup, 1.05 * speedup}};
  return {candidates, {row}};
}

Case case_of(std::int64_t length, double r) {
  Case one;
  one.shape.emplace();
  one.shape->history_length = length;
  one.shape->layers = 2;
  for (const std::int64_t n : {1, 10, 100})
    one.points.push_back(point_of(n, "shared", speedup(static_cast<double>(n), r)));
  Fit fit;
  fit.scheme = "shared";
  fit.r = Estimate{r, std::nullopt};
  fit.preferred = "one-parameter";
  fit.asymptote = 1 / r;
  fit.candidates_for_90 = static_cast<std::int64_t>(std::lround(9 * (1 / r - 1)));
  fit.known_to = 400;
  fit.models = {testing::law_model(r)};
  one.fits = {fit};
  return one;
}

}  // namespace

TEST_CASE("the conclusion is of the largest shape and its largest N", "[report][conclusion]") {
  Report report;
  CHECK(conclusion(report).empty());
  report.cases = {case_of(64, 0.5), case_of(128, 0.1)};
  // 100/(1 + 99 * 0.1) = 9.17; 90% of 10 from N = 9 (1/0.1 - 1) = 81 on.
  CHECK(conclusion(report) ==
        "Sharing gives 9.17x at N = 100 (95% [8.72, 9.63]) at L=128, layers=2; 90% of the ceiling of 10.0x at N = 81.");
  CHECK(main_case(report) == &report.cases[1]);
  report.cases.resize(1);
  CHECK_THAT(conclusion(report), Contains("Sharing gives 1.98x") && !Contains("L=64"));
}

TEST_CASE("the conclusion has a ceiling only where one is known", "[report][conclusion]") {
  Report report;
  report.cases = {case_of(64, 0.1)};
  Fit& fit = report.cases[0].fits[0];
  fit.candidates_for_90.reset();
  CHECK_THAT(conclusion(report), Contains("; ceiling 10.0x, extrapolated."));
  fit.asymptote.reset();
  CHECK_THAT(conclusion(report), !Contains("ceiling"));
  fit.known_to = 100;
  CHECK_THAT(conclusion(report), Contains("; nothing is known beyond it."));
  fit.preferred = "neither";
  CHECK_THAT(conclusion(report), Contains("; no model describes these timings, so nothing is known beyond it."));
}

TEST_CASE("sharing that is slower says so", "[report][conclusion]") {
  Report report;
  report.cases = {case_of(64, 1.1)};
  report.cases[0].fits[0].asymptote.reset();
  CHECK_THAT(conclusion(report), Contains("Sharing is slower than naive: 0.910x at N = 100"));
  // An interval that holds 1 leaves it open.
  report.cases[0].points.back().schemes[0].speedup = Estimate{0.95, Interval{0.85, 1.06}};
  CHECK_THAT(conclusion(report), Contains("Sharing gives 0.950x at N = 100"));
}

TEST_CASE("timings that are asked about have the question in place of a speed-up", "[report][conclusion]") {
  Report report;
  report.cases = {case_of(64, 0.1)};
  for (const char* code : {"not-requests", "swapped", "units"}) {
    INFO(code);
    report.warnings = {{"form", "the affine form", "use a, b and c"}, {code, "naive takes 4 ms", "are these rates?"}};
    CHECK(conclusion(report) == "Are these rates? naive takes 4 ms.");
    CHECK_THAT(render(report, "csv"), Contains("doubt\r\n") && Contains(",Are these rates? naive takes 4 ms\r\n"));
    for (const char* format : {"table", "md", "html"}) {
      INFO(format);
      CHECK_THAT(render(report, format), Contains("Are these rates?") && !Contains("Sharing gives"));
    }
  }
  Sizing sizing;
  sizing.doubt = doubt(report);
  sizing.budgets.push_back({"p99", "s", 0.05, 0.04, 20.0, 12, 12, true, true, Source::fitted});
  sizing.binding = "p99";
  sizing.expected_candidates = sizing.conservative_candidates = 12;
  report.sizing = sizing;
  CHECK(conclusion(report) ==
        "Are these rates? naive takes 4 ms. If the columns are right: at P99 50.0 ms score up to N = 12 (conservative: "
        "12); P99 "
        "latency binds.");
  sizing.feasible = false;
  CHECK_THAT(sizing_answer(sizing), Contains("4 ms. If the columns are right: infeasible: "));
  // Timings that are not the program's leave nothing to ask.
  report.warnings.push_back({kNoResult, "No usable result: other processes used 83% of the CPUs", "again"});
  CHECK(conclusion(report) == "No usable result: other processes used 83% of the CPUs.");
  CHECK_THAT(render(report, "csv"), Contains(",No usable result: other processes used 83% of the CPUs\r\n"));
}

TEST_CASE("a sized report says so in its conclusion", "[report][conclusion]") {
  Report report;
  report.cases = {case_of(64, 0.1)};
  report.sizing.emplace();
  report.sizing->expected_candidates = 42;
  report.sizing->binding = "p99";
  CHECK_THAT(conclusion(report), !Contains("42"));  // nothing was asked
  report.sizing->budgets.emplace_back();
  report.sizing->budgets.back().name = "p99";
  report.sizing->budgets.back().binding = true;
  report.sizing->budgets.back().limit = 0.05;
  report.sizing->budgets.back().unit = "s";
  const std::string wanted = "; at P99 50.0 ms score up to N = 42";
  CHECK_THAT(conclusion(report), Contains(wanted));
  for (const char* format : {"md", "html"}) CHECK_THAT(render(report, format), Contains(wanted));
  CHECK_THAT(render_sizing(report, "table"), Catch::StartsWith("At P99 50.0 ms score up to N = 42"));
}

TEST_CASE("a sizing that fails without a reason says so", "[report][conclusion]") {
  Sizing sizing;
  sizing.feasible = false;
  CHECK(sizing_answer(sizing) == "infeasible: no budget is said to fail");
}

TEST_CASE("Markdown begins with the conclusion and keeps tables whole", "[report][markdown]") {
  Report report;
  report.cases = {case_of(64, 0.1)};
  report.cases[0].points[0].schemes[0].status = Status::skipped;
  report.cases[0].points[0].schemes[0].reason = "a | b <script>alert(1)</script>";
  report.warnings = {{"code", "text <b>", "advice"}};
  const std::string text = render(report, "md");
  CHECK_THAT(text, Catch::StartsWith("## kvcast\n\n**Sharing gives 9.17x"));
  CHECK_THAT(text, Contains("> **code**: text &lt;b> — advice"));
  CHECK_THAT(text, Contains("> **skipped**: shared at N=1: a | b &lt;script>alert(1)&lt;/script>"));
  CHECK_THAT(text, !Contains("<script") && !Contains("<b>"));
}

TEST_CASE("what was judged behind the timing is one sentence, about the worst of all", "[report][conclusion]") {
  CHECK(judged_after_timing({}) == "not judged after the timing");
  std::vector<TimedOutputs> rows = {{"naive", 2, "outputs", 0, 2, 0, 0, 1e-5, "naive", true},
                                    {"shared", 1000, "outputs", 0, 12, 7, 2e-6, 1e-5, "naive, shared", true}};
  CHECK(judged_after_timing(rows) ==
        "after the timing 2 timings agree, by up to 12 candidates each; the worst is off by 2.0e-06 of 1.0e-05 allowed "
        "(shared, N = 1,000)");
  rows[0].max_abs = std::nan("");
  rows[0].agrees = false;
  CHECK_THAT(judged_after_timing(rows), Contains("1 of 2 timings DISAGREE"));
  CHECK_THAT(judged_after_timing(rows), Contains("the worst is off by NaN of 1.0e-05 allowed (naive, N = 2)"));
}

}  // namespace kvcast::report
