// The microkernels of attention that need AVX512-BF16, which Highway 1.0 does not know.
#pragma once

#include <cstdint>

namespace kvcast::kernels {

/// True when the CPU has AVX512-BF16 and Highway's target in use is AVX3 or better, so that forcing a lower target
/// switches this off as well. The functions below may be called only then.
bool bf16_dot_supported() noexcept;

/// Most rows of one product.
inline constexpr int kBf16Rows = 6;

/// C[rows][columns] = (add ? C : 0) + A[rows][pairs] * B[pairs][columns], where an element of A and B is a pair of bf16
/// and their product the fp32 sum of the two products. rows <= kBf16Rows; columns a multiple of 16, B and C 64-byte
/// aligned; strides in pairs (floats for C). `ahead` and `ahead_step`: as Ahead in
/// attention.cpp.
void bf16_product(bool add, int rows, std::int64_t columns, const std::uint32_t* a, std::int64_t a_stride,
                  const std::uint32_t* b, std::int64_t b_stride, std::int64_t pairs, float* c, std::int64_t c_stride,
                  const std::uint32_t* ahead, std::int64_t ahead_step) noexcept;

/// Second half of the softmax of one row of a key tile: the first `width` scores (a multiple of 16) become
/// p = 2^(scale*s - m) as bf16 in the row's first width/2 words, and their sum is added lane by lane to sums[16].
/// The sum is that of the rounded p: then the weights of the values add up to 1 exactly, and a value that all keys
/// share comes out unchanged.
void bf16_exponentiate(float* s, std::int64_t width, float scale, float m, float* sums) noexcept;

}  // namespace kvcast::kernels
