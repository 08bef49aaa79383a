// A scheme is one way to score N candidates against one user's history.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/builtin/model/forward.h"
#include "engine/builtin/schemes/sequence.h"
#include "kvcast/config.h"
#include "kvcast/cost_model.h"
#include "kvcast/execution.h"
#include "kvcast/timing_id.h"

namespace kvcast {

/// What only some schemes have to be told.
struct SchemeOptions {
  std::int64_t append = 0;       ///< history positions that are new since the user's last request
  std::int64_t micro_batch = 0;  ///< candidates per packed pass; 0 = all
};

/// What every scheme is given. The spans and the model outlive the scheme.
struct SchemeContext {
  const Model* model = nullptr;
  std::span<const float> history;   ///< [history_length][dim] in time order
  std::int64_t history_length = 0;  ///< positions: tokens after token merge
  Mask mask = Mask::causal;
  bool trim = true;
  int threads = 1;
  std::int64_t max_candidates = 0;  ///< largest N of any scoring pass
  SchemeOptions options;

  /// How that history, or another user's of the same length, stands in the rows of a pass.
  SequenceOrder order(std::span<const float> of) const {
    return order_sequence(mask, of, history_length, model->shape().dim);
  }
};

/// One scheme on one problem, with all its memory. Everything but the two passes may allocate.
class Scheme {
 public:
  virtual ~Scheme() = default;

  /// Makes ready for scoring passes of these sizes.
  virtual void prepare(std::span<const std::int64_t> counts) = 0;

  /// What is done once per request: the history. Nothing for a scheme without a prefill.
  virtual void prefill() noexcept {}

  /// Scores `count` candidates. candidates: [count][dim], outputs: [count][dim].
  virtual void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept = 0;

  /// The next request is this user's. history: [history_length][dim] in time order. What an earlier request of that
  /// user would have left in a cache is made here, outside of any timer.
  virtual void take_history(std::span<const float> history) = 0;

  /// Spoils, with NaN, what the prefill is to make anew: for a request whose prefill would do nothing. No
  /// scoring pass may follow without one. Nothing for a scheme without a prefill.
  virtual void spoil_history() noexcept {}

  /// Ways to run that give the same outputs at different speeds; the fastest is picked by timing. At least one.
  virtual std::size_t executions() const { return 1; }
  virtual void choose_execution(std::size_t) {}
  /// What the chosen one does with that many candidates.
  virtual HowRun how_run(std::int64_t) const { return {}; }

  /// Who hears of the steps that the passes take; null for nobody.
  virtual void listen(StepListener* listener) noexcept = 0;
};

/// For SchemeEntry::make.
template <typename Made>
std::unique_ptr<Scheme> make_scheme(const SchemeContext& context) {
  return std::make_unique<Made>(context);
}

/// Sizes that decide what a scheme takes.
struct SchemeSize {
  std::int64_t history_length = 0, candidates = 0;
  int threads = 1;
  SchemeOptions options;
};

/// What counts of passes follow from besides the shape.
struct PassSetting {
  std::string label;       ///< that the scheme ran under
  double layer_bytes = 0;  ///< of the weights of one layer, as stored
  std::int64_t threads = 1;
  bool across = false;  ///< naive ran its candidates across the threads
};

/// An entry of THE list. Each file makes its own, by named members.
struct SchemeEntry {
  std::string name, doc;
  /// Reuses one history for all candidates, so needs a mask under which that is valid.
  bool shares = false;
  /// Has a prefill that serves every N, so that its time can be taken apart.
  bool has_prefill = false;
  /// Its scoring pass runs the history too.
  bool runs_history = false;
  /// Its time follows the law of r: what one candidate alone takes is what naive takes for it.
  bool law = false;
  std::unique_ptr<Scheme> (*make)(const SchemeContext&) = nullptr;
  /// Fewest candidates that run at the speed of many: what a larger N may be scaled from. 0 = cannot be scaled.
  std::int64_t (*unit)(const SchemeSize&) = [](const SchemeSize&) { return std::int64_t{0}; };
  /// Bytes beyond the weights for scoring passes up to size.candidates.
  double (*bytes)(const ModelShape&, const SchemeSize&) = nullptr;
  /// FLOPs of the prefill, of all that N candidates take with it, and bytes of K and V that it holds for them.
  double (*prefill_flops)(const WorkShape&, const SchemeOptions&) = [](const WorkShape&, const SchemeOptions&) {
    return 0.0;
  };
  double (*flops)(const WorkShape&, std::int64_t candidates, const SchemeOptions&) = nullptr;
  double (*kv_bytes)(const WorkShape&, std::int64_t candidates) = nullptr;
  /// What its passes ask of the machine, for a cost surface. Null where none describes it: then `no_surface` says why
  /// to whoever asks for one.
  SchemePasses (*passes)(const PassSetting&) = nullptr;
  std::string no_surface = {};
};

/// All schemes; a new one is a file and a line in list.cpp. The first is the baseline.
const std::vector<SchemeEntry>& scheme_list();
/// Entry by name; null when there is none.
const SchemeEntry* find_scheme(const std::string& name);

/// Why a scheme cannot run under the model's mask; empty when it can.
std::string why_not(const SchemeEntry& entry, const ModelConfig& model);

/// A scheme as a run times it: a sweep of micro-batches runs `packed` under several labels.
struct SchemeInstance {
  std::string label;
  const SchemeEntry* entry;
  SchemeOptions options;
  bool again = false;  ///< the second of the two in a self-check
  TimingId id() const { return {label, false, again}; }
};
/// Those that a config asks for, in its order. `append` counts positions, so it is divided by the token merge.
std::vector<SchemeInstance> scheme_instances(const Config& config);

}  // namespace kvcast
