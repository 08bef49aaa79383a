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
};

/// The outside world, so that tests can put their own in its place.
struct Environment {
  std::function<double()> now;     ///< seconds on a monotonic clock
  std::function<double()> canary;  ///< runs a short FMA burst, returns its speed in any one unit
};

struct Options {
  std::uint64_t seed = 1;
  double deadline = 0;  ///< on `now`'s clock; no timing starts after it, and no round that would end after it
  std::function<bool()> stop_requested;
  /// Called after each round with what there is so far: true when it is precise enough.
  std::function<bool(const std::vector<Sample>&)> precise_enough;
  std::function<void(double fraction, double eta_s, const std::string& current)> on_progress;
};

struct Result {
  std::vector<Sample> samples;
  std::int64_t rounds = 0;      ///< whole rounds
  double canary_reference = 0;  ///< upper quartile of the canary's speeds, what canary_ratio is a ratio to
  bool interrupted = false;
  std::string stopped_by;  ///< "precision", "budget", "rounds" or "interrupt"
};

/// Which of `forms` ways to do the same is fastest: each is timed twice, alternately, and judged by its better time.
std::size_t fastest_form(std::size_t forms, const std::function<double()>& now,
                         const std::function<void(std::size_t form)>& run);

/// Timings shorter than this are repeated until they fill it, and a sample is their mean.
inline constexpr double kMinTiming = 2e-3;

/// Rounds until the deadline, the wanted precision or plan.max_rounds. A round that the deadline would cut is not
/// started once plan.min_rounds are done; before that it runs as far as time allows and keeps what it has.
Result run_rounds(const Plan& plan, const std::vector<Workload>& workloads, const Environment& environment,
                  const Options& options);

}  // namespace kvcast::measure
