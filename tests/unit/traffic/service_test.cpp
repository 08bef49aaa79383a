#include "traffic/service.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "catch.h"

namespace kvcast::traffic {
namespace {

using Catch::Matchers::WithinRel;

// Powers of two: every sum is exact.
ServiceCosts costs() {
  ServiceCosts costs;
  costs.breakpoints = {{0, 2, 4, 0.5}, {8, 10, 4, 1}, {16, 26, 8, 1}};
  costs.residuals = {0.5, 1, 3};
  return costs;
}

TEST_CASE("times at the breakpoints, between them and beyond by the last slope") {
  const ServiceTable table(costs());
  struct Row {
    std::int64_t length;
    double history_s, candidates_s, candidate_s;
  };
  for (const Row& row : {Row{0, 2, 4, 0.5}, Row{2, 4, 4, 0.625}, Row{4, 6, 4, 0.75}, Row{8, 10, 4, 1},
                         Row{12, 18, 6, 1}, Row{16, 26, 8, 1}, Row{24, 42, 12, 1}, Row{16'000, 31'994, 8000, 1}}) {
    CAPTURE(row.length);
    if (row.length > 0) CHECK(table.seconds(row.length, 0, 0) == row.history_s);
    for (const std::int64_t n : {1, 3, 100}) {
      const double candidates = row.candidates_s + static_cast<double>(n) * row.candidate_s;
      // All of it is known: no pass over it.
      CHECK(table.seconds(row.length, row.length, n) == candidates);
      if (row.length > 0) CHECK(table.seconds(row.length, 0, n) == row.history_s + candidates);
    }
    CHECK(table.seconds(row.length, row.length, 0) == 0);
    CHECK(table.seconds(row.length, 0, 0) == (row.length > 0 ? row.history_s : 0));
  }
}

TEST_CASE("a pass over new tokens takes what the known ones leave, and what any pass takes") {
  const ServiceTable table(costs());
  CHECK(table.seconds(16, 8, 0) == 26 - 10 + 2);
  CHECK(table.seconds(12, 4, 0) == 18 - 6 + 2);
  CHECK(table.seconds(24, 20, 0) == 42 - 34 + 2);
  // In two parts: one more fixed part. What is known never makes it longer.
  for (std::int64_t length = 1; length <= 40; ++length) {
    double before = table.seconds(length, 0, 0);
    for (std::int64_t known = 1; known < length; ++known) {
      CAPTURE(length, known);
      const double rest = table.seconds(length, known, 0);
      CHECK(table.seconds(known, 0, 0) + rest == table.seconds(length, 0, 0) + 2);
      CHECK(rest <= before);
      CHECK(rest >= 2);
      before = rest;
    }
    CHECK(table.seconds(length, length, 0) == 0);
  }
}

TEST_CASE("of a batch the fixed part of each pass is shared") {
  const ServiceTable table(costs());
  CHECK(table.shared_seconds(8, 0, 5) == 2 + 4);
  CHECK(table.shared_seconds(12, 4, 5) == 2 + 6);
  CHECK(table.shared_seconds(12, 12, 5) == 6);
  CHECK(table.shared_seconds(12, 4, 0) == 2);
  CHECK(table.shared_seconds(12, 12, 0) == 0);
  for (std::int64_t length = 0; length <= 40; length += 5) {
    for (std::int64_t known = 0; known <= length; known += 5) {
      for (const std::int64_t n : {0, 1, 9}) {
        CHECK(table.shared_seconds(length, known, n) <= table.seconds(length, known, n));
      }
    }
  }
}

TEST_CASE("a falling slope ends at zero, one breakpoint is constant") {
  ServiceCosts falling;
  falling.breakpoints = {{0, 0, 4, 2}, {4, 1, 2, 1}};
  const ServiceTable table(falling);
  CHECK(table.seconds(8, 8, 10) == 0);  // candidates_s and candidate_s would be negative beyond
  CHECK(table.seconds(100, 100, 10) == 0);
  CHECK(table.seconds(100, 0, 10) == 25);
  ServiceCosts one;
  one.breakpoints = {{0, 3, 5, 2}};
  const ServiceTable constant(one);
  for (const std::int64_t length : {1, 7, 1'000'000}) {
    CHECK(constant.seconds(length, 0, 4) == 3 + 5 + 8);
    CHECK(constant.seconds(length, length, 4) == 5 + 8);
    // A pass over a new token takes what any pass takes.
    if (length > 1) CHECK(constant.seconds(length, length - 1, 4) == 3 + 5 + 8);
  }
}

TEST_CASE("the breakpoints of a parabola give it within their step") {
  // history_s = 1e-6 L + 1e-9 L², breakpoints every 6.5%: a line is above by (q-1)²/(4q) of it at most.
  const auto truth = [](double l) { return 1e-6 * l + 1e-9 * l * l; };
  ServiceCosts parabola;
  for (double l = 0; l < 10'000; l = std::max(l + 1, std::floor(1.065 * l))) {
    parabola.breakpoints.push_back({static_cast<std::int64_t>(l), truth(l), 0, 0});
  }
  const ServiceTable table(parabola);
  for (std::int64_t length = 1; length < 9000; length += 7) {
    CAPTURE(length);
    const double found = table.seconds(length, 0, 0), right = truth(static_cast<double>(length));
    CHECK(found >= right * (1 - 1e-12));
    CHECK(found <= right * 1.001);
  }
}

TEST_CASE("residuals are equally likely; without any a request takes its mean") {
  const ServiceTable table(costs());
  CHECK_THAT(table.mean_residual(), WithinRel(1.5, 1e-15));
  for (const auto& [u, residual] :
       {std::pair{0.0, 0.5}, {0.333, 0.5}, {0.334, 1.0}, {0.666, 1.0}, {0.667, 3.0}, {1 - 0x1p-53, 3.0}}) {
    CHECK(table.residual(u) == residual);
  }
  ServiceCosts none = costs();
  none.residuals = {};
  CHECK(ServiceTable(none).residual(0.7) == 1);
  CHECK(ServiceTable(none).mean_residual() == 1);
}

}  // namespace
}  // namespace kvcast::traffic
