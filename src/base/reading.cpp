#include "base/reading.h"

#include <algorithm>

namespace kvcast {
namespace {

const OnRead* g_told = nullptr;

}  // namespace

ReadingScope::ReadingScope(const OnRead& told) { g_told = told ? &told : nullptr; }
ReadingScope::~ReadingScope() { g_told = nullptr; }

void tell_reading(const std::string& file, std::uint64_t done, std::uint64_t all) {
  if (g_told == nullptr) return;
  std::optional<double> share;
  if (all > 0) share = std::min(1.0, static_cast<double>(done) / static_cast<double>(all));
  (*g_told)(file, share);
}

}  // namespace kvcast
