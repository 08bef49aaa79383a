// packed: history and candidates in one pass under a candidate mask, a micro-batch of candidates at a time, each with
// the history anew (Meta's M-FALCON without its cache; multi-item scoring). docs/model.md §1.
#include <algorithm>
#include <memory>

#include "engine/builtin/schemes/pass_counts.h"
#include "engine/builtin/schemes/scheme.h"

namespace kvcast {
namespace {

std::int64_t batch_size(std::int64_t candidates, const SchemeOptions& options) {
  return options.micro_batch == 0 ? candidates : std::min(candidates, options.micro_batch);
}

class Packed final : public Scheme {
 public:
  explicit Packed(const SchemeContext& context)
      : context_(context),
        order_(context.order(context.history)),
        workspace_(*context.model, context.threads,
                   context.history_length + batch_size(context.max_candidates, context.options)),
        forward_(workspace_),
        cache_(KvCache::one_layer(context.model->shape(), 1, context.history_length)) {}

  void prepare(std::span<const std::int64_t> counts) override {
    for (const std::int64_t count : counts) {
      const std::int64_t batch = batch_size(count, context_.options);
      for (const std::int64_t part : {batch, batch == 0 ? 0 : count % batch}) {
        if (part > 0) forward_.prepare(history(), candidates_in(part));
      }
    }
  }

  void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept override {
    const std::int64_t dim = context_.model->shape().dim, batch = batch_size(count, context_.options);
    for (std::int64_t first = 0; first < count; first += batch) {
      forward_.packed(history(), order_.history.data(), candidates_in(std::min(batch, count - first)),
                      candidates + first * dim, cache_, outputs + first * dim);
    }
  }

  void take_history(std::span<const float> history) override { order_ = context_.order(history); }

  HowRun how_run(std::int64_t count) const override {
    return {Execution::unknown, "b_m " + std::to_string(batch_size(count, context_.options))};
  }
  void listen(StepListener* listener) noexcept override { forward_.listen(listener); }

 private:
  HistoryPass history() const {
    return {context_.history_length, context_.history_length, order_.causal, context_.trim};
  }
  CandidatePass candidates_in(std::int64_t count) const {
    CandidatePass pass;
    pass.count = count;
    pass.attend_history = order_.candidate_sees_history;
    return pass;
  }

  SchemeContext context_;
  SequenceOrder order_;
  Workspace workspace_;
  Forward forward_;
  KvCache cache_;
};

double bytes_of(const ModelShape& shape, const SchemeSize& size) {
  const double history = static_cast<double>(size.history_length) * static_cast<double>(shape.dim) * sizeof(float);
  return history +
         Workspace::bytes(shape, size.threads, size.history_length + batch_size(size.candidates, size.options)) +
         KvCache::one_layer_bytes(shape, 1, size.history_length);
}

// One layer of the history; candidates keep their own keys and values as activations.
double one_layer_kv(const WorkShape& s, std::int64_t) {
  WorkShape layer = s;
  layer.layers = 1;
  layer.candidate_from_layer = 0;
  return static_cast<double>(kv_cache_bytes(layer));
}

}  // namespace

SchemeEntry packed_scheme() {
  return {
      .name = "packed",
      .doc = "history and candidates in one pass, again for every micro-batch",
      .shares = true,
      .runs_history = true,
      .law = true,
      .make = make_scheme<Packed>,
      // Scaling up whole micro-batches is exact; one pass for all N has nothing to scale from.
      .unit = [](const SchemeSize& size) { return size.options.micro_batch; },
      .bytes = bytes_of,
      .flops = [](const WorkShape& s, std::int64_t n,
                  const SchemeOptions& o) { return packed_flops(s, n, o.micro_batch == 0 ? n : o.micro_batch); },
      .kv_bytes = one_layer_kv,
      // Only packed in one pass is fitted.
      .passes = [](const PassSetting& s) { return packed_passes(s.label, s.layer_bytes, 0); },
  };
}

}  // namespace kvcast
