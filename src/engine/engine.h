// What runs the passes: the seam between an engine and everything that plans, times and judges it. Plain: no kernel and
// no process in it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kvcast/execution.h"
#include "kvcast/timing_id.h"

namespace kvcast {

class Problem;
class StepListener;
struct Config;
struct SchemeInstance;

struct EngineInfo {
  std::string name, version;
  std::string doc;  ///< in a line
};

/// What an engine can do. The plan skips what it cannot, with the reason.
struct Capabilities {
  bool serves_workers = true;                    ///< several requests at the same time
  std::vector<std::string> schemes{}, dtypes{};  ///< by name; empty: all
  bool phases_apart = true;                      ///< a prefill and a scoring pass can each be timed alone
  bool loads_weights = true;                     ///< runs the weights of the problem, not only its own
  bool gives_outputs = true;                     ///< [N][dim]; without them equality cannot be judged
  bool changes_history = true;                   ///< another user's history can take the place of the first
  bool tells_steps = true;                       ///< listen() hears of the layers

  /// Why `scheme` cannot run as the config asks; empty when it can. `engine`: its name.
  std::string why_not(const std::string& engine, const std::string& scheme, const Config& config) const;
};

/// A scoring pass: the candidates that it is given, and where its results go.
struct Scoring {
  const float* candidates = nullptr;  ///< [count][dim]
  std::int64_t count = 0;
  float* outputs = nullptr;  ///< [count][dim]; null for the ranking head alone, which takes the candidates as they are
  float* scores = nullptr;   ///< [count], of the ranking head; else null
};

/// Outputs of a worker that are not those of the first, though both had the same request.
struct WorkerDifference {
  TimingId id;
  std::int64_t candidates = 0;  ///< of the pass
  std::int64_t worker = 0;      ///< from 1
  std::int64_t candidate = 0;   ///< that is off most
  double max_abs = 0;
};

/// One problem (shape, weights, history), opened by an engine, and its ways to run a request on it. Not for two threads
/// at a time. The problem outlives it.
class Session {
 public:
  virtual ~Session() = default;

  /// A scheme with memory for scoring passes up to `max_candidates`.
  /// Errors: std::bad_alloc.
  virtual void add(const SchemeInstance& scheme, std::int64_t max_candidates) = 0;
  /// The ranking head of the problem, alone and behind every scheme that is there.
  virtual void add_head(std::int64_t max_candidates) = 0;
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
  /// The way that was picked, at this N.
  virtual HowRun how_run(const TimingId& id, std::int64_t candidates) const {
    return static_cast<void>(id), static_cast<void>(candidates), HowRun{};
  }

  /// The next request is this user's. history: [history_length][dim] in time order. What an earlier request of that
  /// user would have left in a cache is made here.
  virtual void take_history(const TimingId& id, std::span<const float> history) = 0;
  /// Spoils what a prefill is to make anew, so that one which does nothing shows. No scoring pass may follow without a
  /// prefill.
  virtual void spoil_history(const TimingId& id) { static_cast<void>(id); }
  /// What several workers disagreed in since the session was opened; empty with one.
  virtual std::vector<WorkerDifference> differences() const { return {}; }
  /// Who hears of the steps that the passes take; null for nobody.
  virtual void listen(const TimingId& id, StepListener* listener) {
    static_cast<void>(id), static_cast<void>(listener);
  }
};

/// The keys and values of one user's history, kept between requests.
class UserKv {
 public:
  virtual ~UserKv() = default;
  /// Says how many tokens it holds from here on: at most those that a prefill has left.
  virtual void hold(std::int64_t tokens) noexcept = 0;
};

/// A prefill that goes on from what is kept.
struct Continuation {
  std::int64_t length = 0;  ///< tokens of the history
  std::int64_t known = 0;   ///< of them, the first ones that are there
};

/// One worker of a service: a request at a time, on the thread that made it. Passes allocate nothing.
class ServiceWorker {
 public:
  virtual ~ServiceWorker() = default;
  /// Makes ready for such a request; false when it was.
  virtual bool prepare(const Continuation& history, std::int64_t candidates) = 0;
  /// Brings what is kept to the whole history. tokens: [length][dim], of which the known ones are not read. Seconds.
  virtual double prefill(const Continuation& history, const float* tokens, UserKv& kv) noexcept = 0;
  /// Candidates behind the history that is kept. Seconds.
  virtual double score(const Scoring& scoring, const UserKv& kv) noexcept = 0;
  /// Takes over the first `tokens` of a smaller one. Where they end a granule, what is written behind them meanwhile
  /// does no harm.
  virtual void copy(const UserKv& from, std::int64_t tokens, UserKv& to) noexcept = 0;
};

/// The seeded model of a config, for the requests of many users. Bytes are known before anything is allocated. It
/// outlives what it makes.
class Service {
 public:
  virtual ~Service() = default;
  virtual std::int64_t granule() const = 0;  ///< tokens that the memory of a history is a multiple of
  virtual double weight_bytes() const = 0;
  virtual double kv_bytes(std::int64_t tokens) const = 0;
  virtual double worker_bytes(int threads, std::int64_t max_history, std::int64_t max_candidates) const = 0;

  /// Makes the weights, on so many threads. To be called before what is below. Errors: std::bad_alloc.
  virtual void load(int threads) = 0;
  virtual std::unique_ptr<UserKv> make_kv(std::int64_t tokens) const = 0;
  virtual std::unique_ptr<ServiceWorker> make_worker(int threads, std::int64_t max_history,
                                                     std::int64_t max_candidates) const = 0;
  /// A problem of the same model on the same weights.
  virtual std::unique_ptr<Session> open(const Problem& problem) const = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual EngineInfo info() const = 0;
  virtual Capabilities capabilities() const = 0;
  /// Weights and history of the problem in the engine's memory. Errors: std::bad_alloc.
  virtual std::unique_ptr<Session> open(const Problem& problem) const = 0;
  /// Null where the engine keeps nothing between requests. The config outlives the service.
  virtual std::unique_ptr<Service> serve(const Config& config) const { return static_cast<void>(config), nullptr; }
};

}  // namespace kvcast
