// How the rows of a pass are shared out: to threads, and to blocks of the FFN. From sizes alone.
#pragma once

#include <cstdint>

#include "engine/builtin/model/weights.h"

namespace kvcast {

/// Rows in blocks of nearly equal size, because a small last block would stream the weights for little work.
struct RowBlocks {
  std::int64_t size = 0;  ///< of all but the last
  std::int64_t last = 0;
};
/// rows and blocks: at least 1.
RowBlocks equal_blocks(std::int64_t rows, std::int64_t blocks);
/// Rows that go through the FFN together, so that its hidden activations stay in L2 and L3: about 256.
RowBlocks ffn_blocks(std::int64_t rows);
/// Largest block of any pass of up to max_rows: block sizes do not grow evenly with the rows.
std::int64_t largest_ffn_block(std::int64_t max_rows);

/// How the products of a pass use the threads. By rows: each thread runs all of a layer's row-wise work on rows of its
/// own, without waiting for the others in between, and reads all weights. Else all threads share every product, and
/// each reads its part of the weights once.
bool products_by_rows(const ModelShape& shape, std::int64_t rows, int threads);

/// Rows [first, first + count) of a thread: shares differ by one row at most.
struct RowShare {
  std::int64_t first = 0, count = 0;
};
RowShare share_of(std::int64_t rows, int threads, int thread);

}  // namespace kvcast
