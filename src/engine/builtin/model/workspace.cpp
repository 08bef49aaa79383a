#include "engine/builtin/model/workspace.h"

#include <algorithm>
#include <limits>

#include "engine/builtin/kernels/attention.h"
#include "engine/builtin/model/kv_cache.h"
#include "engine/builtin/model/partition.h"

namespace kvcast {
namespace {

using kernels::Element;
using kernels::element_bytes;

}  // namespace

Workspace::Workspace(const Model& of, int thread_count, std::int64_t max_rows)
    : model(of),
      threads(thread_count),
      all(threads),
      stream(max_rows * shape().dim),
      normed(at(max_rows * shape().dim)),
      qkv(at(q_offset(max_rows * shape().qkv_dim() + 63))),
      attended(at(max_rows * shape().dim)),
      // Rounded to whole cache lines so that threads do not share one.
      scratch_per_thread((kernels::attention_scratch_floats(kv_block(shape(), 0)) + 15) / 16 * 16),
      scratch(scratch_per_thread * threads),
      hidden_rows(largest_ffn_block(max_rows)),
      hidden(at(threads * hidden_rows * shape().ffn_dim)),
      product(shape().element == Element::f32 ? 0 : threads * hidden_rows * shape().ffn_dim) {
  for (int i = 0; i < threads; ++i) each.emplace_back(1);
}

double Workspace::bytes(const ModelShape& s, int threads, std::int64_t max_rows) {
  const auto element = static_cast<double>(element_bytes(s.element));
  const double row =
      static_cast<double>(s.dim) * sizeof(float) + static_cast<double>(2 * s.dim + s.qkv_dim()) * element;
  kernels::AttentionArgs parts;  // of as many rows as attend together, on a history without end
  parts.heads = s.heads;
  parts.rows = std::min(max_rows, kPartRows);
  parts.kv.shape = kv_block(s, 0);
  parts.parts = kernels::attention_parts(s.heads, std::numeric_limits<std::int64_t>::max());
  const double hidden = element + (s.element == Element::f32 ? 0.0 : sizeof(float));
  return row * static_cast<double>(max_rows) +
         static_cast<double>(kernels::attention_partial_floats(parts)) * sizeof(float) +
         static_cast<double>(threads) *
             (static_cast<double>(largest_ffn_block(max_rows)) * static_cast<double>(s.ffn_dim) * hidden +
              static_cast<double>(kernels::attention_scratch_floats(kv_block(s, 0))) * sizeof(float));
}

}  // namespace kvcast
