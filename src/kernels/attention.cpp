#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// Must come after foreach_target.h.
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace kvcast::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;  // 16 floats is what the packed layouts are padded to
using V = hn::Vec<D>;

// Register tile: kRows x kVecs accumulators, kVecs loads of B and one broadcast of A must fit the register file.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SSE2
constexpr int kVecs = 2;  // 16 registers
#else
constexpr int kVecs = 4;  // 32 registers
#endif
constexpr int kRows = 6;
// Row stride of the score tile: off a power of two, or rows would fall into the same few L1 sets.
constexpr std::int64_t kScoreStride = kKeyTile + 16;

// C[R][NV vectors] = (kAdd ? C : 0) + A[R][depth] * B[depth][NV vectors]. Prefetches one cache line per step from
// `ahead`, at B's stride.
template <int R, int NV, bool kAdd>
HWY_NOINLINE void MicroKernel(const float* a_in, std::int64_t a_stride, const float* b_in, std::int64_t b_stride,
                              std::int64_t depth, float* c_in, std::int64_t c_stride, const float* ahead) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float* HWY_RESTRICT a = a_in;
  const float* HWY_RESTRICT b = b_in;
  float* HWY_RESTRICT c = c_in;
  V acc[R][NV];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[r][v] = kAdd ? hn::Load(d, c + r * c_stride + v * lanes) : hn::Zero(d);
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    V bv[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) bv[v] = hn::Load(d, b + v * lanes);
    b += b_stride;
    hwy::Prefetch(ahead);
    ahead += b_stride;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const V av = hn::Set(d, a[r * a_stride + k]);
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) acc[r][v] = hn::MulAdd(av, bv[v], acc[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) hn::Store(acc[r][v], d, c + r * c_stride + v * lanes);
  }
}

using MicroFunction = void (*)(const float*, std::int64_t, const float*, std::int64_t, std::int64_t, float*,
                               std::int64_t, const float*);

template <bool kAdd>
MicroFunction Micro(int rows, int vecs) {
  // [rows-1][vecs-1]; entries past kVecs are never asked for.
#define KVCAST_ROW(R)                                                                           \
  {                                                                                             \
    MicroKernel<R, 1, kAdd>, MicroKernel<R, 2, kAdd>, MicroKernel<R, std::min(3, kVecs), kAdd>, \
        MicroKernel<R, kVecs, kAdd>                                                             \
  }
  static constexpr MicroFunction kTable[kRows][4] = {KVCAST_ROW(1), KVCAST_ROW(2), KVCAST_ROW(3),
                                                     KVCAST_ROW(4), KVCAST_ROW(5), KVCAST_ROW(6)};
#undef KVCAST_ROW
  return kTable[rows - 1][vecs - 1];
}

// C[rows][columns] (+)= A[rows][depth] * B[depth][columns], columns in whole vectors, rows <= kRows.
template <bool kAdd>
void Product(int rows, std::int64_t columns, const float* a, std::int64_t a_stride, const float* b,
             std::int64_t b_stride, std::int64_t depth, float* c, std::int64_t c_stride, const float* ahead) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(D()));
  for (std::int64_t column = 0; column < columns; column += kVecs * lanes) {
    const int vecs = static_cast<int>(std::min<std::int64_t>(kVecs, (columns - column) / lanes));
    Micro<kAdd>(rows, vecs)(a, a_stride, b + column, b_stride, depth, c + column, c_stride, ahead);
  }
}

// 2^x for x <= 0 with relative error 1.1e-7; exactly 1 at 0 and exactly 0 from -127 down, so that -inf gives 0.
// The integer part comes out of the low bits of x + 1.5*2^23 and is added to the exponent; 2^fraction on [-0.5, 0.5]
// is 1 + f*q(f), q of degree 4 fitted to the least maximum relative error (reweighted least squares), evaluated by
// Estrin's scheme for its short dependency chain.
HWY_INLINE V Exp2(V x) {
  const D d;
  const hn::RebindToSigned<D> di;
  const V magic = hn::Set(d, 12582912.0f);
  // Clamped at -127 the exponent field of 1.0 becomes 0. In this order x86 keeps a NaN.
  x = hn::Max(hn::Set(d, -127.0f), x);
  const V shifted = hn::Add(x, magic);
  const V f = hn::Sub(x, hn::Sub(shifted, magic));
  const V f2 = hn::Mul(f, f);
  const V low = hn::MulAdd(f, hn::Set(d, 6.931470037e-1f), hn::Set(d, 1.0f));
  const V middle = hn::MulAdd(f, hn::Set(d, 5.550733581e-2f), hn::Set(d, 2.402224243e-1f));
  const V high = hn::MulAdd(f, hn::Set(d, 1.326474245e-3f), hn::Set(d, 9.671517648e-3f));
  const V p = hn::MulAdd(hn::MulAdd(high, f2, middle), f2, low);
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), exponent));
}

HWY_INLINE float Dot(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, std::int64_t n) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
  float total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

// First half of the softmax of one row of one key tile: hides columns [visible, width), updates m, and rescales the
// lane-wise sums and the row's accumulated output when the maximum moves.
HWY_INLINE void RaiseMaximum(float* HWY_RESTRICT s, std::int64_t visible, std::int64_t width, float* m,
                             float* HWY_RESTRICT sums, float* HWY_RESTRICT o, std::int64_t o_floats) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  // Columns past the visible ones hold later keys or padding: out of sight before anything reads them.
  for (std::int64_t i = std::max<std::int64_t>(visible, 0); i < width; ++i) {
    s[i] = -std::numeric_limits<float>::infinity();
  }
  V max0 = hn::Set(d, *m), max1 = max0, max2 = max0, max3 = max0;
  std::int64_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) {
    max0 = hn::Max(max0, hn::Load(d, s + i));
    max1 = hn::Max(max1, hn::Load(d, s + i + lanes));
    max2 = hn::Max(max2, hn::Load(d, s + i + 2 * lanes));
    max3 = hn::Max(max3, hn::Load(d, s + i + 3 * lanes));
  }
  for (; i < width; i += lanes) max0 = hn::Max(max0, hn::Load(d, s + i));
  const V top = hn::MaxOfLanes(d, hn::Max(hn::Max(max0, max1), hn::Max(max2, max3)));
  const float top_value = hn::GetLane(top);
  if (top_value > *m) {
    // 2^(-inf) is 0, and sums and o are still 0 then.
    const V factor = Exp2(hn::Sub(hn::Set(d, *m), top));
    hn::Store(hn::Mul(hn::Load(d, sums), factor), d, sums);
    for (std::int64_t j = 0; j < o_floats; j += lanes) hn::Store(hn::Mul(hn::Load(d, o + j), factor), d, o + j);
    *m = top_value;
  }
}

// Second half: scores become p = 2^(s - m), summed lane-wise. Apart from the first so that the reductions of many rows
// overlap instead of each delaying its own row.
HWY_INLINE void Exponentiate(float* HWY_RESTRICT s, std::int64_t width, float m, float* HWY_RESTRICT sums) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  // A row that sees nothing yet has m = -inf: any finite stand-in makes its p exactly 0.
  const V top = hn::Set(d, std::max(m, std::numeric_limits<float>::lowest()));
  V sum0 = hn::Load(d, sums), sum1 = hn::Zero(d), sum2 = sum1, sum3 = sum1;
  std::int64_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) {
    const V p0 = Exp2(hn::Sub(hn::Load(d, s + i), top));
    const V p1 = Exp2(hn::Sub(hn::Load(d, s + i + lanes), top));
    const V p2 = Exp2(hn::Sub(hn::Load(d, s + i + 2 * lanes), top));
    const V p3 = Exp2(hn::Sub(hn::Load(d, s + i + 3 * lanes), top));
    hn::Store(p0, d, s + i);
    hn::Store(p1, d, s + i + lanes);
    hn::Store(p2, d, s + i + 2 * lanes);
    hn::Store(p3, d, s + i + 3 * lanes);
    sum0 = hn::Add(sum0, p0);
    sum1 = hn::Add(sum1, p1);
    sum2 = hn::Add(sum2, p2);
    sum3 = hn::Add(sum3, p3);
  }
  for (; i < width; i += lanes) {
    const V p = Exp2(hn::Sub(hn::Load(d, s + i), top));
    hn::Store(p, d, s + i);
    sum0 = hn::Add(sum0, p);
  }
  hn::Store(hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3)), d, sums);
}

void Task(const AttentionArgs& args, std::int64_t task, float* scratch) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(D()));
  const KvShape& shape = args.kv.shape;
  const std::int64_t dim = shape.head_dim;
  const std::int64_t stride = shape.value_stride();
  const std::int64_t tiles = (args.rows + kRowTile - 1) / kRowTile;
  const std::int64_t head = task / tiles;
  const std::int64_t tile = tiles - 1 - task % tiles;
  const std::int64_t row0 = tile * kRowTile;
  const int rows = static_cast<int>(std::min(kRowTile, args.rows - row0));
  const std::int64_t kv_head = head / (args.heads / shape.kv_heads);
  const float* keys = args.kv.keys + kv_head * shape.key_floats_per_head();
  const float* values = args.kv.values + kv_head * shape.value_floats_per_head();

  float* q = scratch;                      // [kRowTile][dim]
  float* s = q + kRowTile * stride;        // [kRowTile][kScoreStride]
  float* o = s + kRowTile * kScoreStride;  // [kRowTile][stride]
  float* sums = o + kRowTile * stride;     // [kRowTile][16], lane-wise
  float m[kRowTile];

  // log2(e)/sqrt(head_dim) once per query instead of once per score.
  const float scale = static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(dim)));
  for (int r = 0; r < rows; ++r) {
    const float* HWY_RESTRICT from = args.q + (row0 + r) * args.q_stride + head * dim;
    float* HWY_RESTRICT to = q + r * dim;
    for (std::int64_t i = 0; i < dim; ++i) to[i] = from[i] * scale;
  }
  for (int r = 0; r < rows; ++r) {
    float* HWY_RESTRICT o_row = o + r * stride;
    float* HWY_RESTRICT sum_row = sums + r * 16;
    for (int i = 0; i < 16; ++i) sum_row[i] = 0;
    if (args.self_k != nullptr) {
      // The row's own key is a state of one key: p = 1 at its own score.
      const float* HWY_RESTRICT k = args.self_k + (row0 + r) * args.self_stride + kv_head * dim;
      const float* HWY_RESTRICT v = args.self_v + (row0 + r) * args.self_stride + kv_head * dim;
      const float* HWY_RESTRICT q_row = q + r * dim;
      m[r] = Dot(q_row, k, dim);
      sum_row[0] = 1.0f;
      for (std::int64_t i = 0; i < dim; ++i) o_row[i] = v[i];
      for (std::int64_t i = dim; i < stride; ++i) o_row[i] = 0;
    } else {
      m[r] = -std::numeric_limits<float>::infinity();
      for (std::int64_t i = 0; i < stride; ++i) o_row[i] = 0;
    }
  }

  // Keys that the last of `count` rows from `row` sees.
  const auto visible_to = [&args, row0](std::int64_t row) {
    return args.causal ? std::min(args.keys, args.first_visible + row0 + row) : args.keys;
  };
  const std::int64_t last_key = visible_to(rows - 1);
  for (std::int64_t key0 = 0; key0 < last_key; key0 += kKeyTile) {
    // Keys of this tile that the group of rows from r0 needs; at most kKeyTile, not positive when none.
    const auto needed_by = [&](int r0) {
      return std::min(kKeyTile, visible_to(std::min(r0 + kRows, rows) - 1) - key0);
    };
    const std::int64_t tile_keys = needed_by(rows - 1);
    // Panel by panel over all rows, so that a panel comes from L1 for every group but the first.
    for (std::int64_t k = 0; k < tile_keys; k += kKeyPanel) {
      for (int r0 = 0; r0 < rows; r0 += kRows) {
        const std::int64_t wanted = needed_by(r0) - k;
        if (wanted <= 0) continue;
        Product<false>(std::min(kRows, rows - r0), std::min(kKeyPanel, (wanted + lanes - 1) / lanes * lanes),
                       q + r0 * dim, dim, keys + (key0 + k) * dim, kKeyPanel, dim, s + r0 * kScoreStride + k,
                       kScoreStride, keys + (key0 + k + kKeyPanel) * dim + r0 / kRows * 16);
      }
    }
    for (int r0 = 0; r0 < rows; r0 += kRows) {
      const std::int64_t needed = needed_by(r0);
      if (needed <= 0) continue;
      const std::int64_t width = (needed + lanes - 1) / lanes * lanes;
      for (int r = r0; r < std::min(r0 + kRows, rows); ++r) {
        RaiseMaximum(s + r * kScoreStride, std::min(kKeyTile, visible_to(r) - key0), width, &m[r], sums + r * 16,
                     o + r * stride, stride);
      }
      for (int r = r0; r < std::min(r0 + kRows, rows); ++r) {
        Exponentiate(s + r * kScoreStride, width, m[r], sums + r * 16);
      }
    }
    // All keys of the tile in one product: it reads V from L2, and in return loads and stores the accumulators once.
    for (int r0 = 0; r0 < rows; r0 += kRows) {
      const std::int64_t needed = needed_by(r0);
      if (needed <= 0) continue;
      Product<true>(std::min(kRows, rows - r0), stride, s + r0 * kScoreStride, kScoreStride, values + key0 * stride,
                    stride, needed, o + r0 * stride, stride, values + (key0 + kKeyTile) * stride + r0 / kRows * 16);
    }
  }

  for (int r = 0; r < rows; ++r) {
    const float* HWY_RESTRICT from = o + r * stride;
    float* HWY_RESTRICT to = args.out + (row0 + r) * args.out_stride + head * dim;
    const float sum = hn::GetLane(hn::SumOfLanes(D(), hn::Load(D(), sums + r * 16)));
    float factor = 1.0f;
    if (args.state_max != nullptr) {
      args.state_max[(row0 + r) * args.heads + head] = m[r];
      args.state_sum[(row0 + r) * args.heads + head] = sum;
    } else {
      factor = 1.0f / sum;
    }
    for (std::int64_t i = 0; i < dim; ++i) to[i] = from[i] * factor;
  }
}

}  // namespace kvcast::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvcast::kernels {

HWY_EXPORT(Task);

void attention_task(const AttentionArgs& args, std::int64_t task, float* scratch) noexcept {
  HWY_DYNAMIC_DISPATCH(Task)(args, task, scratch);
}

std::int64_t attention_tasks(const AttentionArgs& args) noexcept {
  return args.heads * ((args.rows + kRowTile - 1) / kRowTile);
}

std::int64_t attention_scratch_floats(std::int64_t head_dim) noexcept {
  // Threads' scratch must lie far apart: prefetchers that follow the strides of one thread's score tile otherwise
  // pull lines from under the next thread. On Zen 5, two threads, 0.48 of the FMA peak with neighbours 1 KiB apart,
  // 0.61 at 16 KiB, 0.70 at 64 KiB, which is what one thread reaches.
  constexpr std::int64_t kGuard = 16384;
  const std::int64_t stride = KvShape{1, head_dim, 0}.value_stride();
  return kRowTile * (2 * stride + kKeyTile + 16 + 16) + kGuard;
}

void pack_kv(const KvShape& shape, const float* k, const float* v, std::int64_t stride, std::int64_t first,
             std::int64_t count, std::int64_t head_begin, std::int64_t head_end, float* keys, float* values) noexcept {
  const std::int64_t dim = shape.head_dim;
  for (std::int64_t head = head_begin; head < head_end; ++head) {
    float* const key_head = keys + head * shape.key_floats_per_head();
    float* const value_head = values + head * shape.value_floats_per_head();
    for (std::int64_t row = 0; row < count;) {
      const std::int64_t key = first + row;
      const std::int64_t lane = key % kKeyPanel;
      const std::int64_t run = std::min(count - row, kKeyPanel - lane);
      const float* __restrict from = k + row * stride + head * dim;
      float* __restrict to = key_head + (key - lane) * dim + lane;
      for (std::int64_t i = 0; i < dim; ++i) {
        for (std::int64_t j = 0; j < run; ++j) to[i * kKeyPanel + j] = from[j * stride + i];
      }
      row += run;
    }
    for (std::int64_t row = 0; row < count; ++row) {
      const float* __restrict from = v + row * stride + head * dim;
      float* __restrict to = value_head + (first + row) * shape.value_stride();
      for (std::int64_t i = 0; i < dim; ++i) to[i] = from[i];
    }
  }
}

void merge_states(float* o1, float* m1, float* d1, const float* o2, float m2, float d2, std::int64_t dim) noexcept {
  const float minus_infinity = -std::numeric_limits<float>::infinity();
  if (m2 == minus_infinity) return;  // (-inf) - (-inf) would be NaN
  const float m = std::max(*m1, m2);
  const float f1 = *m1 == minus_infinity ? 0.0f : std::exp2(*m1 - m);
  const float f2 = std::exp2(m2 - m);
  for (std::int64_t i = 0; i < dim; ++i) o1[i] = o1[i] * f1 + o2[i] * f2;
  *d1 = *d1 * f1 + d2 * f2;
  *m1 = m;
}

}  // namespace kvcast::kernels
#endif  // HWY_ONCE
