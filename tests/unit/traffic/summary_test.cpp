#include "traffic/summary.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "catch.h"

namespace kvcast::traffic {

TEST_CASE("a histogram has the quantiles of its values", "[traffic]") {
  for (const int bits : {4, 9, 10, 20, 62}) {
    ValueHistogram histogram;
    std::vector<std::int64_t> values;
    double sum = 0;
    for (std::uint64_t i = 0; i < 5000; ++i) {
      // Of all magnitudes.
      values.push_back(
          static_cast<std::int64_t>((mix64(i) >> (64 - bits)) >> (mix64(i + 99999) % std::uint64_t(bits))));
      histogram.add(values.back());
      sum += static_cast<double>(values.back());
    }
    std::sort(values.begin(), values.end());
    CHECK(histogram.count() == 5000);
    CHECK(histogram.max() == values.back());
    CHECK(histogram.mean() == Approx(sum / 5000));
    for (int i = 1; i <= 5000; i += 7) {
      const auto exact = static_cast<double>(values[static_cast<std::size_t>(i - 1)]);
      const double found = histogram.quantile(i / 5000.0);
      CHECK(std::fabs(found - exact) <= (exact < 512 ? 0 : exact / 256));
    }
  }
  CHECK(ValueHistogram().quantile(0.5) == 0);
  ValueHistogram one;
  one.add(100001);
  CHECK(one.quantile(0.5) == Approx(100001).epsilon(1.0 / 256));
}

TEST_CASE("users are counted exactly up to the bound and estimated beyond it", "[traffic]") {
  constexpr std::int64_t kUsers = 50000;
  // User u asks 1 + u mod 3 times: 2 times on average.
  UserCounts exact, sampled(1024);
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t user = 0; user < kUsers; ++user) {
      if (user % 3 < static_cast<std::uint64_t>(round)) continue;
      exact.add(user);
      sampled.add(user);
    }
  }
  CHECK(exact.exact());
  CHECK(exact.users() == kUsers);
  CHECK(exact.requests_per_user().mean() == Approx(2).epsilon(1e-4));
  CHECK(exact.requests_per_user().max() == 3);

  CHECK_FALSE(sampled.exact());
  CHECK(sampled.kept() <= 1024);
  CHECK(sampled.kept() >= 400);
  // Five standard errors of 1.2/sqrt(1024).
  CHECK(static_cast<double>(sampled.users()) == Approx(kUsers).epsilon(5 * 1.2 / 32));
  // Every kept user was counted from its first request on: 1, 2 or 3, on average 2 with a deviation of 0.82.
  CHECK(sampled.requests_per_user().mean() == Approx(2).margin(5 * 0.82 / std::sqrt(512.0)));
}

}  // namespace kvcast::traffic
