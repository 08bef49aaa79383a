// Decides what will be measured: which points run whole, which are assembled or extrapolated, which are skipped. Pure.
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
  /// Fewest candidates that run at the speed of many, so that a larger N may be extrapolated from them; 0 = never.
  /// Schemes other than the baseline extrapolate to whole multiples only; one that runs on another, of its unit.
  std::int64_t unit = 1;
  double prefill_s = 0;                                         ///< one prefill
  std::function<double(std::int64_t candidates)> candidates_s;  ///< the scoring pass
  std::function<double(std::int64_t candidates)> bytes;         ///< memory beyond the weights for passes up to this N
  /// Index of an earlier scheme in whose memory it runs, with something behind it: it runs where that one does, and
  /// that one's whole runs check the composition of both.
  std::optional<std::size_t> runs_on{};
  std::string cannot{};  ///< why the engine cannot run it; empty: it can
};

/// Measured over estimated time of a scheme's passes.
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
  /// Suggests a smaller model that fits these bytes, "such as --layers 3"; empty when there is none.
  std::function<std::string(double bytes)> what_fits{};
};

/// Fewest rounds that give an interval; the number below which parts are assembled instead of run whole; and the number
/// from which even a naive N=100 is worth its time whole.
inline constexpr std::int64_t kMinRounds = 3;
inline constexpr std::int64_t kWantedRounds = 7;
inline constexpr std::int64_t kPlentyRounds = 30;
inline constexpr std::int64_t kMaxRounds = 200;

/// Corrects `costs` by measured passes; schemes that were not measured keep their estimates.
void correct(Costs& costs, const std::map<TimingId, Seen>& seen);

/// Minimum bytes of the case: the fixed part and one candidate of the baseline.
double min_bytes(const Costs& costs);

/// Puts the cases, in order, into as few batches as memory allows; those of one batch share their rounds. One rule
/// serves all: every point is whole where that leaves kPlentyRounds; else a naive N beyond the scheme's unit is
/// extrapolated from it, and a scoring pass follows its own prefill; where that leaves fewer than kWantedRounds, one
/// prefill a round serves all N. Whole runs in the first kMinRounds rounds check what is extrapolated or assembled.
/// start_s: time of the command before its first case. Errors: ConfigError when the fixed memory of a case and one
/// naive candidate do not fit.
Plan build_plan(const Config& config, const std::vector<Costs>& cases, double start_s);

/// Indices, ascending, of the cases that shard `index` of `count` measures: the largest first, each goes to
/// the shard with the least work so far. The same config gives the same parts on every machine. Needs count <=
/// work.size().
std::vector<std::size_t> deal(const std::vector<double>& work, std::int64_t index, std::int64_t count);

}  // namespace kvcast::plan
