// Laws of the cost model over drawn arguments (docs/model.md §9).
#include <cmath>
#include <cstdint>
#include <utility>

#include "base/random.h"
#include "catch.h"
#include "kvcast/cost_model.h"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

constexpr int kDraws = 500;

/// Draw `i` of stream `stream`, uniform in [lo, hi).
double uniform(std::uint64_t stream, int i, double lo, double hi) {
  const auto unit = static_cast<double>(kvcast::RandomStream(20240607, stream).bits(std::uint64_t(i)) >> 11) * 0x1p-53;
  return lo + (hi - lo) * unit;
}

/// r over six decades, since measured ones are far below the seed's 0.15.
double draw_r(int i) { return std::pow(10, uniform(1, i, -6, 0)); }
/// A whole N, log-uniform to a million.
double draw_candidates(std::uint64_t stream, int i) { return std::floor(std::pow(10, uniform(stream, i, 0, 6))); }

kvcast::WorkShape draw_shape(int i) {
  kvcast::WorkShape s;
  s.history_length = std::int64_t(uniform(10, i, 0, 4000));
  s.kv_heads = 1 + std::int64_t(uniform(11, i, 0, 4));
  s.heads = s.kv_heads * (1 + std::int64_t(uniform(12, i, 0, 4)));
  s.dim = s.heads * (1 + std::int64_t(uniform(13, i, 0, 128)));
  s.layers = 1 + std::int64_t(uniform(14, i, 0, 50));
  s.ffn_factor = 1 + std::int64_t(uniform(15, i, 0, 6));
  s.trim = uniform(16, i, 0, 1) < 0.5;
  return s;
}

}  // namespace

TEST_CASE("S(1) = 1, S grows with N and stays below 1/r", "[property][cost_model]") {
  for (int i = 0; i < kDraws; ++i) {
    const double r = draw_r(i), n = draw_candidates(2, i);
    CAPTURE(r, n);
    CHECK(kvcast::speedup(1, r) == 1);
    CHECK(kvcast::speedup(n + 1, r) > kvcast::speedup(n, r));
    CHECK(kvcast::speedup(n, r) <= kvcast::asymptote(r));
    CHECK(kvcast::speedup(n, r) <= n);
    CHECK(kvcast::speedup(n, r / 2) >= kvcast::speedup(n, r));
  }
}

TEST_CASE("r comes back from any N, so any two agree", "[property][cost_model]") {
  for (int i = 0; i < kDraws; ++i) {
    const double r = draw_r(i), n1 = 1 + draw_candidates(2, i), n2 = 1 + draw_candidates(3, i);
    CAPTURE(r, n1, n2);
    const double r1 = kvcast::r_from_speedup(n1, kvcast::speedup(n1, r));
    const double r2 = kvcast::r_from_speedup(n2, kvcast::speedup(n2, r));
    // N/S - 1 = (N-1) r cancels when that is small: a rounding of 2^-53 there is 2^-53/((N-1) r) of r.
    const auto tolerance = [r](double n) { return 8 * 0x1p-53 * (1 + 1 / ((n - 1) * r)); };
    CHECK_THAT(r1, WithinRel(r, tolerance(n1)));
    CHECK_THAT(r2, WithinRel(r, tolerance(n2)));
    CHECK_THAT(r1, WithinRel(r2, tolerance(n1) + tolerance(n2)));
  }
}

TEST_CASE("S is the ratio of the two cost lines", "[property][cost_model]") {
  for (int i = 0; i < kDraws; ++i) {
    const double user = std::pow(10, uniform(4, i, -6, 6)), candidate = std::pow(10, uniform(5, i, -6, 6));
    const double n = draw_candidates(2, i);
    CAPTURE(user, candidate, n);
    const double direct = n * (user + candidate) / (user + n * candidate);
    CHECK_THAT(kvcast::speedup(n, kvcast::r_from_costs(user, candidate)), WithinRel(direct, 1e-12));
  }
}

TEST_CASE("improvement, marginal gain and N_p follow from S", "[property][cost_model]") {
  for (int i = 0; i < kDraws; ++i) {
    const double r = draw_r(i), n = draw_candidates(2, i), p = uniform(6, i, 0.01, 0.99);
    CAPTURE(r, n, p);
    CHECK_THAT(kvcast::improvement(n, r), WithinAbs(1 - 1 / kvcast::speedup(n, r), 1e-12));
    const double h = n * 1e-4;
    const double slope = (kvcast::speedup(n + h, r) - kvcast::speedup(n - h, r)) / (2 * h);
    // The central difference cancels S to eps·S/h and is off by h²; near r = 1 the slope itself vanishes.
    CHECK_THAT(kvcast::marginal_speedup(n, r), WithinAbs(slope, 1e-6 * slope + 1e-11));
    const double n_p = kvcast::candidates_for_fraction(p, r);
    CHECK_THAT(kvcast::speedup(n_p, r), WithinRel(p / r, 1e-9));
  }
}

TEST_CASE("drop rules", "[property][cost_model]") {
  for (int i = 0; i < kDraws; ++i) {
    const double drop = uniform(7, i, 0.001, 0.999), r = draw_r(i), n = draw_candidates(2, i);
    const double s = kvcast::speedup(n, r);
    CAPTURE(drop, r, n);
    CHECK_THAT(kvcast::drop_design_note(drop, s), WithinRel(drop * (1 - kvcast::improvement(n, r)), 1e-9));
    CHECK_THAT(kvcast::drop_exact(drop, s), WithinRel(1 / (1 + s * (1 - drop) / drop), 1e-12));
    // Exactness means that the added cost falls by S.
    CHECK_THAT(kvcast::cost_ratio_of_drop(kvcast::drop_exact(drop, s)) * s,
               WithinRel(kvcast::cost_ratio_of_drop(drop), 1e-9));
    // The linear rule flatters.
    CHECK(kvcast::drop_design_note(drop, s) <= kvcast::drop_exact(drop, s) * (1 + 1e-12));
  }
}

TEST_CASE("FLOPs of causal shapes", "[property][cost_model]") {
  for (int i = 0; i < kDraws; ++i) {
    kvcast::WorkShape s = draw_shape(i);
    CAPTURE(s.history_length, s.dim, s.heads, s.kv_heads, s.layers, s.ffn_factor, s.trim);
    CHECK_THAT(kvcast::naive_flops(s), WithinRel(kvcast::history_flops(s) + kvcast::candidate_flops(s), 1e-14));
    const double length = double(s.history_length) + 1;
    const double r = kvcast::r_flops(s);
    CHECK(r > 0);
    CHECK(r <= 1);
    s.trim = false;
    const double untrimmed = kvcast::r_flops(s);
    // A history token attends to half the keys of a candidate, and pays the same for everything else.
    CHECK(untrimmed * length >= 1 - 1e-12);
    CHECK(untrimmed * length <= 2 + 1e-12);
    CHECK(r >= untrimmed * (1 - 1e-12));
    s.causal = false;
    CHECK(kvcast::naive_flops(s) >= kvcast::history_flops(s));
  }
}
