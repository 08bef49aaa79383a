// Requests of many users: their caches, and the workers that pass over them.
#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/clock.h"
#include "engine/builtin/builtin.h"
#include "engine/builtin/kernels/attention.h"
#include "engine/builtin/model/forward.h"
#include "engine/builtin/model/kv_cache.h"
#include "engine/builtin/schemes/sharing.h"
#include "engine/problem.h"

namespace kvcast {
namespace {

/// Of all layers, since later tokens read those that no candidate does.
struct Kept final : UserKv {
  explicit Kept(KvCache made) : cache(std::move(made)) {}
  void hold(std::int64_t tokens) noexcept override { cache.length = tokens; }
  KvCache cache;
};
KvCache& cache_of(UserKv& kv) { return static_cast<Kept&>(kv).cache; }
const KvCache& cache_of(const UserKv& kv) { return static_cast<const Kept&>(kv).cache; }

std::uint64_t pair_key(std::int64_t a, std::int64_t b) {
  return static_cast<std::uint64_t>(a) << 32 | static_cast<std::uint64_t>(b);
}

class BuiltinWorker final : public ServiceWorker {
 public:
  BuiltinWorker(const Model& model, int threads, bool trim, std::int64_t max_history, std::int64_t max_candidates)
      : trim_(trim),
        workspace_(model, threads, std::max<std::int64_t>(1, sharing_rows(max_history, max_candidates))),
        forward_(workspace_) {}

  bool prepare(const Continuation& history, std::int64_t candidates) override {
    bool made = false;
    if (history.known < history.length && prepared_histories_.insert(pair_key(history.length, history.known)).second) {
      forward_.prepare(pass(history));
      made = true;
    }
    if (candidates > 0 && prepared_candidates_.insert(pair_key(candidates, history.length)).second) {
      for (const std::int64_t block : {std::min(candidates, kCandidateBlock), candidates % kCandidateBlock}) {
        if (block == 0) continue;
        CandidatePass part;
        part.count = block;
        forward_.prepare(part, history.length);
      }
      made = true;
    }
    return made;
  }

  double prefill(const Continuation& history, const float* tokens, UserKv& kv) noexcept override {
    const double start = clock_seconds();
    if (history.length == 0) cache_of(kv).length = 0;
    // What is there whole, others may be reading.
    if (history.known < history.length) forward_.prefill(pass(history), tokens, cache_of(kv));
    return clock_seconds() - start;
  }

  double score(const Scoring& scoring, const UserKv& kv) noexcept override {
    const double start = clock_seconds();
    const std::int64_t dim = workspace_.shape().dim;
    for (std::int64_t first = 0; first < scoring.count; first += kCandidateBlock) {
      CandidatePass part;
      part.count = std::min(kCandidateBlock, scoring.count - first);
      forward_.candidates(part, scoring.candidates + first * dim, cache_of(kv), scoring.outputs + first * dim);
    }
    return clock_seconds() - start;
  }

  void copy(const UserKv& from, std::int64_t tokens, UserKv& to) noexcept override {
    cache_of(to).copy_history(cache_of(from), tokens, workspace_.threads);
  }

 private:
  HistoryPass pass(const Continuation& history) const noexcept {
    return {history.length, history.length - history.known, true, trim_};
  }

  bool trim_;
  Workspace workspace_;
  Forward forward_;
  std::unordered_set<std::uint64_t> prepared_histories_, prepared_candidates_;
};

class BuiltinService final : public Service {
 public:
  explicit BuiltinService(const Config& config) : config_(config), shape_(model_shape(config)) {}

  std::int64_t granule() const override { return kernels::kKeyPanel; }
  double weight_bytes() const override { return Model::bytes(shape_); }
  double kv_bytes(std::int64_t tokens) const override { return KvCache::all_layers_bytes(shape_, 1, tokens, 0); }
  double worker_bytes(int threads, std::int64_t max_history, std::int64_t max_candidates) const override {
    return Workspace::bytes(shape_, threads, sharing_rows(max_history, max_candidates));
  }

  void load(int threads) override {
    const auto seed = static_cast<std::uint64_t>(config_.run.seed);
    model_ = std::make_unique<const Model>(shape_, seeded_weights(shape_, seed, threads));
  }
  std::unique_ptr<UserKv> make_kv(std::int64_t tokens) const override {
    return std::make_unique<Kept>(KvCache::all_layers(shape_, 1, tokens, 0));
  }
  std::unique_ptr<ServiceWorker> make_worker(int threads, std::int64_t max_history,
                                             std::int64_t max_candidates) const override {
    return std::make_unique<BuiltinWorker>(*model_, threads, config_.run.trim, max_history, max_candidates);
  }
  std::unique_ptr<Session> open(const Problem& problem) const override { return open_session(problem, *model_); }

 private:
  const Config& config_;
  ModelShape shape_;
  std::unique_ptr<const Model> model_;
};

}  // namespace

std::unique_ptr<Service> make_service(const Config& config) { return std::make_unique<BuiltinService>(config); }

}  // namespace kvcast
