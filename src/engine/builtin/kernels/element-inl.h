// Vectors of bf16, for kernels that are compiled once per target. Included inside foreach_target.h's loop, so the
// guard is Highway's toggle instead of a pragma.
#include "engine/builtin/kernels/element.h"
#include "hwy/highway.h"

#if defined(KVCAST_KERNELS_ELEMENT_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef KVCAST_KERNELS_ELEMENT_INL
#undef KVCAST_KERNELS_ELEMENT_INL
#else
#define KVCAST_KERNELS_ELEMENT_INL
#endif

HWY_BEFORE_NAMESPACE();
namespace kvcast::kernels::HWY_NAMESPACE {

// fp32 to their bf16 in the upper halves, with the bits of to_bf16(). Integer rounding, not the CPU's bf16 instruction:
// that one flushes denormals, and results would depend on the target.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<hwy::HWY_NAMESPACE::RebindToUnsigned<D>> RoundElements(hwy::HWY_NAMESPACE::Vec<D> v,
                                                                                          D) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFFu)));
  const auto nan = hn::RebindMask(du, hn::IsNaN(v));
  return hn::IfThenElse(nan, hn::Or(bits, hn::Set(du, 0x400000u)), rounded);
}

template <class D>
HWY_INLINE void StoreElements(hwy::HWY_NAMESPACE::Vec<D> v, D d, Bf16* to) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToSigned<D> di;
  const hn::Rebind<std::uint16_t, D> d16;
  // Saturating, but the values are within 16 bits.
  const auto low = hn::ShiftRight<16>(RoundElements(v, d));
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, low)), d16, to);
}

template <class D>
HWY_INLINE void StoreElements(hwy::HWY_NAMESPACE::Vec<D> v, D d, float* to) {
  hwy::HWY_NAMESPACE::StoreU(v, d, to);
}

// Two vectors that follow each other. Upper halves of both make one vector of bf16: cheaper than two times half a one.
template <class D>
HWY_INLINE void StoreElements2(hwy::HWY_NAMESPACE::Vec<D> v0, hwy::HWY_NAMESPACE::Vec<D> v1, D d, Bf16* to) {
  namespace hn = hwy::HWY_NAMESPACE;
#if HWY_TARGET == HWY_SCALAR
  StoreElements(v0, d, to);
  StoreElements(v1, d, to + hn::Lanes(d));
#else
  const hn::Repartition<std::uint16_t, D> d16;
  const auto low = hn::BitCast(d16, RoundElements(v0, d)), high = hn::BitCast(d16, RoundElements(v1, d));
  hn::StoreU(hn::ConcatOdd(d16, high, low), d16, to);
#endif
}

template <class D>
HWY_INLINE void StoreElements2(hwy::HWY_NAMESPACE::Vec<D> v0, hwy::HWY_NAMESPACE::Vec<D> v1, D d, float* to) {
  StoreElements(v0, d, to);
  StoreElements(v1, d, to + hwy::HWY_NAMESPACE::Lanes(d));
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
