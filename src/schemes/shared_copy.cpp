// shared-copy: the seed's "broadcast" read word for word. The cache is copied for every candidate, inside the
// candidate pass, and each candidate reads its own copy.
#include <memory>

#include "schemes/sharing.h"

namespace kvcast {
namespace {

class SharedCopy final : public SharingScheme {
 public:
  explicit SharedCopy(const SchemeContext& context)
      : SharingScheme(context),
        copies_(context.model->shape(), context.model->shape().layers, context.max_candidates, context.history_length) {
  }

  void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept override {
    copies_.broadcast_from(cache_, count, context_.threads);
    run_blocks(candidates, count, outputs, copies_, true);
  }

 private:
  KvCache copies_;
};

}  // namespace

std::unique_ptr<Scheme> make_shared_copy(const SchemeContext& context) { return std::make_unique<SharedCopy>(context); }

double shared_copy_bytes(const ModelShape& shape, std::int64_t history_length, std::int64_t candidates, int threads) {
  return shared_bytes(shape, history_length, candidates, threads) +
         KvCache::bytes(shape, shape.layers, candidates, history_length);
}

}  // namespace kvcast
