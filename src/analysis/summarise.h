// From raw samples to the points of a report.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "kvcast/cost_model.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// Work and memory of one scheme by N, provided by the caller; an empty function means unknown.
struct SchemeWork {
  std::string scheme;
  std::function<double(std::int64_t candidates)> flops;           ///< for all N candidates
  std::function<std::int64_t(std::int64_t candidates)> kv_bytes;  ///< of stored keys and values
};

/// naive: N·naive_flops, and one layer of one sequence at a time.
SchemeWork baseline_work(const WorkShape& shape);

/// Reason of a point without samples or another reason.
inline constexpr const char* kNotMeasured = "not measured";

/// Why one scheme did not run at one N.
struct SkipReason {
  std::string scheme;
  std::int64_t candidates = 0;
  std::string reason;
};

/// What the samples do not say.
struct SummaryContext {
  std::optional<WorkShape> shape;     ///< unknown when the timings came from elsewhere
  std::vector<SchemeWork> work;       ///< by scheme; naive follows from `shape` unless listed here
  std::int64_t workers = 1;           ///< that serve requests at the same time
  std::optional<double> peak_gflops;  ///< of the CPUs that they take together
  std::vector<SkipReason> skipped;
  std::set<std::string> returning;  ///< schemes that start from a cache of an earlier request: also set against shared
  std::set<std::string> unfitted;   ///< schemes that neither form of the model describes
  /// An empty function: unknown.
  std::function<HowRun(const std::string& scheme, std::int64_t candidates)> how_run;
};

/// One Point per entry of `candidates`, one SchemePoint per entry of `schemes`, in those orders.
///
/// A point's times are its whole timings when every round that has the point has one, else its assembled or scaled
/// ones (whole runs in a few rounds only check the composition). Seconds: median over all rounds, slow canaries
/// included, with the Student-t interval of the mean log. prefill_s and scoring_s: medians as timed, for
/// `measured_candidates` candidates. Speed-up and gain: trimmed_ratio over the clean pairs of rounds (pair_rounds).
/// predicted_speedup: loo_predictions. FLOPs and bytes are computed, so skipped
/// points have them too. A point without usable samples is `skipped`; its reason is that of the context or
/// kNotMeasured. Everything unknown is nullopt. Does not depend on the order of the samples.
std::vector<Point> summarise(const TimingTable& table, const std::vector<std::int64_t>& candidates,
                             const std::vector<std::string>& schemes, const SummaryContext& context);

}  // namespace kvcast::analysis
