#include "traffic/distribution.h"

#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "base/random.h"
#include "catch.h"
#include "kvcast/error.h"
#include "unit/files.h"

namespace kvcast::traffic {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

constexpr int kDraws = 1'000'000;

Sampler sampler(const std::string& text, std::int64_t least = 0, const std::string& column = "history_len") {
  return Sampler(parse_distribution(text, "--x"), column, least, std::nullopt, "--x");
}

// Chi-square of counts against probabilities, bins of fewer than 10 expected taken together. The bound is exceeded once
// in a million draws of seeds.
bool fits(const std::vector<std::int64_t>& counts, const std::vector<double>& probabilities) {
  const auto draws = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  double statistic = 0, expected = 0, observed = 0;
  int bins = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    expected += draws * probabilities[i];
    observed += static_cast<double>(counts[i]);
    if (expected < 10 && i + 1 < counts.size()) continue;
    statistic += (observed - expected) * (observed - expected) / expected;
    ++bins;
    expected = observed = 0;
  }
  if (bins == 1) return true;
  return statistic <
         boost::math::quantile(boost::math::complement(boost::math::chi_squared(static_cast<double>(bins - 1)), 1e-6));
}

}  // namespace

TEST_CASE("distributions are parsed, and what is none is refused by name", "[traffic]") {
  CHECK(parse_distribution("200", "--x").median == 200);
  CHECK(parse_distribution("0", "--x").kind == "constant");
  const Distribution lognormal = parse_distribution("lognormal:200,900.5", "--x");
  CHECK(lognormal.kind == "lognormal");
  CHECK(lognormal.median == 200);
  CHECK(lognormal.p99 == 900.5);
  CHECK(parse_distribution("file:a,b.csv", "--x").file == "a,b.csv");
  CHECK(parse_distribution("file:a,b.csv", "--x").kind == "empirical");
  const auto refused = [](const std::string& text, const std::string& problem) {
    INFO(text);
    CHECK_THROWS_AS(parse_distribution(text, "--x"), ConfigError);
    CHECK_THROWS_WITH(parse_distribution(text, "--x"), Catch::StartsWith("--x: '" + text + "' " + problem));
  };
  for (const char* text : {"", "abc", "12x", "nan", "inf", "1e999", "uniform:1,2"})
    refused(text, "is not a distribution");
  for (const char* text : {"-1", "1.5", "1e12"}) refused(text, "is out of range; a whole number from 0 to 1000000000");
  for (const char* text : {"lognormal:", "lognormal:5", "lognormal:5,", "lognormal:a,b", "lognormal:1,2,3"}) {
    refused(text, "is not lognormal:MEDIAN,P99");
  }
  for (const char* text : {"lognormal:0,5", "lognormal:-1,5", "lognormal:9,5", "lognormal:9,1e10"}) {
    refused(text, "is not a lognormal distribution; 0 < MEDIAN <= P99");
  }
  refused("file:", "names no file");
}

TEST_CASE("constants are what they are, and not below the least", "[traffic]") {
  const Sampler seven = sampler("7");
  for (std::uint64_t i = 0; i < 100; ++i) CHECK(seven(mix64(i)) == 7);
  CHECK_THROWS_WITH(sampler("0", 1), "--x: '0' is too small; at least 1");
}

TEST_CASE("a lognormal has its median and P99, and every other quantile", "[traffic]") {
  for (const auto& [median, p99] : std::vector<std::pair<double, double>>{{200, 900}, {20000, 20000}, {1e6, 3e8}}) {
    const std::string text =
        "lognormal:" + std::to_string(std::llround(median)) + "," + std::to_string(std::llround(p99));
    const Sampler draw = sampler(text);
    const double sigma = std::log(p99 / median) / boost::math::quantile(boost::math::normal(), 0.99);
    std::int64_t before = 0;
    for (std::uint64_t i = 0; i < 200000; ++i) {
      const auto bits = static_cast<std::uint64_t>((static_cast<double>(i) + 0.5) / 200000 * 0x1p64);
      const double z = boost::math::quantile(boost::math::normal(), open_unit(bits));
      const double exact = std::min(1e9, median * std::exp(sigma * z));
      // A chord over a bin of width h is off by at most h^2/8 of the second derivative of the quantile,
      // (sigma^2 + sigma |z|) / phi(z)^2 of it; at the outermost bin of the table, the 17th of 4096, that is greatest.
      const double h = 1.0 / 4096, edge = boost::math::quantile(boost::math::normal(), 16 * h);
      const double phi = boost::math::pdf(boost::math::normal(), edge);
      const double relative = h * h / 8 * (sigma * sigma + sigma * std::fabs(edge)) / (phi * phi);
      const std::int64_t drawn = draw(bits);
      if (!(std::fabs(static_cast<double>(drawn) - exact) <= 0.5 + 1.1 * relative * exact) || drawn < before) {
        FAIL(text << " at " << open_unit(bits) << ": " << drawn << " for " << exact << " after " << before);
      }
      before = drawn;
    }
    CHECK(draw(std::uint64_t{1} << 63) == std::llround(median));
    CHECK(draw(0) >= 0);
    CHECK(draw(~std::uint64_t{0}) <= 1'000'000'000);
    // And by random numbers: shares below are binomial, 5 standard deviations wide.
    int below_median = 0, below_p99 = 0;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
      const std::int64_t drawn = draw(mix64(i));
      below_median += static_cast<double>(drawn) < median + 0.5 ? 1 : 0;
      below_p99 += static_cast<double>(drawn) < p99 + 0.5 ? 1 : 0;
    }
    if (sigma == 0) continue;
    // Rounding puts up to one whole number's probability below.
    const double unit = 0.5 / (sigma * median * std::sqrt(2 * 3.141592653589793));
    CHECK(std::fabs(below_median / double{kDraws} - 0.5) < 5 * 0.5 / std::sqrt(kDraws) + unit);
    CHECK(std::fabs(below_p99 / double{kDraws} - 0.99) < 5 * 0.0995 / std::sqrt(kDraws) + unit);
  }
}

TEST_CASE("an empirical distribution draws the values of a file", "[traffic]") {
  const TemporaryFolder folder;
  const std::string path = folder.path() / "t.csv";
  write_file(path, "n_candidates,history_len\n0,5\n10,5\n0,9\n20,1\n20,0\n");
  std::map<std::int64_t, std::int64_t> histories, candidates;
  const Sampler history = sampler("file:" + path), candidate = sampler("file:" + path, 1, "n_candidates");
  for (std::uint64_t i = 0; i < 30000; ++i) {
    // All bits from the least to the most, so that the shares are exact.
    const std::uint64_t bits = (2 * i + 1) * (~std::uint64_t{0} / 60000);
    ++histories[history(bits)];
    ++candidates[candidate(bits)];
  }
  CHECK(histories == std::map<std::int64_t, std::int64_t>{{0, 6000}, {1, 6000}, {5, 12000}, {9, 6000}});
  CHECK(candidates == std::map<std::int64_t, std::int64_t>{{10, 10000}, {20, 20000}});
  CHECK(candidate.text() == "drawn from n_candidates of " + path);

  write_file(path, "n_candidates\n0\n0\n");
  CHECK_THROWS_WITH(sampler("file:" + path, 1, "n_candidates"),
                    "--x: nothing to draw from in " + path + "; n_candidates is 0 (not recorded) in all of its rows");
  CHECK_THROWS_WITH(sampler("file:" + path), Catch::Contains(":1: no column history_len"));
  write_file(path, "n_candidates\n");
  CHECK_THROWS_WITH(sampler("file:" + path, 1, "n_candidates"), Catch::Contains("has no rows"));
  CHECK_THROWS_AS(sampler("file:" + path + ".no"), IoError);
}

TEST_CASE("of a long file a sample is drawn from", "[traffic]") {
  const TemporaryFolder folder;
  const std::string path = folder.path() / "t.csv";
  // Rising, so that a sample of any part of the file alone would be seen.
  constexpr int kRows = 300000, kKept = 65536;
  std::string text = "history_len\n";
  for (int i = 0; i < kRows; ++i) text += std::to_string(i) + "\n";
  write_file(path, text);
  const Sampler draw = sampler("file:" + path);
  CHECK(draw.text() == "drawn from history_len of " + path + " (65536 of its 300000 rows)");
  double farthest = 0;
  for (int i = 0; i < kKept; ++i) {
    const double u = (i + 0.5) / kKept;
    farthest =
        std::max(farthest, std::fabs(static_cast<double>(draw(static_cast<std::uint64_t>(u * 0x1p64))) / kRows - u));
  }
  // Dvoretzky-Kiefer-Wolfowitz: P(sup > e) <= 2 exp(-2 n e^2), here 1e-9.
  CHECK(farthest < std::sqrt(std::log(2e9) / (2.0 * kKept)));
}

TEST_CASE("users are drawn in proportion to 1/k^s", "[traffic]") {
  for (const std::int64_t n : {1, 2, 7, 1000, 4096}) {
    for (const double exponent : {0.0, 0.8, 1.0, 2.5}) {
      INFO(n << " users, exponent " << exponent);
      std::vector<double> probabilities = zipf_weights(n, exponent);
      const AliasTable table(probabilities);
      const double sum = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
      for (double& probability : probabilities) probability /= sum;
      std::vector<std::int64_t> counts(static_cast<std::size_t>(n));
      for (std::uint64_t i = 0; i < kDraws; ++i) ++counts[table(mix64(i))];
      CHECK(fits(counts, probabilities));
    }
  }
}

}  // namespace kvcast::traffic
