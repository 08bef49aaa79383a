// K and V as the attention kernel reads them, kept from pass to pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "engine/builtin/kernels/attention.h"
#include "engine/builtin/model/weights.h"

namespace kvcast {

/// Sizes of a block of one layer and sequence. capacity: tokens there is room for.
kernels::KvShape kv_block(const ModelShape& shape, std::int64_t capacity);

/// K and V of one or more sequences, packed for the attention kernel, in the shape's kv_element.
class KvCache {
 public:
  KvCache() = default;
  /// One block that every layer uses in turn: for passes that need no K,V of an earlier layer. capacity: tokens.
  static KvCache one_layer(const ModelShape& shape, std::int64_t sequences, std::int64_t capacity);
  /// K,V of layers kept_from and up for a history of `length` positions; layers below share one block.
  static KvCache all_layers(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                            std::int64_t kept_from);

  /// The same without the block that layers below kept_from run in: for copies, which no pass fills.
  static KvCache copies(const ModelShape& shape, std::int64_t sequences, std::int64_t length, std::int64_t kept_from);

  static double one_layer_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t capacity);
  static double all_layers_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                                 std::int64_t kept_from);
  static double copies_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                             std::int64_t kept_from);

  kernels::KvView view(std::int64_t layer, std::int64_t sequence = 0) const noexcept;
  std::byte* keys(std::int64_t layer, std::int64_t sequence = 0) noexcept;
  std::byte* values(std::int64_t layer, std::int64_t sequence = 0) noexcept;

  /// Copies the layers that are kept of sequence 0 of `from` into every one of the first `count` sequences.
  void broadcast_from(const KvCache& from, std::int64_t count, int threads) noexcept;
  /// Takes over the first `positions` of `from`, of the same shape with another capacity. Both hold one sequence and
  /// all layers, and there is room. Where they end a panel of keys, what is written behind them meanwhile does no harm.
  void copy_history(const KvCache& from, std::int64_t positions, int threads) noexcept;

  /// Spoils what a prefill is to make anew: an element of K and V becomes NaN in every head of every sequence, at
  /// every 64th position from `first` on, of several sequences at one (blocks of fewer than `positions`, which no pass
  /// fills in parts: from 0 on).
  void spoil(std::int64_t first, std::int64_t positions) noexcept;

  /// History positions that the last pass left per sequence; a hybrid's later layers hold their share of them.
  std::int64_t length = 0;

 private:
  struct Block {
    kernels::KvShape shape;
    std::int64_t keys = 0, values = 0;  ///< byte offsets of its first sequence
  };
  /// capacities: tokens, of each block. block_of: the block of each layer.
  KvCache(const ModelShape& shape, const std::vector<std::int64_t>& capacities, std::vector<std::size_t> block_of,
          std::int64_t sequences, std::int64_t kept_from);
  /// filled: a pass runs through it, so the layers that are not kept need a block too, one for all. Else they have
  /// none.
  static KvCache of_layers(const ModelShape& shape, std::int64_t sequences, std::int64_t length, std::int64_t kept_from,
                           bool filled);
  const Block& block(std::int64_t layer) const noexcept { return blocks_[block_of_[static_cast<std::size_t>(layer)]]; }

  std::vector<Block> blocks_;
  std::vector<std::size_t> block_of_;  ///< per layer
  std::int64_t sequences_ = 0, kept_from_ = 0;
  Buffer<std::byte> keys_, values_;
};

}  // namespace kvcast
