#include "equality/equality.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "analysis/ranking.h"
#include "base/text.h"
#include "engine/builtin/schemes/layer_check.h"
#include "kvcast/words.h"

namespace kvcast::equality {
namespace {

// Outputs by candidate, [dim] each.
using Outputs = std::map<std::int64_t, std::vector<double>>;

// Share of the reference's cost that the samples of the layers may add.
constexpr double kLayerShare = 0.25;
// Most candidates of the check in fp32, unless float64 has judged more: it is about keys, not about blocks of rows, and
// the memory of a scheme grows with them.
constexpr std::int64_t kFp32Candidates = 16;

LayerSamples samples_of(const LayerCheck& check) {
  const LayerCheck::Result found = check.result();
  LayerSamples samples{found.layers, found.outputs_judged, found.keys, found.worst.ratio, found.worst.where, false};
  samples.agrees = samples.error <= 1;
  return samples;
}

std::vector<std::int64_t> first_of(std::int64_t count) {
  std::vector<std::int64_t> first;
  for (std::int64_t i = 0; i < count; ++i) first.push_back(i);
  return first;
}

// Outputs of candidates `picked`. A scheme that shares runs its whole batch, so that its row blocking is part of what
// is checked; the baseline only the picked ones.
Outputs outputs_of(const Opened& opened, const Judged& judged, const std::vector<std::int64_t>& picked) {
  const std::int64_t dim = opened.problem.shape().dim;
  const bool whole = judged.instance.entry->shares;
  std::vector<float> rows;
  if (whole) {
    rows.resize(static_cast<std::size_t>(judged.batch * dim));
    opened.session.prefill(judged.id());
    opened.session.score(judged.id(), {opened.problem.candidates().data(), judged.batch, rows.data(), nullptr});
  } else {
    rows = equality::outputs_of(opened.session, judged.id(), tokens_of(opened.problem, picked), dim);
  }
  Outputs result;
  for (std::size_t i = 0; i < picked.size(); ++i) {
    const float* const row = rows.data() + (whole ? picked[i] : static_cast<std::int64_t>(i)) * dim;
    result[picked[i]] = {row, row + dim};
  }
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

std::vector<double> scores_of(const Problem& problem, const Outputs& rows) {
  std::vector<double> scores;
  for (const auto& [candidate, output] : rows) scores.push_back(problem.score(output));
  return scores;
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

// How far outputs of the first candidates may be from the exact ones; nullopt when stopped.
std::optional<double> allowed_error(const Problem& problem, std::span<const double> exact,
                                    const std::function<bool()>& stop_requested) {
  const Config& config = problem.config();
  const auto error = rounding_error(problem.shape(), problem.source(), problem.history(), config.model.mask,
                                    problem.candidates().first(exact.size()), exact,
                                    static_cast<int>(config.run.threads), stop_requested);
  return error ? std::optional(rounding_factor(problem.shape()) * *error) : std::nullopt;
}

/// Another problem in the same engine's memory, with the same schemes for batches that are no longer.
class Smaller {
 public:
  Smaller(const Engine& engine, const Config& config, std::int64_t candidates)
      : engine_(engine), problem_(config, candidates), session_(engine.open(problem_)), candidates_(candidates) {}

  void add(Judged& judged) {
    judged.batch = std::min(judged.batch, candidates_);
    // Micro-batches keep their seam.
    std::int64_t& micro_batch = judged.instance.options.micro_batch;
    if (micro_batch > 0) micro_batch = std::min(micro_batch, (judged.batch + 1) / 2);
    session_->add(judged.instance, candidates_);
    session_->prepare(judged.id(), std::vector<std::int64_t>{judged.batch});
  }
  Opened opened() const { return {engine_, problem_, *session_}; }

 private:
  const Engine& engine_;
  Problem problem_;
  std::unique_ptr<Session> session_;
  std::int64_t candidates_;
};

class Check {
 public:
  Check(const Opened& opened, const std::vector<Judged>& schemes, std::int64_t checked, double reference_flops,
        const std::function<bool()>& stop_requested)
      : opened_(opened),
        shape_(opened.problem.shape()),
        config_(opened.problem.config()),
        schemes_(schemes),
        reference_flops_(reference_flops),
        stop_requested_(stop_requested) {
    pick(checked);
    place_reference();
  }

  std::optional<Equivalence> run() {
    if (!run_reference() || !bound()) return std::nullopt;
    result_.agrees = true;
    for (std::size_t s = 0; s < schemes_.size(); ++s) {
      if (stopped() || !judge(s)) return std::nullopt;
    }
    if (!shape_.in_fp32() && !judge_in_fp32()) return std::nullopt;
    if (stopped()) return std::nullopt;  // loops that are stopped skip work
    return std::move(result_);
  }

 private:
  bool stopped() const { return stop_requested_ && stop_requested_(); }
  int threads() const { return static_cast<int>(config_.run.threads); }
  Opened at_reference() const { return smaller_ ? smaller_->opened() : opened_; }

  // Each scheme is compared on candidates of its own batch; naive runs them all.
  void pick(std::int64_t checked) {
    result_.shareable = shareable(config_.model);
    std::set<std::int64_t> all;
    ranked_ = checked;  // by float64; every scheme must have them
    for (const Judged& judged : schemes_) {
      picked_.push_back(sampled_candidates(judged.batch, checked));
      all.insert(picked_.back().begin(), picked_.back().end());
      ranked_ = std::min(ranked_, judged.batch);
    }
    everyone_.assign(all.begin(), all.end());
    result_.checked_candidates = static_cast<std::int64_t>(everyone_.size());
    referenced_ = reference_candidates(shape_, everyone_.back() + 1);
    ranked_ = result_.shareable ? std::max(ranked_, referenced_) : referenced_;
    const std::int64_t fewest =
        result_.shareable ? std::min(ranked_, result_.checked_candidates) : result_.checked_candidates;
    result_.top_k = std::clamp<std::int64_t>(fewest / 4, 1, 10);
    result_.judged_candidates = referenced_;
  }

  // Against float64: at the full shape on the first candidates, or with the same schemes on a smaller problem.
  void place_reference() {
    const std::int64_t length = config_.model.positions();
    cut_ =
        reference_shape(shape_, length, reference_sequences(shape_, referenced_, result_.shareable), reference_flops_);
    result_.reference_shape = cut_.text;
    small_ = schemes_;
    if (cut_.full) return;
    smaller_.emplace(opened_.engine, cut_config(config_, cut_), ranked_);
    for (Judged& judged : small_) {
      // What is new stays part of the history.
      std::int64_t& append = judged.instance.options.append;
      if (append > 0) append = std::max<std::int64_t>(1, append * cut_.history_length / length);
      smaller_->add(judged);
    }
  }

  // Float64 of the first candidates one by one, and of more against one history where sharing is valid.
  bool run_reference() {
    const Problem& problem = at_reference().problem;
    const Mask mask = config_.model.mask;
    const auto tokens = [&](std::int64_t first, std::int64_t count) {
      return problem.candidates().subspan(static_cast<std::size_t>(first * shape_.dim),
                                          static_cast<std::size_t>(count * shape_.dim));
    };
    for (std::int64_t i = 0; i < referenced_; ++i) {
      if (stopped()) return false;
      truth_[i] = reference_outputs(problem.shape(), problem.source(), problem.history(), mask, tokens(i, 1), threads(),
                                    stop_requested_);
      if (truth_[i].empty()) return false;
    }
    if (!result_.shareable || ranked_ <= 1) return true;
    if (stopped()) return false;
    const std::vector<double> outputs = reference_shared_outputs(problem.shape(), problem.source(), problem.history(),
                                                                 mask, tokens(0, ranked_), threads(), stop_requested_);
    if (outputs.size() < static_cast<std::size_t>(ranked_ * shape_.dim)) return false;
    for (std::int64_t i = 0; i < ranked_; ++i) {
      const double* const row = outputs.data() + i * shape_.dim;
      ranked_truth_[i] = {row, row + shape_.dim};
    }
    true_scores_ = scores_of(opened_.problem, ranked_truth_);
    result_.ranked_candidates = ranked_;
    return true;
  }

  // Of every candidate that float64 has ranked, since naive is judged on all of them.
  bool bound() {
    const bool more = ranked_truth_.size() > truth_.size();
    const auto allowed = allowed_error(at_reference().problem, joined(more ? ranked_truth_ : truth_), stop_requested_);
    if (!allowed) return false;
    result_.bound_reference = result_.tolerance_reference = *allowed;
    result_.tolerance_naive = *allowed * (cut_.full ? 1.0 : growth(shape_, config_.model.positions(), cut_));
    return true;
  }

  // False when stopped.
  bool judge(std::size_t s) {
    SchemeEquivalence row;
    row.scheme = schemes_[s].id().text();
    const std::int64_t known = s == 0 ? ranked_ : std::min(ranked_, small_[s].batch);
    const Outputs outputs = outputs_of(at_reference(), small_[s], first_of(known));
    row.vs_reference = error_between(outputs, part_of(truth_, first_of(std::min(known, referenced_))));
    if (outputs.size() == true_scores_.size() && !true_scores_.empty()) {
      const std::vector<double> scores = scores_of(opened_.problem, outputs);
      row.reference_top_k_overlap = analysis::top_k_overlap(true_scores_, scores, result_.top_k);
      row.reference_kendall_tau = analysis::kendall_tau(true_scores_, scores);
    }
    if (stopped()) return false;
    if (s == 0) {
      judge_naive(row, error_between(outputs, ranked_truth_));
    } else {
      judge_by_naive(row, s);
    }
    result_.agrees = result_.agrees && row.agrees;
    result_.schemes.push_back(row);
    return true;
  }

  // of_ranked: the first candidates, and where float64 has ranked more, all of those: nothing else judges naive.
  void judge_naive(SchemeEquivalence& row, const ErrorPair& of_ranked) {
    const Problem& problem = opened_.problem;
    const std::vector<float> run = tokens_of(problem, everyone_);
    const bool heard = opened_.engine.capabilities().tells_steps;
    LayerCheck layers(shape_, problem.source(), config_.model.mask, problem.history(), run,
                      LayerCheck::rows_for(shape_, config_.model.positions(), kLayerShare * reference_flops_),
                      threads());
    if (heard) opened_.session.listen(schemes_[0].id(), &layers);
    naive_outputs_ = outputs_of(opened_, schemes_[0], everyone_);
    if (heard) {
      opened_.session.listen(schemes_[0].id(), nullptr);
      result_.layers = samples_of(layers);
    }
    if (!(of_ranked.max_abs <= *result_.bound_reference)) row.vs_reference = of_ranked;
    row.agrees = row.vs_reference->max_abs <= *result_.bound_reference && (!result_.layers || result_.layers->agrees);
  }

  void judge_by_naive(SchemeEquivalence& row, std::size_t s) const {
    const Outputs outputs = outputs_of(opened_, schemes_[s], picked_[s]);
    const Outputs naive = part_of(naive_outputs_, picked_[s]);
    const std::vector<double> scores = scores_of(opened_.problem, outputs),
                              naive_scores = scores_of(opened_.problem, naive);
    row.vs_naive = error_between(outputs, naive);
    row.top_k_overlap = analysis::top_k_overlap(naive_scores, scores, result_.top_k);
    row.kendall_tau = analysis::kendall_tau(naive_scores, scores);
    row.agrees =
        row.vs_reference->max_abs <= *result_.tolerance_reference && row.vs_naive->max_abs <= *result_.tolerance_naive;
  }

  // Where rounding to bf16 hides a key, the logic of the schemes is judged once more with everything in fp32, on the
  // problem of the reference. False when stopped.
  bool judge_in_fp32() {
    const auto most = static_cast<std::size_t>(std::max(referenced_, kFp32Candidates));
    Outputs truth = truth_;
    for (const auto& [candidate, exact] : ranked_truth_) {
      if (truth.size() < most) truth.try_emplace(candidate, exact);
    }
    Config config = at_reference().problem.config();
    config.run.dtype = config.run.kv_dtype = "fp32";
    Smaller fp32(opened_.engine, config, static_cast<std::int64_t>(truth.size()));
    const auto allowed = allowed_error(fp32.opened().problem, joined(truth), stop_requested_);
    if (!allowed) return false;
    result_.tolerance_fp32 = *allowed;
    for (std::size_t s = 0; s < small_.size(); ++s) {
      if (stopped()) return false;
      Judged judged = small_[s];
      fp32.add(judged);
      const std::vector<std::int64_t> first = first_of(judged.batch);
      SchemeEquivalence& row = result_.schemes[s];
      row.vs_reference_fp32 = error_between(outputs_of(fp32.opened(), judged, first), part_of(truth, first));
      row.agrees = row.agrees && row.vs_reference_fp32->max_abs <= *allowed;
      result_.agrees = result_.agrees && row.agrees;
    }
    return true;
  }

  const Opened& opened_;
  const ModelShape& shape_;
  const Config& config_;
  const std::vector<Judged>& schemes_;
  double reference_flops_;
  const std::function<bool()>& stop_requested_;

  std::vector<std::vector<std::int64_t>> picked_;  ///< candidates of each scheme
  std::vector<std::int64_t> everyone_;             ///< all of them
  std::int64_t referenced_ = 0, ranked_ = 0;       ///< first candidates that float64 runs one by one, and in all
  ReferenceShape cut_;
  std::optional<Smaller> smaller_;  ///< where the reference is not at the full shape
  std::vector<Judged> small_;       ///< the schemes as they run beside the reference
  Outputs truth_, ranked_truth_, naive_outputs_;
  std::vector<double> true_scores_;
  Equivalence result_;
};

}  // namespace

std::optional<Truth> truth_of(const Problem& problem, std::int64_t count, const std::function<bool()>& stop_requested) {
  const Config& config = problem.config();
  const auto tokens = problem.candidates().first(static_cast<std::size_t>(count * problem.shape().dim));
  Truth truth;
  truth.outputs = reference_outputs(problem.shape(), problem.source(), problem.history(), config.model.mask, tokens,
                                    static_cast<int>(config.run.threads), stop_requested);
  if (truth.outputs.size() < tokens.size()) return std::nullopt;
  const auto allowed = allowed_error(problem, truth.outputs, stop_requested);
  if (!allowed) return std::nullopt;
  truth.allowed = *allowed;
  return truth;
}

double largest_error(std::span<const float> values, std::span<const double> truth) {
  double worst = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    worst = worse(worst, std::abs(static_cast<double>(values[i]) - truth[i]));
  }
  return worst;
}

std::vector<float> tokens_of(const Problem& problem, std::span<const std::int64_t> picked) {
  const std::int64_t dim = problem.shape().dim;
  std::vector<float> tokens;
  for (const std::int64_t i : picked) {
    const float* token = problem.candidates().data() + i * dim;
    tokens.insert(tokens.end(), token, token + dim);
  }
  return tokens;
}

std::vector<float> outputs_of(Session& session, const TimingId& id, std::span<const float> candidates,
                              std::int64_t dim) {
  std::vector<float> outputs(candidates.size());
  const auto count = static_cast<std::int64_t>(candidates.size()) / dim;
  session.prepare(id, std::vector<std::int64_t>{count});
  session.score(id, {candidates.data(), count, outputs.data(), nullptr});
  return outputs;
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

std::vector<std::int64_t> sampled_candidates(std::int64_t n, std::int64_t k) {
  k = std::min(n, k);
  std::vector<std::int64_t> sample;
  for (std::int64_t i = 0; i < k; ++i) sample.push_back(k == 1 ? n - 1 : i * (n - 1) / (k - 1));
  return sample;
}

double reference_budget(double seconds, std::int64_t threads) {
  // The plain loops reach about 2 GFLOP/s a thread.
  return seconds * 2e9 * static_cast<double>(threads);
}

std::optional<Equivalence> check(const Opened& opened, const std::vector<Judged>& schemes, std::int64_t checked,
                                 double reference_flops, const std::function<bool()>& stop_requested) {
  return Check(opened, schemes, checked, reference_flops, stop_requested).run();
}

}  // namespace kvcast::equality

namespace kvcast {

namespace {

std::string describe(const LayerSamples& layers) {
  if (!std::isfinite(layers.error)) return "not a finite error: " + layers.where;
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
    judge("float64, computed in fp32,", row.vs_reference_fp32, equivalence.tolerance_fp32);
    faults.push_back(in_quotes(row.scheme) + " is off by " + join(off, " and "));
  }
  return join(faults, "; ");
}

}  // namespace kvcast
