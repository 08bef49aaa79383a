#include "engine/builtin/kernels/norm.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/builtin/kernels/norm.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// Must come after foreach_target.h.
#include "engine/builtin/kernels/element-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace kvcast::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A row whose sums leave fp32: values beyond 1e19 or so, or a NaN or infinity, which come out as NaN.
template <typename Out>
void LayerNormWide(const float* HWY_RESTRICT x, std::int64_t dim, const float* HWY_RESTRICT weight,
                   const float* HWY_RESTRICT bias, Out* HWY_RESTRICT out) {
  const auto count = static_cast<double>(dim);
  double mean = 0, variance = 0;
  for (std::int64_t i = 0; i < dim; ++i) mean += x[i] / count;
  for (std::int64_t i = 0; i < dim; ++i) variance += (x[i] - mean) * (x[i] - mean) / count;
  const double inverse = 1 / std::sqrt(variance + kNormEpsilon);
  for (std::int64_t i = 0; i < dim; ++i) {
    StoreElement(static_cast<float>((x[i] - mean) * inverse * weight[i] + bias[i]), out + i);
  }
}

template <typename Out>
void LayerNormTo(const float* x_in, std::int64_t rows, std::int64_t dim, const float* weight_in, const float* bias_in,
                 Out* out_in) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float* HWY_RESTRICT weight = weight_in;
  const float* HWY_RESTRICT bias = bias_in;
  const std::int64_t whole = dim - dim % lanes;
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* HWY_RESTRICT x = x_in + r * dim;
    Out* HWY_RESTRICT out = out_in + r * dim;
    auto sum = hn::Zero(d);
    float tail = 0;
    for (std::int64_t i = 0; i < whole; i += lanes) sum = hn::Add(sum, hn::LoadU(d, x + i));
    for (std::int64_t i = whole; i < dim; ++i) tail += x[i];
    const float mean = (hn::GetLane(hn::SumOfLanes(d, sum)) + tail) / static_cast<float>(dim);
    // Two passes: the one-pass form loses the variance of a stream with a large mean.
    const auto mean_vec = hn::Set(d, mean);
    auto squares = hn::Zero(d);
    tail = 0;
    for (std::int64_t i = 0; i < whole; i += lanes) {
      const auto c = hn::Sub(hn::LoadU(d, x + i), mean_vec);
      squares = hn::MulAdd(c, c, squares);
    }
    for (std::int64_t i = whole; i < dim; ++i) tail += (x[i] - mean) * (x[i] - mean);
    const float variance = (hn::GetLane(hn::SumOfLanes(d, squares)) + tail) / static_cast<float>(dim);
    if (!(variance <= std::numeric_limits<float>::max())) {
      LayerNormWide(x, dim, weight, bias, out);
      continue;
    }
    const float inverse = 1.0f / std::sqrt(variance + static_cast<float>(kNormEpsilon));
    const auto inverse_vec = hn::Set(d, inverse);
    for (std::int64_t i = 0; i < whole; i += lanes) {
      const auto c = hn::Mul(hn::Sub(hn::LoadU(d, x + i), mean_vec), inverse_vec);
      StoreElements(hn::MulAdd(c, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i)), d, out + i);
    }
    for (std::int64_t i = whole; i < dim; ++i) StoreElement((x[i] - mean) * inverse * weight[i] + bias[i], out + i);
  }
}

void LayerNorm(const float* x, std::int64_t rows, std::int64_t dim, const float* weight, const float* bias, void* out,
               Element out_element) {
  if (out_element == Element::bf16) {
    LayerNormTo(x, rows, dim, weight, bias, static_cast<Bf16*>(out));
  } else {
    LayerNormTo(x, rows, dim, weight, bias, static_cast<float*>(out));
  }
}

}  // namespace kvcast::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvcast::kernels {
HWY_EXPORT(LayerNorm);
void layer_norm(const float* x, std::int64_t rows, std::int64_t dim, const float* weight, const float* bias, void* out,
                Element out_element) noexcept {
  HWY_DYNAMIC_DISPATCH(LayerNorm)(x, rows, dim, weight, bias, out, out_element);
}
}  // namespace kvcast::kernels
#endif  // HWY_ONCE
