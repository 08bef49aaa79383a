// shared: one history pass, then the candidates as a batch against its KV cache.
#include <memory>

#include "schemes/sharing.h"

namespace kvcast {
namespace {

class Shared final : public SharingScheme {
 public:
  using SharingScheme::SharingScheme;
  void candidate_pass(const float* candidates, std::int64_t count, float* outputs) noexcept override {
    run_blocks(candidates, count, outputs, cache_, false);
  }
};

}  // namespace

std::unique_ptr<Scheme> make_shared(const SchemeContext& context) { return std::make_unique<Shared>(context); }

double shared_bytes(const ModelShape& shape, std::int64_t history_length, std::int64_t candidates, int threads) {
  const double history = static_cast<double>(history_length) * static_cast<double>(shape.dim) * sizeof(float);
  return history + Team::bytes(shape, threads, sharing_rows(history_length, candidates)) +
         KvCache::bytes(shape, shape.layers, 1, history_length);
}

}  // namespace kvcast
