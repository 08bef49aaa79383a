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

/// Reads every element once with vector loads; returns their sum so that the reads cannot be dropped.
float read_all(std::span<const float> data) noexcept;

/// Name of the SIMD target that kernels run on here ("AVX3_DL").
const char* simd_target() noexcept;

}  // namespace kvcast::kernels
