#include "engine/builtin/kernels/gelu.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"
#include "catch.h"

using namespace kvcast;
using namespace kvcast::kernels;

namespace {

// x Phi(x) without cancellation on either side.
double exact_gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

std::vector<float> values() {
  std::vector<float> x;
  for (int i = -200000; i <= 200000; ++i) x.push_back(static_cast<float>(i) * 5e-5f);
  const RandomStream source(3, 1);
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const float any = std::bit_cast<float>(static_cast<std::uint32_t>(source.bits(i)));
    if (std::isfinite(any)) x.push_back(any);
  }
  return x;
}

}  // namespace

TEST_CASE("gelu equals float64 within 2e-7 max(1,|x|) and has the right sign", "[kernels][gelu]") {
  const std::vector<float> x = values();
  std::vector<float> y(x.size());
  gelu(x.data(), static_cast<std::int64_t>(x.size()), y.data(), Element::f32);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double bound = 2e-7 * std::max(1.0, std::abs(static_cast<double>(x[i])));
    const bool sign = x[i] < 0 ? y[i] <= 0 : y[i] >= 0;
    const bool limit = std::abs(x[i]) < 6.1f || y[i] == (x[i] < 0 ? 0.0f : x[i]);
    if (!(std::abs(y[i] - exact_gelu(x[i])) <= bound) || !sign || !limit) {
      CAPTURE(x[i], y[i], exact_gelu(x[i]), bound);
      REQUIRE(std::abs(y[i] - exact_gelu(x[i])) <= bound);
      REQUIRE(sign);
      REQUIRE(limit);
    }
  }
  SUCCEED();
}

TEST_CASE("gelu of what is not finite", "[kernels][gelu]") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  // At a place of a whole vector and at one of the rest.
  for (const std::int64_t place : {3, 64}) {
    CAPTURE(place);
    for (const Element element : {Element::f32, Element::bf16}) {
      const auto of = [&](float value) {
        std::vector<float> x(65), y(65);
        std::vector<Bf16> narrowed(65);
        x[static_cast<std::size_t>(place)] = value;
        if (element == Element::f32) {
          gelu(x.data(), 65, y.data(), element);
          return y[static_cast<std::size_t>(place)];
        }
        gelu(x.data(), 65, narrowed.data(), element);
        return from_bf16(narrowed[static_cast<std::size_t>(place)]);
      };
      CHECK(of(inf) == inf);
      CHECK(of(-inf) == 0);
      CHECK(std::isnan(of(nan)));
      CHECK(std::isnan(of(-nan)));
      CHECK(of(0) == 0);
      CHECK(of(-std::numeric_limits<float>::max()) == 0);
    }
  }
}

TEST_CASE("gelu in place, to bf16 and at every length has the same bits", "[kernels][gelu]") {
  const std::vector<float> x = values();
  std::vector<float> all(x.size());
  gelu(x.data(), static_cast<std::int64_t>(x.size()), all.data(), Element::f32);
  for (const std::size_t n : {0, 1, 7, 15, 16, 17, 63, 65, 1000}) {
    for (const std::size_t first : {0, 200001, 190003}) {
      CAPTURE(n, first);
      std::vector<float> y(x.begin() + static_cast<std::ptrdiff_t>(first),
                           x.begin() + static_cast<std::ptrdiff_t>(first + n + 1));
      std::vector<Bf16> narrowed(n + 1, Bf16{0x1234});
      gelu(y.data(), static_cast<std::int64_t>(n), narrowed.data(), Element::bf16);
      gelu(y.data(), static_cast<std::int64_t>(n), y.data(), Element::f32);
      bool same = true;
      for (std::size_t i = 0; i < n; ++i) {
        same = same && std::bit_cast<std::uint32_t>(y[i]) == std::bit_cast<std::uint32_t>(all[first + i]) &&
               narrowed[i] == to_bf16(y[i]);
      }
      CHECK(same);
      CHECK(y[n] == x[first + n]);
      CHECK(narrowed[n] == 0x1234);
    }
  }
}
