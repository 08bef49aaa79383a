// Decides what will be measured: which points run whole, which are assembled or scaled, which are skipped. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/config.h"
#include "kvcast/kvcast.h"

namespace kvcast::plan {

/// Cost of one scheme as the plan sees it. Seconds are estimates.
struct SchemeCost {
  TimingId id;
  bool baseline = false;
  bool has_prefill = false;  ///< has a prefill that serves every N
  /// Least candidates that run at the speed of many, from which a larger N may be scaled; 0 = from none. Of a scheme
  /// that is not the baseline only whole multiples may be; of one that runs on another, of the other's unit.
  std::int64_t unit = 1;
  double prefill_s = 0;                                         ///< one prefill
  std::function<double(std::int64_t candidates)> candidates_s;  ///< the scoring pass
  std::function<double(std::int64_t candidates)> bytes;         ///< memory beyond the weights for passes up to this N
  /// Index of an earlier scheme in whose memory it runs, with something behind it: it runs where that one does, and
  /// that one's whole runs check the composition of both.
  std::optional<std::size_t> runs_on{};
  std::string cannot{};  ///< why the engine does not run it; empty: it does
};

/// What the passes of a scheme were seen to take, over what they were estimated to.
struct Seen {
  double prefill = 1, scoring = 1;
};

/// Of one case of the grid.
struct Costs {
  std::int64_t history_length = 0, layers = 0;
  std::int64_t workers = 1, threads = 0;  ///< of each worker
  std::vector<SchemeCost> schemes;        ///< in the order asked for
  double setup_s = 0;                     ///< weights, checks and warm-up
  double fixed_bytes = 0;                 ///< weights, tokens, what the check needs
  double bytes_per_candidate = 0;         ///< inputs and outputs
  /// A smaller model that would fit these bytes, "such as --layers 3"; empty when there is none. Asked where this one
  /// does not.
  std::function<std::string(double bytes)> what_fits{};
};

/// Fewest rounds that give an interval; the number below which parts are assembled instead of run whole; and the number
/// from which even a naive N=100 is worth its time whole.
inline constexpr std::int64_t kMinRounds = 3;
inline constexpr std::int64_t kWantedRounds = 7;
inline constexpr std::int64_t kPlentyRounds = 30;
inline constexpr std::int64_t kMaxRounds = 200;

/// `costs` with what an engine was seen to take; of a scheme that was not seen the estimates stay.
void correct(Costs& costs, const std::map<TimingId, Seen>& seen);

/// Bytes that the case takes at least: what is fixed, and one candidate of the baseline.
double min_bytes(const Costs& costs);

/// Cases are put into as few batches as memory allows, in their order: those of one batch are measured in the same
/// rounds. One rule serves all: every point is whole where that leaves kPlentyRounds; else a naive N beyond the
/// scheme's unit is extrapolated from it, and a scoring pass follows its own prefill; where that leaves fewer than
/// kWantedRounds, one prefill a round serves all N. Whole runs in the first kMinRounds rounds check what is
/// extrapolated or assembled. start_s: what the command takes before its first case. Errors: ConfigError when the fixed
/// memory of a case and one naive candidate do not fit.
Plan build_plan(const Config& config, const std::vector<Costs>& cases, double start_s);

/// Indices, ascending, of the cases that shard `index` of `count` measures: dealt by work, most first, to the shard
/// that has least, so that the same config gives the same parts on every machine. Needs count <= work.size().
std::vector<std::size_t> deal(const std::vector<double>& work, std::int64_t index, std::int64_t count);

}  // namespace kvcast::plan
