// Several workers that serve requests at the same time: a session each, on one model, each on a thread of its own.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>

#include "base/buffer.h"
#include "base/worker_pool.h"
#include "engine/builtin/builtin.h"
#include "engine/builtin/model/model.h"
#include "engine/problem.h"

namespace kvcast {
namespace {

/// Lets all go on when the last has come. Nobody sleeps: what comes behind is timed.
class Barrier {
 public:
  explicit Barrier(std::size_t size) : size_(size) {}
  void wait() noexcept {
    const std::size_t round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    while (round_.load(std::memory_order_acquire) == round) std::this_thread::yield();
  }

 private:
  std::size_t size_;
  std::atomic<std::size_t> arrived_{0}, round_{0};
};

/// The weights are shared; caches, workspaces, histories, candidates and outputs are a worker's own. All have the same
/// requests, so that their outputs are the same bits. A pass returns the mean of the workers' seconds.
class WorkersSession final : public Session {
 public:
  explicit WorkersSession(const Problem& problem)
      : problem_(problem),
        model_(problem.shape(), problem.source()),
        workers_(static_cast<std::size_t>(problem.config().run.workers)),
        barrier_(workers_.size()),
        pool_(static_cast<std::int64_t>(workers_.size())) {
    pool_.run([this](std::size_t i) {
      workers_[i].session = open_session(problem_, model_);
      workers_[i].history.assign(problem_.history().begin(), problem_.history().end());
    });
  }

  void add(const SchemeInstance& instance, std::int64_t max_candidates) override {
    pool_.run([&](std::size_t i) {
      Worker& own = workers_[i];
      own.session->add(instance, max_candidates);
      own.session->take_history(instance.id(), own.history);
      own.reserve(max_candidates, problem_.shape().dim);
    });
  }
  void add_head(std::int64_t max_candidates) override {
    pool_.run([&](std::size_t i) {
      workers_[i].session->add_head(max_candidates);
      workers_[i].reserve(max_candidates, problem_.shape().dim);
    });
  }
  void prepare(const TimingId& id, std::span<const std::int64_t> counts) override {
    pool_.run([&](std::size_t i) { workers_[i].session->prepare(id, counts); });
  }

  double prefill(const TimingId& id) override {
    return timed(
        id.alone, [](Worker&, std::size_t) {}, [&](Worker& own, std::size_t) { return own.session->prefill(id); });
  }

  double score(const TimingId& id, const Scoring& scoring) override {
    const std::int64_t dim = problem_.shape().dim;
    const auto floats = static_cast<std::size_t>(scoring.count * dim);
    const double seconds = timed(
        id.alone,
        [&](Worker& own, std::size_t i) {
          if (i > 0 && !id.alone) own.take(scoring, floats);
        },
        [&](Worker& own, std::size_t i) { return own.session->score(id, i == 0 ? scoring : own.scoring(scoring)); });
    if (!id.alone) compare(id, scoring, floats);
    return seconds;
  }

  void tune(std::span<const float> candidates, const std::function<bool()>& stop_requested) override {
    // Each under the load of the others, as it will be timed.
    pool_.run([&](std::size_t i) { workers_[i].session->tune(candidates, stop_requested); });
  }
  HowRun how_run(const TimingId& id, std::int64_t candidates) const override {
    return workers_.front().session->how_run(id, candidates);
  }

  void take_history(const TimingId& id, std::span<const float> history) override {
    pool_.run([&](std::size_t i) {
      Worker& own = workers_[i];
      own.history.assign(history.begin(), history.end());
      own.session->take_history(id, own.history);
    });
  }
  void spoil_history(const TimingId& id) override {
    pool_.run([&](std::size_t i) {
      if (i == 0 || !id.alone) workers_[i].session->spoil_history(id);
    });
  }
  void listen(const TimingId& id, StepListener* listener) override { workers_.front().session->listen(id, listener); }

  std::vector<WorkerDifference> differences() const override { return differences_; }

 private:
  struct Worker {
    std::unique_ptr<Session> session;
    std::vector<float> history;  ///< [history_length][dim]
    Buffer<float> candidates, outputs, scores;
    double seconds = 0;

    void reserve(std::int64_t max_candidates, std::int64_t dim) {
      if (max_candidates * dim <= static_cast<std::int64_t>(outputs.size())) return;
      candidates = Buffer<float>(max_candidates * dim);
      outputs = Buffer<float>(max_candidates * dim);
      scores = Buffer<float>(max_candidates);
    }
    /// Its own copy of the candidates, and outputs that hold nothing.
    void take(const Scoring& scoring, std::size_t floats) {
      std::memcpy(candidates.data(), scoring.candidates, floats * sizeof(float));
      std::memset(outputs.data(), 0xFF, floats * sizeof(float));  // NaN
    }
    Scoring scoring(const Scoring& given) {
      return {candidates.data(), given.count, given.outputs != nullptr ? outputs.data() : nullptr,
              given.scores != nullptr ? scores.data() : nullptr};
    }
  };

  /// Mean seconds of the pass, which all workers begin together, or which the first runs alone; `before` is not timed.
  template <typename Before, typename Pass>
  double timed(bool alone, const Before& before, const Pass& pass) {
    pool_.run([&](std::size_t i) {
      Worker& own = workers_[i];
      before(own, i);
      // Woken, and none still at what it does before.
      barrier_.wait();
      if (alone && i > 0) return;
      own.seconds = pass(own, i);
    });
    if (alone) return workers_.front().seconds;
    double sum = 0;
    for (const Worker& own : workers_) sum += own.seconds;
    return sum / static_cast<double>(workers_.size());
  }

  /// Keeps the first difference of each worker and timing.
  void compare(const TimingId& id, const Scoring& scoring, std::size_t floats) {
    if (scoring.outputs == nullptr) return;
    for (std::size_t i = 1; i < workers_.size(); ++i) {
      const float* own = workers_[i].outputs.data();
      if (std::memcmp(own, scoring.outputs, floats * sizeof(float)) == 0) continue;
      const auto worker = static_cast<std::int64_t>(i) + 1;
      const auto known = [&](const WorkerDifference& one) {
        return one.id == id && one.candidates == scoring.count && one.worker == worker;
      };
      if (std::any_of(differences_.begin(), differences_.end(), known)) continue;
      WorkerDifference found{id, scoring.count, worker, 0, 0};
      for (std::size_t at = 0; at < floats; ++at) {
        const double off = std::abs(static_cast<double>(own[at]) - static_cast<double>(scoring.outputs[at]));
        if (!(off <= found.max_abs)) {
          found.max_abs = off;
          found.candidate = static_cast<std::int64_t>(at) / problem_.shape().dim;
        }
      }
      differences_.push_back(found);
    }
  }

  const Problem& problem_;
  const Model model_;
  std::vector<Worker> workers_;
  std::vector<WorkerDifference> differences_;
  Barrier barrier_;
  WorkerPool pool_;  ///< last: its threads end before what they use
};

}  // namespace

std::unique_ptr<Session> open_workers(const Problem& problem) { return std::make_unique<WorkersSession>(problem); }

}  // namespace kvcast
