#include "engine/builtin/model/partition.h"

#include <algorithm>

namespace kvcast {
namespace {

constexpr std::int64_t kFfnRows = 256;

}  // namespace

RowBlocks equal_blocks(std::int64_t rows, std::int64_t blocks) {
  const std::int64_t size = (rows + blocks - 1) / blocks;
  return {size, rows - (rows - 1) / size * size};
}

RowBlocks ffn_blocks(std::int64_t rows) {
  if (rows == 0) return {};
  return equal_blocks(rows, std::max<std::int64_t>(1, (rows + kFfnRows / 2) / kFfnRows));
}

std::int64_t largest_ffn_block(std::int64_t max_rows) { return std::min(max_rows, kFfnRows + kFfnRows / 2); }

bool products_by_rows(const ModelShape& shape, std::int64_t rows, int threads) {
  if (threads == 1) return true;
  // Two FFN matrices that a core's own cache holds: reading them twice costs less than the barriers between products.
  constexpr std::int64_t kCachedBytes = std::int64_t{2} << 20;
  // From here on the arithmetic of a thread's rows hides that it streams all weights.
  constexpr std::int64_t kStreamingRows = 128;
  const std::int64_t ffn_bytes = 2 * shape.dim * shape.ffn_dim * kernels::element_bytes(shape.element);
  return rows >= (ffn_bytes <= kCachedBytes ? 2 : kStreamingRows) * threads;
}

RowShare share_of(std::int64_t rows, int threads, int thread) {
  const std::int64_t base = rows / threads, more = rows % threads;
  return {thread * base + std::min<std::int64_t>(thread, more), base + (thread < more ? 1 : 0)};
}

}  // namespace kvcast
