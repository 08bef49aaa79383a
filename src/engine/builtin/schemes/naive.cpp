// naive: a full forward of history and candidate for every candidate.
#include <algorithm>
#include <memory>

#include "base/parallel.h"
#include "engine/builtin/schemes/pass_counts.h"
#include "engine/builtin/schemes/scheme.h"

namespace kvcast {
namespace {

// Short sequences are stacked in one product until it has about this many rows: fewer would leave the weights' traffic
// and the per-call costs unpaid.
constexpr std::int64_t kNaiveStackRows = 512;

std::int64_t stack_size(std::int64_t tokens) { return std::max<std::int64_t>(1, kNaiveStackRows / tokens); }

class Naive final : public Scheme {
 public:
  explicit Naive(const SchemeContext& context)
      : context_(context),
        order_(context.order(context.history)),
        tokens_(context.history_length + 1),
        stack_(std::min(stack_size(tokens_), context.max_candidates)),
        all_(make_worker(context.threads)) {
    if (context.threads > 1 && context.max_candidates >= context.threads) {
      // Each on the thread that will use it: primitives remember the thread count seen when they were made.
      singles_.resize(static_cast<std::size_t>(context.threads));
      on_each_thread(context.threads,
                     [this](int thread) { singles_[static_cast<std::size_t>(thread)] = make_worker(1); });
    }
  }

  void prepare(std::span<const std::int64_t> counts) override {
    for (const std::int64_t count : counts) {
      prepare_worker(*all_, count);
      prepare_worker(*all_, count % context_.threads);
    }
    if (singles_.empty()) return;
    on_each_thread(context_.threads, [&](int thread) {
      for (const std::int64_t count : counts) {
        prepare_worker(*singles_[static_cast<std::size_t>(thread)], count / context_.threads);
      }
    });
  }

  void take_history(std::span<const float> history) override { order_ = context_.order(history); }

  std::size_t executions() const override { return singles_.empty() ? 1 : 2; }
  void choose_execution(std::size_t which) override { across_ = which == 1; }
  HowRun how_run(std::int64_t candidates) const override {
    const bool across = across_ && candidates >= context_.threads;
    const std::int64_t stacked = std::min(stack_, across ? candidates / context_.threads : candidates);
    return {across ? Execution::across : Execution::within,
            stacked > 1 ? std::to_string(stacked) + " stacked" : std::string()};
  }

  /// Across threads one of them speaks for all.
  void listen(StepListener* listener) noexcept override {
    all_->forward.listen(listener);
    if (!singles_.empty()) singles_.front()->forward.listen(listener);
  }

  void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept override {
    const std::int64_t dim = context_.model->shape().dim;
    std::int64_t done = 0;
    if (across_) {
      // Equal shares for all threads; what is left over is spread within.
      const std::int64_t share = count / context_.threads;
      done = share * context_.threads;
      if (share > 0) {
        on_each_thread(context_.threads, [&](int thread) {
          const std::int64_t first = thread * share * dim;
          run(*singles_[static_cast<std::size_t>(thread)], candidates + first, share, outputs + first);
        });
      }
    }
    run(*all_, candidates + done * dim, count - done, outputs + done * dim);
  }

 private:
  struct Worker {
    Worker(const Model& model, int threads, std::int64_t stack, std::int64_t tokens)
        : workspace(model, threads, stack * tokens),
          forward(workspace),
          cache(KvCache::one_layer(model.shape(), stack, tokens)) {}
    Workspace workspace;
    Forward forward;
    KvCache cache;
  };

  std::unique_ptr<Worker> make_worker(int threads) const {
    return std::make_unique<Worker>(*context_.model, threads, stack_, tokens_);
  }

  SequenceBatch batch(std::int64_t sequences) const {
    return {sequences, context_.history_length, order_.candidate_row, order_.causal, context_.trim};
  }

  // Primitives for `count` candidates in stacks.
  void prepare_worker(Worker& worker, std::int64_t count) const {
    for (const std::int64_t sequences : {std::min(count, stack_), count % stack_}) {
      if (sequences > 0) worker.forward.prepare(batch(sequences));
    }
  }

  void run(Worker& worker, const float* candidates, std::int64_t count, float* outputs) const noexcept {
    const std::int64_t dim = context_.model->shape().dim;
    for (std::int64_t done = 0; done < count; done += stack_) {
      worker.forward.sequences(batch(std::min(stack_, count - done)), order_.history.data(), candidates + done * dim,
                               worker.cache, outputs + done * dim);
    }
  }

  SchemeContext context_;
  SequenceOrder order_;
  std::int64_t tokens_, stack_;
  bool across_ = false;
  std::unique_ptr<Worker> all_;
  std::vector<std::unique_ptr<Worker>> singles_;  ///< one per thread, for candidates across threads
};

double bytes_of(const ModelShape& shape, const SchemeSize& size) {
  const std::int64_t tokens = size.history_length + 1;
  const std::int64_t stack = std::min(stack_size(tokens), size.candidates);
  const auto worker = [&](int threads) {
    return Workspace::bytes(shape, threads, stack * tokens) + KvCache::one_layer_bytes(shape, stack, tokens);
  };
  const double history = static_cast<double>(size.history_length) * static_cast<double>(shape.dim) * sizeof(float);
  const bool across = size.threads > 1 && size.candidates >= size.threads;
  return history + worker(size.threads) + (across ? size.threads * worker(1) : 0.0);
}

}  // namespace

SchemeEntry naive_scheme() {
  return {
      .name = "naive",
      .doc = "every candidate runs the whole history with it",
      .runs_history = true,
      .make = make_scheme<Naive>,
      .unit = [](const SchemeSize& size) { return stack_size(size.history_length + 1) * size.threads; },
      .bytes = bytes_of,
      .flops = [](const WorkShape& s, std::int64_t n,
                  const SchemeOptions&) { return static_cast<double>(n) * naive_flops(s); },
      .kv_bytes = [](const WorkShape& s, std::int64_t) { return static_cast<double>(naive_kv_bytes(s)); },
      .passes =
          [](const PassSetting& s) {
            return naive_passes(s.layer_bytes, {kNaiveStackRows, s.threads, s.across});
          },
  };
}

}  // namespace kvcast
