// What the hardware can do at most: the yardsticks that every measured figure is set against.
#pragma once

#include <cstdint>
#include <span>

namespace kvcast::kernels {

/// FLOPs that one call of fma_burst(steps) does on one thread, by the target in use (2 per multiply-add).
double fma_burst_flops(std::int64_t steps) noexcept;
/// Runs `steps` steps of independent fused multiply-adds that never leave the registers. Returns a value that depends
/// on all of them.
float fma_burst(std::int64_t steps) noexcept;

/// The same for the CPU's bf16 dot product (AVX512-BF16: products of two bf16 pairs added to an fp32), the peak of
/// bf16 dense products. 0 FLOPs where the CPU or the selected target has none; then the burst does nothing.
double bf16_dot_burst_flops(std::int64_t steps) noexcept;
float bf16_dot_burst(std::int64_t steps) noexcept;

/// Reads every element once with vector loads; returns their sum so that the reads cannot be dropped.
float read_all(std::span<const float> data) noexcept;

/// Name of the SIMD target that kernels run on here ("AVX3_DL").
const char* simd_target() noexcept;

}  // namespace kvcast::kernels
