// The list of schemes in which one is broken: KVCAST_FAULT=scheme:fault of tests/faulty/faults.h. Linked with the
// program's own objects to kvcast_faulty, which differs from kvcast in nothing else. `scheme:?` lists the faults,
// `scheme:timed?` and `scheme:cold?` those of timed_faults_of, and `?` the schemes, for the tests that loop over them.
// `head:zeroed-scores` is a fault of the ranking head, which is no scheme: of the linker (tests/CMakeLists.txt).
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "engine/builtin/model/ranking_head.h"
#include "engine/builtin/schemes/scheme.h"
#include "faults.h"

// The list itself under another name, so that a new scheme is in this one too.
#define scheme_list sound_schemes
#include "engine/builtin/schemes/list.cpp"
#undef scheme_list

namespace kvcast {
namespace {

const SchemeEntry* g_entry = nullptr;
testing::Fault g_fault;

std::unique_ptr<Scheme> make_broken(const SchemeContext& context) {
  return std::make_unique<testing::Faulty>(*g_entry, context, g_fault);
}

std::vector<SchemeEntry> with_fault(const std::string& wanted) {
  const std::string name = wanted.substr(0, wanted.find(':'));
  const std::string fault = wanted.substr(std::min(wanted.size(), name.size() + 1));
  std::vector<SchemeEntry> list = sound_schemes();
  for (const SchemeEntry& entry : sound_schemes()) {
    if (name == "?") std::puts(entry.name.c_str());
    if (name != entry.name) continue;
    g_entry = &entry;
    const std::pair<const char*, std::vector<testing::Fault>> lists[] = {
        {"?", testing::faults_of(entry)},
        {"timed?", testing::timed_faults_of(entry, false)},
        {"cold?", testing::timed_faults_of(entry, true)}};
    for (const auto& [asked, faults] : lists) {
      for (const testing::Fault& one : faults) {
        if (fault == asked) std::puts(one.name.c_str());
        if (one.name == fault) g_fault = one;
      }
    }
  }
  if (name == "?" || fault.ends_with('?')) std::exit(0);
  if (wanted.empty() || name == "head") return list;
  if (g_fault.name.empty()) {
    std::fprintf(stderr, "KVCAST_FAULT=%s: no such fault\n", wanted.c_str());
    std::exit(70);
  }
  for (SchemeEntry& entry : list) {
    if (entry.name == name) entry.make = make_broken;
  }
  return list;
}

}  // namespace

const std::vector<SchemeEntry>& scheme_list() {
  const char* wanted = std::getenv("KVCAST_FAULT");
  static const std::vector<SchemeEntry> list = with_fault(wanted == nullptr ? "" : wanted);
  return list;
}

}  // namespace kvcast

// The linker sends every call of RankingHead::run here (--wrap).
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier)
void __real__ZN6kvcast11RankingHead3runEPKflPf(kvcast::RankingHead*, const float*, std::int64_t, float*) noexcept;
void __wrap__ZN6kvcast11RankingHead3runEPKflPf(kvcast::RankingHead* head, const float* x, std::int64_t count,
                                               float* scores) noexcept;
void __wrap__ZN6kvcast11RankingHead3runEPKflPf(kvcast::RankingHead* head, const float* x, std::int64_t count,
                                               float* scores) noexcept {
  __real__ZN6kvcast11RankingHead3runEPKflPf(head, x, count, scores);
  const char* const wanted = std::getenv("KVCAST_FAULT");
  if (wanted == nullptr || std::string(wanted) != "head:zeroed-scores") return;
  for (std::int64_t i = 4; i < count; ++i) scores[i] = 0;
}
// NOLINTEND(bugprone-reserved-identifier)
}
