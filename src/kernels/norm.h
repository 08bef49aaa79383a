// LayerNorm.
#pragma once

#include <cstdint>

namespace kvcast::kernels {

inline constexpr double kNormEpsilon = 1e-5;

/// out[r] = (x[r] - mean) / sqrt(var + 1e-5) * weight + bias over `dim` elements, variance divided by dim.
/// Shapes: x, out [rows][dim] contiguous; weight, bias [dim]. Source: Ba, Kiros, Hinton (2016), as in PyTorch.
void layer_norm(const float* x, std::int64_t rows, std::int64_t dim, const float* weight, const float* bias,
                float* out) noexcept;

}  // namespace kvcast::kernels
