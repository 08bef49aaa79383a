// Storage types of weights, activations and KV: fp32, or bf16 with fp32 arithmetic.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kvcast::kernels {

/// Storage type of elements. Arithmetic always accumulates in fp32.
enum class Element { f32, bf16 };

/// The names that configs and reports have for them, in the order of the enum.
inline constexpr std::array<std::string_view, 2> kElementNames = {"fp32", "bf16"};
/// nullopt for a name that is none of these.
constexpr std::optional<Element> element_of(std::string_view name) {
  for (std::size_t i = 0; i < kElementNames.size(); ++i) {
    if (kElementNames[i] == name) return static_cast<Element>(i);
  }
  return std::nullopt;
}

constexpr std::int64_t element_bytes(Element element) { return element == Element::f32 ? 4 : 2; }

/// Upper half of an fp32, rounded to nearest even; NaN stays NaN.
using Bf16 = std::uint16_t;

inline Bf16 to_bf16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  // Rounding a NaN could carry it to infinity: made quiet and cut instead.
  if (value != value) return static_cast<Bf16>(bits >> 16 | 0x40u);
  return static_cast<Bf16>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

inline float from_bf16(Bf16 value) noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16); }

/// to_bf16 and from_bf16 of n elements. `from` and `to` do not overlap.
void narrow(const float* from, std::int64_t n, Bf16* to) noexcept;
void widen(const Bf16* from, std::int64_t n, float* to) noexcept;

}  // namespace kvcast::kernels
