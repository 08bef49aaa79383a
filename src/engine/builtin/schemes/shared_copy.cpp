// shared-copy: the seed's "broadcast" read word for word. The cache is copied for every candidate, inside the
// scoring pass, and each candidate reads its own copy.
#include <memory>

#include "engine/builtin/schemes/pass_counts.h"
#include "engine/builtin/schemes/sharing.h"

namespace kvcast {
namespace {

class SharedCopy final : public SharingScheme {
 public:
  explicit SharedCopy(const SchemeContext& context)
      : SharingScheme(context),
        copies_(KvCache::copies(context.model->shape(), context.max_candidates, context.history_length,
                                context.model->shape().candidate_from_layer)) {}

  void spoil_history() noexcept override {
    SharingScheme::spoil_history();
    copies_.spoil(0, context_.history_length);
  }
  void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept override {
    copies_.broadcast_from(cache_, count, context_.threads);
    run_blocks(candidates, count, outputs, copies_);
  }

 protected:
  CandidatePass candidates_in(std::int64_t count) const override {
    CandidatePass pass = SharingScheme::candidates_in(count);
    pass.own_cache = true;
    return pass;
  }

 private:
  KvCache copies_;
};

}  // namespace

SchemeEntry shared_copy_scheme() {
  return {
      .name = "shared-copy",
      .doc = "as shared, but the cache is copied for each candidate first",
      .shares = true,
      .has_prefill = true,
      .law = true,
      .make = make_scheme<SharedCopy>,
      .bytes =
          [](const ModelShape& shape, const SchemeSize& size) {
            return sharing_bytes(shape, size) +
                   KvCache::copies_bytes(shape, size.candidates, size.history_length, shape.candidate_from_layer);
          },
      .prefill_flops = whole_history_flops,
      .flops = sharing_flops,
      .kv_bytes = [](const WorkShape& s, std::int64_t n) { return static_cast<double>(n) * one_cache_bytes(s, n); },
      .passes = [](const PassSetting& s) { return sharing_passes(s.label, s.layer_bytes, kCandidateBlock, true); },
  };
}

}  // namespace kvcast
