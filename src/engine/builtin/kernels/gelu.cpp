#include "engine/builtin/kernels/gelu.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/builtin/kernels/gelu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// Must come after foreach_target.h.
#include "engine/builtin/kernels/element-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace kvcast::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// gelu(x) = max(x, 0) - a Q(a) with a = |x| and Q(a) = 1 - Phi(a) = erfc(a / sqrt 2) / 2: what is subtracted is small
// and positive, so signs are right and nothing cancels.
//
// Q falls from 1/2 to 5e-10 on [0, c], c = 6.1, too steep for a polynomial of low degree; its fourth root falls from
// 0.84 to 0.005 and is nearly straight. So Q(a) = ((c - a) q(a))^4, the factor making it exactly 0 from c on, and q of
// degree 9 was fitted to Q(a)^(1/4) / (c - a) at 600 Chebyshev points of [0, c] by least squares in long double,
// reweighted (Lawson) towards the least maximum of |error of q| * (c - a) * 4 Q^(3/4) * max(a, 0.3), which is the error
// of gelu to first order. It comes out at 3.4e-8. Rounding in fp32 brings it to 1.4e-7 * max(1, |x|).
HWY_INLINE V Gelu(V x) {
  const D d;
  const V c = hn::Set(d, 6.1f);
  // A NaN may become c here; the last line has x itself and brings it back.
  const V a = hn::Min(hn::Abs(x), c);
  V q = hn::Set(d, -3.27220668e-08f);
  q = hn::MulAdd(q, a, hn::Set(d, 3.38078195e-07f));
  q = hn::MulAdd(q, a, hn::Set(d, 1.99966394e-06f));
  q = hn::MulAdd(q, a, hn::Set(d, -3.5409972e-05f));
  q = hn::MulAdd(q, a, hn::Set(d, 7.6307937e-05f));
  q = hn::MulAdd(q, a, hn::Set(d, 0.000501024129f));
  q = hn::MulAdd(q, a, hn::Set(d, -0.000713877613f));
  q = hn::MulAdd(q, a, hn::Set(d, -0.00903435238f));
  q = hn::MulAdd(q, a, hn::Set(d, -0.00489836605f));
  q = hn::MulAdd(q, a, hn::Set(d, 0.137851864f));
  const V root = hn::Mul(hn::Sub(c, a), q);
  const V square = hn::Mul(root, root);
  // Not Max(x, 0): which operand it takes when one is NaN depends on the target.
  const V positive = hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);
  return hn::NegMulAdd(hn::Mul(a, square), square, positive);
}

template <typename Out>
void GeluTo(const float* x, std::int64_t count, Out* out) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  // No restrict: out may be x. Each vector is read before it is written.
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    StoreElements2(Gelu(hn::LoadU(d, x + i)), Gelu(hn::LoadU(d, x + i + lanes)), d, out + i);
  }
  for (; i + lanes <= count; i += lanes) StoreElements(Gelu(hn::LoadU(d, x + i)), d, out + i);
  if (i == count) return;
  // The rest by the same vector code, so that an element's bits do not depend on its place.
  HWY_ALIGN float rest[HWY_MAX_BYTES / sizeof(float)] = {};
  HWY_ALIGN Out result[HWY_MAX_BYTES / sizeof(float)];
  std::copy(x + i, x + count, rest);
  StoreElements(Gelu(hn::Load(d, rest)), d, result);
  std::copy(result, result + (count - i), out + i);
}

void GeluAny(const float* x, std::int64_t count, void* out, Element out_element) {
  if (out_element == Element::bf16) {
    GeluTo(x, count, static_cast<Bf16*>(out));
  } else {
    GeluTo(x, count, static_cast<float*>(out));
  }
}

}  // namespace kvcast::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvcast::kernels {
HWY_EXPORT(GeluAny);
void gelu(const float* x, std::int64_t count, void* out, Element out_element) noexcept {
  HWY_DYNAMIC_DISPATCH(GeluAny)(x, count, out, out_element);
}
}  // namespace kvcast::kernels
#endif  // HWY_ONCE
