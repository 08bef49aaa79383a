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

std::string table(const Report& report) { return render(report, "table"); }

std::size_t columns(const std::string& line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

void check_plain_and_narrow(const std::string& text) {
  for (const auto& line : lines(text)) {
    INFO(line);
    CHECK(columns(line) <= 100);
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

TEST_CASE("every speed-up stands beside its interval, its prediction and both times over the minimum", "[report]") {
  const std::string text = table(small_report());
  CHECK(words(row_of(text, "naive")) == std::vector<std::string>{"50", "naive", "25.00", "0.500", "2.00", "s", "1.25"});
  CHECK(words(row_of(text, "shared")) == std::vector<std::string>{"shared", "800.0", "16.0", "62.5", "ms", "1.25",
                                                                  "1.75", "32.0x", "[31.5,", "32.5]", "31.8x"});
  check_plain_and_narrow(text);
}

TEST_CASE("unknown prints as a dash", "[report]") {
  Report report = small_report();
  SchemePoint bare;
  bare.scheme = "shared";
  small_shared(report) = bare;
  small_naive(report).time_over_minimum = std::nullopt;
  CHECK(words(row_of(table(report), "shared")) ==
        std::vector<std::string>{"shared", "-", "-", "-", "-", "-", "-", "-", "-"});

  report = small_report();
  small_shared(report).speedup = Estimate{std::numeric_limits<double>::quiet_NaN(), std::nullopt};
  small_shared(report).predicted_speedup = std::numeric_limits<double>::infinity();
  const std::string text = table(report);
  CHECK_THAT(text, !Contains("nan") && !Contains("inf") && !Contains("-x"));
}

TEST_CASE("marks say how a time was obtained and the legend explains those in use", "[report]") {
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
  const std::string text = table(report);
  CHECK_THAT(row_of(text, "naive"), Contains("naive s "));
  CHECK_THAT(row_of(text, "shared"), Contains("shared c "));
  CHECK_THAT(row_of(text, "shared-copy"), Contains("shared-copy - "));
  CHECK_THAT(text, Contains("naive on 4 of 50"));
  CHECK_THAT(text, Contains("skipped: shared-copy at N=50, 1,000: needs 15.36 GB"));
  check_plain_and_narrow(text);
}

TEST_CASE("more digits appear where the interval needs them", "[report]") {
  Report report = small_report();
  small_shared(report).speedup = Estimate{32.012, Interval{32.001, 32.023}};
  CHECK_THAT(table(report), Contains("32.01x  [32.00, 32.02]"));
}

TEST_CASE("the fit block shows every figure of the fit", "[report]") {
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
  fit.rounds = 12;
  fit.excluded_pairs = 1;
  report.cases[0].fits = {fit};
  const std::string text = table(report);
  for (const char* part :
       {"fit of shared against naive: 12 rounds, 1 pair excluded", "0.0125  95% [0.0121, 0.0129]", "0.0127", "0.00510",
        "80.0x", "0.9991", "one-parameter      4.2%      3.1%", "affine             1.1%     0.80%",
        "a 50.00 ms, b 0.5000 ms, c 40.00 ms", "affine c*N/(a+b*N)", "preferred    affine"}) {
    CHECK_THAT(text, Contains(part));
  }
  check_plain_and_narrow(text);
}

TEST_CASE("the fit block says in words what it means, and shows residuals, predictions and the parts of r",
          "[report]") {
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
       {"  verdict      trust the affine form\n", "  next         measure N = 4000\n",
        "  loses        N = 1: 1.8% slower\n               sharing wins from N = 3\n", "0.0114  [0.0111, 0.0117]",
        "lack of fit  1.2%",
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
  CHECK(words(row_after("predictions\n")) == std::vector<std::string>{"own", "own", "200", "142x", "[139,", "146]",
                                                                      "interpolated", "affine", "0.65%", "1,350", "s",
                                                                      "9.50", "s"});
  CHECK(words(row_after("why r")) ==
        std::vector<std::string>{"10", "0.00510", "0.00100", "0.00300", "-", "-", "0.000500"});
  CHECK_THAT(text, Contains("2,000      25  4,000      452x  -"));
  check_plain_and_narrow(text);
}

TEST_CASE("conditions, self-check and surfaces have their place", "[report]") {
  Report report = small_report();
  CHECK_THAT(table(report), !Contains("stopped by") && !Contains("self-check") && !Contains("surface"));
  report.shard = Shard{2, 3};
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
       {"part      2 of 3 of a grid", "run       7 rounds | stopped by precision | measured 118 s",
        "2.25 s, not steady", "resumed 1 time |", "steal 0.12%", "other load 1.5%", "canary spread 3.8%",
        "drift -0.40%", "outliers -", "all  1.001  [0.998, 1.004]  [0.996, 1.006]        holds 1", "DOES NOT HOLD 1",
        "surface   of naive and shared: L 1,000 to 2,000, layers 0, N 0; effective cache 24.0 MiB",
        "dense FLOPs   10.2 ps  FLOP    96.9%"}) {
    CHECK_THAT(text, Contains(part));
  }
  check_plain_and_narrow(text);
}

TEST_CASE("a grid of many shapes is summed up, a row per fit", "[report]") {
  Report report = small_report();
  Fit fit;
  fit.scheme = "shared";
  fit.r = Estimate{0.0125, Interval{0.0121, 0.0129}};
  fit.preferred = "affine";
  report.cases[0].fits = {fit};
  report.cases.resize(4, report.cases[0]);
  CHECK_THAT(table(report), Contains("fit of shared against naive") && !Contains("summed up"));
  report.cases.push_back(report.cases[0]);
  report.cases.back().shape->history_length = 1024;
  report.cases.back().equivalence = Equivalence{};
  MachineInfo other;
  other.cpu_model = "other CPU";
  report.cases.back().machine = other;
  const std::string text = table(report);
  CHECK_THAT(text, !Contains("fit of shared against naive") && Contains("5 shapes, summed up") &&
                       Contains("--format csv") && Contains("DISAGREES in 1 shape"));
  CHECK_THAT(text,
             Contains("1,024       4  shared  0.0125  [0.0121, 0.0129]         50     32.0x  [31.5, 32.5]  affine"));
  CHECK_THAT(text, !Contains("other CPU"));  // the report has a machine of its own
  report.machine.reset();
  CHECK_THAT(table(report), Contains("machine   other CPU"));
  check_plain_and_narrow(text);
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
  const std::string text = table(report);
  CHECK_THAT(text, Contains("DISAGREES: 4 candidates checked, float64 at the full shape"));
  CHECK_THAT(text, Contains("shared at N=5 DISAGREES: whole/assembled 1.250  95% [1.200, 1.300]"));
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

TEST_CASE("the table stays plain text of 100 columns whatever it is given", "[report]") {
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
  check_plain_and_narrow(table(report));
  const Case copy = report.cases[0];
  report.cases.resize(5, copy);
  check_plain_and_narrow(table(report));
}

}  // namespace kvcast::report
