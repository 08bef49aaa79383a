// The float64 reference: its rules of who runs where, each against a forward put together from plain pieces.
#include "engine/builtin/model/reference.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "catch.h"
#include "engine/builtin/schemes/check.h"

using namespace kvcast;

namespace {

constexpr std::uint64_t kSeed = 11;
constexpr std::int64_t kDim = 12, kHeads = 6;

ModelShape small_shape(std::int64_t layers, std::int64_t query_tokens = 0, std::int64_t candidate_from_layer = 0,
                       std::int64_t kv_heads = 3) {
  ModelShape shape{{0, kDim, kHeads, kv_heads, layers}, 2 * kDim};
  shape.query_tokens = query_tokens;
  shape.candidate_from_layer = candidate_from_layer;
  return shape;
}

std::vector<float> history_of(std::int64_t length) {
  std::vector<float> tokens(static_cast<std::size_t>(length * kDim));
  seeded_history(kSeed, length, kDim, tokens);
  return tokens;
}

std::vector<float> candidates_of(std::int64_t count) {
  std::vector<float> tokens(static_cast<std::size_t>(count * kDim));
  seeded_candidates(kSeed, 0, count, kDim, tokens);
  return tokens;
}

std::vector<double> outputs_of(const ModelShape& shape, const std::vector<float>& history, Mask mask,
                               const std::vector<float>& candidates) {
  return reference_outputs(shape, seeded_weights(shape, kSeed, 1), history, mask, candidates, 1);
}

/// Largest difference over the largest |b|.
double difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(a[i] - b[i]));
    largest = std::max(largest, std::abs(b[i]));
  }
  return largest > 0 ? worst / largest : worst;
}

// Both sides compute the same sums of a few dozen terms, at most in another order: eps·terms·layers is 1e-13.
constexpr double kSame = 1e-12;

/// Rows at their positions, all run through layers [first, last) of the model as a plain transformer.
struct Rows {
  std::vector<std::int64_t> positions;
  std::vector<double> x;  // [positions][kDim]

  void run(const ModelShape& shape, Mask mask, std::int64_t first, std::int64_t last) {
    if (first == last) return;
    const TensorSource source = seeded_weights(shape, kSeed, 1);
    ReferenceSequence sequence;
    sequence.tokens = x;
    sequence.sees = [&](std::int64_t i, std::int64_t j) {
      return sees(mask, positions[static_cast<std::size_t>(i)], positions[static_cast<std::size_t>(j)]);
    };
    ModelShape part = shape;
    part.layers = last - first;
    x = reference_forward(
            part,
            [&](std::int64_t layer, Tensor tensor, std::span<float> values) { source(first + layer, tensor, values); },
            sequence, 1)
            .outputs;
  }

  template <typename Keep>
  void keep_only(const Keep& keep) {
    Rows kept;
    for (std::size_t i = 0; i < positions.size(); ++i) {
      if (!keep(positions[i])) continue;
      kept.positions.push_back(positions[i]);
      kept.x.insert(kept.x.end(), x.begin() + static_cast<std::ptrdiff_t>(i) * kDim,
                    x.begin() + static_cast<std::ptrdiff_t>(i + 1) * kDim);
    }
    *this = kept;
  }

  void append(std::int64_t position, const float* token) {
    positions.push_back(position);
    x.insert(x.end(), token, token + kDim);
  }
};

/// One candidate's output, by cutting and joining the rows of plain transformers: all rows run layer 0, the rows near
/// the candidate run the rest, and the candidate joins before its first layer.
std::vector<double> pieced_output(const ModelShape& shape, const std::vector<float>& history, Mask mask,
                                  const std::vector<float>& candidate) {
  const std::int64_t length = static_cast<std::int64_t>(history.size()) / kDim;
  const bool first_place = mask == Mask::history_blind || mask == Mask::target_first_causal;
  const std::int64_t place = first_place ? 0 : length;
  Rows rows;
  for (std::int64_t i = 0; i < length; ++i) {
    rows.append(first_place ? i + 1 : i, history.data() + i * kDim);
  }
  const std::int64_t k = shape.query_tokens == 0 ? length : shape.query_tokens;
  const auto near = [&](std::int64_t position) {
    return first_place ? position <= k : position >= length - k;  // the candidate's own place included
  };
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
    if (layer == 1) rows.keep_only(near);
    if (layer == shape.candidate_from_layer) rows.append(place, candidate.data());
    rows.run(shape, mask, layer, layer + 1);
  }
  for (std::size_t i = 0; i < rows.positions.size(); ++i) {
    if (rows.positions[i] == place)
      return {rows.x.begin() + static_cast<std::ptrdiff_t>(i) * kDim,
              rows.x.begin() + static_cast<std::ptrdiff_t>(i + 1) * kDim};
  }
  FAIL("the candidate never ran");
  return {};
}

}  // namespace

TEST_CASE("query tokens and a late candidate equal plain transformers joined by hand", "[model][reference]") {
  const std::vector<float> candidate = candidates_of(1);
  for (const std::int64_t length : {0, 1, 9}) {
    const std::vector<float> history = history_of(length);
    for (const Mask mask : {Mask::causal, Mask::history_blind, Mask::target_first_causal, Mask::bidirectional}) {
      for (const std::int64_t layers : {1, 2, 4}) {
        for (const std::int64_t from : {0, 1, 3}) {
          for (const std::int64_t k : {0, 1, 4, 9, 20}) {
            if (from >= layers || (k > 0 && mask != Mask::causal && mask != Mask::history_blind)) continue;
            const ModelShape shape = small_shape(layers, k, from);
            CAPTURE(length, static_cast<int>(mask), layers, from, k);
            CHECK(difference(outputs_of(shape, history, mask, candidate),
                             pieced_output(shape, history, mask, candidate)) < kSame);
          }
        }
      }
    }
  }
}

TEST_CASE("each of the two options changes the outputs, and does not where it covers everything",
          "[model][reference]") {
  const std::vector<float> history = history_of(8), candidates = candidates_of(2);
  for (const Mask mask : {Mask::causal, Mask::history_blind}) {
    const std::vector<double> plain = outputs_of(small_shape(3), history, mask, candidates);
    CHECK(difference(outputs_of(small_shape(3, 4), history, mask, candidates), plain) > 1e-3);
    CHECK(difference(outputs_of(small_shape(3, 7), history, mask, candidates), plain) > 1e-3);
    CHECK(outputs_of(small_shape(3, 8), history, mask, candidates) == plain);
    CHECK(outputs_of(small_shape(3, 100), history, mask, candidates) == plain);
    CHECK(difference(outputs_of(small_shape(3, 0, 1), history, mask, candidates), plain) > 1e-3);
    // In one layer every history row is a key, whatever goes on.
    CHECK(outputs_of(small_shape(1, 2), history, mask, candidates) ==
          outputs_of(small_shape(1), history, mask, candidates));
  }
}

TEST_CASE("the forward keeps K and V of the rows that ran, layer by layer", "[model][reference]") {
  const ModelShape shape = small_shape(3);
  const std::vector<float> history = history_of(4);
  const std::vector<double> tokens(history.begin(), history.end());
  ReferenceSequence sequence;
  sequence.tokens = tokens;
  // Row 0 stops after layer 0, row 3 enters in layer 2.
  sequence.active = [](std::int64_t layer, std::int64_t row) { return row == 0 ? layer == 0 : row < 3 || layer == 2; };
  sequence.sees = [](std::int64_t, std::int64_t) { return true; };
  const ReferenceRun run = reference_forward(shape, seeded_weights(shape, kSeed, 1), sequence, 2);
  REQUIRE(run.kv.size() == 3);
  CHECK(run.kv[0].rows == std::vector<std::int64_t>{0, 1, 2});
  CHECK(run.kv[1].rows == std::vector<std::int64_t>{1, 2});
  CHECK(run.kv[2].rows == std::vector<std::int64_t>{1, 2, 3});
  for (const ReferenceKv& kv : run.kv) {
    CHECK(kv.k.size() == kv.rows.size() * static_cast<std::size_t>(shape.kv_dim()));
    CHECK(kv.v.size() == kv.k.size());
  }
  // It gave K and V in layer 0 and went nowhere.
  CHECK(std::equal(tokens.begin(), tokens.begin() + kDim, run.outputs.begin()));
}

TEST_CASE("one history for many candidates equals each candidate's own sequence", "[model][reference]") {
  const std::vector<float> few = candidates_of(3);
  for (const std::int64_t length : {0, 1, 10}) {
    const std::vector<float> history = history_of(length);
    for (const Mask mask : {Mask::causal, Mask::history_blind, Mask::target_first_causal, Mask::bidirectional}) {
      for (const std::int64_t layers : {1, 2, 4}) {
        for (const std::int64_t from : {0, 1, 3}) {
          for (const std::int64_t k : {0, 3}) {
            if (from >= layers || !shareable(mask, layers, from)) continue;
            if (k > 0 && mask != Mask::causal && mask != Mask::history_blind) continue;
            const ModelShape shape = small_shape(layers, k, from);
            CAPTURE(length, static_cast<int>(mask), layers, from, k);
            const std::vector<double> literal = outputs_of(shape, history, mask, few);
            CHECK(difference(reference_shared_outputs(shape, seeded_weights(shape, kSeed, 1), history, mask, few, 1),
                             literal) < kSame);
          }
        }
      }
    }
  }
  // More than run at once: the same as in another grouping.
  const ModelShape shape = small_shape(2, 3);
  const std::vector<float> history = history_of(5), many = candidates_of(300);
  const std::vector<double> all =
      reference_shared_outputs(shape, seeded_weights(shape, kSeed, 1), history, Mask::causal, many, 1);
  REQUIRE(all.size() == many.size());
  const std::vector<float> last(many.end() - 2 * kDim, many.end());
  CHECK(difference({all.end() - 2 * kDim, all.end()}, outputs_of(shape, history, Mask::causal, last)) < kSame);
}

TEST_CASE("sharing is valid where the candidate is in the last layer only, and only there", "[model][reference]") {
  const std::vector<float> history = history_of(7), candidate = candidates_of(1);
  for (const Mask mask : {Mask::bidirectional, Mask::target_first_causal}) {
    for (const std::int64_t layers : {2, 4}) {
      for (std::int64_t from = 0; from < layers; ++from) {
        CAPTURE(static_cast<int>(mask), layers, from);
        const ModelShape shape = small_shape(layers, 0, from);
        const StaleRun run = stale_run(shape, seeded_weights(shape, kSeed, 1), history, mask, candidate, 1);
        REQUIRE(run.true_kv.size() == static_cast<std::size_t>(layers));
        double worst = 0;
        for (std::int64_t layer = 0; layer < layers; ++layer) {
          const auto l = static_cast<std::size_t>(layer);
          CHECK(run.true_kv[l].rows == run.stale_kv[l].rows);
          const double error = difference(run.stale_kv[l].k, run.true_kv[l].k);
          // The candidate's first layer still reads history vectors that have not met it.
          if (layer <= from) CHECK(error < kSame);
          if (layer > from) CHECK(error > 1e-3);
          worst = std::max(worst, error);
        }
        CHECK((worst < kSame) == shareable(mask, layers, from));
        CHECK(shareable(mask, layers, from) == (from == layers - 1));
        const double output = difference(run.stale_output, run.true_output);
        if (shareable(mask, layers, from)) CHECK(output < kSame);
        if (!shareable(mask, layers, from)) CHECK(output > 1e-3);
      }
    }
  }
  for (const Mask mask : {Mask::causal, Mask::history_blind}) {
    CHECK(shareable(mask, 5, 0));
    CHECK(shareable(mask, 5, 2));
  }
}

TEST_CASE("a cut shape keeps every kind of layer", "[model][reference]") {
  for (const std::int64_t layers : {1, 2, 3, 10, 50}) {
    for (std::int64_t from = 0; from < layers; from += layers < 5 ? 1 : 3) {
      for (const std::int64_t k : {0, 1, 40, 199, 200, 500}) {
        for (const double flops : {1.0, 1e6, 1e7, 1e8}) {
          const ModelShape shape = small_shape(layers, k, from);
          const ReferenceShape cut = reference_shape(shape, 200, 2, flops);
          CAPTURE(layers, from, k, flops, cut.text);
          const ModelShape small = cut.cut(shape);
          CHECK(small.layers == cut.layers);
          CHECK((cut.layers <= layers && cut.layers >= std::min<std::int64_t>(2, layers)));
          CHECK((cut.history_length <= 200 && cut.history_length >= 16));
          const std::int64_t own = cut.layers - cut.candidate_from_layer;
          CHECK(own >= 1);
          CHECK(own <= layers - from);
          CHECK((cut.candidate_from_layer > 0) == (from > 0));
          // Valid stays valid and invalid stays invalid.
          CHECK(shareable(Mask::bidirectional, cut.layers, cut.candidate_from_layer) ==
                shareable(Mask::bidirectional, layers, from));
          if (k > 0 && k < 200) CHECK((cut.query_tokens >= 1 && cut.query_tokens < cut.history_length));
          if (k == 0 || k >= 200 || k < cut.history_length) CHECK(cut.query_tokens == k);
          CHECK(cut.full == (cut.layers == layers && cut.history_length == 200));
          CHECK((cut.text == "full") == cut.full);
          if (cut.query_tokens != k) {
            CHECK(cut.text.find("query_tokens=" + std::to_string(cut.query_tokens)) != std::string::npos);
          }
          if (cut.candidate_from_layer != from) {
            CHECK(cut.text.find("candidate_from_layer=" + std::to_string(cut.candidate_from_layer)) !=
                  std::string::npos);
          }
          // It fits, or nothing is left to cut.
          const std::int64_t fewest = from > 0 && layers - from > 1 ? 3 : 2;
          if (2 * reference_flops(small, cut.history_length + 1) > flops) {
            CHECK(cut.history_length == 16);
            CHECK(cut.layers == std::min(layers, fewest));
          }
        }
      }
    }
  }
  // Only as much as is needed: one layer more would not fit.
  ModelShape deep = small_shape(50, 40, 45);
  const ReferenceShape cut = reference_shape(deep, 200, 2, 1e7);
  REQUIRE((cut.layers > 5 && cut.layers < 50));
  CHECK(cut.history_length == 200);
  CHECK(cut.candidate_from_layer == cut.layers - 5);
  deep.layers = cut.layers + 1;
  CHECK(2 * reference_flops(deep, 201) > 1e7);
}

TEST_CASE("the reference's own cost", "[model][reference]") {
  // One token of one layer: 2·12·(24 + 12 + 2·24) products; attention 4·12 per pair of rows, and what a pair and each
  // of its 6 heads take beside the products.
  const double dense = 2.0 * 12 * (24 + 12 + 48), kv_only = 2.0 * 12 * 24, pair = 48 + 10 + 6 * 20;
  CHECK(reference_flops(small_shape(2), 10) == 2 * (10 * dense + pair * 100));
  // Layer 0: all 10 rows project, 4 go on over 10 keys. Layer 1: 4 rows.
  CHECK(reference_flops(small_shape(2, 3), 10) ==
        10 * kv_only + 4 * (dense - kv_only) + pair * 40 + 4 * dense + pair * 16);
  CHECK(reference_flops(small_shape(1, 3), 10) == 10 * dense + pair * 100);
  CHECK(reference_flops(small_shape(3, 50), 10) == reference_flops(small_shape(3), 10));
}
