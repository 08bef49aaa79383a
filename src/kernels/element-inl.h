// Vectors of bf16, for kernels that are compiled once per target. Included inside foreach_target.h's loop, so the
// guard is Highway's toggle instead of a pragma.
#include "hwy/highway.h"
#include "kernels/element.h"

#if defined(KVCAST_KERNELS_ELEMENT_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef KVCAST_KERNELS_ELEMENT_INL
#undef KVCAST_KERNELS_ELEMENT_INL
#else
#define KVCAST_KERNELS_ELEMENT_INL
#endif

HWY_BEFORE_NAMESPACE();
namespace kvcast::kernels::HWY_NAMESPACE {

// Lanes(d) fp32 to bf16 in memory, with the bits of to_bf16(). Integer rounding, not the CPU's bf16 instruction:
// that one flushes denormals, and results would depend on the target.
template <class D>
HWY_INLINE void StoreElements(hwy::HWY_NAMESPACE::Vec<D> v, D, Bf16* to) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const hn::Rebind<std::uint16_t, D> d16;
  const auto bits = hn::BitCast(du, v);
  const auto high = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(high, hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFFu))));
  const auto nan = hn::RebindMask(du, hn::IsNaN(v));
  const auto result = hn::IfThenElse(nan, hn::Or(high, hn::Set(du, 0x40u)), rounded);
  // Saturating, but the values are within 16 bits.
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, result)), d16, to);
}

template <class D>
HWY_INLINE void StoreElements(hwy::HWY_NAMESPACE::Vec<D> v, D d, float* to) {
  hwy::HWY_NAMESPACE::StoreU(v, d, to);
}

template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> LoadElements(D d, const Bf16* from) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<std::uint16_t, D> d16;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, from))));
}

template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> LoadElements(D d, const float* from) {
  return hwy::HWY_NAMESPACE::LoadU(d, from);
}

HWY_INLINE void StoreElement(float value, Bf16* to) { *to = to_bf16(value); }
HWY_INLINE void StoreElement(float value, float* to) { *to = value; }

}  // namespace kvcast::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
