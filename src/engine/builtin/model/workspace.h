// The memory that passes run in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "engine/builtin/kernels/dense.h"
#include "engine/builtin/model/model.h"

namespace kvcast {

/// Candidates whose attention runs together: bounds what parts of their keys leave to be merged.
inline constexpr std::int64_t kPartRows = 1024;

/// Activations and primitives of one team of threads. Make it on the thread that will use it.
struct Workspace {
  /// max_rows: most rows of any pass. Errors: std::bad_alloc.
  Workspace(const Model& model, int threads, std::int64_t max_rows);

  static double bytes(const ModelShape& shape, int threads, std::int64_t max_rows);

  const ModelShape& shape() const noexcept { return model.shape(); }
  float* stream_row(std::int64_t row) noexcept { return stream.data() + row * shape().dim; }
  std::byte* normed_row(std::int64_t row) noexcept { return normed.data() + at(row * shape().dim); }
  std::byte* attended_row(std::int64_t row) noexcept { return attended.data() + at(row * shape().dim); }
  /// The activations of the QKV product from element `from` on.
  std::byte* qkv_from(std::int64_t from) noexcept { return qkv.data() + at(from); }
  /// Where, in elements, the Q rows begin behind K,V rows of so many in a product that is split.
  static std::int64_t q_offset(std::int64_t kv_elements) { return (kv_elements + 63) / 64 * 64; }

  const Model& model;
  int threads;
  kernels::DenseRunner all;                ///< of all threads together
  std::vector<kernels::DenseRunner> each;  ///< of each thread alone
  Buffer<float> stream;                    ///< the residual stream, [max_rows][dim]
  Buffer<std::byte> normed, qkv, attended;
  std::int64_t scratch_per_thread;
  Buffer<float> scratch;     ///< of attention, [threads][scratch_per_thread]
  Buffer<float> partial;     ///< parts of attention to be merged; as large as a pass that was prepared needs
  std::int64_t hidden_rows;  ///< of each thread's block
  Buffer<std::byte> hidden;  ///< [threads][hidden_rows][ffn_dim]
  Buffer<float> product;     ///< the same in fp32, before GELU makes it bf16; empty when hidden is fp32

 private:
  std::int64_t at(std::int64_t elements) const noexcept { return elements * kernels::element_bytes(shape().element); }
};

}  // namespace kvcast
