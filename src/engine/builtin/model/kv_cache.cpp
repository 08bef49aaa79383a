#include "engine/builtin/model/kv_cache.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "base/parallel.h"

namespace kvcast {
namespace {

double block_bytes(const ModelShape& shape, std::int64_t capacity) {
  const kernels::KvShape block = kv_block(shape, capacity);
  return static_cast<double>(block.key_bytes()) + static_cast<double>(block.value_bytes());
}

// Of one sequence of KvCache::of_layers, without making it: a plan asks about shapes whose list of layers would fill
// the memory.
double layers_bytes(const ModelShape& shape, std::int64_t length, std::int64_t kept_from, bool filled) {
  const bool longest = kept_from == 0 || filled;  // layer 0, or the block of those that are not kept
  const auto later = static_cast<double>(shape.layers - std::max(kept_from, std::int64_t{1}));
  return (longest ? block_bytes(shape, length) : 0.0) + later * block_bytes(shape, shape.active(1, length));
}

}  // namespace

kernels::KvShape kv_block(const ModelShape& shape, std::int64_t capacity) {
  return {shape.kv_heads, shape.head_dim(), capacity, shape.kv_element};
}

KvCache::KvCache(const ModelShape& shape, const std::vector<std::int64_t>& capacities,
                 std::vector<std::size_t> block_of, std::int64_t sequences, std::int64_t kept_from)
    : block_of_(std::move(block_of)), sequences_(sequences), kept_from_(kept_from) {
  std::int64_t keys = 0, values = 0;
  for (const std::int64_t capacity : capacities) {
    const Block& block = blocks_.emplace_back(Block{kv_block(shape, capacity), keys, values});
    keys += sequences * block.shape.key_bytes();
    values += sequences * block.shape.value_bytes();
  }
  keys_ = Buffer<std::byte>(keys);
  values_ = Buffer<std::byte>(values);
}

KvCache KvCache::of_layers(const ModelShape& shape, std::int64_t sequences, std::int64_t length, std::int64_t kept_from,
                           bool filled) {
  std::vector<std::int64_t> capacities;
  std::vector<std::size_t> block_of;
  if (kept_from > 0 && filled) capacities.push_back(length);
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    if (i >= kept_from) capacities.push_back(shape.active(i, length));
    block_of.push_back(i < kept_from ? 0 : capacities.size() - 1);
  }
  return {shape, capacities, std::move(block_of), sequences, kept_from};
}

KvCache KvCache::one_layer(const ModelShape& shape, std::int64_t sequences, std::int64_t capacity) {
  return {shape, {capacity}, std::vector<std::size_t>(static_cast<std::size_t>(shape.layers), 0), sequences, 0};
}
KvCache KvCache::all_layers(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                            std::int64_t kept_from) {
  return of_layers(shape, sequences, length, kept_from, true);
}
KvCache KvCache::copies(const ModelShape& shape, std::int64_t sequences, std::int64_t length, std::int64_t kept_from) {
  return of_layers(shape, sequences, length, kept_from, false);
}
double KvCache::one_layer_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t capacity) {
  return block_bytes(shape, capacity) * static_cast<double>(sequences);
}
double KvCache::all_layers_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                                 std::int64_t kept_from) {
  return layers_bytes(shape, length, kept_from, true) * static_cast<double>(sequences);
}
double KvCache::copies_bytes(const ModelShape& shape, std::int64_t sequences, std::int64_t length,
                             std::int64_t kept_from) {
  return layers_bytes(shape, length, kept_from, false) * static_cast<double>(sequences);
}

kernels::KvView KvCache::view(std::int64_t layer, std::int64_t sequence) const noexcept {
  const Block& b = block(layer);
  return {b.shape, keys_.data() + b.keys + sequence * b.shape.key_bytes(),
          values_.data() + b.values + sequence * b.shape.value_bytes()};
}
std::byte* KvCache::keys(std::int64_t layer, std::int64_t sequence) noexcept {
  return keys_.data() + block(layer).keys + sequence * block(layer).shape.key_bytes();
}
std::byte* KvCache::values(std::int64_t layer, std::int64_t sequence) noexcept {
  return values_.data() + block(layer).values + sequence * block(layer).shape.value_bytes();
}

void KvCache::broadcast_from(const KvCache& from, std::int64_t count, int threads) noexcept {
  assert(count <= sequences_ && block_of_.size() == from.block_of_.size() && kept_from_ == from.kept_from_);
  length = from.length;
  if (length == 0) return;
  const std::int64_t layers = static_cast<std::int64_t>(block_of_.size()) - kept_from_;
  parallel_for(threads, layers * count, [&](std::int64_t task, int) {
    const std::int64_t layer = kept_from_ + task / count, sequence = task % count;
    const kernels::KvView source = from.view(layer);
    std::memcpy(keys(layer, sequence), source.keys, static_cast<std::size_t>(source.shape.key_bytes()));
    std::memcpy(values(layer, sequence), source.values, static_cast<std::size_t>(source.shape.value_bytes()));
  });
}

void KvCache::copy_history(const KvCache& from, std::int64_t positions, int threads) noexcept {
  assert(sequences_ == 1 && from.sequences_ == 1 && kept_from_ == 0 && from.kept_from_ == 0);
  length = positions;
  const auto layers = static_cast<std::int64_t>(block_of_.size());
  const std::int64_t heads = blocks_.front().shape.kv_heads;
  parallel_for(threads, layers * heads, [&](std::int64_t task, int) {
    const std::int64_t layer = task / heads, head = task % heads;
    const kernels::KvView source = from.view(layer);
    const kernels::KvShape& own = block(layer).shape;
    assert(length <= own.capacity && length <= source.shape.capacity);
    // What a block of exactly this length holds of a head: whole panels of keys, whole pairs of values.
    const kernels::KvShape used{own.kv_heads, own.head_dim, length, own.element};
    std::memcpy(keys(layer) + head * own.key_bytes_per_head(), source.keys + head * source.shape.key_bytes_per_head(),
                static_cast<std::size_t>(used.key_bytes_per_head()));
    std::memcpy(values(layer) + head * own.value_bytes_per_head(),
                source.values + head * source.shape.value_bytes_per_head(),
                static_cast<std::size_t>(used.value_bytes_per_head()));
  });
}

void KvCache::spoil(std::int64_t first, std::int64_t positions) noexcept {
  for (const Block& b : blocks_) {
    const kernels::KvShape& s = b.shape;
    const bool pairs = s.element != kernels::Element::f32;
    const std::int64_t bytes = kernels::element_bytes(s.element);
    const std::int64_t from = s.capacity < positions ? 0 : first;
    // Of many copies one key each is enough.
    const std::int64_t step = sequences_ > 1 ? s.capacity : kernels::kKeyPanel;
    for (std::int64_t head = 0; head < sequences_ * s.kv_heads; ++head) {
      std::byte* const k = keys_.data() + b.keys + head * s.key_bytes_per_head();
      std::byte* const v = values_.data() + b.values + head * s.value_bytes_per_head();
      for (std::int64_t at = from; at < s.capacity; at += step) {
        // The first element of the key and of the value, as pack_kv lays them out; 0xFF is NaN in both types.
        const std::int64_t lane =
            (at / kernels::kKeyPanel * s.panel_rows()) * kernels::kKeyPanel + at % kernels::kKeyPanel;
        std::memset(k + lane * 4, 0xFF, static_cast<std::size_t>(bytes));
        std::memset(v + (pairs ? at / 2 * s.value_stride() * 4 + at % 2 * bytes : at * s.value_stride() * 4), 0xFF,
                    static_cast<std::size_t>(bytes));
      }
    }
  }
}

}  // namespace kvcast
