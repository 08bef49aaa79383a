// GELU, exact (erf) form, over a block that a product left behind.
#pragma once

#include <cstdint>

#include "engine/builtin/kernels/element.h"

namespace kvcast::kernels {

/// Values of GELU, or of rounding, that make a task: 8 microseconds or so.
inline constexpr std::int64_t kValuesPerTask = 32768;

/// out[i] = x Phi(x), Phi the normal distribution function, x = x[i] of `count` values; out of out_element, and it may
/// be x itself when that is f32 (no other overlap). Error against float64: at most 2e-7 * max(1, |x|) in fp32, then
/// one rounding where out is bf16. The result has the sign of x or is 0; from |x| = 6.1 on it is x or 0 exactly.
/// gelu(+inf) = +inf, gelu(-inf) = 0, NaN stays NaN. Every element by the same arithmetic, wherever it stands.
/// Source: Hendrycks and Gimpel (2016); the approximation is derived in gelu.cpp.
void gelu(const float* x, std::int64_t count, void* out, Element out_element) noexcept;

}  // namespace kvcast::kernels
