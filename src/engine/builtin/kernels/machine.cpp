#include "engine/builtin/kernels/machine.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/builtin/kernels/machine.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// Must come after foreach_target.h.
#include "hwy/highway.h"

// Highway 1.0.3 has no bf16 dot product: plain intrinsics, once, outside its targets.
#if HWY_ARCH_X86_64 && HWY_ONCE
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace kvcast::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 10 chains cover 2 pipes x 4 to 5 cycles of latency and fit 16 registers beside the two factors.
constexpr int kChains = 10;

float FmaBurst(std::int64_t steps) {
  const hn::ScalableTag<float> d;
  // Factor below 1 and a small addend: values stay normal and bounded however long it runs.
  const auto factor = hn::Set(d, 0.999f);
  const auto addend = hn::Set(d, 1e-3f);
  // Different starts: equal chains would be merged into one.
  auto a0 = hn::Set(d, 1.0f), a1 = hn::Set(d, 1.1f), a2 = hn::Set(d, 1.2f), a3 = hn::Set(d, 1.3f);
  auto a4 = hn::Set(d, 1.4f), a5 = hn::Set(d, 1.5f), a6 = hn::Set(d, 1.6f), a7 = hn::Set(d, 1.7f);
  auto a8 = hn::Set(d, 1.8f), a9 = hn::Set(d, 1.9f);
  for (std::int64_t i = 0; i < steps; ++i) {
    a0 = hn::MulAdd(a0, factor, addend);
    a1 = hn::MulAdd(a1, factor, addend);
    a2 = hn::MulAdd(a2, factor, addend);
    a3 = hn::MulAdd(a3, factor, addend);
    a4 = hn::MulAdd(a4, factor, addend);
    a5 = hn::MulAdd(a5, factor, addend);
    a6 = hn::MulAdd(a6, factor, addend);
    a7 = hn::MulAdd(a7, factor, addend);
    a8 = hn::MulAdd(a8, factor, addend);
    a9 = hn::MulAdd(a9, factor, addend);
  }
  const auto s = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(hn::Add(a4, a5), hn::Add(a6, a7)));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(s, hn::Add(a8, a9))));
}

double FmaBurstFlops(std::int64_t steps) {
  return 2.0 * kChains * static_cast<double>(hn::Lanes(hn::ScalableTag<float>())) * static_cast<double>(steps);
}

float ReadAll(const float* HWY_RESTRICT data, std::int64_t size) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  for (std::int64_t i = 0; i + 4 * lanes <= size; i += 4 * lanes) {
    s0 = hn::Add(s0, hn::LoadU(d, data + i));
    s1 = hn::Add(s1, hn::LoadU(d, data + i + lanes));
    s2 = hn::Add(s2, hn::LoadU(d, data + i + 2 * lanes));
    s3 = hn::Add(s3, hn::LoadU(d, data + i + 3 * lanes));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

bool HasAvx512() { return HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL; }

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace kvcast::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvcast::kernels {
namespace {

// More than FmaBurst's: the dot product's latency is longer.
constexpr int kDotChains = 16;

#if HWY_ARCH_X86_64
bool cpu_has_bf16_dot() noexcept { return __builtin_cpu_supports("avx512bf16") != 0; }

__attribute__((target("avx512f,avx512bf16"))) float bf16_dots(std::int64_t steps) {
  // A pair of opposite products adds exactly 0: values stay bounded however long it runs.
  const __m512 low = _mm512_set1_ps(0.75f);
  const __m512bh x = _mm512_cvtne2ps_pbh(low, low);
  const __m512i alternate = _mm512_set1_epi32(static_cast<int>(0xBF803F80u));  // -1, 1
  const __m512bh y = reinterpret_cast<__m512bh>(alternate);
  // Different starts: equal chains would be merged into one.
  __m512 a0 = _mm512_set1_ps(1.0f), a1 = _mm512_set1_ps(1.1f), a2 = _mm512_set1_ps(1.2f), a3 = _mm512_set1_ps(1.3f);
  __m512 a4 = _mm512_set1_ps(1.4f), a5 = _mm512_set1_ps(1.5f), a6 = _mm512_set1_ps(1.6f), a7 = _mm512_set1_ps(1.7f);
  __m512 b0 = _mm512_set1_ps(2.0f), b1 = _mm512_set1_ps(2.1f), b2 = _mm512_set1_ps(2.2f), b3 = _mm512_set1_ps(2.3f);
  __m512 b4 = _mm512_set1_ps(2.4f), b5 = _mm512_set1_ps(2.5f), b6 = _mm512_set1_ps(2.6f), b7 = _mm512_set1_ps(2.7f);
  for (std::int64_t i = 0; i < steps; ++i) {
    a0 = _mm512_dpbf16_ps(a0, x, y);
    a1 = _mm512_dpbf16_ps(a1, x, y);
    a2 = _mm512_dpbf16_ps(a2, x, y);
    a3 = _mm512_dpbf16_ps(a3, x, y);
    a4 = _mm512_dpbf16_ps(a4, x, y);
    a5 = _mm512_dpbf16_ps(a5, x, y);
    a6 = _mm512_dpbf16_ps(a6, x, y);
    a7 = _mm512_dpbf16_ps(a7, x, y);
    b0 = _mm512_dpbf16_ps(b0, x, y);
    b1 = _mm512_dpbf16_ps(b1, x, y);
    b2 = _mm512_dpbf16_ps(b2, x, y);
    b3 = _mm512_dpbf16_ps(b3, x, y);
    b4 = _mm512_dpbf16_ps(b4, x, y);
    b5 = _mm512_dpbf16_ps(b5, x, y);
    b6 = _mm512_dpbf16_ps(b6, x, y);
    b7 = _mm512_dpbf16_ps(b7, x, y);
  }
  const __m512 a = _mm512_add_ps(_mm512_add_ps(_mm512_add_ps(a0, a1), _mm512_add_ps(a2, a3)),
                                 _mm512_add_ps(_mm512_add_ps(a4, a5), _mm512_add_ps(a6, a7)));
  const __m512 b = _mm512_add_ps(_mm512_add_ps(_mm512_add_ps(b0, b1), _mm512_add_ps(b2, b3)),
                                 _mm512_add_ps(_mm512_add_ps(b4, b5), _mm512_add_ps(b6, b7)));
  return _mm512_reduce_add_ps(_mm512_add_ps(a, b));
}
#else
bool cpu_has_bf16_dot() noexcept { return false; }
float bf16_dots(std::int64_t) { return 0; }
#endif

}  // namespace

HWY_EXPORT(HasAvx512);
HWY_EXPORT(FmaBurst);
HWY_EXPORT(FmaBurstFlops);
HWY_EXPORT(ReadAll);
HWY_EXPORT(TargetName);

float fma_burst(std::int64_t steps) noexcept { return HWY_DYNAMIC_DISPATCH(FmaBurst)(steps); }
double fma_burst_flops(std::int64_t steps) noexcept { return HWY_DYNAMIC_DISPATCH(FmaBurstFlops)(steps); }
double bf16_dot_burst_flops(std::int64_t steps) noexcept {
  if (!HWY_DYNAMIC_DISPATCH(HasAvx512)() || !cpu_has_bf16_dot()) return 0;
  constexpr double kPairs = 32;  // multiply-adds of one instruction
  return 2.0 * kPairs * kDotChains * static_cast<double>(steps);
}
float bf16_dot_burst(std::int64_t steps) noexcept { return bf16_dot_burst_flops(1) > 0 ? bf16_dots(steps) : 0.0f; }
float read_all(std::span<const float> data) noexcept {
  return HWY_DYNAMIC_DISPATCH(ReadAll)(data.data(), static_cast<std::int64_t>(data.size()));
}
const char* simd_target() noexcept { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

}  // namespace kvcast::kernels
#endif  // HWY_ONCE
