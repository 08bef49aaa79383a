// Runs the plan: interleaved rounds in a seeded order, a canary beside every timing. The only stage with effects.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kvcast/kvcast.h"

namespace kvcast::measure {

/// A scheme as measure sees it.
struct Workload {
  std::string name;
  bool has_user_pass = false;
  std::function<void()> user_pass;
  std::function<void(std::int64_t candidates)> candidate_pass;
  std::int64_t case_index = 0;        ///< of the plan
  std::function<void()> next_user{};  ///< makes the next request another user's; only called in cold mode
  bool checked_whole = true;          ///< takes part in the check of composed and scaled times
  /// Outside of every timing, so that work that was left out shows. Before a pass: spoil what the history pass leaves,
  /// where one follows, and the outputs; behind it: take the outputs to be judged when all is timed. Each may be empty.
  std::function<void()> spoil_history{};
  std::function<void(std::int64_t candidates)> spoil_outputs{}, keep_outputs{};
};

/// A timing and the case of the plan that it belongs to.
struct CaseSample : Sample {
  std::int64_t case_index = 0;
};

/// The outside world, so that tests can put their own in its place.
struct Environment {
  std::function<double()> now;     ///< seconds on a monotonic clock
  std::function<double()> canary;  ///< runs a short FMA burst, returns its speed, GFLOP/s
  /// Empties the caches. When there is one, the mode is cold: it is called before every timing, behind next_user, and a
  /// sample is a single pass.
  std::function<void()> evict{};
};

struct Options {
  std::uint64_t seed = 1;
  double deadline = 0;  ///< on `now`'s clock; no timing starts after it, and no round that would end after it
  std::function<bool()> stop_requested;
  double warm_up_s = 0;             ///< at most this long before the first round; 0 = no warm-up
  std::vector<CaseSample> earlier;  ///< of the rounds before, when a run is taken up again
  std::int64_t first_round = 0;     ///< how many those are
  /// Called after each round with all there is so far: true when it is precise enough.
  std::function<bool(const std::vector<CaseSample>&)> precise_enough;
  /// Called after each whole round with its samples. What it throws ends the run.
  std::function<void(std::int64_t round, const std::vector<CaseSample>& samples)> on_round;
  std::function<void(double fraction, double eta_s, const std::string& current)> on_progress;
};

struct Result {
  std::vector<CaseSample> samples;  ///< the earlier ones too; canary_ratio is left to set_canary_ratios
  std::int64_t rounds = 0;          ///< whole rounds, the earlier ones too
  bool interrupted = false;
  std::string stopped_by;  ///< "precision", "budget", "rounds" or "interrupt"
  double warm_up_s = 0;
  bool steady = false;  ///< the warm-up ended because its times no longer fell
};

/// Sets every canary_ratio over the upper quartile of the canary speeds, which is returned; 0 when none is known. The
/// quartile stands for the undisturbed machine: the maximum may be a turbo state that a loaded CPU does not hold, and
/// the median fails when a neighbour is busy half of the time.
double set_canary_ratios(std::vector<CaseSample>& samples);

/// Which of `forms` ways to do the same is fastest: each is timed twice, alternately, and judged by its better time.
std::size_t fastest_form(std::size_t forms, const std::function<double()>& now,
                         const std::function<void(std::size_t form)>& run);

/// Timings shorter than this are repeated until they fill it, and a sample is their mean.
inline constexpr double kMinTiming = 2e-3;

/// Rounds until the deadline, the wanted precision or plan.max_rounds. A round that the deadline would cut is not
/// started once plan.min_rounds are done; before that it runs as far as time allows and keeps what it has.
/// Measures the plan's points of the cases that `workloads` belong to: their batch. In a round the cases come in seeded
/// order, each followed by its N in seeded order; a case is touched once, untimed, when another one was before it.
Result run_rounds(const Plan& plan, const std::vector<Workload>& workloads, const Environment& environment,
                  const Options& options);

}  // namespace kvcast::measure
