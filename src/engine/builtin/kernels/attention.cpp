#include "engine/builtin/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "engine/builtin/kernels/bf16_dot.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/builtin/kernels/attention.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// Must come after foreach_target.h.
#include "hwy/cache_control.h"
#include "hwy/highway.h"

#ifndef KVCAST_ATTENTION_SHARED
#define KVCAST_ATTENTION_SHARED
// What does not depend on the target; this file is included once per target.
namespace kvcast::kernels {
namespace {

std::int64_t row_tiles(const AttentionArgs& args) { return (args.rows + kRowTile - 1) / kRowTile; }

// Tiles of nearly equal size, in whole register tiles of up to 6 rows: a last tile of a row or two would read all keys
// and values for itself.
std::int64_t tile_rows(const AttentionArgs& args) {
  constexpr std::int64_t kStep = 6;
  static_assert(kRowTile % kStep == 0);
  const std::int64_t tiles = row_tiles(args);
  return (args.rows + tiles * kStep - 1) / (tiles * kStep) * kStep;
}

// What a task works on.
struct TaskPlace {
  TaskPlace(const AttentionArgs& args, std::int64_t task) {
    const std::int64_t tiles = row_tiles(args);
    const std::int64_t key_tiles = (args.keys + kKeyTile - 1) / kKeyTile;
    head = task / tiles / args.parts;
    part = task / tiles % args.parts;
    row0 = (tiles - 1 - task % tiles) * tile_rows(args);
    rows = std::min(tile_rows(args), args.rows - row0);
    first_key = key_tiles * part / args.parts * kKeyTile;
    last_key = std::min(args.keys, key_tiles * (part + 1) / args.parts * kKeyTile);
  }
  std::int64_t head, part, row0, rows, first_key, last_key;
};

// A record of `partial`: o [value_stride], m, d; padded so that no two share a cache line.
std::int64_t record_floats(const KvShape& shape) { return shape.value_stride() + 16; }
float* partial_record(const AttentionArgs& args, std::int64_t part, std::int64_t head, std::int64_t row) {
  return args.partial + ((part * args.heads + head) * args.rows + row) * record_floats(args.kv.shape);
}

}  // namespace
}  // namespace kvcast::kernels
#endif  // KVCAST_ATTENTION_SHARED

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

// A vector of B. fp32: one step of depth; bf16: the pairs of two steps, each widened by a shift or a mask.
template <Element kB>
struct Steps;
template <>
struct Steps<Element::f32> {
  static constexpr int kCount = 1;
  static HWY_INLINE void Load(const float* b, V* out) { out[0] = hn::Load(D(), b); }
};
template <>
struct Steps<Element::bf16> {
  static constexpr int kCount = 2;
  static HWY_INLINE void Load(const float* b, V* out) {
    const hn::RebindToUnsigned<D> du;
    const auto pairs = hn::BitCast(du, hn::Load(D(), b));
    out[0] = hn::BitCast(D(), hn::ShiftLeft<16>(pairs));
    out[1] = hn::BitCast(D(), hn::And(pairs, hn::Set(du, 0xffff0000u)));
  }
};

// What a product prefetches: one cache line per row of B from `from`, at B's stride; with `step` 16 all lines of B's
// rows instead, with 0 the same line again and again.
struct Ahead {
  const float* from;
  std::int64_t step;
};

// C[R][NV vectors] = (kAdd ? C : 0) + A[R][depth] * B[depth][NV vectors], where B is of type kB (as pairs along depth:
// [depth/2][NV vectors], depth even).
template <Element kB, int R, int NV, bool kAdd>
HWY_NOINLINE void MicroKernel(const float* a_in, std::int64_t a_stride, const float* b_in, std::int64_t b_stride,
                              std::int64_t depth, float* c_in, std::int64_t c_stride, Ahead ahead_in) {
  constexpr int kSteps = Steps<kB>::kCount;
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float* HWY_RESTRICT a = a_in;
  const float* HWY_RESTRICT b = b_in;
  float* HWY_RESTRICT c = c_in;
  const float* ahead = ahead_in.from;
  const std::int64_t ahead_step = ahead_in.step;
  V acc[R][NV];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[r][v] = kAdd ? hn::Load(d, c + r * c_stride + v * lanes) : hn::Zero(d);
  }
  for (std::int64_t k = 0; k < depth; k += kSteps) {
    V bv[NV][kSteps];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) Steps<kB>::Load(b + v * lanes, bv[v]);
    b += b_stride;
    // A full group has no time to spare for more than one.
#pragma GCC unroll 8
    for (int v = 0; v < (R < kRows ? NV : 1); ++v) hwy::Prefetch(ahead + v * ahead_step);
    ahead += b_stride;
#pragma GCC unroll 2
    for (int step = 0; step < kSteps; ++step) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const V av = hn::Set(d, a[r * a_stride + k + step]);
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) acc[r][v] = hn::MulAdd(av, bv[v][step], acc[r][v]);
      }
    }
  }
  // Else g++ keeps the 24 addresses of C from above over the loop, in stack slots.
  asm("" : "+r"(c));
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) hn::Store(acc[r][v], d, c + r * c_stride + v * lanes);
  }
}

using MicroFunction = void (*)(const float*, std::int64_t, const float*, std::int64_t, std::int64_t, float*,
                               std::int64_t, Ahead);

template <Element kB, bool kAdd>
MicroFunction Micro(int rows, int vecs) {
  // [rows-1][vecs-1]; entries past kVecs are never asked for.
#define KVCAST_ROW(R)                                                                                       \
  {                                                                                                         \
    MicroKernel<kB, R, 1, kAdd>, MicroKernel<kB, R, 2, kAdd>, MicroKernel<kB, R, std::min(3, kVecs), kAdd>, \
        MicroKernel<kB, R, kVecs, kAdd>                                                                     \
  }
  static constexpr MicroFunction kTable[kRows][4] = {KVCAST_ROW(1), KVCAST_ROW(2), KVCAST_ROW(3),
                                                     KVCAST_ROW(4), KVCAST_ROW(5), KVCAST_ROW(6)};
#undef KVCAST_ROW
  return kTable[rows - 1][vecs - 1];
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
// 2^x with relative error 1.8e-7 (3 units of 2^-24) as far as the result is normal; exactly 1 at 0 and exactly 0 at
// -inf; NaN stays NaN. VREDUCEPS gives the fraction f = x - floor(x), VSCALEFPS multiplies by 2^floor(x). On [0, 1) 2^f
// is 1 + f*q(f), q of degree 4 by the Remez exchange on the relative error (8.2e-8 before rounding). Horner's scheme:
// independent vectors hide its latency, and it is one operation shorter than Estrin's.
HWY_INLINE V Exp2(V x) {
  const D d;
  constexpr __mmask16 kAll = 0xffff;  // the unmasked forms make g++ 12 warn of its own header
  const V f{_mm512_maskz_reduce_ps(kAll, x.raw, 1)};
  V p = hn::MulAdd(f, hn::Set(d, 1.867130072e-3f), hn::Set(d, 9.017030316e-3f));
  p = hn::MulAdd(f, p, hn::Set(d, 5.579991311e-2f));
  p = hn::MulAdd(f, p, hn::Set(d, 2.401644502e-1f));
  p = hn::MulAdd(f, p, hn::Set(d, 6.931513118e-1f));
  p = hn::MulAdd(f, p, hn::Set(d, 1.0f));
  return V{_mm512_maskz_scalef_ps(kAll, p.raw, x.raw)};
}
#else
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
#endif

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

// The reference m may lag this far behind the maximum of the scores: p up to 2^8 is as exact as p up to 1, and the
// branch that rescales, which no predictor could guess, is all but never taken after a row's first tile.
constexpr float kSlack = 8.0f;

// First half of the softmax of one row of one key tile: hides columns [visible, width), raises m when scale * s
// exceeds it by more than kSlack, and then rescales the lane-wise sums and the row's accumulated output.
HWY_INLINE void RaiseMaximum(float* HWY_RESTRICT s, std::int64_t visible, std::int64_t width, float scale, float* m,
                             float* HWY_RESTRICT sums, float* HWY_RESTRICT o, std::int64_t o_floats) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  // Columns past the visible ones hold later keys or padding: out of sight before anything reads them.
  const std::int64_t last = std::max<std::int64_t>(visible, 0);
  for (std::int64_t i = last / lanes * lanes; i < width; i += lanes) {
    const auto seen = hn::FirstN(d, static_cast<std::size_t>(std::max<std::int64_t>(last - i, 0)));
    hn::Store(hn::IfThenElse(seen, hn::Load(d, s + i), hn::Set(d, -std::numeric_limits<float>::infinity())), d, s + i);
  }
  V max0 = hn::Set(d, -std::numeric_limits<float>::infinity()), max1 = max0, max2 = max0, max3 = max0;
  std::int64_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) {
    max0 = hn::Max(max0, hn::Load(d, s + i));
    max1 = hn::Max(max1, hn::Load(d, s + i + lanes));
    max2 = hn::Max(max2, hn::Load(d, s + i + 2 * lanes));
    max3 = hn::Max(max3, hn::Load(d, s + i + 3 * lanes));
  }
  for (; i < width; i += lanes) max0 = hn::Max(max0, hn::Load(d, s + i));
  const V top = hn::Mul(hn::MaxOfLanes(d, hn::Max(hn::Max(max0, max1), hn::Max(max2, max3))), hn::Set(d, scale));
  const float top_value = hn::GetLane(top);
  if (top_value > *m + kSlack) {
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

// What differs between the arithmetic of the products: this one is fp32 against a block of type kB.
template <Element kB>
struct Fp32 {
  using A = float;  // element of the left operands q and p
  // Depth comes in steps of this many.
  static constexpr std::int64_t kSteps = Steps<kB>::kCount;

  // log2(e)/sqrt(head_dim) once per query instead of once per score.
  static float QueryScale(float scale) { return scale; }
  static float ScoreScale(float) { return 1.0f; }

  static void LoadQuery(const float* HWY_RESTRICT from, std::int64_t dim, float scale, float* HWY_RESTRICT to) {
    const D d;
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
    std::int64_t i = 0;
    for (; i + lanes <= dim; i += lanes) hn::Store(hn::Mul(hn::LoadU(d, from + i), hn::Set(d, scale)), d, to + i);
    for (; i < dim; ++i) to[i] = from[i] * scale;
    for (; i % kSteps != 0; ++i) to[i] = 0;
  }
  static void LoadQuery(const Bf16* HWY_RESTRICT from, std::int64_t dim, float scale, float* HWY_RESTRICT to) {
    for (std::int64_t i = 0; i < dim; ++i) to[i] = from_bf16(from[i]) * scale;
    for (std::int64_t i = dim; i % kSteps != 0; ++i) to[i] = 0;
  }

  // C[rows][columns] (+)= A[rows][depth] * B[depth][columns], columns in whole vectors, rows <= kRows.
  template <bool kAdd>
  static void Product(int rows, std::int64_t columns, const float* a, std::int64_t a_stride, const float* b,
                      std::int64_t b_stride, std::int64_t depth, float* c, std::int64_t c_stride, Ahead ahead) {
    const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(D()));
    for (std::int64_t column = 0; column < columns; column += kVecs * lanes) {
      const int vecs = static_cast<int>(std::min<std::int64_t>(kVecs, (columns - column) / lanes));
      Micro<kB, kAdd>(rows, vecs)(a, a_stride, b + column, b_stride, depth, c + column, c_stride, ahead);
    }
  }

  static void Softmax(float* s, std::int64_t width, float, float m, float* sums) { Exponentiate(s, width, m, sums); }
};

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
// bf16 dot products of bf16 operands, accumulated in fp32. The scale meets the scores in fp32: a scaled q would have to
// be rounded once more.
struct Native {
  using A = std::uint32_t;  // a pair

  static float QueryScale(float) { return 1.0f; }
  static float ScoreScale(float scale) { return scale; }

  static void LoadQuery(const Bf16* HWY_RESTRICT from, std::int64_t dim, float, std::uint32_t* HWY_RESTRICT to) {
    for (std::int64_t i = 0; i + 1 < dim; i += 2) {
      to[i / 2] = from[i] | static_cast<std::uint32_t>(from[i + 1]) << 16;
    }
    if (dim % 2 != 0) to[dim / 2] = from[dim - 1];
  }
  static void LoadQuery(const float*, std::int64_t, float, std::uint32_t*) {}

  template <bool kAdd>
  static void Product(int rows, std::int64_t columns, const std::uint32_t* a, std::int64_t a_stride, const float* b,
                      std::int64_t b_stride, std::int64_t depth, float* c, std::int64_t c_stride, Ahead ahead) {
    bf16_product(kAdd, rows, columns, a, a_stride, reinterpret_cast<const std::uint32_t*>(b), b_stride, (depth + 1) / 2,
                 c, c_stride, reinterpret_cast<const std::uint32_t*>(ahead.from), ahead.step);
  }

  static void Softmax(float* s, std::int64_t width, float scale, float m, float* sums) {
    bf16_exponentiate(s, width, scale, m, sums);
  }
};
static_assert(kRows <= kBf16Rows);
#endif

// `n` elements from `offset` on as fp32: in place, or widened into `room`.
const float* Widened(const void* from, Element element, std::int64_t offset, std::int64_t n, float* room) {
  if (element == Element::f32) return static_cast<const float*>(from) + offset;
  const Bf16* HWY_RESTRICT narrow = static_cast<const Bf16*>(from) + offset;
  for (std::int64_t i = 0; i < n; ++i) room[i] = from_bf16(narrow[i]);
  return room;
}

// to[0 .. n) = x[0 .. n) * factor as bf16, rounded to nearest even; x 64-byte aligned.
void Narrow(const float* HWY_RESTRICT x, float factor, std::int64_t n, Bf16* HWY_RESTRICT to) {
  const D d;
  const hn::RebindToSigned<D> di;
  const hn::RebindToUnsigned<D> du;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V value = hn::Mul(hn::Load(d, x + i), hn::Set(d, factor));
    const auto bits = hn::BitCast(du, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
    const auto quiet = hn::Or(bits, hn::Set(du, 0x400000u));  // rounding could carry a NaN away
    const auto chosen =
        hn::IfThenElse(hn::MaskFromVec(hn::BitCast(du, hn::VecFromMask(d, hn::IsNaN(value)))), quiet, rounded);
    hn::StoreU(hn::DemoteTo(hn::Rebind<std::uint16_t, D>(), hn::BitCast(di, hn::ShiftRight<16>(chosen))),
               hn::Rebind<std::uint16_t, D>(), to + i);
  }
  for (; i < n; ++i) to[i] = to_bf16(x[i] * factor);
}

// Result of one row and head from its unnormalised sum.
void WriteOut(const AttentionArgs& args, std::int64_t row, std::int64_t head, const float* HWY_RESTRICT o, float sum) {
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t dim = args.kv.shape.head_dim;
  const std::int64_t at = row * args.out_stride + head * dim;
  const float factor = 1.0f / sum;
  if (args.element == Element::f32) {
    float* HWY_RESTRICT to = static_cast<float*>(args.out) + at;
    std::int64_t i = 0;
    for (; i + lanes <= dim; i += lanes) hn::StoreU(hn::Mul(hn::Load(d, o + i), hn::Set(d, factor)), d, to + i);
    for (; i < dim; ++i) to[i] = o[i] * factor;
  } else {
    Bf16* HWY_RESTRICT to = static_cast<Bf16*>(args.out) + at;
    Narrow(o, factor, dim, to);
  }
}

void Merge(const AttentionArgs& args, std::int64_t merge) {
  const std::int64_t tiles = row_tiles(args);
  const std::int64_t head = merge / tiles, row0 = merge % tiles * tile_rows(args);
  const std::int64_t stride = args.kv.shape.value_stride();
  for (std::int64_t row = row0; row < std::min(row0 + tile_rows(args), args.rows); ++row) {
    float* const first = partial_record(args, 0, head, row);
    for (std::int64_t part = 1; part < args.parts; ++part) {
      const float* const next = partial_record(args, part, head, row);
      merge_states(first, &first[stride], &first[stride + 1], next, next[stride], next[stride + 1],
                   args.kv.shape.head_dim);
    }
    WriteOut(args, row, head, first, first[stride + 1]);
  }
}

template <class Arithmetic>
void RunTask(const AttentionArgs& args, std::int64_t task, float* scratch) {
  using A = typename Arithmetic::A;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(D()));
  const std::int64_t even_lanes = std::max<std::int64_t>(lanes, 2);  // one lane: the scalar target
  const KvShape& shape = args.kv.shape;
  const TaskPlace place(args, task);
  const std::int64_t dim = shape.head_dim;
  const std::int64_t stride = shape.value_stride();
  const std::int64_t head = place.head, row0 = place.row0;
  const int rows = static_cast<int>(place.rows);
  // Rows of one register tile, evened out in the same way.
  const int groups = (rows + kRows - 1) / kRows;
  const int group = (rows + groups - 1) / groups;
  const std::int64_t kv_head = head / (args.heads / shape.kv_heads);
  // Lanes of the block are 4 bytes wide in either type.
  const float* keys = reinterpret_cast<const float*>(args.kv.keys + kv_head * shape.key_bytes_per_head());
  const float* values = reinterpret_cast<const float*>(args.kv.values + kv_head * shape.value_bytes_per_head());
  const std::int64_t panel = shape.panel_rows() * kKeyPanel;
  const std::int64_t keys_per_lane = shape.element == Element::f32 ? 1 : 2;

  float* s = scratch;                      // [kRowTile][kScoreStride]
  float* o = s + kRowTile * kScoreStride;  // [kRowTile][stride]
  float* sums = o + kRowTile * stride;     // [kRowTile][16], lane-wise
  float* room = sums + kRowTile * 16;      // [3][stride]
  float* q_room = room + 3 * stride;       // [kRowTile][stride]
  A* q = reinterpret_cast<A*>(q_room);
  const A* p = reinterpret_cast<const A*>(s);
  float m[kRowTile];

  // Under a causal mask a task is short against the misses on its rows of q and of out: ask for all of them at once.
  const std::int64_t bytes = element_bytes(args.element);
  for (int r = 0; r < rows; ++r) {
    const auto* q_row = static_cast<const std::byte*>(args.q) + ((row0 + r) * args.q_stride + head * dim) * bytes;
    const auto* out_row = static_cast<const std::byte*>(args.out) + ((row0 + r) * args.out_stride + head * dim) * bytes;
    for (std::int64_t i = 0; i < dim * bytes; i += 64) {
      hwy::Prefetch(q_row + i);
      __builtin_prefetch(out_row + i, 1, 2);
    }
  }

  const float scale = static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(dim)));
  const float score_scale = Arithmetic::ScoreScale(scale);
  const auto load_queries = [&](int r0) HWY_ATTR {
    for (int r = r0; r < std::min(r0 + group, rows); ++r) {
      const std::int64_t at = (row0 + r) * args.q_stride + head * dim;
      if (args.element == Element::f32) {
        Arithmetic::LoadQuery(static_cast<const float*>(args.q) + at, dim, Arithmetic::QueryScale(scale),
                              q + r * stride);
      } else {
        Arithmetic::LoadQuery(static_cast<const Bf16*>(args.q) + at, dim, Arithmetic::QueryScale(scale),
                              q + r * stride);
      }
    }
  };
  for (int r = 0; r < rows; ++r) {
    float* HWY_RESTRICT o_row = o + r * stride;
    float* HWY_RESTRICT sum_row = sums + r * 16;
    for (std::int64_t i = 0; i < 16; i += lanes) hn::Store(hn::Zero(D()), D(), sum_row + i);
    if (args.self_k != nullptr && place.part == 0) {
      // The row's own key is a state of one key: p = 1 at its own score.
      const std::int64_t at = (row0 + r) * args.self_stride + kv_head * dim;
      const float* query = Widened(args.q, args.element, (row0 + r) * args.q_stride + head * dim, dim, room);
      const float* k = Widened(args.self_k, args.element, at, dim, room + stride);
      const float* HWY_RESTRICT v = Widened(args.self_v, args.element, at, dim, room + 2 * stride);
      m[r] = Dot(query, k, dim) * scale;
      sum_row[0] = 1.0f;
      for (std::int64_t i = 0; i < dim; ++i) o_row[i] = v[i];
      for (std::int64_t i = dim; i < stride; ++i) o_row[i] = 0;
    } else {
      m[r] = -std::numeric_limits<float>::infinity();
      for (std::int64_t i = 0; i < stride; i += lanes) hn::Store(hn::Zero(D()), D(), o_row + i);
    }
  }

  const std::int64_t ahead_step = groups == 1 ? 16 : 0;
  const auto visible_to = [&args, row0](std::int64_t row) {
    return args.causal ? std::min(args.keys, args.first_visible + row0 + row) : args.keys;
  };
  const std::int64_t last_key = std::min(place.last_key, visible_to(rows - 1));
  for (std::int64_t key0 = place.first_key; key0 < last_key; key0 += kKeyTile) {
    // Keys of this tile that the group of rows from r0 needs; at most kKeyTile, not positive when none.
    const auto needed_by = [&](int r0) {
      return std::min(kKeyTile, visible_to(std::min(r0 + group, rows) - 1) - key0);
    };
    const std::int64_t tile_keys = needed_by(rows - 1);
    // Panel by panel over all rows, so that a panel comes from L1 for every group but the first. Many groups have time
    // to prefetch the next panel and the next tile of V, a line per step each; a single group reads keys and values as
    // one stream as fast as they come, and prefetches all lines a short way ahead (N=5 at 1000x64x12, 0.73 -> 0.80 of
    // the FMA peak; 1 to 4 KiB ahead are equal).
    for (std::int64_t k = 0; k < tile_keys; k += kKeyPanel) {
      const float* b = keys + (key0 + k) / kKeyPanel * panel;
      for (int r0 = 0; r0 < rows; r0 += group) {
        const std::int64_t wanted = needed_by(r0) - k;
        if (wanted <= 0) continue;
        // As late as possible: while one group's rows arrive, another's are worked on.
        if (key0 + k == place.first_key) load_queries(r0);
        Arithmetic::template Product<false>(std::min(group, rows - r0),
                                            std::min(kKeyPanel, (wanted + lanes - 1) / lanes * lanes), q + r0 * stride,
                                            stride, b, kKeyPanel, dim, s + r0 * kScoreStride + k, kScoreStride,
                                            Ahead{b + (groups == 1 ? panel / 8 : panel) + r0 / group * 16, ahead_step});
      }
    }
    for (int r0 = 0; r0 < rows; r0 += group) {
      const std::int64_t needed = needed_by(r0);
      if (needed <= 0) continue;
      const std::int64_t width = (needed + even_lanes - 1) / even_lanes * even_lanes;
      for (int r = r0; r < std::min(r0 + group, rows); ++r) {
        RaiseMaximum(s + r * kScoreStride, std::min(kKeyTile, visible_to(r) - key0), width, score_scale, &m[r],
                     sums + r * 16, o + r * stride, stride);
      }
      for (int r = r0; r < std::min(r0 + group, rows); ++r) {
        Arithmetic::Softmax(s + r * kScoreStride, width, score_scale, m[r], sums + r * 16);
      }
    }
    // All keys of the tile in one product: it reads V from L2, and in return loads and stores the accumulators once.
    // Where keys come in pairs a last key without partner meets p = 0, for widths are even.
    const float* b = values + key0 / keys_per_lane * stride;
    const std::int64_t ahead = (groups == 1 ? kKeyPanel / 8 : kKeyTile) / keys_per_lane * stride;
    for (int r0 = 0; r0 < rows; r0 += group) {
      const std::int64_t needed = needed_by(r0);
      if (needed <= 0) continue;
      Arithmetic::template Product<true>(std::min(group, rows - r0), stride, p + r0 * kScoreStride, kScoreStride, b,
                                         stride, needed, o + r0 * stride, stride,
                                         Ahead{b + ahead + r0 / group * 16, ahead_step});
    }
  }

  for (int r = 0; r < rows; ++r) {
    const float sum = hn::GetLane(hn::SumOfLanes(D(), hn::Load(D(), sums + r * 16)));
    if (args.parts > 1) {
      float* HWY_RESTRICT record = partial_record(args, place.part, head, row0 + r);
      for (std::int64_t i = 0; i < dim; ++i) record[i] = o[r * stride + i];
      record[stride] = m[r];
      record[stride + 1] = sum;
    } else {
      WriteOut(args, row0 + r, head, o + r * stride, sum);
    }
  }
}

void Task(const AttentionArgs& args, std::int64_t task, float* scratch) {
  if (args.kv.shape.element == Element::f32) return RunTask<Fp32<Element::f32>>(args, task, scratch);
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  if (args.element == Element::bf16 && bf16_dot_supported()) return RunTask<Native>(args, task, scratch);
#endif
  RunTask<Fp32<Element::bf16>>(args, task, scratch);
}

// to[i][j] = from[j][i] for `rows` rows of `words` 32-bit words; strides in words, kKeyPanel between rows of `to`.
// Words are fp32 or pairs of bf16, so both are addressed as bytes.
void TransposeWords(const std::byte* HWY_RESTRICT from, std::int64_t from_stride, std::int64_t rows, std::int64_t words,
                    std::byte* HWY_RESTRICT to) {
  const auto word = [&](std::int64_t j, std::int64_t i) {
    std::memcpy(to + (i * kKeyPanel + j) * 4, from + (j * from_stride + i) * 4, 4);
  };
  std::int64_t j = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<std::uint8_t, 16> d8;
  const hn::FixedTag<std::uint32_t, 4> d32;
  const hn::FixedTag<std::uint64_t, 2> d64;
  for (; j + 4 <= rows; j += 4) {
    std::int64_t i = 0;
    for (; i + 4 <= words; i += 4) {
      const auto load = [&](std::int64_t r) HWY_ATTR {
        return hn::BitCast(
            d32, hn::LoadU(d8, reinterpret_cast<const std::uint8_t*>(from + ((j + r) * from_stride + i) * 4)));
      };
      const auto a = load(0), b = load(1), c = load(2), d = load(3);
      const auto ab = hn::BitCast(d64, hn::InterleaveLower(d32, a, b)),
                 cd = hn::BitCast(d64, hn::InterleaveLower(d32, c, d));
      const auto ab_up = hn::BitCast(d64, hn::InterleaveUpper(d32, a, b));
      const auto cd_up = hn::BitCast(d64, hn::InterleaveUpper(d32, c, d));
      const auto store = [&](std::int64_t column, auto v) HWY_ATTR {
        hn::StoreU(hn::BitCast(d8, v), d8, reinterpret_cast<std::uint8_t*>(to + ((i + column) * kKeyPanel + j) * 4));
      };
      store(0, hn::InterleaveLower(d64, ab, cd));
      store(1, hn::InterleaveUpper(d64, ab, cd));
      store(2, hn::InterleaveLower(d64, ab_up, cd_up));
      store(3, hn::InterleaveUpper(d64, ab_up, cd_up));
    }
    for (; i < words; ++i) {
      for (std::int64_t r = 0; r < 4; ++r) word(j + r, i);
    }
  }
#endif
  for (; j < rows; ++j) {
    for (std::int64_t i = 0; i < words; ++i) word(j, i);
  }
}

// to = a0 b0 a1 b1 ... for n elements of each.
void Zip(const Bf16* HWY_RESTRICT a, const Bf16* HWY_RESTRICT b, std::int64_t n, Bf16* HWY_RESTRICT to) {
  std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<std::uint16_t, 8> d;
  for (; i + 8 <= n; i += 8) {
    const auto va = hn::LoadU(d, a + i), vb = hn::LoadU(d, b + i);
    hn::StoreU(hn::InterleaveLower(d, va, vb), d, to + 2 * i);
    hn::StoreU(hn::InterleaveUpper(d, va, vb), d, to + 2 * i + 8);
  }
#endif
  for (; i < n; ++i) {
    to[2 * i] = a[i];
    to[2 * i + 1] = b[i];
  }
}

}  // namespace kvcast::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvcast::kernels {

HWY_EXPORT(Task);
HWY_EXPORT(Merge);
HWY_EXPORT(TransposeWords);
HWY_EXPORT(Zip);

void attention_task(const AttentionArgs& args, std::int64_t task, float* scratch) noexcept {
  HWY_DYNAMIC_DISPATCH(Task)(args, task, scratch);
}

std::int64_t attention_parts(std::int64_t heads, std::int64_t keys) noexcept {
  // Tasks for a dozen threads; a part long enough that merging it costs little, also where rows alone would do.
  constexpr std::int64_t kWantedTasks = 16, kMinKeys = 2 * kKeyTile;
  return std::max<std::int64_t>(1, std::min((kWantedTasks + heads - 1) / heads, keys / kMinKeys));
}

std::int64_t attention_partial_floats(const AttentionArgs& args) noexcept {
  return args.parts > 1 ? args.parts * args.heads * args.rows * record_floats(args.kv.shape) : 0;
}

std::int64_t attention_tasks(const AttentionArgs& args) noexcept { return args.heads * row_tiles(args) * args.parts; }

std::int64_t attention_merges(const AttentionArgs& args) noexcept {
  return args.parts > 1 ? args.heads * row_tiles(args) : 0;
}

void attention_merge(const AttentionArgs& args, std::int64_t merge) noexcept {
  HWY_DYNAMIC_DISPATCH(Merge)(args, merge);
}

std::int64_t attention_scratch_floats(const KvShape& shape) noexcept {
  // Threads' scratch must lie far apart: prefetchers that follow the strides of one thread's score tile otherwise
  // pull lines from under the next thread. On Zen 5, two threads, 0.48 of the FMA peak with neighbours 1 KiB apart,
  // 0.61 at 16 KiB, 0.70 at 64 KiB, which is what one thread reaches.
  constexpr std::int64_t kGuard = 16384;
  const std::int64_t stride = shape.value_stride();
  return kRowTile * (2 * stride + kKeyTile + 16 + 16) + 3 * stride + kGuard;
}

namespace {

template <typename To, typename From>
To convert(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<To, Bf16>) {
    return to_bf16(value);
  } else {
    return from_bf16(value);
  }
}

// Places of fp32: K [panel][head_dim][64], V [key][stride].
template <typename From>
void pack_f32(const KvShape& shape, const From* k, const From* v, std::int64_t row_stride, std::int64_t first,
              std::int64_t count, float* keys, float* values) {
  const std::int64_t dim = shape.head_dim;
  for (std::int64_t row = 0; row < count;) {
    const std::int64_t key = first + row;
    const std::int64_t lane = key % kKeyPanel;
    const std::int64_t run = std::min(count - row, kKeyPanel - lane);
    const From* __restrict from = k + row * row_stride;
    float* __restrict to = keys + (key - lane) * dim + lane;
    if constexpr (std::is_same_v<From, float>) {
      HWY_DYNAMIC_DISPATCH(TransposeWords)
      (reinterpret_cast<const std::byte*>(from), row_stride, run, dim, reinterpret_cast<std::byte*>(to));
    } else {
      for (std::int64_t i = 0; i < dim; ++i) {
        for (std::int64_t j = 0; j < run; ++j) to[i * kKeyPanel + j] = convert<float>(from[j * row_stride + i]);
      }
    }
    row += run;
  }
  for (std::int64_t row = 0; row < count; ++row) {
    const From* __restrict from = v + row * row_stride;
    float* __restrict to = values + (first + row) * shape.value_stride();
    for (std::int64_t i = 0; i < dim; ++i) to[i] = convert<float>(from[i]);
  }
}

// Places of bf16: K [panel][head_dim/2][64][2], V [key/2][stride][2].
template <typename From>
void pack_bf16(const KvShape& shape, const From* k, const From* v, std::int64_t row_stride, std::int64_t first,
               std::int64_t count, Bf16* keys, Bf16* values) {
  const std::int64_t dim = shape.head_dim;
  const std::int64_t stride = shape.value_stride();
  for (std::int64_t row = 0; row < count;) {
    const std::int64_t key = first + row;
    const std::int64_t lane = key % kKeyPanel;
    const std::int64_t run = std::min(count - row, kKeyPanel - lane);
    const From* __restrict from = k + row * row_stride;
    Bf16* __restrict to = keys + (key / kKeyPanel * shape.panel_rows() * kKeyPanel + lane) * 2;
    row += run;
    if (std::is_same_v<From, Bf16> && dim % 2 == 0 && row_stride % 2 == 0) {
      HWY_DYNAMIC_DISPATCH(TransposeWords)
      (reinterpret_cast<const std::byte*>(from), row_stride / 2, run, dim / 2, reinterpret_cast<std::byte*>(to));
      continue;
    }
    for (std::int64_t i = 0; i < dim; i += 2) {
      Bf16* __restrict pairs = to + i * kKeyPanel;
      for (std::int64_t j = 0; j < run; ++j) {
        pairs[2 * j] = convert<Bf16>(from[j * row_stride + i]);
        pairs[2 * j + 1] = i + 1 < dim ? convert<Bf16>(from[j * row_stride + i + 1]) : Bf16{0};
      }
    }
  }
  for (std::int64_t row = 0; row < count; ++row) {
    const std::int64_t key = first + row;
    const From* __restrict from = v + row * row_stride;
    Bf16* __restrict to = values + key / 2 * stride * 2 + key % 2;
    if constexpr (std::is_same_v<From, Bf16>) {
      if (key % 2 == 0 && row + 1 < count) {
        HWY_DYNAMIC_DISPATCH(Zip)(from, from + row_stride, dim, to);
        ++row;
        continue;
      }
    }
    for (std::int64_t i = 0; i < dim; ++i) to[2 * i] = convert<Bf16>(from[i]);
    // Only p = 0 meets a missing partner, but 0 times what lies there may be NaN.
    if (row == count - 1 && key % 2 == 0) {
      for (std::int64_t i = 0; i < dim; ++i) to[2 * i + 1] = 0;
    }
  }
}

template <typename From>
void pack_from(const KvShape& shape, const From* k, const From* v, std::int64_t stride, std::int64_t first,
               std::int64_t count, std::int64_t head_begin, std::int64_t head_end, std::byte* keys, std::byte* values) {
  for (std::int64_t head = head_begin; head < head_end; ++head) {
    std::byte* const key_head = keys + head * shape.key_bytes_per_head();
    std::byte* const value_head = values + head * shape.value_bytes_per_head();
    const From* const k_head = k + head * shape.head_dim;
    const From* const v_head = v + head * shape.head_dim;
    if (shape.element == Element::f32) {
      pack_f32(shape, k_head, v_head, stride, first, count, reinterpret_cast<float*>(key_head),
               reinterpret_cast<float*>(value_head));
    } else {
      pack_bf16(shape, k_head, v_head, stride, first, count, reinterpret_cast<Bf16*>(key_head),
                reinterpret_cast<Bf16*>(value_head));
    }
  }
}

}  // namespace

void pack_kv(const KvShape& shape, Element from, const void* k, const void* v, std::int64_t stride, std::int64_t first,
             std::int64_t count, std::int64_t head_begin, std::int64_t head_end, std::byte* keys,
             std::byte* values) noexcept {
  if (from == Element::f32) {
    pack_from(shape, static_cast<const float*>(k), static_cast<const float*>(v), stride, first, count, head_begin,
              head_end, keys, values);
  } else {
    pack_from(shape, static_cast<const Bf16*>(k), static_cast<const Bf16*>(v), stride, first, count, head_begin,
              head_end, keys, values);
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
