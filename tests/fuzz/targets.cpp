#include "fuzz/target.h"

namespace kvcast::fuzz {

const std::vector<Target>& targets() {
  static const std::vector<Target> kTargets = {
      {"config", config},   {"report", report}, {"safetensors", safetensors},
      {"samples", samples}, {"set", set},       {"text", text},
      {"trace", trace},     {"units", units},
  };
  return kTargets;
}

}  // namespace kvcast::fuzz
