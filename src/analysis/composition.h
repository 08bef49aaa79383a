// The timings of one point, from raw samples: run whole, or put together from parts; and whether the two agree.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvcast/report.h"

namespace kvcast::analysis {

/// The scheme every speed-up is over.
inline constexpr const char* kBaseline = "naive";

/// A pair whose slower canary ran below this share of its faster one is left out: the machine changed between the two
/// timings, so their ratio is not the schemes'. A virtual CPU was seen to flip between two clock states, 0.94 and 1.00
/// of the run's upper quartile, every few seconds; a pair timed wholly in the slow one is as good as any, since the
/// state cancels in the ratio, and a floor between the two would throw away half of the good data.
inline constexpr double kCanaryAgreement = 0.95;
/// A pair whose slower canary ran below this share of the run's reference (the upper quartile) is left out too:
/// that is below every clock state, so something else had the CPU, and it does not take from both timings alike.
inline constexpr double kCanaryFloor = 0.85;
/// Exclusion by canary never leaves fewer pairs than this at an N: a slow machine is better than no data.
inline constexpr std::int64_t kMinCleanPairs = 3;

/// One sample, brought to all N candidates of its point.
struct Timing {
  std::int64_t round = 0;
  double seconds = 0;  ///< for all N candidates
  Status status = Status::measured;
  std::int64_t measured_candidates = 0;
  std::optional<double> prefill_s, scoring_s;  ///< as timed, not scaled
  double canary_ratio = 1;
};

/// Timings of one scheme at one N, ascending by round and at most one per round in each list.
struct PointTimings {
  std::vector<Timing> whole;      ///< Status::measured
  std::vector<Timing> assembled;  ///< Status::assembled or Status::extrapolated
};

/// The timings that stand for a point: the whole ones when every round that has the point has it whole, else the
/// assembled ones. One kind serves all rounds of an N.
const std::vector<Timing>& prevailing(const PointTimings& point);

/// By what was timed, then by N.
using TimingTable = std::map<TimingId, std::map<std::int64_t, PointTimings>>;

/// Seconds for all N candidates of a sample: as timed when all N were; else prefill + scoring·N/measured where the
/// history pass was timed apart, and the whole time · N/measured where it was not.
double seconds_for_all(const Sample& sample);

/// The usable samples: not skipped, all numbers finite, times positive, counts at least 1. Does not depend on the order
/// of the samples. Several samples of one kind in one round (not something a run makes) count as the middle one by
/// time.
TimingTable tabulate(const std::vector<Sample>& samples);

/// Times of two timings of one round.
struct TimingPair {
  std::int64_t round = 0;
  double numerator_s = 0, denominator_s = 0;
  double ratio() const { return numerator_s / denominator_s; }
};
struct TimingPairs {
  std::vector<TimingPair> pairs;  ///< ascending by round
  std::int64_t excluded = 0;      ///< left out for their canary
};

/// Pairs by round, without those whose canaries disagree (kCanaryAgreement) or of which one is below kCanaryFloor; with
/// all of them when fewer than kMinCleanPairs would remain.
TimingPairs pair_rounds(const std::vector<Timing>& numerator, const std::vector<Timing>& denominator);

/// The prevailing timings at one N; nullptr when there are none.
const std::vector<Timing>* find_timings(const TimingTable& table, const TimingId& id, std::int64_t candidates);
/// Of what prevails at a point: scaled if any row is, the weaker claim. Needs at least one.
Status status_of(const std::vector<Timing>& timings);
/// Median of the seconds for all N candidates. Needs at least one.
double median_seconds(const std::vector<Timing>& timings);
/// ratio_of_run of numerator over denominator over the clean pairs of rounds; nullopt without a pair, or without one of
/// the two.
std::optional<Estimate> paired_ratio(const std::vector<Timing>* numerator, const std::vector<Timing>* denominator);

/// What a run watches of one point: its ratios over naive, naive over scheme, of the clean pairs of rounds; where there
/// is no naive beside another scheme, its times in seconds. By round, ascending.
using Watched = std::vector<std::pair<std::int64_t, double>>;
/// Of every point of a scheme that naive ran too, by scheme name, then N; empty where no round has both.
std::vector<Watched> watched_values(const TimingTable& table);

/// Whole against assembled times, for every (scheme, N) without the head that has both in at least two rounds; by
/// scheme name, then N. `ratio` is trimmed_ratio of whole/assembled over rounds with its 95% interval; `agrees` when
/// the 99% interval touches [1-precision, 1+precision]. Two rounds make wide intervals: the check finds gross errors,
/// not small ones.
std::vector<CompositionCheck> check_composition(const TimingTable& table, double precision);
/// Small differences are a scoring pass that finds its caches as another left them: nothing measured is wrong. Beyond
/// 10%, interval included, other work was timed.
bool is_gross(const CompositionCheck& check);

}  // namespace kvcast::analysis
