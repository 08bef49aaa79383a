// What runs the passes: the seam between an engine and everything that plans, times and judges it. Plain: no kernel and
// no process in it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kvcast/timing_id.h"

namespace kvcast {

class Problem;
class StepListener;
struct SchemeInstance;

struct EngineInfo {
  std::string name, version;
  std::string doc;  ///< in a line
};

/// What an engine can do. The plan skips what it cannot, with the reason.
struct Capabilities {
  std::vector<std::string> schemes{}, dtypes{};  ///< by name; empty: all
  bool phases_apart = true;                      ///< a prefill and a scoring pass can each be timed alone
  bool loads_weights = true;                     ///< runs the weights of the problem, not only its own
  bool gives_outputs = true;                     ///< [N][dim]; without them equality cannot be judged
  bool changes_history = true;                   ///< another user's history can take the place of the first
  bool tells_steps = true;                       ///< listen() hears of the layers

  /// Why `scheme` cannot run in `dtype`; empty when it can. `engine`: its name.
  std::string why_not(const std::string& engine, const std::string& scheme, const std::string& dtype) const;
};

/// A scoring pass: the candidates that it is given, and where its results go.
struct Scoring {
  const float* candidates = nullptr;  ///< [count][dim]
  std::int64_t count = 0;
  float* outputs = nullptr;  ///< [count][dim]; null for the ranking head alone, which takes the candidates as they are
  float* scores = nullptr;   ///< [count], of the ranking head; else null
};

/// One problem (shape, weights, history), opened by an engine, and its ways to run a request on it. Not for two threads
/// at a time. The problem outlives it.
class Session {
 public:
  virtual ~Session() = default;

  /// A scheme with memory for scoring passes up to `most_candidates`. `again`: a second time, for a self-check.
  /// Errors: std::bad_alloc; of another process EngineError.
  virtual void add(const SchemeInstance& scheme, std::int64_t most_candidates, bool again) = 0;
  /// The ranking head of the problem, alone and behind every scheme that is there.
  virtual void add_head(std::int64_t most_candidates) = 0;
  /// Makes ready for scoring passes of these sizes. A pass of a size that was never prepared is a fault of the caller.
  virtual void prepare(const TimingId& id, std::span<const std::int64_t> counts) = 0;

  /// The history of a request. Returns its seconds: 0 where the scheme has no prefill.
  virtual double prefill(const TimingId& id) = 0;
  /// The candidates of a request behind its prefill. Returns its seconds.
  virtual double score(const TimingId& id, const Scoring& scoring) = 0;

  /// Of the ways to run each scheme that give the same outputs, picks the fastest. `candidates`: as many as were
  /// prepared.
  virtual void tune(std::span<const float> candidates, const std::function<bool()>& stop_requested) {
    static_cast<void>(candidates), static_cast<void>(stop_requested);
  }
  /// What the way that was picked does at this N, in words; empty when there is nothing to tell.
  virtual std::string form(const TimingId& id, std::int64_t candidates) const {
    return static_cast<void>(id), static_cast<void>(candidates), std::string();
  }

  /// The next request is this user's. history: [history_length][dim] in time order. What an earlier request of that
  /// user would have left in a cache is made here.
  virtual void take_history(const TimingId& id, std::span<const float> history) = 0;
  /// Spoils what a prefill is to make anew, so that one which does nothing shows. No scoring pass may follow without a
  /// prefill.
  virtual void spoil_history(const TimingId& id) { static_cast<void>(id); }
  /// Who hears of the steps that the passes take; null for nobody.
  virtual void listen(const TimingId& id, StepListener* listener) {
    static_cast<void>(id), static_cast<void>(listener);
  }
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual EngineInfo info() const = 0;
  virtual Capabilities capabilities() const = 0;
  /// Weights and history of the problem in the engine's memory. Errors: std::bad_alloc.
  virtual std::unique_ptr<Session> open(const Problem& problem) const = 0;
};

}  // namespace kvcast
