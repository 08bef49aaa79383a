// Runs the plan: interleaved rounds in a seeded order, a canary beside every timing. The only stage with effects.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "kvcast/kvcast.h"

namespace kvcast::measure {

/// A way to run requests of one case, as the rounds time it. The session outlives it.
struct Workload {
  TimingId id;
  Session* session = nullptr;
  bool has_prefill = false;
  std::int64_t case_index = 0;  ///< of the plan
  Scoring scoring{};            ///< its candidates, and room for their results; the count is the step's
  bool checked_whole = true;    ///< takes part in the check of assembled and extrapolated times
  /// Called outside of the timings; each may be empty. next_user: before a pass in cold mode, switches to another user.
  /// spoil_outputs: before a scoring pass, overwrites its results to expose skipped work. keep_outputs: after it, keeps
  /// them to be judged after all timings. `judged`: the session also spoils the results of a prefill.
  std::function<void()> next_user{};
  std::function<void(std::int64_t candidates)> spoil_outputs{}, keep_outputs{};
  bool judged = false;
};

/// Times one pass, outside of any round. Seconds.
double prefill(const Workload& load);
double score(const Workload& load, std::int64_t candidates);

/// A timing and the case of the plan that it belongs to.
struct CaseSample : Sample {
  std::int64_t case_index = 0;
};

/// The outside world, replaced in tests.
struct Environment {
  std::function<double()> now;     ///< seconds on the clock of deadlines; passes are timed by their session
  std::function<double()> canary;  ///< runs a short FMA burst, returns its speed, GFLOP/s
  /// Empties the caches. Set only in cold mode: called before every timing, after next_user; a sample is then a single
  /// pass.
  std::function<void()> evict{};
};

struct Options {
  std::uint64_t seed = 1;
  double deadline = 0;  ///< on `now`'s clock; no timing starts after it, and no round that would end after it
  std::function<bool()> stop_requested;
  double warm_up_s = 0;             ///< at most this long before the first round; 0 = no warm-up
  std::vector<CaseSample> earlier;  ///< of the rounds before, in a resumed run
  std::int64_t first_round = 0;     ///< how many those are
  /// Called after each round with all samples so far; true ends the run: precise enough.
  std::function<bool(const std::vector<CaseSample>&)> precise_enough;
  /// Called after each whole round with its samples. An exception ends the run.
  std::function<void(std::int64_t round, const std::vector<CaseSample>& samples)> on_round;
  std::function<void(double fraction, double eta_s, const std::string& current)> on_progress;
};

struct Result {
  std::vector<CaseSample> samples;  ///< the earlier ones too; canary_ratio is left to set_canary_ratios
  std::int64_t rounds = 0;          ///< whole rounds, the earlier ones too
  bool interrupted = false;
  StoppedBy stopped_by = StoppedBy::unknown;  ///< precision, budget, rounds or interrupt
  double warm_up_s = 0;
  bool steady = false;  ///< the warm-up ended because its times no longer fell
};

/// Sets every canary_ratio over the upper quartile of the canary speeds, and returns it; 0 when none is known. The
/// quartile stands for the undisturbed machine: the maximum may be a turbo state that a loaded CPU does not sustain,
/// and the median fails when a neighbour is busy half of the time.
double set_canary_ratios(std::vector<CaseSample>& samples);

/// Timings shorter than this are repeated until they fill it, and a sample is their mean.
inline constexpr double kMinTiming = 2e-3;

/// Rounds until the deadline, the wanted precision or plan.max_rounds. A round that the deadline would cut is not
/// started once plan.min_rounds are done; before that it runs as far as time allows and keeps what it has.
/// Measures the plan's points of the cases that `workloads` belong to: their batch. In a round the cases come in seeded
/// order, each followed by its N in seeded order; a case is touched once, untimed, when another one was before it.
Result run_rounds(const Plan& plan, const std::vector<Workload>& workloads, const Environment& environment,
                  const Options& options);

}  // namespace kvcast::measure
