#include "engine/builtin/kernels/bf16_dot.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/builtin/kernels/bf16_dot.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// Must come after foreach_target.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace kvcast::kernels::HWY_NAMESPACE {
bool TargetAllowsBf16() { return HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3; }
}  // namespace kvcast::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvcast::kernels {
HWY_EXPORT(TargetAllowsBf16);
}

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <limits>

#define KVCAST_BF16 __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")))
#define KVCAST_BF16_INLINE KVCAST_BF16 inline __attribute__((always_inline))

namespace kvcast::kernels {
namespace {

constexpr int kVecs = 4;
// g++ 12 warns of its own undefined operands in the unmasked forms (GCC bug 105593).
constexpr __mmask16 kAll = 0xffff;

KVCAST_BF16_INLINE __m512 dot(__m512 c, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}

template <int R, int NV, bool kAdd>
KVCAST_BF16 void micro_kernel(const std::uint32_t* a_in, std::int64_t a_stride, const std::uint32_t* b_in,
                              std::int64_t b_stride, std::int64_t pairs, float* c_in, std::int64_t c_stride,
                              const std::uint32_t* ahead, std::int64_t ahead_step) {
  const std::uint32_t* __restrict a = a_in;
  const std::uint32_t* __restrict b = b_in;
  float* __restrict c = c_in;
  __m512 acc[R][NV];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[r][v] = kAdd ? _mm512_load_ps(c + r * c_stride + v * 16) : _mm512_setzero_ps();
  }
  for (std::int64_t k = 0; k < pairs; ++k) {
    __m512i bv[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) bv[v] = _mm512_load_si512(b + v * 16);
    b += b_stride;
    // As in attention.cpp.
#pragma GCC unroll 8
    for (int v = 0; v < (R < kBf16Rows ? NV : 1); ++v) {
      _mm_prefetch(reinterpret_cast<const char*>(ahead + v * ahead_step), _MM_HINT_T0);
    }
    ahead += b_stride;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m512i av = _mm512_set1_epi32(static_cast<int>(a[r * a_stride + k]));
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) acc[r][v] = dot(acc[r][v], av, bv[v]);
    }
  }
  // Else g++ keeps the addresses of C from above over the loop, in stack slots.
  asm("" : "+r"(c));
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) _mm512_store_ps(c + r * c_stride + v * 16, acc[r][v]);
  }
}

using MicroFunction = void (*)(const std::uint32_t*, std::int64_t, const std::uint32_t*, std::int64_t, std::int64_t,
                               float*, std::int64_t, const std::uint32_t*, std::int64_t);

template <bool kAdd>
MicroFunction micro(int rows, int vecs) {
#define KVCAST_ROW(R) \
  { micro_kernel<R, 1, kAdd>, micro_kernel<R, 2, kAdd>, micro_kernel<R, 3, kAdd>, micro_kernel<R, 4, kAdd> }
  static constexpr MicroFunction kTable[kBf16Rows][kVecs] = {KVCAST_ROW(1), KVCAST_ROW(2), KVCAST_ROW(3),
                                                             KVCAST_ROW(4), KVCAST_ROW(5), KVCAST_ROW(6)};
#undef KVCAST_ROW
  return kTable[rows - 1][vecs - 1];
}

// 2^x as in attention.cpp, but to 8.6e-5 with q of degree 2, a fortieth of the rounding to bf16 that follows.
KVCAST_BF16_INLINE __m512 exp2(__m512 x) {
  const __m512 f = _mm512_maskz_reduce_ps(kAll, x, 1);  // x - floor(x)
  __m512 p = _mm512_fmadd_ps(f, _mm512_set1_ps(7.7067042e-2f), _mm512_set1_ps(2.276449912e-1f));
  p = _mm512_fmadd_ps(f, p, _mm512_set1_ps(6.951167864e-1f));
  p = _mm512_fmadd_ps(f, p, _mm512_set1_ps(1.0f));
  return _mm512_maskz_scalef_ps(kAll, p, x);
}

}  // namespace

bool bf16_dot_supported() noexcept {
  // Not hwy::SupportedTargets(): that executes CPUID, which takes 25 us in a virtual machine. The dispatcher knows.
  static const bool cpu = __builtin_cpu_supports("avx512bf16") != 0;
  return cpu && HWY_DYNAMIC_DISPATCH(TargetAllowsBf16)();
}

void bf16_product(bool add, int rows, std::int64_t columns, const std::uint32_t* a, std::int64_t a_stride,
                  const std::uint32_t* b, std::int64_t b_stride, std::int64_t pairs, float* c, std::int64_t c_stride,
                  const std::uint32_t* ahead, std::int64_t ahead_step) noexcept {
  for (std::int64_t column = 0; column < columns; column += kVecs * 16) {
    const int vecs = static_cast<int>(std::min<std::int64_t>(kVecs, (columns - column) / 16));
    const MicroFunction kernel = add ? micro<true>(rows, vecs) : micro<false>(rows, vecs);
    kernel(a, a_stride, b + column, b_stride, pairs, c + column, c_stride, ahead, ahead_step);
  }
}

KVCAST_BF16 void bf16_exponentiate(float* s, std::int64_t width, float scale, float m, float* sums) noexcept {
  // The fused s * scale - m is exact where m, the largest product, was rounded. Far from 0 that difference alone makes
  // p infinite: there the products are rounded first, too.
  if (std::abs(m) > 0x1p20f) {
    for (std::int64_t i = 0; i < width; i += 16) {
      _mm512_store_ps(s + i, _mm512_mul_ps(_mm512_load_ps(s + i), _mm512_set1_ps(scale)));
    }
    scale = 1;
  }
  const __m512 factor = _mm512_set1_ps(scale);
  // A row that sees nothing yet has m = -inf: any finite stand-in makes its p exactly 0.
  const __m512 top = _mm512_set1_ps(std::max(m, std::numeric_limits<float>::lowest()));
  const __m512i ones = _mm512_set1_epi16(0x3f80);
  __m512 sum0 = _mm512_load_ps(sums), sum1 = _mm512_setzero_ps();
  // In place: the store of pairs never passes the loads of scores.
  std::int64_t i = 0;
  for (; i + 64 <= width; i += 64) {
    const __m512 p0 = exp2(_mm512_fmsub_ps(_mm512_load_ps(s + i), factor, top));
    const __m512 p1 = exp2(_mm512_fmsub_ps(_mm512_load_ps(s + i + 16), factor, top));
    const __m512 p2 = exp2(_mm512_fmsub_ps(_mm512_load_ps(s + i + 32), factor, top));
    const __m512 p3 = exp2(_mm512_fmsub_ps(_mm512_load_ps(s + i + 48), factor, top));
    const __m512i low = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(p1, p0));
    const __m512i high = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(p3, p2));
    _mm512_store_si512(s + i / 2, low);
    _mm512_store_si512(s + i / 2 + 16, high);
    sum0 = dot(sum0, low, ones);
    sum1 = dot(sum1, high, ones);
  }
  for (; i < width; i += 32) {
    const __m512 p0 = exp2(_mm512_fmsub_ps(_mm512_load_ps(s + i), factor, top));
    const __m512 p1 =
        i + 16 < width ? exp2(_mm512_fmsub_ps(_mm512_load_ps(s + i + 16), factor, top)) : _mm512_setzero_ps();
    const __m512i p = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(p1, p0));
    _mm512_store_si512(s + i / 2, p);
    sum0 = dot(sum0, p, ones);
  }
  _mm512_store_ps(sums, _mm512_add_ps(sum0, sum1));
}

}  // namespace kvcast::kernels

#else

namespace kvcast::kernels {

bool bf16_dot_supported() noexcept { return false; }
void bf16_product(bool, int, std::int64_t, const std::uint32_t*, std::int64_t, const std::uint32_t*, std::int64_t,
                  std::int64_t, float*, std::int64_t, const std::uint32_t*, std::int64_t) noexcept {}
void bf16_exponentiate(float*, std::int64_t, float, float, float*) noexcept {}

}  // namespace kvcast::kernels

#endif
#endif  // HWY_ONCE
