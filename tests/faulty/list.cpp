// The list of schemes in which one is broken: KVCAST_FAULT=scheme:fault of tests/faulty/faults.h. Linked with the
// program's own objects to kvcast_faulty, which differs from kvcast in nothing else. `scheme:?` lists the faults and
// `?` the schemes, for the tests that loop over them.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "faults.h"
#include "schemes/scheme.h"

// The list itself under another name, so that a new scheme is in this one too.
#define scheme_list sound_schemes
#include "schemes/list.cpp"
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
    for (const testing::Fault& one : testing::faults_of(entry)) {
      if (fault == "?") std::puts(one.name.c_str());
      if (one.name == fault) g_fault = one;
    }
  }
  if (name == "?" || fault == "?") std::exit(0);
  if (wanted.empty()) return list;
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
