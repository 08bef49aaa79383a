// Schemes that compute something else, each in a way that is easy to get wrong. For tests, which must see them stopped.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/builtin/schemes/scheme.h"
#include "engine/builtin/schemes/sharing.h"

namespace kvcast::testing {

/// The cache of a scheme that shares one: what its prefill left. std::bad_cast for any other.
inline KvCache& cache_of(Scheme& scheme) {
  struct Reach : SharingScheme {
    static KvCache SharingScheme::*member() { return &Reach::cache_; }
  };
  return dynamic_cast<SharingScheme&>(scheme).*Reach::member();
}

/// One way to be wrong. Each part may be empty.
struct Fault {
  std::string name;
  /// What the scheme is told of the history: [history_length][dim] in time order.
  std::function<void(SchemeContext&, std::vector<float>&)> told = {};
  /// What is in its cache when candidates come. Only for schemes that have one.
  std::function<void(KvCache&)> cached = {};
  /// What it does to its outputs. [count][dim]
  std::function<void(std::vector<std::span<float>>&)> written = {};
  bool without_user_pass = false;
  // By what was called before. -1: none.
  std::int64_t user_passes = -1, candidate_passes = -1;  ///< that are run; later ones do nothing
  bool copied_user_pass = false;                         ///< but for the first, keys and values are copied from there
  bool same_user = false;                                ///< other users' histories are not taken
};

/// A scheme of the list with a fault in it.
class Faulty final : public Scheme {
 public:
  Faulty(const SchemeEntry& entry, const SchemeContext& context, Fault fault)
      : fault_(std::move(fault)), context_(context) {
    SchemeContext bent = context;
    bent.history = told(bent, context.history);
    scheme_ = entry.make(bent);
    cache_ = fault_.cached ? &cache_of(*scheme_) : nullptr;
  }

  void prepare(std::span<const std::int64_t> counts) override { scheme_->prepare(counts); }
  void prefill() noexcept override {
    if (fault_.without_user_pass || users_done_ == fault_.user_passes) return;
    ++users_done_;
    if (!fault_.copied_user_pass) return scheme_->prefill();
    KvCache& cache = cache_of(*scheme_);
    if (users_done_ == 1) {
      scheme_->prefill();
      saved_ = KvCache::all_layers(context_.model->shape(), 1, context_.history_length,
                                   context_.model->shape().candidate_from_layer);
      saved_.broadcast_from(cache, 1, context_.threads);
    } else {
      cache.broadcast_from(saved_, 1, context_.threads);
    }
  }
  void spoil_history() noexcept override { scheme_->spoil_history(); }
  void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept override {
    if (candidates_done_ == fault_.candidate_passes) return;
    ++candidates_done_;
    if (cache_ != nullptr) fault_.cached(*cache_);
    scheme_->candidate_pass(candidates, count, outputs);
    if (!fault_.written) return;
    const auto dim = static_cast<std::size_t>(context_.model->shape().dim);
    std::vector<std::span<float>> rows;
    for (std::int64_t i = 0; i < count; ++i) rows.emplace_back(outputs + static_cast<std::size_t>(i) * dim, dim);
    fault_.written(rows);
  }
  void take_history(std::span<const float> history) override {
    if (fault_.same_user) return;
    SchemeContext bent = context_;
    scheme_->take_history(told(bent, history));
  }
  std::size_t executions() const override { return scheme_->executions(); }
  void choose_execution(std::size_t which) override { scheme_->choose_execution(which); }
  HowRun how_run(std::int64_t count) const override { return scheme_->how_run(count); }
  void listen(StepListener* listener) noexcept override { scheme_->listen(listener); }

 private:
  std::span<const float> told(SchemeContext& context, std::span<const float> history) {
    history_.assign(history.begin(), history.end());
    if (fault_.told) fault_.told(context, history_);
    return history_;
  }

  Fault fault_;
  SchemeContext context_;
  std::vector<float> history_;
  std::unique_ptr<Scheme> scheme_;
  KvCache* cache_ = nullptr;
  KvCache saved_;
  std::int64_t users_done_ = 0, candidates_done_ = 0;
};

/// Whether the scheme keeps a cache that a fault can reach.
inline bool keeps_cache(const SchemeEntry& entry) { return entry.shares && !entry.runs_history; }

/// Faults that this scheme can have; the equality check must stop every one, on a model of two layers or more.
inline std::vector<Fault> faults_of(const SchemeEntry& entry) {
  const auto dim_of = [](const SchemeContext& context) { return context.model->shape().dim; };
  std::vector<Fault> faults;
  faults.push_back({"lost-key", [=](SchemeContext& context, std::vector<float>& history) {
                      const auto at = history.begin() + context.history_length / 2 * dim_of(context);
                      history.erase(at, at + dim_of(context));
                      --context.history_length;
                    }});
  faults.push_back({"wrong-position", [=](SchemeContext& context, std::vector<float>& history) {
                      const auto at = history.begin() + context.history_length / 2 * dim_of(context);
                      std::swap_ranges(at, at + dim_of(context), at - dim_of(context));
                    }});
  faults.push_back(
      {"wrong-mask", [](SchemeContext& context, std::vector<float>&) { context.mask = Mask::bidirectional; }});
  const auto written = [&](const char* name, void (*spoil)(std::vector<std::span<float>>&)) {
    Fault fault{name};
    fault.written = spoil;
    faults.push_back(fault);
  };
  written("swapped-rows", [](std::vector<std::span<float>>& rows) {
    std::swap_ranges(rows.front().begin(), rows.front().end(), rows.back().begin());
  });
  written("wrong-scale", [](std::vector<std::span<float>>& rows) {
    for (const std::span<float> row : rows) {
      for (float& value : row) value *= 1.01f;
    }
  });
  // As a team does that is smaller than it should be.
  written("one-element", [](std::vector<std::span<float>>& rows) { rows.back()[0] += 0.02f; });
  // In the first element: what comes after must not hide it.
  written("nan",
          [](std::vector<std::span<float>>& rows) { rows.front()[0] = std::numeric_limits<float>::quiet_NaN(); });
  written("infinity",
          [](std::vector<std::span<float>>& rows) { rows.front()[0] = std::numeric_limits<float>::infinity(); });
  if (entry.has_prefill) {
    Fault fault{"no-history-pass"};
    fault.without_user_pass = true;
    faults.push_back(fault);
  }
  if (keeps_cache(entry)) {
    const auto cached = [&](const char* name, void (*spoil)(KvCache&)) {
      Fault fault{name};
      fault.cached = spoil;
      faults.push_back(fault);
    };
    // All layers are of one size where every layer runs the whole history.
    cached("stale-layer", [](KvCache& cache) {
      const kernels::KvShape block = cache.view(1).shape;
      std::copy_n(cache.keys(0), block.key_bytes(), cache.keys(1));
      std::copy_n(cache.values(0), block.value_bytes(), cache.values(1));
    });
    cached("swapped-values", [](KvCache& cache) {
      const kernels::KvShape block = cache.view(1).shape;
      std::swap_ranges(cache.values(1), cache.values(1) + block.value_bytes_per_head(),
                       cache.values(1) + block.value_bytes_per_head());
    });
  }
  return faults;
}

/// Faults that show only in what is timed: behind a check of few candidates and few calls. `run` must stop every one.
/// cold: those of runs with --cold.
inline std::vector<Fault> timed_faults_of(const SchemeEntry& entry, bool cold) {
  std::vector<Fault> faults;
  const auto add = [&](const char* name) -> Fault& { return faults.emplace_back(Fault{name}); };
  if (cold) {
    add("same-user").same_user = true;
    return faults;
  }
  const auto zeroed = [](const std::span<float> row) { std::fill(row.begin(), row.end(), 0.0f); };
  add("zeroed-from-128").written = [=](std::vector<std::span<float>>& rows) {
    for (std::size_t i = 128; i < rows.size(); ++i) zeroed(rows[i]);
  };
  // As a stack of sequences does that is larger than any that was checked.
  add("large-stack").written = [=](std::vector<std::span<float>>& rows) {
    if (rows.size() > 130) zeroed(rows.back());
  };
  add("skipped-scoring").candidate_passes = 4;
  if (entry.has_prefill) add("remembered-prefill").user_passes = 3;
  if (entry.has_prefill && entry.law) add("copied-prefill").copied_user_pass = true;
  return faults;
}

}  // namespace kvcast::testing
