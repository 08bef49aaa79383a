// Outputs of timed passes against those of the same candidates before any timing. Pure except for overwriting and
// copying rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "engine/builtin/model/ranking_head.h"
#include "kvcast/report.h"
#include "kvcast/timing_id.h"

namespace kvcast::equality {

class AfterTiming {
 public:
  /// `counts`: N of every pass that is timed. dim: of an output.
  AfterTiming(const std::vector<std::int64_t>& counts, std::int64_t dim);

  /// Candidates that are judged at one N or another, ascending: first and last of every N, and between them.
  const std::vector<std::int64_t>& candidates() const { return candidates_; }
  /// Of them, those that are judged at this N, one of `counts`.
  const std::vector<std::int64_t>& candidates_of(std::int64_t count) const { return of_count_.at(count); }

  /// Sets the expected output of a candidate after this user's history, [dim], and the scheme that computed it. A later
  /// call replaces an earlier one.
  void expect(std::int64_t user, std::int64_t candidate, const float* output, const std::string& by);

  /// Overwrites with NaN the rows of the candidates that are judged. rows: [count][width].
  void spoil(float* rows, std::int64_t count, std::int64_t width) const;
  /// Keeps the outputs of a pass, [count][dim], replacing those of an earlier pass of the same timing, N and user.
  void keep(const TimingId& id, std::int64_t count, std::int64_t user, const float* outputs);
  /// Keeps the ranking head's scores of x, [count][dim].
  void keep_scores(const TimingId& id, std::int64_t count, const float* x, const float* scores);

  /// Judges the kept outputs that have an expected one. tolerance: Equivalence::tolerance_naive.
  std::vector<TimedOutputs> judge_outputs(double tolerance) const;
  /// Scores against the head in float64, at first and last of every pass.
  std::vector<TimedOutputs> judge_scores(const RankingHeadShape& head, std::uint64_t seed, int threads) const;

 private:
  struct Expected {
    std::vector<float> output;
    std::string by;
  };
  struct Scored {
    std::vector<float> x, scores;  ///< first and last of the pass
  };
  using Rows = std::map<std::int64_t, std::vector<float>>;  // by candidate

  std::vector<std::int64_t> candidates_;
  std::map<std::int64_t, std::vector<std::int64_t>> of_count_;
  std::int64_t dim_;
  std::map<std::pair<std::int64_t, std::int64_t>, Expected> expected_;     // user, candidate
  std::map<std::tuple<TimingId, std::int64_t, std::int64_t>, Rows> kept_;  // timing, N, user
  std::map<std::pair<TimingId, std::int64_t>, Scored> scored_;             // timing, N
};

/// "shared at N=1,000: candidate 999 is off by 0.31 from naive (allowed 2.7e-05)"; empty when all agree.
std::string wrong_after_timing(const std::vector<TimedOutputs>& rows);

}  // namespace kvcast::equality
