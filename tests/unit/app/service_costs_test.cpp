#include "app/service_costs.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "catch.h"
#include "engine/problem.h"
#include "folders.h"
#include "kvcast/kvcast.h"
#include "report/shape.h"

namespace {

using Catch::Contains;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using namespace kvcast;

constexpr double kPerFlop = 1e-10, kPass = 2e-3;

struct Times {
  double history_s, candidates_s, candidate_s;
};

WorkShape shape_at(const Config& config, std::int64_t length) {
  Config at = config;
  at.model.history_length = length;
  return work_shape(at);
}

/// A machine that does every FLOP at one speed, and takes the same for every pass besides.
Times by_flops(const Config& config, std::int64_t length) {
  const WorkShape shape = shape_at(config, length);
  return {kPass + kPerFlop * history_flops(shape), kPass, kPerFlop * candidate_flops(shape)};
}

Config config_of(const std::vector<std::int64_t>& lengths, const std::string& model = "", const std::string& run = "") {
  std::string list;
  for (const std::int64_t length : lengths) list += (list.empty() ? "" : ", ") + std::to_string(length);
  return parse_config(R"({"model": {"dim": 64, "heads": 2, "layers": 2)" + model +
                          R"(}, "sweep": {"history_length": [)" + list + R"(]}, "run": {"candidates": [1, 10, 50])" +
                          run + R"(}})",
                      "test", {}, {2, std::int64_t{1} << 32});
}

/// Rounds of naive and shared with these times, each round `wobble` slower or faster.
Report planted(const Config& config, const std::function<Times(const Config&, std::int64_t)>& times,
               double wobble = 0) {
  Report report;
  report.tool = tool_info();
  report.machine.emplace();
  report.config = config;
  for (const Config& one_config : grid(config)) {
    Case one;
    one.shape = report::shape_of(one_config);
    const std::int64_t length = one_config.model.history_length;
    const Times t = times(one_config, length);
    const double naive_s = kPerFlop * naive_flops(work_shape(one_config));
    for (const std::int64_t n : config.run.candidates) {
      for (std::int64_t round = 0; round < 4; ++round) {
        const double factor = 1 + wobble * (round % 2 == 0 ? 1 : -1);
        Sample sample;
        sample.candidates = sample.measured_candidates = n;
        sample.round = round;
        sample.scheme = "naive";
        sample.measured_seconds = (kPass + naive_s * static_cast<double>(n)) * factor;
        one.samples.push_back(sample);
        sample.scheme = "shared";
        sample.prefill_s = t.history_s * factor;
        sample.scoring_s = (t.candidates_s + t.candidate_s * static_cast<double>(n)) * factor;
        sample.measured_seconds = *sample.prefill_s + *sample.scoring_s;
        one.samples.push_back(sample);
      }
    }
    report.cases.push_back(one);
  }
  return report;
}

class Folder {
 public:
  explicit Folder(const Report& report) { write_report(report, path()); }
  std::string path() const { return folder_.path().string(); }
  ServiceCosts costs(std::int64_t most, TrafficOptions options = {}) const {
    options.report = path();
    return app::service_costs(options, most, 1);
  }

 private:
  testing::TemporaryFolder folder_;
};

void check_table(const ServiceCosts& costs, std::int64_t most) {
  const std::vector<ServiceBreakpoint>& breakpoints = costs.breakpoints;
  REQUIRE(breakpoints.size() >= 2);
  CHECK(breakpoints.front().history_length == 0);
  CHECK(breakpoints.back().history_length == most);
  for (std::size_t i = 0; i < breakpoints.size(); ++i) {
    CAPTURE(i);
    CHECK(breakpoints[i].history_s >= 0);
    CHECK(breakpoints[i].candidates_s >= 0);
    CHECK(breakpoints[i].candidate_s >= 0);
    if (i == 0) continue;
    CHECK(breakpoints[i].history_length > breakpoints[i - 1].history_length);
    CHECK(breakpoints[i].history_s >= breakpoints[i - 1].history_s);
  }
  CHECK(std::is_sorted(costs.residuals.begin(), costs.residuals.end()));
}

const ServiceBreakpoint& breakpoint_at(const ServiceCosts& costs, std::int64_t length) {
  const auto found =
      std::find_if(costs.breakpoints.begin(), costs.breakpoints.end(),
                   [&](const ServiceBreakpoint& breakpoint) { return breakpoint.history_length == length; });
  REQUIRE(found != costs.breakpoints.end());
  return *found;
}

}  // namespace

TEST_CASE("a surface gives the planted times back at every breakpoint", "[app][traffic]") {
  const Config config = config_of({64, 128, 256, 512});
  const Folder folder(planted(config, by_flops));
  for (const std::int64_t most : {512, 2000}) {
    const ServiceCosts costs = folder.costs(most);
    check_table(costs, most);
    CHECK(costs.source == (most == 512 ? Source::fitted : Source::extrapolated));
    CHECK_THAT(costs.basis, Contains("shared at L=64 to 512, 2 layers, other lengths from the surface"));
    for (const ServiceBreakpoint& breakpoint : costs.breakpoints) {
      if (breakpoint.history_length == 0) continue;
      CAPTURE(most, breakpoint.history_length);
      const Times truth = by_flops(config, breakpoint.history_length);
      CHECK_THAT(breakpoint.history_s, WithinRel(truth.history_s, 1e-6));
      // What does not grow with N and what does may only be told apart together.
      for (const double n : {1.0, 50.0}) {
        CHECK_THAT(breakpoint.candidates_s + n * breakpoint.candidate_s,
                   WithinRel(truth.candidates_s + n * truth.candidate_s, 1e-6));
      }
    }
    // Of no history what any pass takes: all but the FLOPs.
    CHECK_THAT(costs.breakpoints.front().history_s, WithinRel(kPass, 1e-6));
    CHECK(costs.residuals.size() == 4 * 3 * 4);
    for (const double residual : costs.residuals) CHECK_THAT(residual, WithinRel(1.0, 1e-6));
  }
}

TEST_CASE("without a surface the lengths that were measured are exact, others by FLOPs from the nearest",
          "[app][traffic]") {
  // Two lengths are too few for a surface. Twice the speed at 256, so that it shows which one was taken.
  const Config config = config_of({64, 256});
  const auto times = [](const Config& one, std::int64_t length) {
    Times t = by_flops(one, length);
    if (length == 256) t = {t.history_s / 2, t.candidates_s / 2, t.candidate_s / 2};
    return t;
  };
  const Folder folder(planted(config, times));
  const ServiceCosts costs = folder.costs(1000);
  check_table(costs, 1000);
  CHECK(costs.source == Source::extrapolated);
  CHECK(folder.costs(200).source == Source::fitted);
  CHECK_THAT(costs.basis, Contains("other lengths scaled by FLOPs"));
  std::int64_t before_middle = 0;
  for (const ServiceBreakpoint& breakpoint : costs.breakpoints) {
    const std::int64_t length = breakpoint.history_length;
    REQUIRE(length != 160);  // as near to one as to the other
    if (length == 0) continue;
    CAPTURE(length);
    const bool low = length < 160;
    if (low) before_middle = length;
    const std::int64_t from = low ? 64 : 256;
    const Times measured = times(config, from);
    const WorkShape before = shape_at(config, from), after = shape_at(config, length);
    CHECK_THAT(breakpoint.candidates_s, WithinRel(measured.candidates_s, 1e-6));
    CHECK_THAT(breakpoint.candidate_s,
               WithinRel(measured.candidate_s * candidate_flops(after) / candidate_flops(before), 1e-6));
    const double pass = measured.candidates_s;
    const double work = (measured.history_s - pass) * history_flops(after) / history_flops(before);
    // A longer history takes no less than a shorter one, which the slower timings say.
    const double least = low ? 0 : breakpoint_at(costs, before_middle).history_s;
    CHECK_THAT(breakpoint.history_s, WithinRel(std::max(pass + work, least), 1e-6));
  }
  // The breakpoints of a table end with its longest history.
  for (const std::int64_t length : {64, 256}) {
    const ServiceBreakpoint breakpoint = folder.costs(length).breakpoints.back();
    const Times truth = times(config, length);
    if (length == 64) CHECK_THAT(breakpoint.history_s, WithinRel(truth.history_s, 1e-6));
    CHECK_THAT(breakpoint.candidates_s, WithinRel(truth.candidates_s, 1e-6));
    CHECK_THAT(breakpoint.candidate_s, WithinRel(truth.candidate_s, 1e-6));
  }
}

TEST_CASE("one length is assumed to tell the others", "[app][traffic]") {
  const Config config = config_of({100});
  const Folder folder(planted(config, by_flops));
  const ServiceCosts costs = folder.costs(300);
  check_table(costs, 300);
  CHECK(costs.source == Source::assumed);
  CHECK_THAT(costs.basis, Contains("shared at L=100, 2 layers, other lengths scaled by FLOPs"));
  for (const ServiceBreakpoint& breakpoint : costs.breakpoints) {
    if (breakpoint.history_length == 0) continue;
    CHECK_THAT(breakpoint.history_s, WithinRel(by_flops(config, breakpoint.history_length).history_s, 1e-6));
  }
  CHECK_THAT(costs.breakpoints.front().history_s, WithinRel(kPass, 1e-6));
  CHECK_THAT(costs.breakpoints.back().history_s, WithinRel(by_flops(config, 300).history_s, 1e-6));
}

TEST_CASE("residuals are those of the timings", "[app][traffic]") {
  const Folder folder(planted(config_of({64, 128, 256, 512}), by_flops, 0.1));
  const ServiceCosts costs = folder.costs(512);
  check_table(costs, 512);
  CHECK(costs.residuals.size() == 48);
  // A tenth faster and slower, over a fitted time between the two.
  CHECK_THAT(costs.residuals.back() / costs.residuals.front(), WithinRel(1.1 / 0.9, 1e-6));
}

TEST_CASE("bytes of a cached token are those of the cache", "[app][traffic]") {
  std::vector<double> bytes;
  for (const auto& [model, run] : {std::pair{"", ""}, {R"(, "kv_heads": 1)", ""}, {"", R"(, "kv_dtype": "bf16")"}}) {
    const Config config = config_of({64}, model, run);
    CAPTURE(model, run);
    bytes.push_back(Folder(planted(config, by_flops)).costs(100).bytes_per_token);
    CHECK(bytes.back() == static_cast<double>(kv_cache_bytes(shape_at(config, 64))) / 64);
  }
  // Keys and values of 2 layers of 64 numbers of 4 bytes; of one head of two; of 2 bytes.
  CHECK(bytes == std::vector<double>{1024, 512, 512});
}

TEST_CASE("constants: the two numbers of a request, and none of a cache that nobody gave", "[app][traffic]") {
  TrafficOptions options;
  options.service_s = 0.005;
  options.token_s = 1e-6;
  options.candidate_s = 2e-5;
  options.token_bytes = 1024;
  ServiceCosts costs = app::service_costs(options, 1000, 1);
  REQUIRE(costs.breakpoints.size() == 2);
  CHECK(costs.breakpoints[0].history_s == 0);
  CHECK(costs.breakpoints[1].history_length == 1);
  CHECK(costs.breakpoints[1].history_s == 1e-6);
  for (const ServiceBreakpoint& breakpoint : costs.breakpoints) {
    CHECK(breakpoint.candidates_s == 0.005);
    CHECK(breakpoint.candidate_s == 2e-5);
  }
  CHECK(costs.residuals == std::vector<double>{1});
  CHECK(costs.bytes_per_token == 1024);
  CHECK(costs.source == Source::assumed);
  options.tail = 2;
  costs = app::service_costs(options, 1000, 1);
  double mean = 0;
  for (const double residual : costs.residuals) mean += residual / static_cast<double>(costs.residuals.size());
  CHECK_THAT(mean, WithinRel(1.0, 1e-12));
  CHECK_THAT(costs.residuals[costs.residuals.size() * 99 / 100], WithinRel(2.0, 0.02));
}

TEST_CASE("what tells no times is refused by the flag", "[app][traffic]") {
  TrafficOptions options;
  CHECK_THROWS_WITH(app::service_costs(options, 10, 1), Contains("simulate: nothing says how long a request takes"));
  options.service_s = 0.005;
  for (const double tail : {0.0, 0.99, 15.0, -1.0}) {
    options.tail = tail;
    CHECK_THROWS_WITH(app::service_costs(options, 10, 1), Contains("--tail: "));
  }
  options.tail = 1;
  options.cache.bytes = 1;
  CHECK_THROWS_WITH(app::service_costs(options, 10, 1), Contains("--cache: fixed times"));
  options.cache.bytes = 0;
  options.layers = 2;
  CHECK_THROWS_WITH(app::service_costs(options, 10, 1), Contains("--layers: "));

  const Folder folder(planted(config_of({64}), by_flops));
  const auto with = [&](const std::function<void(TrafficOptions&)>& change) {
    TrafficOptions changed;
    change(changed);
    return folder.costs(10, changed);
  };
  CHECK_THROWS_WITH(with([](TrafficOptions& o) { o.service_s = 1; }), Contains("both a report and fixed times"));
  CHECK_THROWS_WITH(with([](TrafficOptions& o) { o.token_bytes = 1; }), Contains("--token-bytes: "));
  CHECK_THROWS_WITH(with([](TrafficOptions& o) { o.tail = 0.5; }), Contains("--tail: "));
  CHECK_THROWS_WITH(with([](TrafficOptions& o) { o.scheme = "naive"; }),
                    Contains("--scheme: 'naive' keeps no KV cache"));
  CHECK_THROWS_WITH(with([](TrafficOptions& o) { o.scheme = "nobody"; }), Contains("--scheme: 'nobody'"));
  CHECK_THROWS_WITH(with([](TrafficOptions& o) { o.layers = 7; }), Contains("--layers: "));
  CHECK_THROWS_WITH(with([](TrafficOptions& o) { o.shape = "smoke"; }),
                    Contains("--shape: the timings record their shape"));
}

TEST_CASE("breakpoints ascend to the longest history, close enough for a parabola", "[app][traffic]") {
  for (const std::int64_t most : {0, 1, 2, 17, 1000, 1'000'000}) {
    const std::vector<std::int64_t> lengths = app::breakpoint_lengths(most);
    CAPTURE(most);
    CHECK(lengths.front() == 0);
    CHECK(lengths.back() == std::max<std::int64_t>(1, most));
    CHECK(std::adjacent_find(lengths.begin(), lengths.end(), std::greater_equal<>()) == lengths.end());
    for (std::size_t i = 2; i < lengths.size(); ++i) {
      const auto a = static_cast<double>(lengths[i - 1]), b = static_cast<double>(lengths[i]);
      if (b - a > 1) CHECK((b - a) * (b - a) / (4 * a * b) < 1e-3);
    }
    CHECK(lengths.size() < 300);
  }
}
