#include "kvcast/cost_model.h"

#include <algorithm>
#include <array>
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

/// Whose work a count takes in.
struct Counted {
  bool history = true;                     ///< the history rows' own work
  bool candidate = true;                   ///< the candidate is there
  std::int64_t added = -1;                 ///< K,V of all but the newest `added` history rows are known; -1: none are
  bool products = true, attention = true;  ///< the two kinds of work
};

/// FLOPs by walking the definition of docs/model.md §1 row by row and key by key: history rows 0 … P-1, the candidate
/// at P, who is active in which layer, who goes on from it, and who sees whom.
double walked_flops(const WorkShape& s, const Counted& counted) {
  const double d = double(s.dim), d_kv = double(s.kv_heads * (s.dim / s.heads)), f = double(s.ffn_factor);
  const std::int64_t candidate = s.history_length;
  const auto active = [&](std::int64_t layer, std::int64_t row) {
    if (row == candidate) return layer >= s.candidate_from_layer;
    return layer == 0 || s.query_tokens == 0 || row >= candidate - s.query_tokens;
  };
  const bool window_moves = s.layers > 1 && s.query_tokens > 0 && s.query_tokens < s.history_length;
  const auto known = [&](std::int64_t layer, std::int64_t row) {
    if (counted.added < 0 || row >= candidate - counted.added) return false;
    return layer == 0 || !(window_moves || !s.causal);
  };
  double flops = 0;
  for (std::int64_t layer = 0; layer < s.layers; ++layer) {
    const bool last = layer + 1 == s.layers;
    for (std::int64_t row = 0; row <= candidate; ++row) {
      if (!active(layer, row) || !(row == candidate ? counted.candidate : counted.history)) continue;
      if (!known(layer, row) && counted.products) flops += 2 * d * d_kv + 2 * d * d_kv;  // K, V
      const bool goes_on = last ? !s.trim || row == candidate : active(layer + 1, row);
      // What the next layer's K,V would be made of is known with them.
      if (!goes_on || known(layer + 1, row)) continue;
      if (counted.products) {
        flops += 2 * d * d + 2 * d * d;              // Q, output projection
        flops += 2 * d * (f * d) + 2 * (f * d) * d;  // FFN up, down
      }
      if (!counted.attention) continue;
      for (std::int64_t key = 0; key <= candidate; ++key) {
        if (!active(layer, key) || (s.causal && key > row) || (key == candidate && !counted.candidate)) continue;
        flops += 2 * d + 2 * d;  // score, weighted value
      }
    }
  }
  return flops;
}

/// Calls check(shape) over a grid of every option.
template <typename Check>
void over_grid(const Check& check) {
  for (const std::int64_t length : {0, 1, 7, 20}) {
    for (const std::int64_t layers : {1, 2, 3, 6}) {
      for (const std::int64_t from : {0, 1, 2, 5}) {
        for (const std::int64_t k : {0, 1, 6, 7, 19, 50}) {
          for (const std::int64_t kv_heads : {1, 2, 6}) {
            for (const bool trim : {false, true}) {
              for (const bool causal : {false, true}) {
                if (from >= layers) continue;
                WorkShape s = shape(length, 12, 6, layers, trim);
                s.kv_heads = kv_heads;
                s.ffn_factor = 3;
                s.causal = causal;
                s.query_tokens = k;
                s.candidate_from_layer = from;
                check(s);
              }
            }
          }
        }
      }
    }
  }
}

#define CAPTURE_SHAPE(s)                                                                        \
  CAPTURE((s).history_length, (s).layers, (s).kv_heads, (s).trim, (s).causal, (s).query_tokens, \
          (s).candidate_from_layer)

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
    CHECK(printed(100 * kvcast::drop_design_note(kNaiveDrop, s), row.seed_digits) == row.seed_drop_pct);
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

  // Attention's share of the seed's prefill: one layer's 2·d·L·(L+1) of it.
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

TEST_CASE("FLOPs of a ranking head equal a walk over its weights", "[analysis][cost_model]") {
  for (const auto& [dim, width, layers] : {std::array{3, 5, 1}, {3, 5, 2}, {64, 2432, 2}, {7, 7, 4}}) {
    double products = 0;
    for (int i = 0; i <= layers; ++i) products += double(i == 0 ? dim : width) * (i == layers ? 1 : width);
    CHECK(kvcast::head_flops(dim, width, layers) == 2 * products);
  }
  CHECK(kvcast::head_flops(64, 0, 2) == 0);
}

TEST_CASE("FLOPs equal a walk over layers, rows and keys", "[analysis][cost_model]") {
  // Small whole numbers, so doubles hold every sum exactly.
  over_grid([](const WorkShape& s) {
    CAPTURE_SHAPE(s);
    Counted history, candidate, naive;
    history.candidate = false;
    candidate.history = false;
    CHECK(kvcast::history_flops(s) == walked_flops(s, history));
    CHECK(kvcast::candidate_flops(s) == walked_flops(s, candidate));
    CHECK(kvcast::naive_flops(s) == walked_flops(s, naive));
    if (s.causal) CHECK(kvcast::naive_flops(s) == kvcast::history_flops(s) + kvcast::candidate_flops(s));
    for (const std::int64_t added : {std::int64_t{1}, std::int64_t{3}, s.history_length}) {
      if (added > s.history_length || added == 0) continue;
      Counted append = history;
      append.added = added;
      CAPTURE(added);
      CHECK(kvcast::append_flops(s, added) == walked_flops(s, append));
    }
  });
}

TEST_CASE("FLOPs in two parts equal the walk over products and the walk over pairs", "[analysis][cost_model]") {
  over_grid([](const WorkShape& s) {
    CAPTURE_SHAPE(s);
    const auto check = [&](const kvcast::FlopParts& parts, Counted counted, double total) {
      counted.attention = false;
      CHECK(parts.dense == walked_flops(s, counted));
      counted.attention = true;
      counted.products = false;
      CHECK(parts.attention == walked_flops(s, counted));
      CHECK(parts.dense + parts.attention == total);
    };
    Counted history, candidate;
    history.candidate = false;
    candidate.history = false;
    check(kvcast::history_flop_parts(s), history, kvcast::history_flops(s));
    check(kvcast::candidate_flop_parts(s), candidate, kvcast::candidate_flops(s));
    check(kvcast::naive_flop_parts(s), Counted{}, kvcast::naive_flops(s));

    WorkShape first = s;
    first.candidate_sees_history = false;
    const kvcast::FlopParts parts = kvcast::naive_flop_parts(first);
    CHECK(parts.dense == kvcast::naive_flop_parts(s).dense);
    CHECK(parts.dense + parts.attention == kvcast::naive_flops(first));
  });
}

TEST_CASE("without query tokens and with the candidate in every layer the formulas are the plain ones",
          "[analysis][cost_model]") {
  over_grid([](WorkShape s) {
    CAPTURE_SHAPE(s);
    s.candidate_from_layer = 0;
    const bool plain = s.query_tokens == 0 || s.query_tokens >= s.history_length;
    if (!plain) return;
    const double d = 12, d_kv = 2.0 * double(s.kv_heads), length = double(s.history_length), layers = double(s.layers);
    const double token = 2 * (2 * d * d + 2 * d * d_kv) + 4 * 3 * d * d;
    const double seen = s.causal ? length * (length + 1) / 2 : length * length;
    const double full_layer = length * token + 4 * d * seen;
    const double last_layer = s.trim ? 4 * d * d_kv * length : full_layer;
    CHECK(kvcast::history_flops(s) == (layers - 1) * full_layer + last_layer);
    CHECK(kvcast::candidate_flops(s) == layers * (token + 4 * d * (length + 1)));
    CHECK(kvcast::kv_cache_bytes(s) == 2 * s.layers * s.history_length * 2 * s.kv_heads * s.bytes);
    CHECK(kvcast::naive_kv_bytes(s) == 2 * (s.history_length + 1) * 2 * s.kv_heads * s.bytes);
  });
}

TEST_CASE("a hybrid by hand", "[analysis][cost_model]") {
  // d = 4, one head, f = 1: K,V 64 per row; Q, out, FFN 4·16 + 4·16 = 128 per row; 16 per pair. P = 5, k = 2, 3 layers.
  WorkShape s = shape(5, 4, 1, 3, true);
  s.ffn_factor = 1;
  s.query_tokens = 2;
  // Layer 0: 5 rows' K,V; the last 2 see 4 and 5 keys. Layer 1: 2 rows see 1 and 2. Layer 2: K,V of 2.
  CHECK(kvcast::history_flops(s) == (5 * 64 + 2 * 128 + 16 * 9) + (2 * 64 + 2 * 128 + 16 * 3) + 2 * 64);
  CHECK(kvcast::candidate_flops(s) == 3 * (64 + 128) + 16 * (6 + 3 + 3));
  CHECK(kvcast::naive_flops(s) == kvcast::history_flops(s) + kvcast::candidate_flops(s));
  CHECK(kvcast::kv_cache_bytes(s) == 2 * (5 + 2 + 2) * 4 * 4);
  CHECK(kvcast::naive_kv_bytes(s) == 2 * 6 * 4 * 4);
  // The window moved: only layer 0's K,V of the 4 old rows are saved.
  CHECK(kvcast::append_flops(s, 1) == kvcast::history_flops(s) - 4 * 64);
  s.trim = false;
  CHECK(kvcast::history_flops(s) == (5 * 64 + 2 * 128 + 16 * 9) + 2 * (2 * 64 + 2 * 128 + 16 * 3));
  s.causal = false;
  CHECK(kvcast::history_flops(s) == (5 * 64 + 2 * 128 + 16 * 10) + 2 * (2 * 64 + 2 * 128 + 16 * 4));
  CHECK(kvcast::naive_flops(s) == (6 * 64 + 3 * 128 + 16 * 18) + 2 * (3 * 64 + 3 * 128 + 16 * 9));
}

TEST_CASE("a late candidate by hand", "[analysis][cost_model]") {
  WorkShape s = shape(5, 4, 1, 3, true);
  s.ffn_factor = 1;
  s.candidate_from_layer = 2;
  CHECK(kvcast::candidate_flops(s) == 64 + 128 + 16 * 6);
  CHECK(kvcast::history_flops(s) == 2 * (5 * 64 + 5 * 128 + 16 * 15) + 5 * 64);
  CHECK(kvcast::kv_cache_bytes(s) == 2 * 5 * 4 * 4);
  CHECK(kvcast::naive_kv_bytes(s) == 2 * 6 * 4 * 4);
  // The largest layer of a hybrid whose candidate is not in layer 0 is that of the bare history.
  s.query_tokens = 3;
  CHECK(kvcast::kv_cache_bytes(s) == 2 * 3 * 4 * 4);
  CHECK(kvcast::naive_kv_bytes(s) == 2 * 5 * 4 * 4);
  s.query_tokens = 4;
  s.candidate_from_layer = 1;
  CHECK(kvcast::kv_cache_bytes(s) == 2 * (4 + 4) * 4 * 4);
  CHECK(kvcast::naive_kv_bytes(s) == 2 * 5 * 4 * 4);
  // The candidate in the last layer only never reaches another layer's K,V, so it shares under any mask.
  s.query_tokens = 0;
  s.candidate_from_layer = 2;
  s.causal = false;
  CHECK(kvcast::naive_flops(s) == kvcast::history_flops(s) + kvcast::candidate_flops(s));
  s.candidate_from_layer = 1;
  CHECK(kvcast::naive_flops(s) > kvcast::history_flops(s) + kvcast::candidate_flops(s));
}

TEST_CASE("bytes equal a walk over layers and keys", "[analysis][cost_model]") {
  over_grid([](const WorkShape& s) {
    CAPTURE_SHAPE(s);
    std::int64_t cached = 0, largest = 0;
    for (std::int64_t layer = 0; layer < s.layers; ++layer) {
      std::int64_t keys = 0;
      for (std::int64_t row = 0; row < s.history_length; ++row) {
        keys += layer == 0 || s.query_tokens == 0 || row >= s.history_length - s.query_tokens ? 1 : 0;
      }
      const bool candidate = layer >= s.candidate_from_layer;
      if (candidate) cached += keys;
      largest = std::max(largest, keys + (candidate ? 1 : 0));
    }
    const std::int64_t each = 2 * s.kv_heads * 2 * s.bytes;
    CHECK(kvcast::kv_cache_bytes(s) == cached * each);
    CHECK(kvcast::naive_kv_bytes(s) == largest * each);
  });
}

TEST_CASE("appending all or nothing", "[analysis][cost_model]") {
  over_grid([](const WorkShape& s) {
    CAPTURE_SHAPE(s);
    CHECK(kvcast::append_flops(s, 0) == 0);
    CHECK(kvcast::append_flops(s, s.history_length) == kvcast::history_flops(s));
  });
  // A plain history grown in two steps costs what it costs at once.
  WorkShape s = shape(20, 12, 6, 3, true);
  WorkShape shorter = s;
  shorter.history_length = 13;
  CHECK(kvcast::history_flops(shorter) + kvcast::append_flops(s, 7) == kvcast::history_flops(s));
  // A hybrid's does not: its window is computed again.
  s.query_tokens = shorter.query_tokens = 5;
  CHECK(kvcast::history_flops(shorter) + kvcast::append_flops(s, 7) > kvcast::history_flops(s));
}

TEST_CASE("packed passes run the history once each", "[analysis][cost_model]") {
  const WorkShape s = shape(20, 12, 6, 3, true);
  const double user = kvcast::history_flops(s), each = kvcast::candidate_flops(s);
  CHECK(kvcast::packed_flops(s, 10, 10) == user + 10 * each);
  CHECK(kvcast::packed_flops(s, 10, 64) == user + 10 * each);
  CHECK(kvcast::packed_flops(s, 10, 3) == 4 * user + 10 * each);
  CHECK(kvcast::packed_flops(s, 9, 3) == 3 * user + 9 * each);
  // One at a time is naive.
  CHECK(kvcast::packed_flops(s, 7, 1) == 7 * kvcast::naive_flops(s));
  CHECK(kvcast::packed_flops(s, 0, 3) == 0);
}

TEST_CASE("LONGER's token merge saves what the paper says", "[analysis][cost_model]") {
  // arXiv 2505.04421, token merge: 24·L·d² + 4·L²·d FLOPs of a layer become 24·L·K·d² + 4·L²·d/K, 42.8% less at
  // L = 2048, d = 32, K = 4.
  const std::int64_t length = 2048, dim = 32, merge = 4;
  WorkShape before = shape(length, dim, 4, 1, false), after = shape(length / merge, dim * merge, 4, 1, false);
  // The paper counts every pair.
  before.causal = after.causal = false;
  const double l = double(length), d = double(dim), k = double(merge);
  CHECK(kvcast::history_flops(before) == 24 * l * d * d + 4 * l * l * d);
  CHECK(kvcast::history_flops(after) == 24 * l * k * d * d + 4 * l * l * d / k);
  const double ratio = kvcast::history_flops(after) / kvcast::history_flops(before);
  CHECK(ratio == (6 * d * k + l / k) / (6 * d + l));
  CHECK(std::floor(1000 * (1 - ratio)) / 10 == 42.8);
  // kvcast counts P(P+1)/2 of P² pairs, the visible half. The dense products, which merging makes K times as large,
  // stay whole, so by this count merging saves less: 318.9 MFLOP, 50.3 of them dense, become 268.6 with 201.3 dense.
  before.causal = after.causal = true;
  CHECK(kvcast::history_flops(before) == 24 * l * d * d + 2 * d * l * (l + 1));
  CHECK(kvcast::history_flops(after) == 24 * l * k * d * d + 2 * d * l * (l / k + 1));
  const double visible = kvcast::history_flops(after) / kvcast::history_flops(before);
  CHECK(printed(100 * (1 - visible), 1) == "15.8");
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

TEST_CASE("a candidate that sees only itself is charged for one key", "[cost_model]") {
  kvcast::WorkShape shape;
  shape.history_length = 7;
  shape.dim = 6;
  shape.heads = 3;
  shape.kv_heads = 1;
  for (const std::int64_t layers : {1, 3}) {
    for (const std::int64_t from : {std::int64_t{0}, layers - 1}) {
      for (const bool trim : {true, false}) {
        shape.layers = layers;
        shape.candidate_from_layer = from;
        shape.trim = trim;
        shape.candidate_sees_history = false;
        // Row by row: the candidate stands first, so history row i sees i + 1 history keys and, where it is there, it.
        const double attention = 4.0 * 6, dense = 2.0 * (6 * 6 + 2 * 6 * 2 + 6 * 6 + 2 * 6 * 24), kv = 2.0 * 2 * 6 * 2;
        double candidate = 0, naive = 0;
        for (std::int64_t layer = 0; layer < layers; ++layer) {
          const double there = layer >= from ? 1 : 0;
          candidate += there * (dense + attention);
          naive += there * (dense + attention);
          for (int i = 0; i < 7; ++i) {
            const bool stops = trim && layer == layers - 1;
            naive += stops ? kv : dense + attention * (i + 1 + there);
          }
        }
        CAPTURE(layers, from, trim);
        CHECK(kvcast::candidate_flops(shape) == Approx(candidate).epsilon(1e-12));
        CHECK(kvcast::naive_flops(shape) == Approx(naive).epsilon(1e-12));
      }
    }
  }
}
