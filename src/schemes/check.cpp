#include "schemes/check.h"

#include <algorithm>

namespace kvcast {
namespace {

// Rows of the whole sequence in float64, the candidate at its place.
std::vector<double> sequence_rows(std::span<const float> history, std::span<const float> candidate,
                                  std::int64_t position, std::int64_t dim) {
  std::vector<double> rows(history.begin(), history.end());
  rows.insert(rows.begin() + position * dim, candidate.begin(), candidate.end());
  return rows;
}

std::span<const double> row(const std::vector<double>& rows, std::int64_t i, std::int64_t dim) {
  return std::span(rows).subspan(static_cast<std::size_t>(i * dim), static_cast<std::size_t>(dim));
}

}  // namespace

ReferenceShape reference_shape(const ModelShape& shape, std::int64_t history_length, std::int64_t candidates,
                               double flops) {
  const auto cost = [&](std::int64_t length, std::int64_t layers) {
    ModelShape cut = shape;
    cut.layers = layers;
    return static_cast<double>(candidates) * reference_flops(cut, length + 1);
  };
  ReferenceShape result{history_length, shape.layers, true, "full"};
  // Two layers are the fewest in which a history vector of one layer reaches the next.
  if (result.layers > 2 && cost(history_length, result.layers) > flops) {
    result.layers = std::max<std::int64_t>(2, static_cast<std::int64_t>(flops / cost(history_length, 1)));
  }
  while (result.history_length > 16 && cost(result.history_length, result.layers) > flops) {
    result.history_length = std::max<std::int64_t>(16, result.history_length / 5 * 4);
  }
  result.full = result.history_length == history_length && result.layers == shape.layers;
  if (!result.full) {
    result.text = "L=" + std::to_string(result.history_length) + ", layers=" + std::to_string(result.layers);
  }
  return result;
}

std::vector<double> reference_outputs(const ModelShape& shape, const TensorSource& source,
                                      std::span<const float> history, Mask mask, std::span<const float> candidates,
                                      int threads) {
  const std::int64_t dim = shape.dim;
  const std::int64_t length = static_cast<std::int64_t>(history.size()) / dim;
  const std::int64_t position = candidate_position(mask, length);
  std::vector<double> outputs;
  for (std::size_t c = 0; c < candidates.size(); c += static_cast<std::size_t>(dim)) {
    const ReferenceRun run = reference_forward(
        shape, source, sequence_rows(history, candidates.subspan(c, static_cast<std::size_t>(dim)), position, dim),
        [mask](std::int64_t i, std::int64_t j) { return sees(mask, i, j); }, threads);
    const auto out = row(run.outputs, position, dim);
    outputs.insert(outputs.end(), out.begin(), out.end());
  }
  return outputs;
}

StaleRun stale_run(const ModelShape& shape, const TensorSource& source, std::span<const float> history, Mask mask,
                   std::span<const float> candidate, int threads) {
  const std::int64_t dim = shape.dim, kv = shape.kv_dim();
  const std::int64_t length = static_cast<std::int64_t>(history.size()) / dim;
  const std::int64_t position = candidate_position(mask, length);
  const std::int64_t history_at = position == 0 ? 1 : 0;  // row of the first history token in the whole sequence
  StaleRun result;

  const ReferenceRun whole = reference_forward(
      shape, source, sequence_rows(history, candidate, position, dim),
      [mask](std::int64_t i, std::int64_t j) { return sees(mask, i, j); }, threads);
  for (const ReferenceKv& layer : whole.kv) {
    const auto from = [&](const std::vector<double>& rows) {
      return std::vector<double>(rows.begin() + history_at * kv, rows.begin() + (history_at + length) * kv);
    };
    result.true_kv.push_back({from(layer.k), from(layer.v)});
  }

  const std::vector<double> alone(history.begin(), history.end());
  const auto history_sees = [&](std::int64_t i, std::int64_t j) { return sees(mask, i + history_at, j + history_at); };
  result.stale_kv = reference_forward(shape, source, alone, history_sees, threads).kv;

  const bool at_candidate = mask != Mask::target_first_causal;
  result.read_at = at_candidate ? "candidate" : "last position";
  // The rows that still run on top of the shared history: the candidate, and where that sees nothing of it also the
  // last history position, whose own K and V are among the shared ones.
  std::vector<double> rows(candidate.begin(), candidate.end());
  std::vector<std::int64_t> positions = {position};
  if (!at_candidate) {
    rows.insert(rows.end(), history.end() - dim, history.end());
    positions.push_back(length);
  }
  const auto sees_fresh = [&](std::int64_t i, std::int64_t j) {
    return j == 0 && sees(mask, positions[static_cast<std::size_t>(i)], positions[0]);
  };
  const auto sees_stale = [&](std::int64_t i, std::int64_t j) {
    return sees(mask, positions[static_cast<std::size_t>(i)], j + history_at);
  };
  const ReferenceRun shared = reference_forward(shape, source, rows, sees_fresh, threads, &result.stale_kv, sees_stale);
  const auto read = [&](const std::vector<double>& from, std::int64_t i) {
    const auto r = row(from, i, dim);
    return std::vector<double>(r.begin(), r.end());
  };
  result.true_output = read(whole.outputs, at_candidate ? position : length);
  result.stale_output = read(shared.outputs, at_candidate ? 0 : 1);
  return result;
}

}  // namespace kvcast
