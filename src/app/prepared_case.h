// One case of a run, opened by an engine: what is prepared, judged and handed to the rounds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "engine/engine.h"
#include "engine/problem.h"
#include "equality/after_timing.h"
#include "equality/equality.h"
#include "measure/measure.h"

namespace kvcast::app {

class PreparedCase {
 public:
  /// Makes weights, tokens and the schemes that `plan` runs in its case `case_index`, of which `config` is the config
  /// (without a grid). Errors: std::bad_alloc; ConfigError of an imported file.
  PreparedCase(const Engine& engine, const Config& config, const Plan& plan, std::int64_t case_index,
               const RunOptions& options);

  /// Runs every scheme and lets the engine pick its fastest form. stop_requested ends it early.
  void tune(const std::function<bool()>& stop_requested) { session_->tune(problem_.candidates(), stop_requested); }
  /// Takes over a new plan with the same N for the next rounds.
  void adopt(const Plan& plan);
  /// Every scheme against float64 and naive, also when naive itself is not to be timed; in the form that will be timed.
  /// nullopt when stopped.
  std::optional<Equivalence> check(const MachineInfo& machine, std::int64_t cases,
                                   const std::function<bool()>& stop_requested);
  /// The imported file's own outputs against naive, as far as check() got; set by check().
  const std::vector<StoredOutputs>& stored_outputs() const { return stored_; }
  /// Computes the outputs to expect after the timing: by naive as far as its time allows, else by a scheme whose keys
  /// and values check() has just left behind. Nothing is judged when stopped.
  void expect(const MachineInfo& machine, std::int64_t cases, const std::function<bool()>& stop_requested);
  /// Compares the outputs of the last timing of every scheme at every N with these. Scores of a ranking head take a
  /// moment and are left out when stopped.
  std::vector<TimedOutputs> after_timing(double tolerance, const std::function<bool()>& stop_requested) const;
  /// The schemes as measure sees them, and the ranking head alone and behind each; they refer to this object.
  std::vector<measure::Workload> workloads();
  /// How the chosen form of a scheme runs N candidates.
  HowRun how_run(const TimingId& id, std::int64_t candidates) const;
  /// Memory that creating each scheme took; empty where the system does not report it.
  const std::vector<ResidentMemory>& memory() const { return memory_; }
  std::vector<Profile> profiles(const std::function<bool()>& stop_requested);
  const Problem& problem() const { return problem_; }
  std::int64_t case_index() const { return case_index_; }

 private:
  struct Prepared {
    SchemeInstance instance;
    std::vector<std::int64_t> counts;  ///< N that it runs, ascending
    std::size_t user = 0;              ///< whose history it has
    TimingId id() const { return instance.id(); }
  };
  void make(const SchemeInstance& instance, const Plan& plan);
  void take_counts(const Plan& plan);
  void make_head(const Plan& plan);
  void switch_to(Prepared& prepared, std::size_t user) const;
  equality::Opened opened() const { return {engine_, problem_, *session_}; }
  /// The schemes to compare, naive first: created for this where it is not timed.
  std::vector<equality::Judged> judged(std::int64_t batch);
  void expect_by(const TimingId& id, std::int64_t most, std::int64_t user, const std::vector<std::int64_t>& picked);
  /// id: of the scheme by itself, with the head, or alone.
  measure::Workload workload_of(Prepared& prepared, const TimingId& id);
  measure::Workload head_alone();
  void judge(measure::Workload& load, Prepared* prepared);

  const Engine& engine_;
  Config config_;
  std::int64_t case_index_;
  std::int64_t most_;  ///< N
  Problem problem_;
  std::unique_ptr<Session> session_;
  Buffer<float> outputs_;
  Buffer<float> scores_;  ///< of the ranking head, when it is timed
  std::vector<Prepared> prepared_;
  std::vector<ResidentMemory> memory_;
  std::vector<StoredOutputs> stored_;
  std::vector<std::int64_t> timed_;  ///< N of every pass that may be timed
  std::optional<equality::AfterTiming> after_;
  std::vector<std::vector<float>> users_;  ///< histories to rotate through in cold mode; the first is the problem's
};

/// The schemes that a run of one case times: those of its config, each twice in a self-check.
std::vector<SchemeInstance> measured_instances(const Config& config, const RunOptions& options);

/// Users whose requests alternate in cold mode. The caches are emptied between them, so more users would only take more
/// memory.
inline constexpr std::size_t kColdUsers = 4;

/// Bytes that cold mode takes beyond the schemes: histories of other users, memory that empties the caches.
double cold_bytes(const Config& config);

}  // namespace kvcast::app
