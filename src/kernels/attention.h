// Fused tiled attention over a packed KV block: online softmax, never an L x L matrix.
// Source: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018); Dao et al., "FlashAttention"
// (2022). Scores are kept in units of log2 so that the exponential needs no range reduction by ln 2.
#pragma once

#include <cstdint>

namespace kvcast::kernels {

/// Keys are stored transposed in panels of this many.
inline constexpr std::int64_t kKeyPanel = 64;
/// Query rows per task.
inline constexpr std::int64_t kRowTile = 24;
/// Keys per softmax step.
inline constexpr std::int64_t kKeyTile = 256;

/// Sizes of one packed KV block (one layer of one sequence).
struct KvShape {
  std::int64_t kv_heads = 0, head_dim = 0, capacity = 0;  ///< capacity: keys there is room for

  std::int64_t panels() const { return (capacity + kKeyPanel - 1) / kKeyPanel; }
  /// Row stride of V: head_dim rounded up to a multiple of 16 floats, so that rows can be read in whole vectors.
  std::int64_t value_stride() const { return (head_dim + 15) / 16 * 16; }
  std::int64_t key_floats_per_head() const { return panels() * head_dim * kKeyPanel; }
  std::int64_t value_floats_per_head() const { return capacity * value_stride(); }
  std::int64_t key_floats() const { return kv_heads * key_floats_per_head(); }
  std::int64_t value_floats() const { return kv_heads * value_floats_per_head(); }
};

/// A packed KV block. Shapes: keys [kv_heads][panels][head_dim][64], values [kv_heads][capacity][value_stride].
struct KvView {
  KvShape shape;
  const float* keys = nullptr;
  const float* values = nullptr;
};

/// Packs `count` rows of K and V (each [count][kv_heads * head_dim], row stride `stride` floats) into the block as
/// keys first .. first+count-1 of it, for the kv heads [head_begin, head_end).
void pack_kv(const KvShape& shape, const float* k, const float* v, std::int64_t stride, std::int64_t first,
             std::int64_t count, std::int64_t head_begin, std::int64_t head_end, float* keys, float* values) noexcept;

/// Attention of `rows` query rows against the first keys of a block.
struct AttentionArgs {
  std::int64_t heads = 0;     ///< query heads; head h reads kv head h / (heads / kv_heads)
  const float* q = nullptr;   ///< [rows][heads * head_dim]
  std::int64_t q_stride = 0;  ///< floats between rows
  std::int64_t rows = 0;
  KvView kv;
  std::int64_t keys = 0;           ///< keys of the block that exist
  bool causal = false;             ///< row i sees keys [0, first_visible + i]; else all keys
  std::int64_t first_visible = 1;  ///< keys that row 0 sees when causal
  const float* self_k = nullptr;   ///< [rows][kv_heads * head_dim]: each row's own key and value, or null
  const float* self_v = nullptr;
  std::int64_t self_stride = 0;
  float* out = nullptr;  ///< [rows][heads * head_dim]
  std::int64_t out_stride = 0;
  /// When set, `out` gets the unnormalised sum o and these get m and d, each [rows][heads]; see merge_states.
  float* state_max = nullptr;
  float* state_sum = nullptr;
};

/// Tasks that the work splits into: heads x row tiles; each may run on any thread, results do not depend on which.
std::int64_t attention_tasks(const AttentionArgs& args) noexcept;
/// Floats of scratch that one thread needs.
std::int64_t attention_scratch_floats(std::int64_t head_dim) noexcept;
/// Runs one task. Tasks go head by head, so that a head's keys and values stay in L2 from tile to tile; within a head
/// later row tiles come first, which under a causal mask are the longest.
void attention_task(const AttentionArgs& args, std::int64_t task, float* scratch) noexcept;

/// Merges the attention state (o2, m2, d2) into (o1, m1, d1): softmax over the union of two disjoint key sets.
/// o: [dim] unnormalised sum of p*v; m: maximum score in log2 units, -inf when empty; d: sum of p. An empty state is
/// the identity, also against another empty one. Normalised output is o/d.
void merge_states(float* o1, float* m1, float* d1, const float* o2, float m2, float d2, std::int64_t dim) noexcept;

}  // namespace kvcast::kernels
