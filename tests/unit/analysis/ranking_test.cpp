#include "analysis/ranking.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "base/random.h"
#include "catch.h"

using Catch::Matchers::WithinAbs;
using kvcast::analysis::kendall_tau;
using kvcast::analysis::top_k_overlap;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// `count` scores of `levels` values, so that there are ties.
std::vector<double> draw(std::uint64_t stream, int count, std::uint64_t levels) {
  const kvcast::RandomStream random(7, stream);
  std::vector<double> scores;
  for (int i = 0; i < count; ++i) scores.push_back(static_cast<double>(random.bits(std::uint64_t(i)) % levels));
  return scores;
}

/// tau-b by its definition over all pairs.
std::optional<double> tau_by_pairs(const std::vector<double>& a, const std::vector<double>& b) {
  double score = 0, untied_a = 0, untied_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = i + 1; j < a.size(); ++j) {
      const int in_a = (a[i] > a[j]) - (a[i] < a[j]), in_b = (b[i] > b[j]) - (b[i] < b[j]);
      score += in_a * in_b;
      untied_a += in_a * in_a;
      untied_b += in_b * in_b;
    }
  }
  if (untied_a == 0 || untied_b == 0) return std::nullopt;
  return score / std::sqrt(untied_a * untied_b);
}

}  // namespace

TEST_CASE("Kendall's tau-b of known rankings", "[analysis][ranking]") {
  const std::vector<double> up = {1, 2, 3, 4, 5}, down = {5, 4, 3, 2, 1}, one_swap = {2, 1, 3, 4, 5};
  CHECK(kendall_tau(up, up) == 1.0);
  CHECK(kendall_tau(up, down) == -1.0);
  CHECK(kendall_tau(up, one_swap) == 0.8);
  // The example of scipy.stats.kendalltau's documentation.
  const std::vector<double> x = {12, 2, 1, 12, 2}, y = {1, 4, 7, 1, 0};
  CHECK_THAT(kendall_tau(x, y).value(), WithinAbs(-0.4714045207910316, 1e-15));
}

TEST_CASE("Kendall's tau-b equals the count over all pairs", "[analysis][ranking]") {
  for (const int count : {2, 3, 8, 63, 64, 65, 200}) {
    for (const std::uint64_t levels : {2, 5, 1000000}) {
      const auto a = draw(1, count, levels), b = draw(2, count, levels);
      CAPTURE(count, levels);
      const auto expected = tau_by_pairs(a, b);
      const auto tau = kendall_tau(a, b);
      REQUIRE(tau.has_value() == expected.has_value());
      if (expected) CHECK_THAT(*tau, WithinAbs(*expected, 1e-14));
      if (tau_by_pairs(a, a)) CHECK(kendall_tau(a, a) == 1.0);
    }
  }
}

TEST_CASE("Kendall's tau is unknown where it is undefined", "[analysis][ranking]") {
  const std::vector<double> none, single = {1}, flat = {2, 2, 2}, up = {1, 2, 3}, broken = {1, kNaN, 3};
  CHECK_FALSE(kendall_tau(none, none));
  CHECK_FALSE(kendall_tau(single, single));
  CHECK_FALSE(kendall_tau(flat, up));
  CHECK_FALSE(kendall_tau(up, flat));
  CHECK_FALSE(kendall_tau(broken, up));
  CHECK_FALSE(kendall_tau(up, broken));
}

TEST_CASE("Kendall's tau of many candidates", "[analysis][ranking]") {
  // All pairs of these would be 2·10^10.
  const int count = 200000;
  std::vector<double> up, rotated;
  for (int i = 0; i < count; ++i) {
    up.push_back(i);
    rotated.push_back((i + count / 4) % count);
  }
  // A rotation by a quarter turns over n/4 · 3n/4 of n²/2 pairs.
  const double n = count;
  CHECK_THAT(kendall_tau(up, rotated).value(), WithinAbs(1 - 2 * (n / 4 * 3 * n / 4) / (n * (n - 1) / 2), 1e-12));
}

TEST_CASE("top-k overlap", "[analysis][ranking]") {
  const std::vector<double> a = {0.9, 0.1, 0.8, 0.7, 0.2}, b = {0.9, 0.8, 0.1, 0.7, 0.2};
  CHECK(top_k_overlap(a, a, 3) == 1.0);
  CHECK(top_k_overlap(a, b, 1) == 1.0);
  CHECK(top_k_overlap(a, b, 2) == 0.5);
  CHECK(top_k_overlap(a, b, 3) == 2.0 / 3);
  CHECK(top_k_overlap(a, b, 5) == 1.0);
  CHECK(top_k_overlap(a, b, 99) == 1.0);
  const std::vector<double> low = {-1, -2, 3, 4}, high = {3, 4, -1, -2};
  CHECK(top_k_overlap(low, high, 2) == 0.0);
}

TEST_CASE("top-k overlap breaks ties by index and ranks NaN last", "[analysis][ranking]") {
  const std::vector<double> flat = {1, 1, 1, 1}, falling = {4, 3, 2, 1};
  CHECK(top_k_overlap(flat, falling, 2) == 1.0);
  const std::vector<double> broken = {kNaN, kNaN, 2, 1};
  CHECK(top_k_overlap(broken, falling, 2) == 0.0);
  CHECK(top_k_overlap(broken, falling, 3) == 2.0 / 3);
  CHECK_FALSE(top_k_overlap(falling, falling, 0));
  CHECK_FALSE(top_k_overlap(std::vector<double>{}, std::vector<double>{}, 3));
}
