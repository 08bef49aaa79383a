#include "equality/after_timing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "base/text.h"
#include "equality/equality.h"

namespace kvcast::equality {
namespace {

// Spread over the largest N.
constexpr std::int64_t kSpread = 12;
// N of which the last candidate is judged; of more, these many of them.
constexpr std::int64_t kLasts = 24;
// Judged at one N.
constexpr std::int64_t kJudged = 12;

template <typename Values>
std::vector<std::int64_t> some_of(const Values& all, std::int64_t most) {
  const std::vector<std::int64_t> sorted(all.begin(), all.end());
  std::vector<std::int64_t> some;
  for (const std::int64_t i : sampled_candidates(static_cast<std::int64_t>(sorted.size()), most)) {
    some.push_back(sorted[static_cast<std::size_t>(i)]);
  }
  return some;
}

}  // namespace

AfterTiming::AfterTiming(const std::vector<std::int64_t>& counts, std::int64_t dim) : dim_(dim) {
  const std::set<std::int64_t> distinct(counts.begin(), counts.end());
  std::set<std::int64_t> picked;
  for (const std::int64_t count : some_of(distinct, kLasts)) picked.insert({0, count - 1});
  if (!distinct.empty()) {
    for (const std::int64_t i : sampled_candidates(*distinct.rbegin(), kSpread)) picked.insert(i);
  }
  candidates_.assign(picked.begin(), picked.end());
  for (const std::int64_t count : distinct) {
    const auto end = std::lower_bound(candidates_.begin(), candidates_.end(), count);
    of_count_[count] = some_of(std::vector<std::int64_t>(candidates_.begin(), end), kJudged);
  }
}

void AfterTiming::expect(std::int64_t user, std::int64_t candidate, const float* output, const std::string& by) {
  expected_[{user, candidate}] = {{output, output + dim_}, by};
}

void AfterTiming::spoil(float* rows, std::int64_t count, std::int64_t width) const {
  const auto spoil_row = [&](std::int64_t i) {
    std::memset(rows + i * width, 0xFF, static_cast<std::size_t>(width) * sizeof(float));
  };
  for (const std::int64_t i : candidates_of(count)) spoil_row(i);
  // Of scores, where no candidate of the list is the last.
  spoil_row(count - 1);
}

void AfterTiming::keep(const TimingId& id, std::int64_t count, std::int64_t user, const float* outputs) {
  Rows& rows = kept_[{id, count, user}];
  for (const std::int64_t i : candidates_of(count)) rows[i].assign(outputs + i * dim_, outputs + (i + 1) * dim_);
}

void AfterTiming::keep_scores(const TimingId& id, std::int64_t count, const float* x, const float* scores) {
  Scored& kept = scored_[{id, count}];
  kept = {};
  for (const std::int64_t i : sampled_candidates(count, 2)) {
    kept.x.insert(kept.x.end(), x + i * dim_, x + (i + 1) * dim_);
    kept.scores.push_back(scores[i]);
  }
}

std::vector<TimedOutputs> AfterTiming::judge_outputs(double tolerance) const {
  std::vector<TimedOutputs> judged;
  for (const auto& [key, rows] : kept_) {
    const auto& [id, count, user] = key;
    TimedOutputs row{id.text(), count, "outputs", user, 0, 0, 0, tolerance, "", false};
    std::set<std::string> judges;
    for (const auto& [candidate, output] : rows) {
      const auto expected = expected_.find({user, candidate});
      if (expected == expected_.end()) continue;
      double error = 0;
      for (std::size_t i = 0; i < output.size(); ++i) {
        const double difference = static_cast<double>(output[i]) - static_cast<double>(expected->second.output[i]);
        error = worse(error, std::abs(difference));
      }
      if (row.judged == 0 || !(error <= row.max_abs)) {
        // NaN stays: the first of them is named.
        if (!std::isnan(row.max_abs)) row.worst = candidate;
        row.max_abs = worse(row.max_abs, error);
      }
      ++row.judged;
      judges.insert(expected->second.by);
    }
    if (row.judged == 0) continue;
    row.against = join({judges.begin(), judges.end()}, ", ");
    row.agrees = row.max_abs <= tolerance;
    judged.push_back(std::move(row));
  }
  return judged;
}

std::vector<TimedOutputs> AfterTiming::judge_scores(const RankingHeadShape& head, std::uint64_t seed,
                                                    int threads) const {
  std::vector<float> x;
  for (const auto& [key, kept] : scored_) x.insert(x.end(), kept.x.begin(), kept.x.end());
  if (x.empty()) return {};
  const HeadReference reference = reference_head(head, seed, x, threads);
  std::vector<TimedOutputs> judged;
  std::size_t at = 0;
  for (const auto& [key, kept] : scored_) {
    TimedOutputs row{key.first.text(), key.second, "scores", 0, 0, 0, 0, 0, "float64", true};
    const std::vector<std::int64_t> picked = sampled_candidates(key.second, 2);
    for (std::size_t i = 0; i < kept.scores.size(); ++i, ++at) {
      const double error = std::abs(static_cast<double>(kept.scores[i]) - reference.scores[at]);
      const bool within = error <= reference.allowed[at];
      // The one that is furthest beyond what it is allowed.
      if (row.judged == 0 || (row.agrees && !within) || (within == row.agrees && error > row.max_abs)) {
        row.worst = picked[i];
        row.max_abs = error;
        row.allowed = reference.allowed[at];
      }
      row.agrees = row.agrees && within;
      ++row.judged;
    }
    judged.push_back(std::move(row));
  }
  return judged;
}

std::string wrong_after_timing(const std::vector<TimedOutputs>& rows) {
  const TimedOutputs* wrong = nullptr;
  std::int64_t others = -1;
  for (const TimedOutputs& row : rows) {
    if (row.agrees) continue;
    if (wrong == nullptr) wrong = &row;
    ++others;
  }
  if (wrong == nullptr) return "";
  const std::string off = std::isnan(wrong->max_abs) ? "NaN" : format_significant(wrong->max_abs, 3);
  return in_quotes(wrong->scheme) + " at N=" + std::to_string(wrong->candidates) +
         (wrong->user > 0 ? " for user " + std::to_string(wrong->user) : "") + ": the " +
         (wrong->what == "scores" ? "score" : "output") + " of candidate " + std::to_string(wrong->worst) +
         " was off by " + off + " from " + wrong->against + " when it was timed (allowed " +
         format_significant(wrong->allowed, 3) + ")" +
         (others == 1  ? "; so was 1 more timing"
          : others > 1 ? "; so were " + std::to_string(others) + " more timings"
                       : "");
}

}  // namespace kvcast::equality
