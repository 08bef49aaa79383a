// The instruction set that kernels and dense products run on: the best there is, or a forced one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kvcast::kernels {

/// SIMD targets that were compiled in and that this CPU can run, best first, as users type them ("avx3", "avx2",
/// "sse4", "ssse3", then the compiler's plain fallback: "scalar", or "emu128" with clang).
std::vector<std::string> isa_names();

/// Makes every kernel run on this target from now on; "auto" is the best. False, and nothing changes, when the name is
/// not in isa_names(). Call before other threads run kernels.
///
/// Dense products are limited too: avx3* to what oneDNN chooses by itself, avx2 to its avx2, all below to its floor,
/// sse41. That takes effect only before oneDNN's first use in the process; dense_isa_follows() tells whether it did.
bool select_isa(std::string_view name);

/// Whether dense products run on the instruction set that belongs to selected_isa(): to be asked once, after a
/// selection other than "auto". False when oneDNN was in use before it. Asking counts as a use: the limit stays from
/// here on.
bool dense_isa_follows();

/// The target that kernels run on, by its name in isa_names().
std::string selected_isa();

/// oneDNN's effective instruction set ("avx512_core_bf16", "avx2", "sse41"). Asking counts as a use, as above.
std::string dense_isa();

/// Environment variables that hold dense products to what they run on, "ONEDNN_MAX_CPU_ISA"; empty without any.
std::vector<std::string> dense_limits();

}  // namespace kvcast::kernels
