// How the rows of a pass are shared out: to threads, and to blocks of the FFN. From sizes alone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/builtin/model/weights.h"

namespace kvcast {

/// Rows in blocks of nearly equal size, because a small last block would stream the weights for little work.
struct RowBlocks {
  std::int64_t size = 0;  ///< of all but the last
  std::int64_t last = 0;
};
/// rows and blocks: at least 1.
inline RowBlocks equal_blocks(std::int64_t rows, std::int64_t blocks) {
  const std::int64_t size = (rows + blocks - 1) / blocks;
  return {size, rows - (rows - 1) / size * size};
}

inline constexpr std::int64_t kFfnRows = 256;
/// Rows that go through the FFN together, so that its hidden activations stay in L2 and L3: about 256.
inline RowBlocks ffn_blocks(std::int64_t rows) {
  if (rows == 0) return {};
  return equal_blocks(rows, std::max<std::int64_t>(1, (rows + kFfnRows / 2) / kFfnRows));
}
/// Largest block of any pass of up to max_rows: block sizes do not grow evenly with the rows.
inline std::int64_t largest_ffn_block(std::int64_t max_rows) { return std::min(max_rows, kFfnRows + kFfnRows / 2); }

/// How the products of a pass use the threads. By rows: each thread runs all of a layer's row-wise work on rows of its
/// own, without waiting for the others in between, and reads all weights. Else all threads share every product, and
/// each reads its part of the weights once.
inline bool products_by_rows(const ModelShape& shape, std::int64_t rows, int threads) {
  if (threads == 1) return true;
  // Two FFN matrices that a core's own cache holds: reading them twice costs less than the barriers between products.
  constexpr std::int64_t kCachedBytes = std::int64_t{2} << 20;
  // From here on the arithmetic of a thread's rows hides that it streams all weights.
  constexpr std::int64_t kStreamingRows = 128;
  const std::int64_t ffn_bytes = 2 * shape.dim * shape.ffn_dim * kernels::element_bytes(shape.element);
  return rows >= (ffn_bytes <= kCachedBytes ? 2 : kStreamingRows) * threads;
}

/// Rows [first, first + count) of a thread: shares differ by one row at most.
struct RowShare {
  std::int64_t first = 0, count = 0;
};
inline RowShare share_of(std::int64_t rows, int threads, int thread) {
  const std::int64_t base = rows / threads, more = rows % threads;
  return {thread * base + std::min<std::int64_t>(thread, more), base + (thread < more ? 1 : 0)};
}

}  // namespace kvcast
