#include "engine/builtin/kernels/isa.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <oneapi/dnnl/dnnl.hpp>

#include "engine/builtin/kernels/machine.h"
#include "hwy/targets.h"

namespace kvcast::kernels {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// Best first: a better target has a lower bit. Kept from the first call, because what Highway lists is limited to the
// selection once there is one.
const std::vector<std::int64_t>& targets() {
  static const std::vector<std::int64_t> list = [] {
    const auto found = hwy::SupportedAndGeneratedTargets();
    return std::vector<std::int64_t>(found.begin(), found.end());
  }();
  return list;
}

std::string name_of(std::int64_t target) { return lower(hwy::TargetName(target)); }

bool is_avx512(std::string_view name) { return name.starts_with("avx3"); }

dnnl::cpu_isa dense_limit(std::string_view name) {
  if (name == "auto" || is_avx512(name)) return dnnl::cpu_isa::all;
  return name == "avx2" ? dnnl::cpu_isa::avx2 : dnnl::cpu_isa::sse41;
}

// oneDNN's values are sets of bits; its later ones include this.
constexpr int kAvx512 = static_cast<int>(dnnl::cpu_isa::avx512_core);

}  // namespace

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const std::int64_t target : targets()) names.push_back(name_of(target));
  return names;
}

bool select_isa(std::string_view name) {
  const std::int64_t best = targets().front();
  const bool forced = selected_isa() != name_of(best);
  const auto found = std::find_if(targets().begin(), targets().end(),
                                  [&](std::int64_t target) { return name == "auto" || name_of(target) == name; });
  if (found == targets().end()) return false;
  // 0 is Highway's word for its own choice. Both ways every dispatch table resolves anew on its next call.
  hwy::SetSupportedTargetsForTest(*found == best ? 0 : *found);
  // "auto" leaves oneDNN alone unless there is a selection to undo: the user's environment may limit it.
  if (name == "auto" && !forced) return true;
  // The C call: a refusal is no exception here, dense_isa_follows() tells.
  static_cast<void>(dnnl_set_max_cpu_isa(static_cast<dnnl_cpu_isa_t>(dense_limit(name))));
  return true;
}

bool dense_isa_follows() {
  const dnnl::cpu_isa now = dnnl::get_effective_cpu_isa();
  const std::string name = selected_isa();
  if (is_avx512(name)) return (static_cast<int>(now) & kAvx512) == kAvx512;
  if (name == "avx2") return now == dnnl::cpu_isa::avx2 || now == dnnl::cpu_isa::avx2_vnni;
  return now == dnnl::cpu_isa::sse41;
}

std::string selected_isa() { return lower(simd_target()); }

std::string dense_isa() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx512_mic:
      return "avx512_mic";
    case dnnl::cpu_isa::avx512_mic_4ops:
      return "avx512_mic_4ops";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_core_amx";
    default:
      return "none";
  }
}

std::vector<std::string> dense_limits() {
  std::vector<std::string> limits;
  const auto add = [&](const char* name, bool heeded) {
    // As oneDNN looks them up: the new name first.
    for (const char* prefix : {"ONEDNN_", "DNNL_"}) {
      const std::string variable = prefix + std::string(name);
      const char* const value = std::getenv(variable.c_str());
      if (value == nullptr || *value == '\0') continue;
      // A limit that is no word of oneDNN's, or above what the CPU has, or overruled by a selection, limits nothing.
      if (heeded || lower(value) == dense_isa()) limits.push_back(variable);
      return;
    }
  };
  add("MAX_CPU_ISA", false);
  add("CPU_ISA_HINTS", dnnl::get_cpu_isa_hints() != dnnl::cpu_isa_hints::no_hints);
  return limits;
}

}  // namespace kvcast::kernels
