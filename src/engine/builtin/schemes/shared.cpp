// shared: one history pass, then the candidates as a batch against its KV cache.
#include <memory>

#include "engine/builtin/schemes/sharing.h"

namespace kvcast {

std::unique_ptr<Scheme> make_shared(const SchemeContext& context) { return std::make_unique<SharingScheme>(context); }

double shared_bytes(const ModelShape& shape, const SchemeSize& size) {
  const double history = static_cast<double>(size.history_length) * static_cast<double>(shape.dim) * sizeof(float);
  return history + Workspace::bytes(shape, size.threads, sharing_rows(size.history_length, size.candidates)) +
         KvCache::all_layers_bytes(shape, 1, size.history_length, shape.candidate_from_layer);
}

}  // namespace kvcast
