#include "kvcast/cost_model.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "catch.h"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using kvcast::WorkShape;

namespace {

/// A number as a table prints it.
std::string printed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

WorkShape shape(std::int64_t length, std::int64_t dim, std::int64_t heads, std::int64_t layers, bool trim) {
  WorkShape s;
  s.history_length = length;
  s.dim = dim;
  s.heads = s.kv_heads = heads;
  s.layers = layers;
  s.trim = trim;
  return s;
}
// The three shapes of performance.md §2.
WorkShape shape_s(bool trim) { return shape(256, 256, 4, 4, trim); }
WorkShape shape_m(bool trim) { return shape(1000, 768, 12, 2, trim); }
WorkShape shape_r(bool trim) { return shape(2000, 128, 4, 4, trim); }

/// FLOPs of a forward pass counted one product at a time, from the definition of a layer and nothing else.
/// `tokens` positions, the last `outputs` of which must come out of the last layer.
double counted_flops(const WorkShape& s, std::int64_t tokens, std::int64_t outputs) {
  const double d = double(s.dim), d_kv = double(s.kv_heads * (s.dim / s.heads)), f = double(s.ffn_factor);
  double flops = 0;
  for (std::int64_t layer = 0; layer < s.layers; ++layer) {
    for (std::int64_t row = 0; row < tokens; ++row) {
      flops += 2 * d * d_kv + 2 * d * d_kv;  // K, V
      const bool needed = !s.trim || layer + 1 < s.layers || row >= tokens - outputs;
      if (!needed) continue;
      flops += 2 * d * d + 2 * d * d;              // Q, output projection
      flops += 2 * d * (f * d) + 2 * (f * d) * d;  // FFN up, down
      for (std::int64_t key = 0; key < tokens; ++key) {
        if (s.causal && key > row) continue;
        flops += 2 * d + 2 * d;  // score, weighted value
      }
    }
  }
  return flops;
}

}  // namespace

TEST_CASE("the seed's table comes out to the digits printed", "[analysis][cost_model]") {
  struct Row {
    double candidates;
    std::string speedup;
    int improvement_digits;
    std::string improvement_pct;
    int seed_digits;
    std::string seed_drop_pct, exact_drop_pct;
  };
  const std::vector<Row> table = {
      {1, "1.000", 0, "0", 0, "40", "40.0"},        {5, "3.125", 1, "68.0", 1, "12.8", "17.6"},
      {10, "4.255", 1, "76.5", 1, "9.4", "13.5"},   {50, "5.988", 1, "83.3", 2, "6.68", "10.0"},
      {100, "6.309", 2, "84.15", 2, "6.34", "9.6"}, {1000, "6.629", 3, "84.915", 2, "6.03", "9.1"},
  };
  constexpr double kR = 0.15, kNaiveDrop = 0.40;
  for (const Row& row : table) {
    CAPTURE(row.candidates);
    const double s = kvcast::speedup(row.candidates, kR);
    CHECK(printed(s, 3) == row.speedup);
    CHECK(printed(100 * kvcast::improvement(row.candidates, kR), row.improvement_digits) == row.improvement_pct);
    CHECK(printed(100 * kvcast::drop_seed_rule(kNaiveDrop, s), row.seed_digits) == row.seed_drop_pct);
    CHECK(printed(100 * kvcast::drop_exact(kNaiveDrop, s), 1) == row.exact_drop_pct);
  }
}

TEST_CASE("LONGER's drops imply 9.137x on the model and 1.553x end to end", "[analysis][cost_model]") {
  const double ratio = kvcast::cost_ratio_of_drop(0.40) / kvcast::cost_ratio_of_drop(0.068);
  CHECK(printed(kvcast::cost_ratio_of_drop(0.40), 4) == "0.6667");
  CHECK(printed(kvcast::cost_ratio_of_drop(0.068), 4) == "0.0730");
  CHECK(printed(ratio, 3) == "9.137");
  CHECK(printed((1 - kvcast::drop_exact(0.40, ratio)) / (1 - 0.40), 3) == "1.553");
  CHECK_THAT(kvcast::drop_exact(0.40, ratio), WithinAbs(0.068, 1e-12));
  // What it needs: S <= N and S <= 1/r.
  CHECK(std::ceil(ratio) == 10);
  CHECK(printed(1 / ratio, 4) == "0.1094");
  CHECK(printed(kvcast::asymptote(0.15), 2) == "6.67");
}

TEST_CASE("r is C_f over the whole naive cost, not over C_u", "[analysis][cost_model]") {
  constexpr double kUser = 65536, kCandidate = 12800;
  const double direct = 100 * (kUser + kCandidate) / (kUser + 100 * kCandidate);
  CHECK(printed(direct, 3) == "5.822");
  CHECK_THAT(kvcast::speedup(100, kvcast::r_from_costs(kUser, kCandidate)), WithinRel(direct, 1e-14));
  CHECK(printed(kvcast::speedup(100, kCandidate / kUser), 3) == "4.917");
}

TEST_CASE("ends of the range of r and of drops", "[analysis][cost_model]") {
  CHECK(kvcast::speedup(1000, 0) == 1000);
  CHECK(kvcast::speedup(1000, 1) == 1);
  CHECK(kvcast::improvement(1, 0.3) == 0);
  CHECK(kvcast::asymptote(0) == std::numeric_limits<double>::infinity());
  CHECK(kvcast::candidates_for_fraction(0.5, 0) == std::numeric_limits<double>::infinity());
  CHECK(kvcast::candidates_for_fraction(0.9, 1) == 0);
  CHECK(kvcast::drop_exact(0, 5) == 0);
  CHECK(kvcast::drop_exact(0.4, 1) == 0.4);
  CHECK(kvcast::r_from_costs(0, 7) == 1);
  // N_p at the seed's r: 90% of the asymptote from 51 candidates on.
  CHECK_THAT(kvcast::candidates_for_fraction(0.9, 0.15), WithinRel(51.0, 1e-12));
}

TEST_CASE("FLOPs of the reference shapes", "[analysis][cost_model]") {
  struct Row {
    WorkShape untrimmed, trimmed;
    int giga_digits;
    std::string naive_giga, candidate_mega, r;
    std::string over_length, over_length_trimmed, trim_saves_pct;
  };
  const std::vector<Row> table = {
      {shape_s(false), shape_s(true), 3, "1.753", "7.34", "0.00419", "1.08", "1.36", "21"},
      {shape_m(false), shape_m(true), 2, "31.42", "34.46", "0.00110", "1.10", "1.91", "42"},
      {shape_r(false), shape_r(true), 3, "7.249", "5.67", "0.00078", "1.57", "2.04", "23"},
  };
  for (const Row& row : table) {
    const double length = double(row.untrimmed.history_length) + 1;
    CAPTURE(length);
    CHECK(printed(kvcast::naive_flops(row.untrimmed) / 1e9, row.giga_digits) == row.naive_giga);
    CHECK(printed(kvcast::candidate_flops(row.untrimmed) / 1e6, 2) == row.candidate_mega);
    CHECK(printed(kvcast::r_flops(row.untrimmed), 5) == row.r);
    CHECK(printed(kvcast::r_flops(row.untrimmed) * length, 2) == row.over_length);
    CHECK(printed(kvcast::r_flops(row.trimmed) * length, 2) == row.over_length_trimmed);
    const double saved = 1 - kvcast::naive_flops(row.trimmed) / kvcast::naive_flops(row.untrimmed);
    CHECK(printed(100 * saved, 0) == row.trim_saves_pct);
    CHECK(kvcast::candidate_flops(row.trimmed) == kvcast::candidate_flops(row.untrimmed));
  }
  const double deep =
      kvcast::naive_flops(shape(1000, 768, 12, 50, true)) / kvcast::naive_flops(shape(1000, 768, 12, 50, false));
  CHECK(printed(100 * (1 - deep), 0) == "2");

  // Attention's share of the seed's history pass: one layer's 2·d·L·(L+1) of it.
  const WorkShape one = shape(1000, 768, 12, 1, false);
  CHECK(printed(100 * 2.0 * 768 * 1000 * 1001 / kvcast::history_flops(one), 1) == "9.8");
}

TEST_CASE("FLOPs equal a count of every product", "[analysis][cost_model]") {
  for (const std::int64_t length : {0, 1, 7, 20}) {
    for (const std::int64_t layers : {1, 2, 5}) {
      for (const std::int64_t kv_heads : {1, 2, 6}) {
        for (const std::int64_t factor : {1, 4}) {
          for (const bool trim : {false, true}) {
            for (const bool causal : {false, true}) {
              WorkShape s = shape(length, 12, 6, layers, trim);
              s.kv_heads = kv_heads;
              s.ffn_factor = factor;
              s.causal = causal;
              CAPTURE(length, layers, kv_heads, factor, trim, causal);
              CHECK(kvcast::naive_flops(s) == counted_flops(s, length + 1, 1));
              // The history alone has no output row.
              CHECK(kvcast::history_flops(s) == counted_flops(s, length, 0));
              if (causal) CHECK(kvcast::naive_flops(s) == kvcast::history_flops(s) + kvcast::candidate_flops(s));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("one bidirectional trimmed layer can share, so its parts add up", "[analysis][cost_model]") {
  WorkShape s = shape(50, 64, 4, 1, true);
  s.causal = false;
  CHECK(kvcast::naive_flops(s) == kvcast::history_flops(s) + kvcast::candidate_flops(s));
  s.layers = 2;
  CHECK(kvcast::naive_flops(s) > kvcast::history_flops(s) + kvcast::candidate_flops(s));
}

TEST_CASE("without a history every candidate costs the same: r = 1", "[analysis][cost_model]") {
  const WorkShape s = shape(0, 64, 4, 3, true);
  CHECK(kvcast::history_flops(s) == 0);
  CHECK(kvcast::r_flops(s) == 1);
  CHECK(kvcast::kv_cache_bytes(s) == 0);
}

TEST_CASE("bytes of keys and values", "[analysis][cost_model]") {
  WorkShape seed = shape(1000, 768, 12, 50, true);
  CHECK(kvcast::kv_cache_bytes(seed) == 307'200'000);
  CHECK(50 * kvcast::kv_cache_bytes(seed) == 15'360'000'000);
  CHECK(kvcast::naive_kv_bytes(seed) == 2 * 1001 * 768 * 4);
  seed.kv_heads = 3;
  seed.bytes = 2;
  CHECK(kvcast::kv_cache_bytes(seed) == 307'200'000 / 8);
  CHECK(kvcast::naive_kv_bytes(seed) == 2 * 1001 * 192 * 2);

  // Too large for 64 bits: never a small or negative number that a memory limit would let through.
  const WorkShape huge = shape(std::int64_t{1} << 50, 1 << 20, 1, 1 << 20, true);
  CHECK(kvcast::kv_cache_bytes(huge) == std::numeric_limits<std::int64_t>::max());
}
