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
  /// The next rounds are those of this plan, of which the N are the same.
  void adopt(const Plan& plan);
  /// Every scheme against float64 and naive, also when naive itself is not to be timed; in the form that will be timed.
  /// nullopt when stop_requested said so.
  std::optional<Equivalence> check(const MachineInfo& machine, std::int64_t cases,
                                   const std::function<bool()>& stop_requested);
  /// The outputs that an imported file holds against naive, as far as check() went; set by it.
  const std::vector<StoredOutputs>& stored_outputs() const { return stored_; }
  /// Computes what will be judged after the timing, by naive as far as the time for it goes, else by a scheme whose
  /// keys and values check() has just left behind. Nothing is judged when stop_requested said so.
  void expect(const MachineInfo& machine, std::int64_t cases, const std::function<bool()>& stop_requested);
  /// What the last timing of every scheme left behind at every N, against that. Scores of a ranking head take a moment
  /// and are left out when stop_requested says so.
  std::vector<TimedOutputs> after_timing(double tolerance, const std::function<bool()>& stop_requested) const;
  /// The schemes as measure sees them, and the ranking head alone and behind each; they refer to this object.
  std::vector<measure::Workload> workloads();
  /// What the chosen form of a scheme does at N; nullopt when there is nothing to tell.
  HowRun how_run(const TimingId& id, std::int64_t candidates) const;
  /// What every scheme took of the process's memory when it was made; empty where the system does not tell.
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
  /// Those that are judged beside each other, naive first: made for it where it is not timed.
  std::vector<equality::Judged> judged(std::int64_t batch);
  void expect_by(const TimingId& id, std::int64_t most, std::int64_t user, const std::vector<std::int64_t>& picked);
  measure::Workload workload_of(Prepared& prepared, bool with_head);
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

/// What a run of one case times: the schemes that its config asks for, in a self-check each of them twice.
std::vector<SchemeInstance> measured_instances(const Config& config, const RunOptions& options);

/// Users whose requests follow one another in cold mode. The caches are emptied between them, so that more would
/// change nothing but the memory.
inline constexpr std::size_t kColdUsers = 4;

/// Bytes that cold mode takes beyond the schemes: histories of other users, memory that empties the caches.
double cold_bytes(const Config& config);

}  // namespace kvcast::app
