#include "engine/builtin/kernels/element.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/builtin/kernels/element.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// Must come after foreach_target.h.
#include "engine/builtin/kernels/element-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace kvcast::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void Narrow(const float* HWY_RESTRICT from, std::int64_t n, Bf16* HWY_RESTRICT to) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    StoreElements2(hn::LoadU(d, from + i), hn::LoadU(d, from + i + lanes), d, to + i);
  }
  for (; i < n; ++i) to[i] = to_bf16(from[i]);
}

void Widen(const Bf16* HWY_RESTRICT from, std::int64_t n, float* HWY_RESTRICT to) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(LoadElements(d, from + i), d, to + i);
  for (; i < n; ++i) to[i] = from_bf16(from[i]);
}

}  // namespace kvcast::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvcast::kernels {
HWY_EXPORT(Narrow);
HWY_EXPORT(Widen);
void narrow(const float* from, std::int64_t n, Bf16* to) noexcept { HWY_DYNAMIC_DISPATCH(Narrow)(from, n, to); }
void widen(const Bf16* from, std::int64_t n, float* to) noexcept { HWY_DYNAMIC_DISPATCH(Widen)(from, n, to); }
}  // namespace kvcast::kernels
#endif  // HWY_ONCE
