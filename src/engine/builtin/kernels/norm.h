// LayerNorm.
#pragma once

#include <cstdint>

#include "engine/builtin/kernels/element.h"

namespace kvcast::kernels {

inline constexpr double kNormEpsilon = 1e-5;

/// out[r] = (x[r] - mean) / sqrt(var + 1e-5) * weight + bias over `dim` elements, variance divided by dim.
/// Shapes: x, out [rows][dim] contiguous, out of out_element; weight, bias [dim]. x and out do not overlap.
/// Arithmetic is fp32, rounded once where out is bf16. Source: Ba, Kiros, Hinton (2016), as in PyTorch.
void layer_norm(const float* x, std::int64_t rows, std::int64_t dim, const float* weight, const float* bias, void* out,
                Element out_element) noexcept;

}  // namespace kvcast::kernels
