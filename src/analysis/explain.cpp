#include "analysis/explain.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "analysis/composition.h"
#include "analysis/fit.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

/// One N as measured.
struct Measured {
  std::int64_t candidates = 0;
  double speedup = 0, request_s = 0;
  double pass_s = 0;             ///< f: the scoring pass, or the whole request of a scheme without a prefill
  std::optional<double> head_s;  ///< the ranking head alone, for all N
};

std::optional<double> pass_seconds(const std::vector<Timing>& timings, double candidates, bool apart) {
  std::vector<double> seconds;
  for (const Timing& timing : timings) {
    if (!apart) {
      seconds.push_back(timing.seconds);
    } else if (timing.scoring_s) {
      seconds.push_back(*timing.scoring_s * candidates / static_cast<double>(timing.measured_candidates));
    }
  }
  if (seconds.empty()) return std::nullopt;
  return median(std::move(seconds));
}

/// Every N that has a pair; ascending.
std::vector<Measured> load(const TimingTable& table, const SchemePasses& scheme) {
  std::vector<Measured> levels;
  const auto naive = table.find(kBaseline), shared = table.find(scheme.name);
  if (naive == table.end() || shared == table.end()) return levels;
  for (const auto& [candidates, point] : shared->second) {
    const auto baseline = naive->second.find(candidates);
    if (baseline == naive->second.end()) continue;
    const std::vector<Timing>& timings = prevailing(point);
    std::vector<double> ratios;
    for (const TimingPair& pair : pair_rounds(prevailing(baseline->second), timings).pairs) {
      ratios.push_back(pair.ratio());
    }
    const auto pass = pass_seconds(timings, static_cast<double>(candidates), static_cast<bool>(scheme.history));
    if (ratios.empty() || !pass) continue;
    std::optional<double> head_s;
    if (const auto* head = find_timings(table, TimingId::head(), candidates)) head_s = median_seconds(*head);
    levels.push_back({candidates, median(std::move(ratios)), median_seconds(timings), *pass, head_s});
  }
  return levels;
}

/// Seconds of the scoring pass at one N beyond its overhead.
struct Parts {
  double candidate_s = 0;  ///< a: one candidate's arithmetic
  std::optional<double> weights_s, kv_s;
};

Parts from_surface(const Surface& surface, const SchemePasses& scheme, const WorkShape& shape, std::int64_t candidates,
                   std::optional<double> read_bytes_per_s) {
  PassWork one;
  one.flops = candidate_flop_parts(shape);
  Parts parts;
  parts.candidate_s =
      term_seconds(surface, kScoringPass, kDenseTerm, one) + term_seconds(surface, kScoringPass, kAttentionTerm, one);
  if (!scheme.history) return parts;
  const PassWork pass = scheme.candidates(shape, candidates);
  const double bytes = pass.weight_bytes + pass.kv_bytes;
  const double beyond = term_seconds(surface, kScoringPass, kBeyondCacheTerm, pass);
  const auto streamed = [&](const char* term, double own_bytes) {
    const double fitted =
        term_seconds(surface, kScoringPass, term, pass) + (bytes > 0 ? beyond * own_bytes / bytes : 0);
    return read_bytes_per_s ? std::min(fitted, own_bytes / *read_bytes_per_s) : fitted;
  };
  parts.weights_s = streamed(kWeightsTerm, pass.weight_bytes);
  parts.kv_s = streamed(kKvTerm, pass.kv_bytes);
  return parts;
}

class Rates {
 public:
  Rates(const std::vector<Measured>& levels, const SchemePasses& scheme, const WorkShape& shape,
        std::optional<double> read_bytes_per_s)
      : scheme_(scheme), shape_(shape), read_(read_bytes_per_s) {
    const Measured& most = levels.back();
    candidate_s_ = most.pass_s / static_cast<double>(most.candidates);
    const Measured* half = nullptr;
    for (const Measured& level : levels) {
      if (2 * level.candidates <= most.candidates) half = &level;
    }
    if (half == nullptr) return;
    const double slope = (most.pass_s - bytes_s(most.candidates) - half->pass_s + bytes_s(half->candidates)) /
                         static_cast<double>(most.candidates - half->candidates);
    if (slope <= 0) return;
    candidate_s_ = std::min(candidate_s_, slope);
    slope_known_ = true;
  }

  Parts at(const Measured& level) const {
    const auto count = static_cast<double>(level.candidates);
    Parts parts;
    parts.candidate_s = std::min(candidate_s_, level.pass_s / count);
    if (!read_ || !scheme_.history || !slope_known_) return parts;
    const PassWork pass = scheme_.candidates(shape_, level.candidates);
    const double beyond = level.pass_s - count * parts.candidate_s, bytes = bytes_s(level.candidates);
    const double cut = bytes > beyond ? beyond / bytes : 1;
    parts.weights_s = cut * pass.weight_bytes / *read_;
    parts.kv_s = cut * pass.kv_bytes / *read_;
    return parts;
  }

 private:
  double bytes_s(std::int64_t candidates) const {
    if (!read_ || !scheme_.history) return 0;
    const PassWork pass = scheme_.candidates(shape_, candidates);
    return (pass.weight_bytes + pass.kv_bytes) / *read_;
  }

  const SchemePasses& scheme_;
  const WorkShape& shape_;
  std::optional<double> read_;
  double candidate_s_ = 0;
  bool slope_known_ = false;
};

}  // namespace

std::optional<Explanation> explain(const TimingTable& table, const SchemePasses& scheme, const WorkShape& shape,
                                   const ExplainRates& rates) {
  const std::vector<Measured> levels = load(table, scheme);
  if (levels.empty() || levels.back().candidates <= 1) return std::nullopt;
  const Rates by_rates(levels, scheme, shape, rates.read_bytes_per_s);
  Explanation explanation;
  explanation.basis = rates.surface != nullptr ? "surface" : "rates";
  for (const Measured& level : levels) {
    if (level.candidates <= 1) continue;
    const Parts parts = rates.surface != nullptr
                            ? from_surface(*rates.surface, scheme, shape, level.candidates, rates.read_bytes_per_s)
                            : by_rates.at(level);
    const auto count = static_cast<double>(level.candidates);
    const double naive_candidate_s = level.speedup * level.request_s / count;
    const double unit = (count - 1) * naive_candidate_s;
    RShare share;
    share.candidates = level.candidates;
    share.r = r_from_speedup(count, level.speedup);
    share.arithmetic = parts.candidate_s / naive_candidate_s;
    if (parts.weights_s) share.weights = *parts.weights_s / unit;
    if (parts.kv_s) share.kv = *parts.kv_s / unit;
    if (level.head_s) share.head = *level.head_s / count / naive_candidate_s;
    share.overhead = share.r - share.arithmetic - share.weights.value_or(0) - share.kv.value_or(0);
    explanation.shares.push_back(share);
  }
  return explanation;
}

}  // namespace kvcast::analysis
