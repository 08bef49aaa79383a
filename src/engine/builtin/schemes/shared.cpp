// shared: one prefill, then the candidates as a batch against its KV cache.
#include <memory>

#include "engine/builtin/schemes/pass_counts.h"
#include "engine/builtin/schemes/sharing.h"

namespace kvcast {

double sharing_bytes(const ModelShape& shape, const SchemeSize& size) {
  const double history = static_cast<double>(size.history_length) * static_cast<double>(shape.dim) * sizeof(float);
  return history + Workspace::bytes(shape, size.threads, sharing_rows(size.history_length, size.candidates)) +
         KvCache::all_layers_bytes(shape, 1, size.history_length, shape.candidate_from_layer);
}

SchemeEntry shared_scheme() {
  return {
      .name = "shared",
      .doc = "the history runs once; candidates attend to one shared KV cache",
      .shares = true,
      .has_prefill = true,
      .law = true,
      .make = make_scheme<SharingScheme>,
      .bytes = sharing_bytes,
      .prefill_flops = whole_history_flops,
      .flops = sharing_flops,
      .kv_bytes = one_cache_bytes,
      .passes = [](const PassSetting& s) { return sharing_passes(s.label, s.layer_bytes, kCandidateBlock); },
  };
}

}  // namespace kvcast
