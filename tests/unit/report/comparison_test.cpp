#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "catch.h"
#include "kvcast/kvcast.h"
#include "report/csv.h"

namespace kvcast {
namespace {

using Catch::Contains;
using Catch::EndsWith;
using Catch::StartsWith;

CaseShape shape_of_length(std::int64_t history_length) {
  return CaseShape{{history_length, 64, 2, 2, 2}, "fp32", "fp32", 2, "causal", true};
}

ComparedPoint point(const std::string& scheme, double time, double normalised) {
  ComparedPoint result;
  result.shape = shape_of_length(64);
  result.candidates = 50;
  result.scheme = scheme;
  result.time_ratio = Estimate{time, Interval{time - 0.01, time + 0.01}};
  result.normalised_ratio = Estimate{normalised, Interval{normalised - 0.01, normalised + 0.01}};
  return result;
}

Comparison comparison() {
  Comparison result;
  result.threshold = 0.05;
  result.points = {point("naive", 1.25, 1.004), point("shared", 1.25, 1.012)};
  result.points[1].speedup_ratio = Estimate{0.99, Interval{0.98, 1.0}};
  return result;
}

/// Of a table with all its details.
std::string whole(const Comparison& value) { return render(value, "table", false, true); }

/// The answer, which may take several lines.
std::string first_line(const std::string& text) {
  std::string line = text.substr(0, text.find("\n\n"));
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

}  // namespace

TEST_CASE("the first line of a comparison says how it came out", "[report][comparison]") {
  Comparison value = comparison();
  CHECK(first_line(render(value, "table")) ==
        "No regression beyond 5%: 2 points, largest slow-down 1.2% [0.2%, 2.2%] (shared at N=50).");
  value.points[1].speedup_ratio = Estimate{0.8, Interval{0.75, 0.85}};
  value.points[1].regression = value.regression = true;
  // 1/0.8 - 1, and 1/0.85 - 1 to 1/0.75 - 1.
  CHECK(first_line(render(value, "table")) ==
        "REGRESSION beyond 5%: 1 of 2 points, largest slow-down 25.0% [17.6%, 33.3%] (shared at N=50).");
  value.points[0].shape = shape_of_length(128);
  value.points[0].improvement = true;
  CHECK_THAT(first_line(render(value, "table")), Contains("layers=2); 1 faster by as much"));
  CHECK_THAT(whole(value), Contains("\nL=128, layers=2\n"));
  value = comparison();
  for (auto& each : value.points) each.normalised_ratio = Estimate{0.9, std::nullopt};
  value.points[1].speedup_ratio.reset();
  CHECK(first_line(render(value, "table")) == "No regression beyond 5%: 2 points, none of them slower.");
}

TEST_CASE("across something the first line says how much faster", "[report][comparison]") {
  Comparison value = comparison();
  value.across = "dtype";
  for (ComparedPoint& point : value.points) {
    point.in_a = "fp32";
    point.in_b = "bf16";
    point.normalised_ratio = Estimate{1 / 1.8, Interval{1 / 1.9, 1 / 1.7}};
  }
  CHECK(first_line(render(value, "table")) == "bf16 is 1.8x faster at N=50 [1.7, 1.9] than fp32, scheme shared.");
  CHECK_THAT(render(value, "table"), Contains("\nA fp32, B bf16\n") && Contains("1.8x faster"));
  CHECK_THAT(render(value, "md"), Contains("**bf16 is 1.8x faster at N=50 [1.7, 1.9] than fp32, scheme shared.**"));
  const auto json = nlohmann::json::parse(render(value, "json"));
  CHECK(json["across"] == "dtype");
  CHECK(json["answer"] == "bf16 is 1.8x faster at N=50 [1.7, 1.9] than fp32, scheme shared");
  CHECK(json["points"][0]["in_b"] == "bf16");
  CHECK(json["regression"] == false);
  // The largest N, of shared before another scheme, and one with an interval before one without.
  value.points.push_back(value.points[1]);
  value.points.back().candidates = 10;
  CHECK_THAT(first_line(render(value, "table")), Contains("at N=50"));
  value.points[1].normalised_ratio->ci95.reset();
  CHECK_THAT(first_line(render(value, "table")), Contains("at N=10"));
  value = comparison();
  value.across = "layers";
  value.points[1].in_a = "layers=2";
  value.points[1].in_b = "layers=4";
  value.points[1].normalised_ratio = Estimate{2.5, Interval{2.4, 2.6}};
  CHECK(first_line(render(value, "table")) ==
        "layers=4 is 2.50x slower at N=50 [2.40, 2.60] than layers=2, scheme shared.");
  value.points[1].normalised_ratio = Estimate{0.99, Interval{0.97, 1.01}};
  CHECK_THAT(first_line(render(value, "table")),
             StartsWith("no difference between layers=2 and layers=4 at N=50 that is no chance"));
  CHECK_THAT(render(value, "table"), Contains("no difference\n"));
  // Of several shapes where; what differs is no place.
  value.points[0].shape = shape_of_length(128);
  CHECK_THAT(comparison_answer(value), EndsWith("scheme shared, L=64"));
}

TEST_CASE("a row tells what the point became", "[report][comparison]") {
  Comparison value = comparison();
  const auto row = [&] {
    const std::string text = whole(value);
    const std::size_t at = text.rfind("shared  ");
    return text.substr(at, text.find('\n', at) - at);
  };
  CHECK_THAT(row(), Contains("1.250") && Contains("1.012  [1.002, 1.022]") && Contains("0.990  [0.980, 1.000]") &&
                        !Contains("SLOWER"));
  value.points[1].regression = true;
  CHECK_THAT(row(), Contains("SLOWER"));
  value.points[1].regression = false;
  value.points[1].improvement = true;
  CHECK_THAT(row(), Contains("faster"));
  value.points[1] = ComparedPoint{};
  value.points[1].scheme = "shared";
  value.points[1].shape = value.points[0].shape;
  value.points[1].missing_in = "A";
  CHECK_THAT(row(), Contains("only in B"));
  CHECK_THAT(render(value, "table"), Contains("beyond 5%: 1 point,"));
  value = comparison();
  value.points[1].time_ratio->ci95.reset();
  value.points[1].normalised_ratio.reset();
  CHECK_THAT(row(), Contains("one round"));
  CHECK_THAT(whole(value), Contains("could not be judged"));
  value.differences = {"run.seed: 1 in A, 7 in B\x1b[31m"};
  CHECK_THAT(render(value, "table"), Contains("differs   run.seed: 1 in A, 7 in B [31m\n"));
}

TEST_CASE("a comparison stays within 100 columns whatever it is given", "[report][comparison]") {
  Comparison value = comparison();
  ComparedPoint& wide = value.points[1];
  wide.candidates = 100000000;
  wide.scheme = std::string(80, 'x');
  wide.time_ratio = Estimate{1e300, Interval{1e-300, 999.9}};
  wide.normalised_ratio = Estimate{1e-9, Interval{1e-300, 999.9}};
  wide.speedup_ratio = Estimate{999.9, Interval{1e-9, 999.9}};
  wide.missing_in.clear();
  value.differences = {std::string(300, 'y')};
  for (const bool details : {false, true}) {
    const std::string text = render(value, "table", false, details);
    std::size_t from = 0;
    for (std::size_t to; (to = text.find('\n', from)) != std::string::npos; from = to + 1) {
      INFO(text.substr(from, to - from));
      CHECK(to - from <= (details ? 100 : 80));
    }
  }
}

TEST_CASE("a comparison asks what is asked of its reports", "[report][comparison]") {
  Comparison value = comparison();
  CHECK_THAT(render(value, "table"), !Contains("warning"));
  value.doubts = {"B: Are the columns swapped? naive takes 4 ms"};
  CHECK_THAT(render(value, "table"), Contains("warning   B: Are the columns swapped? naive takes 4 ms\n"));
  CHECK_THAT(render(value, "md"), Contains("> B: Are the columns swapped?"));
  CHECK(nlohmann::json::parse(render(value, "json"))["doubts"].size() == 1);
}

TEST_CASE("of many points the first screen has those that moved most", "[report][comparison]") {
  Comparison value = comparison();
  for (int n = 1; n <= 30; ++n) {
    value.points.push_back(point("shared", 1, 1 + 0.001 * n));
    value.points.back().candidates = n;
  }
  const std::string brief = render(value, "table");
  CHECK(std::count(brief.begin(), brief.end(), '\n') <= 24);
  CHECK_THAT(brief, Contains("the points that moved most") && Contains("1.030") && !Contains("1.001"));
  CHECK_THAT(whole(value), Contains("1.001"));
}

TEST_CASE("a comparison as JSON and CSV has every column", "[report][comparison]") {
  Comparison value = comparison();
  value.differences = {"a", "b"};
  value.points[0].shape.reset();
  const auto json = nlohmann::json::parse(render(value, "json"));
  CHECK(json["schema"] == "kvcast.comparison/1");
  CHECK(json["threshold"] == 0.05);
  CHECK(json["regression"] == false);
  CHECK(json["across"].is_null());
  CHECK_THAT(json["answer"].get<std::string>(), StartsWith("no regression beyond 5%"));
  CHECK(json["points"][1]["in_a"].is_null());
  CHECK(json["differences"] == nlohmann::json{"a", "b"});
  CHECK(json["points"][0]["shape"].is_null());
  CHECK(json["points"][0]["speedup_ratio"].is_null());
  CHECK(json["points"][1]["shape"]["history_length"] == 64);
  CHECK(json["points"][1]["normalised_ratio"]["value"] == 1.012);
  CHECK(json["points"][1]["missing_in"].is_null());
  const auto flat = render(value, "csv");
  CHECK_THAT(
      flat,
      Contains("speedup_ratio,speedup_ratio_lo,speedup_ratio_hi,regression,improvement,missing_in,in_a,in_b\r\n"));
  CHECK_THAT(flat, Contains("50,shared,1.25,1.24,1.26,1.012,1.002,1.022,0.99,0.98,1,false,false,,,\r\n"));
  CHECK_THROWS_AS(render(value, "samples.csv"), ConfigError);
}

}  // namespace kvcast
