// naive: a full forward of history and candidate for every candidate.
#include <algorithm>
#include <cstring>
#include <memory>

#include "base/parallel.h"
#include "schemes/scheme.h"
#include "schemes/sequence.h"

namespace kvcast {
namespace {

/// Short sequences are stacked in one product until it has about this many rows: fewer would leave the weights'
/// traffic and the per-call costs unpaid.
constexpr std::int64_t kStackRows = 512;

std::int64_t stack_size(std::int64_t tokens) { return std::max<std::int64_t>(1, kStackRows / tokens); }

class Naive final : public Scheme {
 public:
  explicit Naive(const SchemeContext& context)
      : context_(context),
        order_(order_sequence(context.mask, context.history, context.history_length, context.model->shape().dim)),
        tokens_(context.history_length + 1),
        stack_(std::min(stack_size(tokens_), context.max_candidates)),
        all_(make_worker(context.threads)) {
    if (context.threads > 1) {
      // Each on the thread that will use it: primitives remember the thread count seen when they were made.
      singles_.resize(static_cast<std::size_t>(context.threads));
      on_each_thread(context.threads,
                     [this](int thread) { singles_[static_cast<std::size_t>(thread)] = make_worker(1); });
    }
  }

  void prepare(std::span<const std::int64_t> counts) override {
    for (const std::int64_t count : counts) {
      prepare_worker(*all_, std::min(count, stack_));
      prepare_worker(*all_, count % stack_);
      const std::int64_t rest = count % across_unit();
      prepare_worker(*all_, std::min(rest, stack_));
      prepare_worker(*all_, rest % stack_);
    }
    if (!singles_.empty()) {
      on_each_thread(context_.threads,
                     [this](int thread) { prepare_worker(*singles_[static_cast<std::size_t>(thread)], stack_); });
    }
  }

  std::vector<std::string> forms() const override {
    const std::string stacked = stack_ > 1 ? ", " + std::to_string(stack_) + " sequences stacked" : "";
    std::vector<std::string> forms = {"threads within a candidate" + stacked};
    if (!singles_.empty()) forms.push_back("candidates across threads" + stacked);
    return forms;
  }
  void choose_form(std::size_t form) override { across_ = form == 1; }

  void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept override {
    const std::int64_t dim = context_.model->shape().dim;
    std::int64_t done = 0;
    if (across_) {
      // Whole rounds of one stack per thread; what is left over is spread within.
      done = count - count % across_unit();
      const std::int64_t stacks = done / stack_;
      on_each_thread(context_.threads, [&](int thread) {
        for (std::int64_t s = thread; s < stacks; s += context_.threads) {
          run(*singles_[static_cast<std::size_t>(thread)], candidates + s * stack_ * dim, stack_,
              outputs + s * stack_ * dim);
        }
      });
    }
    for (; done < count; done += stack_) {
      run(*all_, candidates + done * dim, std::min(stack_, count - done), outputs + done * dim);
    }
  }

 private:
  struct Worker {
    Worker(const Model& model, int threads, std::int64_t stack, std::int64_t tokens)
        : team(model, threads, stack * tokens), forward(team), cache(model.shape(), 1, stack, tokens) {}
    Team team;
    Forward forward;
    KvCache cache;
  };

  std::unique_ptr<Worker> make_worker(int threads) const {
    return std::make_unique<Worker>(*context_.model, threads, stack_, tokens_);
  }
  std::int64_t across_unit() const { return stack_ * context_.threads; }

  void prepare_worker(Worker& worker, std::int64_t sequences) const {
    if (sequences > 0) worker.forward.prepare_sequences({sequences, tokens_, order_.causal}, context_.trim);
  }

  void run(Worker& worker, const float* candidates, std::int64_t sequences, float* outputs) const noexcept {
    const std::int64_t dim = context_.model->shape().dim;
    const auto row_bytes = static_cast<std::size_t>(dim) * sizeof(float);
    for (std::int64_t s = 0; s < sequences; ++s) {
      float* rows = worker.forward.stream() + s * tokens_ * dim;
      std::memcpy(rows + order_.history_row * dim, order_.history.data(),
                  static_cast<std::size_t>(context_.history_length) * row_bytes);
      std::memcpy(rows + order_.candidate_row * dim, candidates + s * dim, row_bytes);
    }
    worker.forward.sequences({sequences, tokens_, order_.causal}, context_.trim, order_.candidate_row, worker.cache,
                             outputs);
  }

  SchemeContext context_;
  SequenceOrder order_;
  std::int64_t tokens_, stack_;
  bool across_ = false;
  std::unique_ptr<Worker> all_;
  std::vector<std::unique_ptr<Worker>> singles_;  ///< one per thread, for candidates across threads
};

}  // namespace

std::unique_ptr<Scheme> make_naive(const SchemeContext& context) { return std::make_unique<Naive>(context); }

double naive_bytes(const ModelShape& shape, std::int64_t history_length, std::int64_t candidates, int threads) {
  const std::int64_t tokens = history_length + 1;
  const std::int64_t stack = std::min(stack_size(tokens), candidates);
  const auto worker = [&](int team) {
    return Team::bytes(shape, team, stack * tokens) + KvCache::bytes(shape, 1, stack, tokens);
  };
  const double history = static_cast<double>(history_length) * static_cast<double>(shape.dim) * sizeof(float);
  return history + worker(threads) + (threads > 1 ? threads * worker(1) : 0.0);
}

}  // namespace kvcast
