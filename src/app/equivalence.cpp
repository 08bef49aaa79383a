#include <algorithm>
#include <cmath>

#include "analysis/ranking.h"
#include "app/problem.h"
#include "kernels/attention.h"

namespace kvcast::app {
namespace {

ErrorPair error_between(std::span<const double> values, std::span<const double> truth, std::int64_t dim) {
  ErrorPair error;
  const auto width = static_cast<std::size_t>(dim);
  for (std::size_t row = 0; row < truth.size(); row += width) {
    double largest = 0, difference = 0;
    for (std::size_t i = row; i < row + width; ++i) {
      largest = std::max(largest, std::abs(truth[i]));
      const double d = std::abs(values[i] - truth[i]);
      // A NaN must not hide behind max(), which would drop it.
      if (!(d <= difference)) difference = d;
    }
    if (!(difference <= error.max_abs)) error.max_abs = difference;
    const double relative = largest > 0 ? difference / largest : difference;
    if (!(relative <= error.max_rel)) error.max_rel = relative;
  }
  return error;
}

// Outputs of candidates `picked` of the first `batch` candidates, [picked][dim]. A scheme that shares runs the whole
// batch, so that its row blocking is part of what is checked; the baseline only the picked ones.
std::vector<double> outputs_of(const Problem& problem, const NamedScheme& named, std::int64_t batch,
                               const std::vector<std::int64_t>& picked) {
  const std::int64_t dim = problem.shape().dim;
  const auto row = [&](const float* from, std::int64_t i) {
    return std::span(from + i * dim, static_cast<std::size_t>(dim));
  };
  std::vector<double> result;
  if (named.entry->shares) {
    std::vector<float> outputs(static_cast<std::size_t>(batch * dim));
    named.scheme->user_pass();
    named.scheme->candidate_pass(problem.candidates().data(), batch, outputs.data());
    for (const std::int64_t i : picked) {
      const auto out = row(outputs.data(), i);
      result.insert(result.end(), out.begin(), out.end());
    }
    return result;
  }
  std::vector<float> inputs, outputs(picked.size() * static_cast<std::size_t>(dim));
  for (const std::int64_t i : picked) {
    const auto in = row(problem.candidates().data(), i);
    inputs.insert(inputs.end(), in.begin(), in.end());
  }
  const auto count = static_cast<std::int64_t>(picked.size());
  named.scheme->prepare(std::vector<std::int64_t>{count});
  named.scheme->candidate_pass(inputs.data(), count, outputs.data());
  return {outputs.begin(), outputs.end()};
}

// How much larger naive's own rounding error may be at the full shape than at the cut one: errors of layers add at
// most linearly, and a blocked sum over L keys in tiles has the factor tile + L/tile (docs/model.md §7).
double growth(const ModelShape& shape, std::int64_t history_length, const ReferenceShape& cut) {
  const auto blocked = [](std::int64_t length) {
    return static_cast<double>(kernels::kKeyTile) +
           static_cast<double>(length) / static_cast<double>(kernels::kKeyTile);
  };
  return static_cast<double>(shape.layers) / static_cast<double>(cut.layers) * blocked(history_length) /
         blocked(cut.history_length);
}

}  // namespace

Equivalence check_equality(const Problem& problem, const std::vector<NamedScheme>& schemes, std::int64_t batch,
                           std::int64_t checked, double reference_flops) {
  const ModelShape& shape = problem.shape();
  const Config& config = problem.config();
  const Mask mask = config.model.mask;
  const int threads = static_cast<int>(config.run.threads);
  Equivalence result;
  result.shareable = shareable(mask, shape.layers);
  const std::vector<std::int64_t> picked = sampled_candidates(batch, checked);
  result.checked_candidates = static_cast<std::int64_t>(picked.size());
  result.top_k = std::min<std::int64_t>(10, std::max<std::int64_t>(1, result.checked_candidates / 4));

  // Against float64: at the full shape, or with the same schemes on a smaller problem.
  const std::int64_t referenced = std::min<std::int64_t>(2, result.checked_candidates);
  const ReferenceShape cut = reference_shape(shape, config.model.history_length, referenced, reference_flops);
  result.reference_shape = cut.text;
  std::optional<Problem> smaller;
  std::vector<std::unique_ptr<Scheme>> owned;
  std::vector<NamedScheme> small = schemes;
  if (!cut.full) {
    Config smaller_config = config;
    smaller_config.model.history_length = cut.history_length;
    smaller_config.model.layers = cut.layers;
    smaller.emplace(smaller_config, referenced);
    for (NamedScheme& named : small) {
      owned.push_back(smaller->make(*named.entry, referenced));
      owned.back()->prepare(std::vector<std::int64_t>{referenced});
      named.scheme = owned.back().get();
    }
  }
  const Problem& reference_problem = smaller ? *smaller : problem;
  const std::vector<std::int64_t> reference_picked = sampled_candidates(smaller ? referenced : batch, referenced);
  std::vector<float> reference_candidates;
  for (const std::int64_t i : reference_picked) {
    const auto token = reference_problem.candidates().subspan(static_cast<std::size_t>(i * shape.dim),
                                                              static_cast<std::size_t>(shape.dim));
    reference_candidates.insert(reference_candidates.end(), token.begin(), token.end());
  }
  const std::vector<double> truth = reference_outputs(reference_problem.shape(), reference_problem.source(),
                                                      reference_problem.history(), mask, reference_candidates, threads);

  std::vector<double> naive_outputs, naive_scores;
  result.agrees = true;
  for (std::size_t s = 0; s < schemes.size(); ++s) {
    SchemeEquivalence row;
    row.scheme = schemes[s].entry->name;
    const std::vector<double> small_outputs =
        outputs_of(reference_problem, small[s], smaller ? referenced : batch, reference_picked);
    row.vs_reference = error_between(small_outputs, truth, shape.dim);
    const std::vector<double> outputs = outputs_of(problem, schemes[s], batch, picked);
    const std::vector<double> scores = problem.scores(outputs);
    if (s == 0) {
      result.tolerance_reference = 4 * row.vs_reference->max_abs;
      result.tolerance_naive =
          *result.tolerance_reference * (cut.full ? 1.0 : growth(shape, config.model.history_length, cut));
      naive_outputs = outputs;
      naive_scores = scores;
      // Its own yardstick, so the only thing it can fail is being finite.
      row.agrees = std::isfinite(row.vs_reference->max_abs);
    } else {
      row.vs_naive = error_between(outputs, naive_outputs, shape.dim);
      row.top_k_overlap = analysis::top_k_overlap(naive_scores, scores, result.top_k);
      row.kendall_tau = analysis::kendall_tau(naive_scores, scores);
      row.agrees =
          row.vs_reference->max_abs <= *result.tolerance_reference && row.vs_naive->max_abs <= *result.tolerance_naive;
    }
    result.agrees = result.agrees && row.agrees;
    result.schemes.push_back(row);
  }
  return result;
}

}  // namespace kvcast::app
