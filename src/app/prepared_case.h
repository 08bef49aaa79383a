// One case of a run in memory: its problem, its schemes, and everything that is done with them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/after_timing.h"
#include "app/problem.h"
#include "base/buffer.h"
#include "engine/builtin/model/ranking_head.h"
#include "measure/measure.h"

namespace kvcast::app {

class PreparedCase {
 public:
  /// Makes weights, tokens and the schemes that `plan` runs in its case `case_index`, of which `config` is the config
  /// (without a grid). Errors: std::bad_alloc; ConfigError of an imported file.
  PreparedCase(const Config& config, const Plan& plan, std::int64_t case_index, const RunOptions& options);

  /// Runs every scheme and picks its fastest form. stop_requested ends it early.
  void choose_forms(const std::function<bool()>& stop_requested);
  /// Every scheme against float64 and naive, also when naive itself is not to be timed; in the form that will be timed.
  /// nullopt when stop_requested said so.
  std::optional<Equivalence> check(const MachineInfo& machine, std::int64_t cases,
                                   const std::function<bool()>& stop_requested);
  /// The outputs that an imported file holds against naive, as far as check() went; set by it.
  const std::vector<StoredOutputs>& stored_outputs() const { return stored_; }
  /// Computes what will be judged after the timing, by naive as far as the time for it goes, else by a scheme whose
  /// keys and values the check has just left behind. Nothing is judged when stop_requested said so.
  void expect(const MachineInfo& machine, std::int64_t cases, const std::function<bool()>& stop_requested);
  /// What the last timing of every scheme left behind at every N, against that. Scores of a ranking head take a moment
  /// and are left out when stop_requested says so.
  std::vector<TimedOutputs> after_timing(double tolerance, const std::function<bool()>& stop_requested) const;
  /// The schemes as measure sees them, and the ranking head alone and behind each; they refer to this object.
  std::vector<measure::Workload> workloads();
  /// What the chosen form of a scheme does at N; nullopt when there is nothing to tell.
  std::optional<std::string> form(const std::string& label, std::int64_t candidates) const;
  /// What every scheme took of the process's memory when it was made; empty where the system does not tell.
  const std::vector<ResidentMemory>& memory() const { return memory_; }
  std::vector<Profile> profiles(const std::function<bool()>& stop_requested);
  const Problem& problem() const { return problem_; }
  std::int64_t case_index() const { return case_index_; }

 private:
  struct Prepared {
    SchemeInstance instance;
    std::unique_ptr<Scheme> scheme;
    std::vector<std::int64_t> counts;  ///< N that it runs, ascending
    std::int64_t unit;                 ///< of them, what larger N are scaled from and forms are compared at
    std::size_t user = 0;              ///< whose history it has
  };
  void make(const SchemeInstance& instance, const Plan& plan);
  void make_head(const Plan& plan);
  void next_user(Prepared& prepared) const;
  void switch_to(Prepared& prepared, std::size_t user) const;
  void expect_by(Scheme& scheme, const std::string& name, std::int64_t most, std::int64_t user,
                 const std::vector<std::int64_t>& picked);

  Config config_;
  std::int64_t case_index_;
  std::int64_t most_;  ///< N
  Problem problem_;
  Buffer<float> outputs_;
  std::optional<RankingHead> head_;  ///< when it is timed
  Buffer<float> scores_;             ///< of the head
  std::vector<Prepared> prepared_;
  std::vector<ResidentMemory> memory_;
  std::vector<StoredOutputs> stored_;
  std::vector<std::int64_t> timed_;  ///< N of every pass that may be timed
  std::optional<AfterTiming> after_;
  std::vector<std::vector<float>> users_;  ///< histories to rotate through in cold mode; the first is the problem's
};

/// Users whose requests follow one another in cold mode. The caches are emptied between them, so that more would
/// change nothing but the memory.
inline constexpr std::size_t kColdUsers = 4;

/// Bytes that cold mode takes beyond the schemes: histories of other users, memory that empties the caches.
double cold_bytes(const Config& config);

}  // namespace kvcast::app
