#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "analysis/ranking.h"
#include "app/problem.h"
#include "base/text.h"
#include "engine/builtin/schemes/layer_check.h"
#include "kvcast/words.h"

namespace kvcast::app {
namespace {

// Outputs by candidate, [dim] each.
using Outputs = std::map<std::int64_t, std::vector<double>>;

// Share of the reference's cost that the samples of the layers may add.
constexpr double kLayerShare = 0.25;

LayerSamples samples_of(const LayerCheck& check) {
  const LayerCheck::Result found = check.result();
  LayerSamples samples{found.layers, found.outputs_judged, found.keys, found.worst.ratio, found.worst.where, false};
  samples.agrees = samples.error <= 1;
  return samples;
}

// Outputs of candidates `picked`. A scheme that shares runs its whole batch, so that its row blocking is part of what
// is checked; the baseline only the picked ones.
Outputs outputs_of(const Problem& problem, const NamedScheme& named, const std::vector<std::int64_t>& picked) {
  const std::int64_t dim = problem.shape().dim;
  const auto row = [&](const float* from, std::int64_t i) {
    return std::vector<double>(from + i * dim, from + (i + 1) * dim);
  };
  Outputs result;
  if (named.instance.entry->shares) {
    std::vector<float> outputs(static_cast<std::size_t>(named.batch * dim));
    named.scheme->user_pass();
    named.scheme->candidate_pass(problem.candidates().data(), named.batch, outputs.data());
    for (const std::int64_t i : picked) result[i] = row(outputs.data(), i);
    return result;
  }
  const std::vector<float> inputs = tokens_of(problem, picked);
  std::vector<float> outputs(inputs.size());
  const auto count = static_cast<std::int64_t>(picked.size());
  named.scheme->prepare(std::vector<std::int64_t>{count});
  named.scheme->candidate_pass(inputs.data(), count, outputs.data());
  for (std::int64_t i = 0; i < count; ++i) result[picked[static_cast<std::size_t>(i)]] = row(outputs.data(), i);
  return result;
}

ErrorPair error_between(const Outputs& values, const Outputs& truth) {
  ErrorPair error;
  for (const auto& [candidate, exact] : truth) {
    take_worse(error, vector_error(values.at(candidate), exact));
  }
  return error;
}

Outputs part_of(const Outputs& all, const std::vector<std::int64_t>& picked) {
  Outputs part;
  for (const std::int64_t i : picked) part[i] = all.at(i);
  return part;
}

// How much larger rounding errors may be at the full shape than at the cut one: errors of layers add at most linearly,
// those of a sum over L keys in tiles grow with sqrt(tile + L/tile) (docs/model.md §7).
double growth(const ModelShape& shape, std::int64_t history_length, const ReferenceShape& cut) {
  return static_cast<double>(shape.layers) / static_cast<double>(cut.layers) * key_error_growth(history_length) /
         key_error_growth(cut.history_length);
}

std::vector<double> joined(const Outputs& rows) {
  std::vector<double> all;
  for (const auto& [candidate, row] : rows) all.insert(all.end(), row.begin(), row.end());
  return all;
}

// What outputs of the first candidates may be off from `truth` of them; nullopt: told to stop.
std::optional<double> allowed_error(const Problem& problem, const Outputs& truth,
                                    const std::function<bool()>& stop_requested) {
  const Config& config = problem.config();
  const std::vector<double> exact = joined(truth);
  const auto error = rounding_error(problem.shape(), problem.source(), problem.history(), config.model.mask,
                                    problem.candidates().first(exact.size()), exact,
                                    static_cast<int>(config.run.threads), stop_requested);
  return error ? std::optional(rounding_factor(problem.shape()) * *error) : std::nullopt;
}

// Most candidates of the check in fp32, unless float64 has judged more: it is about keys, not about blocks of rows, and
// the memory of a scheme grows with them.
constexpr std::int64_t kFp32Candidates = 16;

// Where rounding to bf16 hides a key, the logic of the schemes is judged once more with everything in fp32, on the
// problem of the reference. schemes: as they ran there. False: told to stop.
bool judge_in_fp32(const Problem& problem, std::vector<NamedScheme> schemes, const Outputs& truth, Equivalence& result,
                   const std::function<bool()>& stop_requested) {
  Config config = problem.config();
  config.run.dtype = config.run.kv_dtype = "fp32";
  const auto known = static_cast<std::int64_t>(truth.size());
  const Problem fp32(config, known);
  const auto allowed = allowed_error(fp32, truth, stop_requested);
  if (!allowed) return false;
  result.tolerance_fp32 = *allowed;
  for (std::size_t s = 0; s < schemes.size(); ++s) {
    if (stop_requested && stop_requested()) return false;
    NamedScheme& named = schemes[s];
    named.batch = std::min(named.batch, known);
    std::int64_t& micro_batch = named.instance.options.micro_batch;
    if (micro_batch > 0) micro_batch = std::min(micro_batch, (named.batch + 1) / 2);
    const std::unique_ptr<Scheme> scheme = fp32.make(named.instance, named.batch);
    scheme->prepare(std::vector<std::int64_t>{named.batch});
    named.scheme = scheme.get();
    std::vector<std::int64_t> first;
    for (std::int64_t i = 0; i < named.batch; ++i) first.push_back(i);
    SchemeEquivalence& row = result.schemes[s];
    row.vs_reference_fp32 = error_between(outputs_of(fp32, named, first), part_of(truth, first));
    row.agrees = row.agrees && row.vs_reference_fp32->max_abs <= *allowed;
    result.agrees = result.agrees && row.agrees;
  }
  return true;
}

}  // namespace

std::vector<float> tokens_of(const Problem& problem, std::span<const std::int64_t> picked) {
  const std::int64_t dim = problem.shape().dim;
  std::vector<float> tokens;
  for (const std::int64_t i : picked) {
    const float* token = problem.candidates().data() + i * dim;
    tokens.insert(tokens.end(), token, token + dim);
  }
  return tokens;
}

void take_worse(ErrorPair& worst, const ErrorPair& error) {
  worst.max_abs = worse(worst.max_abs, error.max_abs);
  worst.max_rel = worse(worst.max_rel, error.max_rel);
}

ErrorPair vector_error(std::span<const double> values, std::span<const double> truth) {
  ErrorPair error;
  double largest = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    largest = std::max(largest, std::abs(truth[i]));
    error.max_abs = worse(error.max_abs, std::abs(values[i] - truth[i]));
  }
  error.max_rel = largest > 0 ? error.max_abs / largest : error.max_abs;
  return error;
}

std::optional<Equivalence> check_equality(const Problem& problem, const std::vector<NamedScheme>& schemes,
                                          std::int64_t checked, double reference_flops,
                                          const std::function<bool()>& stop_requested) {
  const auto stopped = [&] { return stop_requested && stop_requested(); };
  const ModelShape& shape = problem.shape();
  const Config& config = problem.config();
  const Mask mask = config.model.mask;
  const int threads = static_cast<int>(config.run.threads);
  Equivalence result;
  result.shareable = shareable(config.model);

  // Each scheme is compared on candidates of its own batch; naive runs them all.
  std::vector<std::vector<std::int64_t>> picked;
  std::set<std::int64_t> all;
  std::int64_t ranked = checked;  // by float64; every scheme must have them
  for (const NamedScheme& named : schemes) {
    picked.push_back(sampled_candidates(named.batch, checked));
    all.insert(picked.back().begin(), picked.back().end());
    ranked = std::min(ranked, named.batch);
  }
  const std::vector<std::int64_t> everyone(all.begin(), all.end());
  result.checked_candidates = static_cast<std::int64_t>(everyone.size());

  // Against float64: at the full shape on the first candidates, or with the same schemes on a smaller problem.
  const std::int64_t referenced = reference_candidates(shape, everyone.back() + 1);
  ranked = result.shareable ? std::max(ranked, referenced) : referenced;
  const std::int64_t fewest =
      result.shareable ? std::min(ranked, result.checked_candidates) : result.checked_candidates;
  result.top_k = std::clamp<std::int64_t>(fewest / 4, 1, 10);
  result.judged_candidates = referenced;
  const ReferenceShape cut = reference_shape(shape, positions(config.model),
                                             reference_sequences(shape, referenced, result.shareable), reference_flops);
  result.reference_shape = cut.text;
  std::optional<Problem> smaller;
  std::vector<std::unique_ptr<Scheme>> owned;
  std::vector<NamedScheme> small = schemes;
  if (!cut.full) {
    smaller.emplace(cut_config(config, cut), ranked);
    for (NamedScheme& named : small) {
      named.batch = std::min(named.batch, ranked);
      // What is new stays part of the history, and micro-batches keep their seam.
      SchemeOptions& options = named.instance.options;
      if (options.append > 0) {
        options.append = std::max<std::int64_t>(1, options.append * cut.history_length / positions(config.model));
      }
      if (options.micro_batch > 0) options.micro_batch = std::min(options.micro_batch, (named.batch + 1) / 2);
      owned.push_back(smaller->make(named.instance, ranked));
      owned.back()->prepare(std::vector<std::int64_t>{named.batch});
      named.scheme = owned.back().get();
    }
  }
  const Problem& reference_problem = smaller ? *smaller : problem;
  const auto tokens = [&](std::int64_t first, std::int64_t count) {
    return reference_problem.candidates().subspan(static_cast<std::size_t>(first * shape.dim),
                                                  static_cast<std::size_t>(count * shape.dim));
  };
  Outputs truth;
  for (std::int64_t i = 0; i < referenced; ++i) {
    if (stopped()) return std::nullopt;
    truth[i] = reference_outputs(reference_problem.shape(), reference_problem.source(), reference_problem.history(),
                                 mask, tokens(i, 1), threads, stop_requested);
    if (truth[i].empty()) return std::nullopt;
  }
  const auto scores = [&](const Outputs& rows) {
    std::vector<double> values;
    for (const auto& [candidate, output] : rows) values.push_back(problem.score(output));
    return values;
  };
  std::vector<double> true_scores;
  Outputs ranked_truth;
  if (result.shareable && ranked > 1) {
    if (stopped()) return std::nullopt;
    const std::vector<double> outputs =
        reference_shared_outputs(reference_problem.shape(), reference_problem.source(), reference_problem.history(),
                                 mask, tokens(0, ranked), threads, stop_requested);
    if (outputs.size() < static_cast<std::size_t>(ranked * shape.dim)) return std::nullopt;
    for (std::int64_t i = 0; i < ranked; ++i) {
      const double* const row = outputs.data() + i * shape.dim;
      ranked_truth[i] = {row, row + shape.dim};
      true_scores.push_back(problem.score(ranked_truth[i]));
    }
    result.ranked_candidates = ranked;
  }

  // Of every candidate that float64 has ranked, since naive is judged on all of them.
  const auto allowed =
      allowed_error(reference_problem, ranked_truth.size() > truth.size() ? ranked_truth : truth, stop_requested);
  if (!allowed) return std::nullopt;
  result.bound_reference = result.tolerance_reference = *allowed;
  result.tolerance_naive = *allowed * (cut.full ? 1.0 : growth(shape, positions(config.model), cut));

  Outputs naive_outputs;
  result.agrees = true;
  for (std::size_t s = 0; s < schemes.size(); ++s) {
    if (stopped()) return std::nullopt;
    SchemeEquivalence row;
    row.scheme = schemes[s].instance.label;
    std::vector<std::int64_t> first, judged;
    for (std::int64_t i = 0; i < (s == 0 ? ranked : std::min(ranked, small[s].batch)); ++i) {
      first.push_back(i);
      if (i < referenced) judged.push_back(i);
    }
    const Outputs at_reference = outputs_of(reference_problem, small[s], first);
    row.vs_reference = error_between(at_reference, part_of(truth, judged));
    if (first.size() == true_scores.size() && !true_scores.empty()) {
      row.reference_top_k_overlap = analysis::top_k_overlap(true_scores, scores(at_reference), result.top_k);
      row.reference_kendall_tau = analysis::kendall_tau(true_scores, scores(at_reference));
    }
    if (stopped()) return std::nullopt;
    if (s == 0) {
      const std::vector<float> run = tokens_of(problem, everyone);
      LayerCheck layers(shape, problem.source(), mask, problem.history(), run,
                        LayerCheck::rows_for(shape, positions(config.model), kLayerShare * reference_flops), threads);
      schemes[s].scheme->listen(&layers);
      naive_outputs = outputs_of(problem, schemes[s], everyone);
      schemes[s].scheme->listen(nullptr);
      result.layers = samples_of(layers);
      // The first candidates, and where float64 has ranked more, all of those: nothing else judges naive.
      const ErrorPair of_ranked = error_between(at_reference, ranked_truth);
      if (!(of_ranked.max_abs <= *result.bound_reference)) row.vs_reference = of_ranked;
      row.agrees = row.vs_reference->max_abs <= *result.bound_reference && result.layers->agrees;
    } else {
      const Outputs outputs = outputs_of(problem, schemes[s], picked[s]);
      const Outputs naive = part_of(naive_outputs, picked[s]);
      row.vs_naive = error_between(outputs, naive);
      row.top_k_overlap = analysis::top_k_overlap(scores(naive), scores(outputs), result.top_k);
      row.kendall_tau = analysis::kendall_tau(scores(naive), scores(outputs));
      row.agrees =
          row.vs_reference->max_abs <= *result.tolerance_reference && row.vs_naive->max_abs <= *result.tolerance_naive;
    }
    result.agrees = result.agrees && row.agrees;
    result.schemes.push_back(row);
  }
  if (!shape.in_fp32()) {
    const auto most = static_cast<std::size_t>(std::max(referenced, kFp32Candidates));
    Outputs known = truth;
    for (const auto& [candidate, exact] : ranked_truth) {
      if (known.size() < most) known.try_emplace(candidate, exact);
    }
    if (!judge_in_fp32(reference_problem, small, known, result, stop_requested)) return std::nullopt;
  }
  if (stopped()) return std::nullopt;  // loops that are told to end leave out what they like
  return result;
}

}  // namespace kvcast::app

namespace kvcast {

namespace {

std::string describe(const LayerSamples& layers) {
  if (!std::isfinite(layers.error)) return "more than any number: " + layers.where;
  return format_significant(layers.error, 3) + " x what rounding explains: " + layers.where;
}

}  // namespace

std::string disagreement(const Equivalence& equivalence) {
  std::vector<std::string> faults;
  for (const SchemeEquivalence& row : equivalence.schemes) {
    if (row.agrees) continue;
    std::vector<std::string> off;
    const auto judge = [&](const char* by, const std::optional<ErrorPair>& error, const std::optional<double>& most) {
      if (!error || !most || error->max_abs <= *most) return;
      const std::string distance = std::isnan(error->max_abs) ? "NaN" : format_significant(error->max_abs, 3);
      off.push_back(distance + " from " + by + " (allowed " + format_significant(*most, 3) + ")");
    };
    const bool baseline = !row.vs_naive;
    judge("float64", row.vs_reference, baseline ? equivalence.bound_reference : equivalence.tolerance_reference);
    judge("naive", row.vs_naive, equivalence.tolerance_naive);
    if (baseline && equivalence.layers && !equivalence.layers->agrees) off.push_back(describe(*equivalence.layers));
    judge("float64, all in fp32,", row.vs_reference_fp32, equivalence.tolerance_fp32);
    faults.push_back(in_quotes(row.scheme) + " is off by " + join(off, " and "));
  }
  return join(faults, "; ");
}

}  // namespace kvcast
