// shared: one history pass, then the candidates as a batch against its KV cache.
#include <memory>

#include "engine/builtin/schemes/pass_counts.h"
#include "engine/builtin/schemes/sharing.h"

namespace kvcast {

double sharing_bytes(const ModelShape& shape, const SchemeSize& size) {
  const double history = static_cast<double>(size.history_length) * static_cast<double>(shape.dim) * sizeof(float);
  return history + Workspace::bytes(shape, size.threads, sharing_rows(size.history_length, size.candidates)) +
         KvCache::all_layers_bytes(shape, 1, size.history_length, shape.candidate_from_layer);
}

double sharing_flops(const WorkShape& s, std::int64_t n, const SchemeOptions&) {
  return history_flops(s) + candidates_flops(s, n);
}

SchemeEntry shared_scheme() {
  return {
      .name = "shared",
      .doc = "the history runs once; candidates attend to one shared KV cache",
      .shares = true,
      .user_pass = true,
      .law = true,
      .make = [](const SchemeContext& context) -> std::unique_ptr<Scheme> {
        return std::make_unique<SharingScheme>(context);
      },
      .bytes = sharing_bytes,
      .user_flops = [](const WorkShape& s, const SchemeOptions&) { return history_flops(s); },
      .flops = sharing_flops,
      .kv_bytes = one_cache_bytes,
      .passes = [](const PassSetting& s) { return sharing_passes(s.label, s.layer_bytes, kCandidateBlock); },
  };
}

}  // namespace kvcast
