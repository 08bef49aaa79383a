#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "catch.h"
#include "fitted_models.h"
#include "kvcast/kvcast.h"
#include "report/text.h"
#include "small_report.h"

namespace kvcast::report {
namespace {

using Catch::Contains;

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    REQUIRE(end != std::string::npos);
    result.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return result;
}

std::string brief(const Report& report) { return render(report, "table"); }
std::string table(const Report& report) { return render(report, "table", false, true); }

std::size_t columns(const std::string& line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

void check_plain_and_narrow(const std::string& text, std::size_t width = 100) {
  for (const auto& line : lines(text)) {
    INFO(line);
    CHECK(columns(line) <= width);
    CHECK((line.empty() || line.back() != ' '));
    CHECK(std::none_of(line.begin(), line.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '\x7f'; }));
    CHECK(line.find("\xc2\x9b") == std::string::npos);  // the one-character form of ESC [
    CHECK(valid_utf8(line) == line);
  }
}

/// The line of the grid that is about this scheme.
std::string row_of(const std::string& text, const std::string& scheme) {
  for (const auto& line : lines(text)) {
    const auto at = line.find(scheme);
    if (at != std::string::npos && at < 14) return line;
  }
  return "no row of " + scheme;
}

std::vector<std::string> words(const std::string& line) {
  std::vector<std::string> result = {""};
  for (const char c : line) {
    if (c != ' ') {
      result.back() += c;
    } else if (!result.back().empty()) {
      result.emplace_back();
    }
  }
  return result;
}

}  // namespace

TEST_CASE("the first screen has the answer and a row per N, and names the rest", "[report]") {
  Report report = small_report();
  std::string text = brief(report);
  CHECK(words(row_of(text, "50 ")) ==
        std::vector<std::string>{"50", "2.00", "s", "62.5", "ms", "800.0", "32.0x", "[31.5,", "32.5]"});
  CHECK_THAT(text, Contains("shape     L=256 d=256 layers=4 | fp32 | 2 threads | mask causal\n"));
  CHECK_THAT(text, Contains("\n--details  setup, timings\n"));
  CHECK_THAT(text, !Contains("roofline") && !Contains("kvcast"));
  check_plain_and_narrow(text, 80);

  // Of many N and schemes some, the largest among them; the other schemes at theirs.
  const Point point = report.cases[0].points[0];
  report.cases[0].points.clear();
  for (std::int64_t n = 1; n <= 40; ++n) {
    Point& one = report.cases[0].points.emplace_back(point);
    one.candidates = n;
    one.schemes.push_back(point.schemes[1]);
    one.schemes.back().scheme = "packed";
  }
  report.warnings = {{"other-load", "other processes took 12%", "stop them"},
                     {"drift", "it drifts", "again"},
                     {"frequency", "the clock moved", ""}};
  text = brief(report);
  CHECK(lines(text).size() <= 24);
  CHECK_THAT(text, Contains("8 of 80 rows; summary.csv has all") && Contains("40  packed") && Contains("40  shared"));
  CHECK_THAT(text, !Contains("39  packed") && Contains("[other-load]") && Contains("1 more warning"));
  check_plain_and_narrow(text, 80);
}

TEST_CASE("without a usable result there are no speed-ups, and it is said what to do", "[report]") {
  Report report = small_report();
  Fit fit;
  fit.scheme = "shared";
  fit.r = Estimate{0.0125, Interval{0.0121, 0.0129}};
  fit.verdict = "model: affine";
  Prediction& prediction = fit.predictions.emplace_back();
  prediction.candidates = 200;
  prediction.speedup = Estimate{142.5, std::nullopt};
  report.cases[0].fits = {fit};
  report.warnings = {
      {"no-result", "No usable result: other processes used 83% of the CPUs", "run again when it is free"}};
  const std::string text = brief(report), all = table(report);
  CHECK_THAT(text, Catch::StartsWith("No usable result: other processes used 83% of the CPUs.\n"));
  CHECK_THAT(text, Contains("what to do  run again when it is free\n"));
  for (const std::string& each : {text, all}) {
    for (const char* part : {"32.0x", "0.0125", "model: affine", "142x", "speed-up"}) CHECK_THAT(each, !Contains(part));
  }
  CHECK_THAT(text, !Contains("62.5 ms"));
  CHECK_THAT(all, Contains("62.5 ms"));
}

TEST_CASE("details have every speed-up beside its interval, its prediction and the time over the minimum", "[report]") {
  const std::string text = table(small_report());
  const std::string rows = text.substr(text.find("== timings =="));
  CHECK(words(row_of(rows, "naive ")) ==
        std::vector<std::string>{"50", "naive", "25.00", "2.00", "s", "1.25", "measured"});
  CHECK(words(row_of(rows, "shared ")) == std::vector<std::string>{"50", "shared", "800.0", "62.5", "ms", "1.75",
                                                                   "32.0x", "[31.5,", "32.5]", "96.9%", "31.8x",
                                                                   "measured"});
  CHECK_THAT(text, Contains("×roofline: time over the theoretical minimum") && Contains("cross-validated: "));
  check_plain_and_narrow(text);
}

TEST_CASE("unknown prints as a dash", "[report]") {
  Report report = small_report();
  SchemePoint bare;
  bare.scheme = "shared";
  small_shared(report) = bare;
  small_naive(report).time_over_minimum = std::nullopt;
  const std::string all = table(report);
  CHECK(words(row_of(all.substr(all.find("== timings ==")), "shared ")) ==
        std::vector<std::string>{"50", "shared", "-", "-", "-", "-", "-", "-", "-", "measured"});

  report = small_report();
  small_shared(report).speedup = Estimate{std::numeric_limits<double>::quiet_NaN(), std::nullopt};
  small_shared(report).predicted_speedup = std::numeric_limits<double>::infinity();
  for (const std::string& text : {table(report), brief(report)}) {
    CHECK_THAT(text, !Contains("nan") && !Contains("inf") && !Contains("-x"));
  }
}

TEST_CASE("it is said how a time was obtained", "[report]") {
  Report report = small_report();
  CHECK_THAT(table(report), !Contains("assembled") && !Contains("extrapolated") && !Contains("skipped"));

  small_naive(report).status = Status::extrapolated;
  small_naive(report).measured_candidates = 4;
  small_shared(report).status = Status::assembled;
  SchemePoint skipped;
  skipped.scheme = "shared-copy";
  skipped.status = Status::skipped;
  skipped.reason = "needs 15.36 GB";
  report.cases[0].points[0].schemes.push_back(skipped);
  report.cases[0].points.push_back({1000, {skipped}});
  for (const std::string& text : {table(report), brief(report)}) {
    CHECK_THAT(text, Contains("naive extrapolated from 4 of 50 |"));
    CHECK_THAT(text, Contains("shared assembled: prefill plus scoring pass"));
    CHECK_THAT(text, Contains("shared-copy at N=50, 1,000: needs 15.36 GB [skipped]"));
  }
  check_plain_and_narrow(table(report));
}

TEST_CASE("more digits appear where the interval needs them", "[report]") {
  Report report = small_report();
  small_shared(report).speedup = Estimate{32.012, Interval{32.001, 32.023}};
  CHECK_THAT(brief(report), Contains("32.01x  [32.00, 32.02]"));
}

TEST_CASE("warnings of one kind are one line, what failed comes first, the record last", "[report]") {
  Report report = small_report();
  report.warnings = {{"form", "shared: the affine model predicts better", "size by it"},
                     {"drift", "it drifts at L=1", "run again"},
                     {"drift", "it drifts at L=2", "run again"},
                     {"drift", "it drifts at L=3", "run again"},
                     {"composition", "a whole run took 1.2 times", "raise --budget"}};
  const std::string text = brief(report);
  CHECK_THAT(text, Contains("failed    a whole run took 1.2 times [composition]"));
  CHECK_THAT(text, Contains("warning   it drifts at L=1 [drift] (2 more like it)"));
  CHECK_THAT(text, !Contains("[form]") && Contains("1 more warning"));
  CHECK(text.find("[composition]") < text.find("[drift]"));
  CHECK_THAT(table(report), Contains("it drifts at L=3") && Contains("[form]"));
}

TEST_CASE("the fit is a line at first, and every figure of it in the details", "[report]") {
  Report report = small_report();
  Fit fit;
  fit.scheme = "shared";
  fit.r = Estimate{0.0125, Interval{0.0121, 0.0129}};
  fit.rho = 0.01266;
  fit.r_flops = 0.0051;
  fit.asymptote = 80;
  fit.r_squared = 0.99912;
  fit.models = {testing::law_model(0.0125), testing::affine_model(0.05, 0.0005, 0.04)};
  fit.models[0].max_residual_pct = 4.2;
  fit.models[0].loo_error_pct = 3.1;
  fit.models[1].max_residual_pct = 1.1;
  fit.models[1].loo_error_pct = 0.8;
  fit.preferred = "affine";
  fit.verdict = "model: affine (the one-parameter law misses N=5 by 26%)";
  fit.rounds = 12;
  fit.excluded_pairs = 1;
  report.cases[0].fits = {fit};
  CHECK_THAT(brief(report), Contains("model     affine (the one-parameter law misses N=5 by 26%) |"));
  CHECK_THAT(brief(report), Contains("r 0.0125 [0.0121, 0.0129]\n") && !Contains("R^2"));
  const std::string text = table(report);
  for (const char* part :
       {"== fit of shared ==", "12 rounds | 1 pair excluded", "0.0125  [0.0121, 0.0129]", "0.0127", "0.00510", "80.0x",
        "0.9991", "a 50.00 ms, b 0.5000 ms, c 40.00 ms", "affine c*N/(a+b*N)", "model in use"}) {
    CHECK_THAT(text, Contains(part));
  }
  CHECK(words(row_of(text, "one-parameter")) ==
        std::vector<std::string>{"one-parameter", "4.2%", "3.1%", "-", "-", "r", "0.0125"});
  CHECK_THAT(row_of(text, "affine  "), Contains("1.1%") && Contains("0.80%"));
  check_plain_and_narrow(text);
}

TEST_CASE("details say in words what the fit means, and show residuals, predictions and the parts of r", "[report]") {
  Report report = small_report();
  Fit fit;
  fit.scheme = "shared";
  fit.r = Estimate{0.0125, Interval{0.0121, 0.0129}};
  fit.r_flops = 0.0051;
  fit.models = {testing::law_model(0.0125), testing::affine_model(0.05, 0.0005, 0.04)};
  fit.models[0].residuals = {{10, 1.8537, std::nullopt}};
  fit.models[1].residuals = {{10, -0.125, 0.46}};
  fit.models[1].marginal_r = Estimate{0.0114, Interval{0.0111, 0.0117}};
  fit.lack_of_fit_pct = 1.25;
  fit.verdict = "trust the affine form";
  fit.next = "measure N = 4000";
  fit.slowdowns = {"N = 1: 1.8% slower", "sharing wins from N = 3"};
  fit.observed = {{10, {9.55, Interval{9.48, 9.62}}}};
  fit.predictions = {{std::nullopt, std::nullopt, 200, Estimate{142.5, Interval{139.25, 145.75}}, 1350, 9.5,
                      Source::interpolated, "affine", 0.65},
                     {2000, 25, 4000, Estimate{451.5, std::nullopt}, std::nullopt, std::nullopt, Source::extrapolated,
                      "surface", std::nullopt}};
  fit.explanation = Explanation{0.15, {{10, 0.0051, 0.001, 0.003, std::nullopt, std::nullopt, 0.0005}}, "rates"};
  report.cases[0].fits = {fit};
  const std::string text = table(report);
  for (const char* part :
       {"verdict   trust the affine form\n", "next      measure N = 4000\n",
        "slowdown  N = 1: 1.8% slower\n          sharing wins from N = 3\n", "0.0114 [0.0111, 0.0117]", "1.2%",
        "why r: design note 0.150, measured 0.0125, FLOPs 0.00510; parts of the r of each N, by rates"}) {
    CHECK_THAT(text, Contains(part));
  }
  const auto row_after = [&](const std::string& title) {
    const std::size_t at = text.find(title);
    REQUIRE(at != std::string::npos);
    const std::size_t rule = text.find("---\n", at);
    return text.substr(rule + 4, text.find('\n', rule + 4) - rule - 4);
  };
  CHECK(words(row_after("residuals of")) ==
        std::vector<std::string>{"10", "9.55x", "[9.48,", "9.62]", "1.9%", "-0.12%", "-", "0.46%"});
  CHECK(words(row_after("== predictions ==")) == std::vector<std::string>{"own", "own", "200", "142x", "[139,", "146]",
                                                                          "1,350", "s", "9.50", "s", "interpolated",
                                                                          "affine", "0.65%"});
  CHECK(words(row_after("why r")) ==
        std::vector<std::string>{"10", "0.00510", "0.00100", "0.00300", "-", "-", "0.000500"});
  // What was asked for is on the first screen.
  CHECK_THAT(brief(report), Contains("4,000") && Contains("452x") && !Contains("residuals of"));
  check_plain_and_narrow(text);
}

TEST_CASE("conditions, self-check and surfaces have their place", "[report]") {
  Report report = small_report();
  CHECK_THAT(table(report), !Contains("stopped: ") && !Contains("self-check") && !Contains("surface"));
  report.shard = Shard{2, 3};
  report.config->measure.precision = 0.02;
  report.conditions = Conditions{7, StoppedBy::precision, 118.5, 2.25, false, 1, 0.125, 1.5, 3.75, -0.4, std::nullopt};
  report.cases[0].self_check = {
      {"shared", std::nullopt, {1.0009, Interval{0.9978, 1.0041}}, Interval{0.9961, 1.0058}, true},
      {"naive", 10, {1.0312, std::nullopt}, std::nullopt, false}};
  Surface surface;
  surface.scheme = "shared";
  surface.terms = {{"naive", "dense FLOPs", "FLOP", 1.02e-11, 0.96875}};
  surface.errors = {{"points", 12, 1.5, 3.25, 7.125}};
  surface.min_history = 1000;
  surface.max_history = 2000;
  surface.cache_bytes = 25165824.0;
  report.surfaces = {surface};
  const std::string text = table(report);
  for (const char* part :
       {"part      2 of 3 of a grid", "run       7 rounds | stopped: target precision (±2%) reached | measured 118 s",
        "2.25 s, not steady", "resumed 1 time |", "steal 0.12%", "other load 1.5%", "canary spread 3.8%",
        "drift -0.40%", "outliers -", "[0.998, 1.004]  [0.996, 1.006]", "holds 1", "DOES NOT HOLD 1",
        "== surface of naive and shared ==", "L 1,000 to 2,000 | layers 0 | N 0 | effective cache 24.0 MiB",
        "dense FLOPs", "10.2 ps", "96.9%"}) {
    CHECK_THAT(text, Contains(part));
  }
  report.conditions->stopped_by = StoppedBy::budget;
  CHECK_THAT(table(report), Contains("stopped: time budget spent"));
  check_plain_and_narrow(text);
}

TEST_CASE("a grid is a row per shape and scheme, and says how much is in the files", "[report]") {
  Report report = small_report();
  Fit fit;
  fit.scheme = "shared";
  fit.r = Estimate{0.0125, Interval{0.0121, 0.0129}};
  fit.preferred = "affine";
  report.cases[0].fits = {fit};
  report.cases.resize(4, report.cases[0]);
  CHECK_THAT(table(report), Contains("== fit of shared at L=256, layers=4 =="));
  report.cases.push_back(report.cases[0]);
  report.cases.back().shape->history_length = 1024;
  report.cases.back().equivalence = Equivalence{};
  MachineInfo other;
  other.cpu_model = "other CPU";
  report.cases.back().machine = other;
  const std::string text = brief(report), all = table(report);
  CHECK(words(row_of(text, "1,024")) ==
        std::vector<std::string>{"1,024", "4", "shared", "50", "2.00", "s", "62.5", "ms", "32.0x", "[31.5,", "32.5]"});
  CHECK_THAT(text, Contains("5 shapes with 5 points: every N in summary.csv") && Contains("DISAGREES in 1 shape"));
  check_plain_and_narrow(text, 80);
  CHECK_THAT(all, !Contains("== fit of shared") && Contains("== fits =="));
  CHECK_THAT(all, Contains("0.0125  [0.0121, 0.0129]"));
  CHECK_THAT(all, !Contains("other CPU"));  // the report has a machine of its own
  report.machine.reset();
  CHECK_THAT(table(report), Contains("machine   other CPU"));
}

TEST_CASE("a failed check is loud", "[report]") {
  Report report = small_report();
  Equivalence equivalence;
  equivalence.shareable = true;
  equivalence.checked_candidates = 4;
  equivalence.reference_shape = "full";
  equivalence.schemes = {{"shared", ErrorPair{std::numeric_limits<double>::quiet_NaN(), 1}, std::nullopt, std::nullopt,
                          std::nullopt, std::nullopt, std::nullopt, false}};
  report.cases[0].equivalence = equivalence;
  report.cases[0].composition = {{"shared", 5, {1.25, Interval{1.2, 1.3}}, false}};
  CHECK_THAT(brief(report), Contains("failed    outputs DISAGREE"));
  const std::string text = table(report);
  CHECK_THAT(text, Contains("DISAGREES: 4 candidates checked, float64 at the full shape"));
  CHECK(words(text.substr(text.find("assembled"), text.find('\n', text.find("assembled")) - text.find("assembled"))) ==
        std::vector<std::string>{"assembled", "1.250", "[1.200,", "1.300]", "DISAGREES"});
  CHECK_THAT(text, Contains("NaN"));
}

TEST_CASE("the table says who judged how many, and what the check in fp32 found", "[report]") {
  Report report = small_report();
  Equivalence equivalence;
  equivalence.agrees = true;
  equivalence.checked_candidates = 64;
  equivalence.judged_candidates = 4;
  equivalence.reference_shape = "L=200, layers=2";
  for (const char* scheme : {"naive", "shared"}) {
    SchemeEquivalence& row = equivalence.schemes.emplace_back();
    row.scheme = scheme;
    row.vs_reference = ErrorPair{1e-2, 1};
  }
  report.cases[0].equivalence = equivalence;
  CHECK_THAT(table(report), Contains("64 candidates checked, 4 of them by float64 at L=200, layers=2"));
  CHECK_THAT(table(report), !Contains("in fp32"));

  std::vector<SchemeEquivalence>& schemes = report.cases[0].equivalence->schemes;
  report.cases[0].equivalence->tolerance_fp32 = 1e-5;
  schemes[0].vs_reference_fp32 = ErrorPair{2e-6, 1};
  schemes[1].vs_reference_fp32 = ErrorPair{9e-6, 1};
  CHECK_THAT(table(report), Contains("agrees: off float64 by 9.0e-06 at most, allowed 1.0e-05"));
  schemes[0].vs_reference_fp32 = ErrorPair{2e-5, 1};
  CHECK_THAT(table(report), Contains("DISAGREES: off float64 by 2.0e-05 at most"));
  // The number that follows must not hide it.
  schemes[0].vs_reference_fp32 = ErrorPair{std::numeric_limits<double>::quiet_NaN(), 1};
  CHECK_THAT(table(report), Contains("DISAGREES: off float64 by NaN at most"));
}

TEST_CASE("the table stays plain text within its columns whatever it is given", "[report]") {
  Report report = small_report();
  const std::string hostile =
      "\x1b[31m\xc2\x9b"
      "31m\t\r\n\x01\x7f\xff " +
      std::string(300, 'x') + " 候选 " + std::string(90, 'y');
  report.tool = {hostile, hostile, hostile, hostile, {}};
  report.machine->cpu_model = hostile;
  report.machine->isa = hostile;
  report.machine->memory_bytes = std::numeric_limits<std::int64_t>::max();
  report.machine->peak_gflops = 1e300;
  report.machine->read_gb_per_s = 5e-324;
  std::string short_words;
  for (int i = 0; i < 200; ++i) short_words += "a ";
  report.warnings = {{hostile, hostile, hostile}, {"code", short_words, ""}};
  Case& one = report.cases[0];
  one.shape->mask = hostile;
  small_shared(report).scheme = hostile;
  small_shared(report).detail = hostile;
  small_shared(report).status = Status::assembled;
  small_shared(report).kv_bytes = 0;
  small_shared(report).speedup = Estimate{1234.5, Interval{1230.25, 1240.75}};
  one.points[0].candidates = 1000000;
  SchemePoint skipped;
  skipped.scheme = "shared-copy";
  skipped.status = Status::skipped;
  skipped.reason = hostile;
  one.points[0].schemes.push_back(skipped);
  small_naive(report).candidates_per_s = 98765432.1;
  small_naive(report).requests_per_s = 123456.7;
  small_naive(report).seconds->median = 98765.4;
  small_naive(report).time_over_minimum = 1234.5;
  Fit fit;
  fit.scheme = hostile;
  fit.r = Estimate{0.000123456, Interval{-0.00012, 1e9}};
  fit.preferred = hostile;
  fit.models = {testing::law_model(0.000123456), testing::affine_model(1e9, 1e-12, 0)};
  fit.models[0].residuals = {{1000000, 1e300, 1e-300}};
  fit.models[1].residuals = {{1000000, -1e300, 99999.9}};
  fit.models[1].name = fit.models[1].formula = fit.models[1].parameters[0].symbol = hostile;
  fit.verdict = fit.next = hostile;
  fit.slowdowns = {hostile};
  fit.observed = {{1000000, {1234.5, Interval{1e-300, 1e300}}}};
  fit.predictions = {{65536, 1000, 1000000, Estimate{1234.5, Interval{1230.25, 1240.75}}, 98765.4, 12345.6,
                      Source::extrapolated, "one-parameter", 123.4}};
  fit.explanation = Explanation{0.15, {{1000000, 1e-300, 1e300, 1e-9, 1e-9, 1e-9, -1e-9}}, hostile};
  one.fits = {fit};
  one.self_check = {{hostile, 1000000, {1e-9, Interval{-1e300, 1e300}}, Interval{-1e300, 1e300}, false}};
  report.conditions.emplace();
  Surface surface;
  surface.scheme = hostile;
  surface.terms = {{hostile, hostile, hostile, 1e-300, 1e300}};
  surface.errors = {{hostile, 1000000, 1e300, 1e300, 1e300}};
  surface.cache_bytes = 1e300;
  surface.predictions = fit.predictions;
  report.surfaces = {surface};
  Equivalence equivalence;
  equivalence.reference_shape = hostile;
  equivalence.schemes = {{hostile, ErrorPair{1e300, 1e-300}, ErrorPair{}, 1.0, -1.0, 1.0, -1.0, true}};
  one.equivalence = equivalence;
  one.composition = {{hostile, 5, {1e-9, Interval{-1e300, 1e300}}, true}};
  report.cases.push_back(one);
  for (const std::size_t cases : {2, 1, 5}) {
    report.cases.resize(cases, Case(report.cases[0]));
    check_plain_and_narrow(table(report));
    check_plain_and_narrow(brief(report), 80);
  }
}

}  // namespace kvcast::report
