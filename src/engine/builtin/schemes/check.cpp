#include "engine/builtin/schemes/check.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdlib>

#include "engine/builtin/kernels/attention.h"
#include "engine/builtin/schemes/literal.h"

namespace kvcast {
namespace {

constexpr std::size_t kRankedAtOnce = 256;

// Runs of float64 over it.
struct Layout : LiteralSequence {
  Layout(const ModelShape& model, Mask seen_by, std::span<const float> history)
      : LiteralSequence(model, seen_by, static_cast<std::int64_t>(history.size()) / model.dim),
        first_history(candidate == 0 ? 1 : 0) {}

  // The history by itself, its rows numbered from 0.
  ReferenceRun history_alone(const TensorSource& source, std::span<const float> history, int threads,
                             const std::function<bool()>& stop_requested = {},
                             std::optional<std::uint64_t> rounding = {}) const {
    const std::vector<double> tokens(history.begin(), history.end());
    ReferenceSequence sequence;
    sequence.tokens = tokens;
    sequence.active = [&](std::int64_t layer, std::int64_t row) { return active(layer, first_history + row); };
    sequence.sees = [&](std::int64_t i, std::int64_t j) { return sees(mask, first_history + i, first_history + j); };
    sequence.stop_requested = stop_requested;
    sequence.rounding = rounding;
    return reference_forward(shape, source, sequence, threads);
  }

  // History and candidate, every row at its position.
  ReferenceRun whole(const TensorSource& source, std::span<const float> history, std::span<const float> token,
                     int threads, const std::function<bool()>& stop_requested = {},
                     std::optional<std::uint64_t> rounding = {}) const {
    std::vector<double> tokens(history.begin(), history.end());
    tokens.insert(tokens.begin() + candidate * shape.dim, token.begin(), token.end());
    ReferenceSequence sequence;
    sequence.tokens = tokens;
    sequence.active = [&](std::int64_t layer, std::int64_t row) { return active(layer, row); };
    sequence.sees = [&](std::int64_t i, std::int64_t j) { return sees(mask, i, j); };
    sequence.stop_requested = stop_requested;
    sequence.rounding = rounding;
    return reference_forward(shape, source, sequence, threads);
  }

  std::int64_t first_history;
};

// Another draw for each sequence.
std::optional<std::uint64_t> rounding_of(std::optional<std::uint64_t> seed, std::size_t sequence) {
  return seed ? std::optional(*seed + 0x9e3779b97f4a7c15U * sequence) : std::nullopt;
}

std::vector<double> row(const std::vector<double>& rows, std::int64_t i, std::int64_t width) {
  return {rows.begin() + i * width, rows.begin() + (i + 1) * width};
}

}  // namespace

ModelShape ReferenceShape::cut(ModelShape shape) const {
  shape.layers = layers;
  shape.query_tokens = query_tokens;
  shape.candidate_from_layer = candidate_from_layer;
  return shape;
}

std::int64_t reference_candidates(const ModelShape& shape, std::int64_t available) {
  constexpr std::int64_t kNumbers = 256;
  return std::min(available, std::max<std::int64_t>(2, (kNumbers + shape.dim - 1) / shape.dim));
}

ReferenceShape reference_shape(const ModelShape& shape, std::int64_t history_length, std::int64_t candidates,
                               double flops) {
  ReferenceShape result{history_length, shape.layers, shape.query_tokens, shape.candidate_from_layer, true, "full"};
  const auto cost = [&](std::int64_t layers) {
    ModelShape cut = result.cut(shape);
    cut.layers = layers;
    return static_cast<double>(candidates) * reference_flops(cut, result.history_length + 1);
  };
  const std::int64_t entry = shape.candidate_from_layer, candidate_layers = shape.layers - entry;
  const std::int64_t fewest = entry > 0 && candidate_layers > 1 ? 3 : 2;
  if (result.layers > fewest && cost(result.layers) > flops) {
    // The first layer may cost more than the others, which cost the same.
    const double fit = 2 + (flops - cost(2)) / (cost(3) - cost(2));
    result.layers = std::max(fewest, static_cast<std::int64_t>(std::max(fit, 0.0)));
    if (entry > 0) result.candidate_from_layer = std::max<std::int64_t>(1, result.layers - candidate_layers);
  }
  const bool hybrid = shape.query_tokens > 0 && shape.query_tokens < history_length;
  while (result.history_length > 16 && cost(result.layers) > flops) {
    result.history_length = std::max<std::int64_t>(16, result.history_length / 5 * 4);
    if (hybrid && shape.query_tokens >= result.history_length) {
      const double share = static_cast<double>(shape.query_tokens) / static_cast<double>(history_length);
      const auto tokens = static_cast<std::int64_t>(share * static_cast<double>(result.history_length));
      result.query_tokens = std::max<std::int64_t>(1, tokens);
    }
  }
  result.full = result.history_length == history_length && result.layers == shape.layers;
  if (!result.full) {
    result.text = "L=" + std::to_string(result.history_length) + ", layers=" + std::to_string(result.layers);
    if (result.query_tokens != shape.query_tokens) {
      result.text += ", query_tokens=" + std::to_string(result.query_tokens);
    }
    if (result.candidate_from_layer != shape.candidate_from_layer) {
      result.text += ", candidate_from_layer=" + std::to_string(result.candidate_from_layer);
    }
  }
  return result;
}

std::vector<double> reference_outputs(const ModelShape& shape, const TensorSource& source,
                                      std::span<const float> history, Mask mask, std::span<const float> candidates,
                                      int threads, const std::function<bool()>& stop_requested,
                                      std::optional<std::uint64_t> rounding) {
  const Layout layout(shape, mask, history);
  const auto dim = static_cast<std::size_t>(shape.dim);
  std::vector<double> outputs;
  for (std::size_t c = 0; c < candidates.size(); c += dim) {
    const ReferenceRun run = layout.whole(source, history, candidates.subspan(c, dim), threads, stop_requested,
                                          rounding_of(rounding, c / dim));
    if (run.stopped) break;
    const std::vector<double> out = row(run.outputs, layout.candidate, shape.dim);
    outputs.insert(outputs.end(), out.begin(), out.end());
  }
  return outputs;
}

std::vector<double> reference_shared_outputs(const ModelShape& shape, const TensorSource& source,
                                             std::span<const float> history, Mask mask,
                                             std::span<const float> candidates, int threads,
                                             const std::function<bool()>& stop_requested,
                                             std::optional<std::uint64_t> rounding) {
  assert(history.empty() || shareable(mask, shape.layers, shape.candidate_from_layer));
  const Layout layout(shape, mask, history);
  const ReferenceRun alone = layout.history_alone(source, history, threads, stop_requested, rounding);
  if (alone.stopped) return {};
  const std::vector<ReferenceKv>& cache = alone.kv;
  // Blocks bound the memory; in one block the rows are candidates, and each sees itself and the cache only.
  const std::size_t dim = static_cast<std::size_t>(shape.dim), block = kRankedAtOnce * dim;
  std::vector<double> outputs;
  for (std::size_t c = 0; c < candidates.size(); c += block) {
    const auto tokens = candidates.subspan(c, std::min(block, candidates.size() - c));
    const std::vector<double> rows(tokens.begin(), tokens.end());
    ReferenceSequence sequence;
    sequence.tokens = rows;
    sequence.active = [&](std::int64_t layer, std::int64_t) { return layout.active(layer, layout.candidate); };
    sequence.sees = [](std::int64_t i, std::int64_t j) { return i == j; };
    sequence.cached = &cache;
    sequence.sees_cached = [&](std::int64_t, std::int64_t j) {
      return sees(mask, layout.candidate, layout.first_history + j);
    };
    sequence.stop_requested = stop_requested;
    sequence.rounding = rounding_of(rounding, c / dim + 1);
    const ReferenceRun run = reference_forward(shape, source, sequence, threads);
    if (run.stopped) break;
    outputs.insert(outputs.end(), run.outputs.begin(), run.outputs.end());
  }
  return outputs;
}

double worse(double a, double b) { return std::isnan(a) || a > b ? a : b; }

double key_error_growth(std::int64_t keys) {
  return std::sqrt(static_cast<double>(kernels::kKeyTile) +
                   static_cast<double>(keys) / static_cast<double>(kernels::kKeyTile));
}

std::int64_t rounding_draws(const ModelShape& shape) { return shape.dim >= 32 ? 1 : shape.dim >= 8 ? 2 : 8; }

// The norm of two elements is nearly always (1, -1) or (-1, 1). Keys then repeat, and their rounding with them, so that
// it adds up where draws cancel; in bf16 few elements have few values, and it does the same.
bool roundings_repeat(const ModelShape& shape) { return shape.dim <= 4; }
double rounding_factor(const ModelShape& shape) { return roundings_repeat(shape) ? 16 : 4; }

std::optional<double> rounding_error(const ModelShape& shape, const TensorSource& source,
                                     std::span<const float> history, Mask mask, std::span<const float> candidates,
                                     std::span<const double> truth, int threads,
                                     const std::function<bool()>& stop_requested) {
  const bool shares = history.empty() || shareable(mask, shape.layers, shape.candidate_from_layer);
  const auto outputs = shares ? reference_shared_outputs : reference_outputs;
  double worst = 0;
  for (std::int64_t draw = 0; draw < rounding_draws(shape); ++draw) {
    const std::vector<double> rounded = outputs(shape, source, history, mask, candidates, threads, stop_requested,
                                                static_cast<std::uint64_t>(draw + 1));
    if (rounded.size() < truth.size()) return std::nullopt;
    for (std::size_t i = 0; i < truth.size(); ++i) worst = worse(worst, std::abs(rounded[i] - truth[i]));
  }
  return worst;
}

std::int64_t reference_sequences(const ModelShape& shape, std::int64_t candidates, bool shareable) {
  const std::int64_t draws =
      rounding_draws(shape) * (shape.in_fp32() ? 1 : 2);  // the second time for the check in fp32
  return candidates + draws * (shareable ? 1 : candidates);
}

StaleRun stale_run(const ModelShape& shape, const TensorSource& source, std::span<const float> history, Mask mask,
                   std::span<const float> candidate, int threads, const StaleRun* before) {
  assert(shape.query_tokens == 0);
  const Layout layout(shape, mask, history);
  StaleRun result;

  const ReferenceRun whole = layout.whole(source, history, candidate, threads);
  for (ReferenceKv kv : whole.kv) {
    // Out with the candidate's own, where it has entered.
    const auto own = std::find(kv.rows.begin(), kv.rows.end(), layout.candidate) - kv.rows.begin();
    if (own < static_cast<std::ptrdiff_t>(kv.rows.size())) {
      kv.rows.erase(kv.rows.begin() + own);
      for (std::vector<double>* values : {&kv.k, &kv.v}) {
        values->erase(values->begin() + own * shape.kv_dim(), values->begin() + (own + 1) * shape.kv_dim());
      }
    }
    for (std::int64_t& position : kv.rows) position -= layout.first_history;
    result.true_kv.push_back(std::move(kv));
  }
  result.stale_kv = before != nullptr ? before->stale_kv : layout.history_alone(source, history, threads).kv;

  const bool at_candidate = mask != Mask::target_first_causal;
  result.read_at = at_candidate ? "candidate" : "last position";
  // The rows that still run on top of the shared history: the candidate, and where that sees nothing of it also the
  // last history position, whose own K and V are among the shared ones.
  std::vector<double> rows(candidate.begin(), candidate.end());
  std::vector<std::int64_t> positions = {layout.candidate};
  if (!at_candidate) {
    rows.insert(rows.end(), history.end() - shape.dim, history.end());
    positions.push_back(layout.length);
  }
  const auto position = [&](std::int64_t i) { return positions[static_cast<std::size_t>(i)]; };
  ReferenceSequence sequence;
  sequence.tokens = rows;
  sequence.active = [&](std::int64_t layer, std::int64_t i) { return layout.active(layer, position(i)); };
  sequence.sees = [&](std::int64_t i, std::int64_t j) { return j == 0 && sees(mask, position(i), position(j)); };
  sequence.cached = &result.stale_kv;
  sequence.sees_cached = [&](std::int64_t i, std::int64_t j) {
    return sees(mask, position(i), layout.first_history + j);
  };
  const ReferenceRun shared = reference_forward(shape, source, sequence, threads);
  result.true_output = row(whole.outputs, at_candidate ? layout.candidate : layout.length, shape.dim);
  result.stale_output = row(shared.outputs, at_candidate ? 0 : 1, shape.dim);
  return result;
}

}  // namespace kvcast
