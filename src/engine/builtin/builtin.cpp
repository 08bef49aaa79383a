#include "engine/builtin/builtin.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "engine/builtin/kernels/isa.h"
#include "engine/builtin/model/model.h"
#include "engine/problem.h"

namespace kvcast {
namespace {

class BuiltinSession final : public Session {
 public:
  BuiltinSession(const Problem& problem, const Model& model) : problem_(problem), model_(model) {}
  explicit BuiltinSession(const Problem& problem)
      : problem_(problem), own_(std::make_unique<Model>(problem.shape(), problem.source())), model_(*own_) {}

  void add(const SchemeInstance& instance, std::int64_t max_candidates) override {
    const SchemeContext context = scheme_context(problem_, model_, instance.options, max_candidates);
    const std::int64_t unit = fair_count(problem_.config(), instance, max_candidates);
    lanes_.push_back({instance.id(), instance.entry, instance.entry->make(context), unit});
    lanes_.back().scheme->prepare(std::vector<std::int64_t>{unit});
  }

  void add_head(std::int64_t max_candidates) override {
    const Config& config = problem_.config();
    head_.emplace(head_shape(config), static_cast<std::uint64_t>(config.run.seed), static_cast<int>(config.run.threads),
                  max_candidates);
  }

  void prepare(const TimingId& id, std::span<const std::int64_t> counts) override {
    if (id.with_head) head_->prepare({counts.begin(), counts.end()});
    if (!id.head_alone()) lane(id).scheme->prepare(counts);
  }

  double prefill(const TimingId& id) override {
    if (id.head_alone()) return 0;
    const Lane& of = lane(id);
    if (!of.entry->has_prefill) return 0;
    const double start = clock_seconds();
    of.scheme->prefill();
    return clock_seconds() - start;
  }

  double score(const TimingId& id, const Scoring& s) override {
    Scheme* const scheme = id.head_alone() ? nullptr : lane(id).scheme.get();
    const double start = clock_seconds();
    if (scheme != nullptr) scheme->candidate_pass(s.candidates, s.count, s.outputs);
    if (id.with_head) head_->run(scheme != nullptr ? s.outputs : s.candidates, s.count, s.scores);
    return clock_seconds() - start;
  }

  void tune(std::span<const float> candidates, const std::function<bool()>& stop_requested) override {
    std::vector<float> outputs(candidates.size());
    for (Lane& of : lanes_) {
      if (stop_requested && stop_requested()) return;
      prefill(of.id);
      of.scheme->choose_execution(fastest(of, {candidates.data(), of.unit, outputs.data(), nullptr}));
    }
    // The two of a self-check must not run in two ways.
    for (Lane& of : lanes_) {
      if (!of.id.again) continue;
      const Lane& first = lane({of.id.scheme, false, false});
      for (std::size_t which = 0; which < of.scheme->executions(); ++which) {
        of.scheme->choose_execution(which);
        if (of.scheme->how_run(max_rows(candidates)) == first.scheme->how_run(max_rows(candidates))) break;
      }
    }
  }

  HowRun how_run(const TimingId& id, std::int64_t candidates) const override {
    return id.head_alone() ? HowRun{} : lane(id).scheme->how_run(candidates);
  }

  void take_history(const TimingId& id, std::span<const float> history) override {
    if (!id.head_alone()) lane(id).scheme->take_history(history);
  }
  void spoil_history(const TimingId& id) override {
    if (!id.head_alone()) lane(id).scheme->spoil_history();
  }
  void listen(const TimingId& id, StepListener* listener) override {
    if (!id.head_alone()) lane(id).scheme->listen(listener);
  }

 private:
  /// A way to run requests. The head behind it runs in the same memory and form, so that nothing but the head differs.
  struct Lane {
    TimingId id;
    const SchemeEntry* entry;
    std::unique_ptr<Scheme> scheme;
    std::int64_t unit;  ///< candidates that forms are compared at
  };

  std::int64_t max_rows(std::span<const float> candidates) const {
    return static_cast<std::int64_t>(candidates.size()) / problem_.shape().dim;
  }
  const Lane& lane(const TimingId& id) const {
    const auto found = std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& one) {
      return one.id.scheme == id.scheme && one.id.again == id.again;
    });
    assert(found != lanes_.end());
    return *found;
  }

  // Each way is timed twice, alternately, and judged by its better time.
  std::size_t fastest(const Lane& of, const Scoring& scoring) {
    std::vector<double> best(of.scheme->executions(), std::numeric_limits<double>::infinity());
    for (int repeat = 0; repeat < 2 && best.size() > 1; ++repeat) {
      for (std::size_t which = 0; which < best.size(); ++which) {
        of.scheme->choose_execution(which);
        best[which] = std::min(best[which], score(of.id, scoring));
      }
    }
    return static_cast<std::size_t>(std::min_element(best.begin(), best.end()) - best.begin());
  }

  const Problem& problem_;
  std::unique_ptr<const Model> own_;
  const Model& model_;
  std::vector<Lane> lanes_;
  std::optional<RankingHead> head_;
};

class BuiltinEngine final : public Engine {
 public:
  EngineInfo info() const override { return {"builtin", "", "kvcast's own CPU engine: " + kernels::dense_isa()}; }
  Capabilities capabilities() const override { return {}; }
  std::unique_ptr<Session> open(const Problem& problem) const override {
    return problem.config().run.workers > 1 ? open_workers(problem) : std::make_unique<BuiltinSession>(problem);
  }
  std::unique_ptr<Service> serve(const Config& config) const override { return make_service(config); }
};

}  // namespace

std::unique_ptr<Session> open_session(const Problem& problem, const Model& model) {
  return std::make_unique<BuiltinSession>(problem, model);
}

SchemeContext scheme_context(const Problem& problem, const Model& model, const SchemeOptions& options,
                             std::int64_t max_candidates) {
  const Config& config = problem.config();
  SchemeContext context;
  context.model = &model;
  context.history = problem.history();
  context.history_length = config.model.positions();
  context.mask = config.model.mask;
  context.trim = config.run.trim;
  context.threads = static_cast<int>(config.run.threads);
  context.max_candidates = max_candidates;
  context.options = options;
  return context;
}

const Engine& builtin_engine() {
  static const BuiltinEngine engine;
  return engine;
}

}  // namespace kvcast
