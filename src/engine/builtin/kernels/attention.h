// Fused tiled attention over a packed KV block: online softmax, never an L x L matrix.
// Source: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018); Dao et al., "FlashAttention"
// (2022). Scores are kept in units of log2 so that the exponential needs no range reduction by ln 2.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/builtin/kernels/element.h"

namespace kvcast::kernels {

/// Keys are stored transposed in panels of this many.
inline constexpr std::int64_t kKeyPanel = 64;
/// Query rows per task.
inline constexpr std::int64_t kRowTile = 24;
/// Keys per softmax step.
inline constexpr std::int64_t kKeyTile = 256;

/// Sizes of one packed KV block (one layer of one sequence).
///
/// fp32: keys [kv_heads][panels][head_dim][64], values [kv_heads][capacity][value_stride].
/// bf16: keys [kv_heads][panels][ceil(head_dim/2)][64][2], pairs adjacent in head_dim, a missing partner is zero;
///       values [kv_heads][ceil(capacity/2)][value_stride][2], pairs adjacent in key. A pair is what one lane of a bf16
///       dot product takes.
struct KvShape {
  std::int64_t kv_heads = 0, head_dim = 0, capacity = 0;  ///< capacity: keys there is room for
  Element element = Element::f32;

  std::int64_t panels() const { return (capacity + kKeyPanel - 1) / kKeyPanel; }
  /// Row stride of V in columns: head_dim rounded up to a multiple of 16, so that rows can be read in whole vectors.
  std::int64_t value_stride() const { return (head_dim + 15) / 16 * 16; }
  /// Rows of 64 lanes (fp32 or bf16 pairs) in one panel of K.
  std::int64_t panel_rows() const { return element == Element::f32 ? head_dim : (head_dim + 1) / 2; }
  /// Rows of value_stride lanes (fp32 or bf16 pairs) in V.
  std::int64_t value_rows() const { return element == Element::f32 ? capacity : (capacity + 1) / 2; }
  std::int64_t key_bytes_per_head() const { return panels() * panel_rows() * kKeyPanel * 4; }
  std::int64_t value_bytes_per_head() const { return value_rows() * value_stride() * 4; }
  std::int64_t key_bytes() const { return kv_heads * key_bytes_per_head(); }
  std::int64_t value_bytes() const { return kv_heads * value_bytes_per_head(); }
};

/// A packed KV block; keys and values are 64-byte aligned.
struct KvView {
  KvShape shape;
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;
};

/// Packs `count` rows of K and V of type `from` (each [count][kv_heads * head_dim], row stride `stride` elements) into
/// the block as keys first .. first+count-1 of it, for the kv heads [head_begin, head_end). fp32 becomes bf16 by
/// rounding to nearest even. In a bf16 block an odd end zeroes the missing partner, and an odd start keeps the partner
/// that is there: so pieces of one sequence go in ascending order, and pieces that are packed at the same time meet at
/// even keys.
void pack_kv(const KvShape& shape, Element from, const void* k, const void* v, std::int64_t stride, std::int64_t first,
             std::int64_t count, std::int64_t head_begin, std::int64_t head_end, std::byte* keys,
             std::byte* values) noexcept;

/// Attention of `rows` query rows against the first keys of a block.
struct AttentionArgs {
  Element element = Element::f32;  ///< of q, self_k, self_v and out; strides count elements
  std::int64_t heads = 0;          ///< query heads; head h reads kv head h / (heads / kv_heads)
  const void* q = nullptr;         ///< [rows][heads * head_dim]
  std::int64_t q_stride = 0;
  std::int64_t rows = 0;
  KvView kv;
  std::int64_t keys = 0;           ///< keys of the block that exist
  bool causal = false;             ///< row i sees keys [0, first_visible + i]; else all keys
  std::int64_t first_visible = 1;  ///< keys that row 0 sees when causal
  const void* self_k = nullptr;    ///< [rows][kv_heads * head_dim]: each row's own key and value, or null
  const void* self_v = nullptr;
  std::int64_t self_stride = 0;
  void* out = nullptr;  ///< [rows][heads * head_dim]
  std::int64_t out_stride = 0;
  /// The keys are cut into this many parts at multiples of kKeyTile, each a task of its own; parts beyond the tiles
  /// there are stay empty. The self key belongs to the first part.
  std::int64_t parts = 1;
  float* partial = nullptr;  ///< attention_partial_floats(args) floats, 64-byte aligned, when parts > 1
};

/// How many parts to cut `keys` into, so that few rows of few heads keep several threads busy. Depends neither on the
/// threads nor on the rows: then the bits of a row depend neither on the threads nor on the rows beside it.
std::int64_t attention_parts(std::int64_t heads, std::int64_t keys) noexcept;
/// Floats of `partial`: the parts' states; 0 when parts is 1.
std::int64_t attention_partial_floats(const AttentionArgs& args) noexcept;
/// Tasks that the work splits into: heads x row tiles x parts; each may run on any thread, results do not depend on
/// which.
std::int64_t attention_tasks(const AttentionArgs& args) noexcept;
/// Floats of scratch that one thread needs.
std::int64_t attention_scratch_floats(const KvShape& shape) noexcept;
/// Runs one task. Tasks go head by head, and within a head part by part, so that keys and values stay in L2 from row
/// tile to row tile; later row tiles come first, which under a causal mask are the longest. Scratch is 64-byte aligned.
void attention_task(const AttentionArgs& args, std::int64_t task, float* scratch) noexcept;
/// Merges that must follow when all tasks are done: 0 when parts is 1, else heads x row tiles. Each may run on any
/// thread.
std::int64_t attention_merges(const AttentionArgs& args) noexcept;
/// Merges the parts of one row tile of one head, in order, and writes them to `out`.
void attention_merge(const AttentionArgs& args, std::int64_t merge) noexcept;

/// Merges the attention state (o2, m2, d2) into (o1, m1, d1): softmax over the union of two disjoint key sets.
/// o: [dim] unnormalised sum of p*v; m: score in log2 units that p is relative to, the maximum or up to 8 below it,
/// -inf when empty; d: sum of p. An empty state is the identity, also against another empty one. Normalised output is
/// o/d.
void merge_states(float* o1, float* m1, float* d1, const float* o2, float m2, float d2, std::int64_t dim) noexcept;

}  // namespace kvcast::kernels
