#include "environment.h"

#include <unistd.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace kvcast::cli {
namespace {

// Runs before the C library is set up, so it may use nothing that allocates, locks or is initialised at run time.
struct Environment {
  std::array<const char*, 32> ignored{};
  std::size_t count = 0;
  char** lent = nullptr;  // whose place the number of spins has for a while
  char* owner = nullptr;
};
constinit Environment g_environment;

// A thread that waits for another looks so often before it sleeps: for 20 to 50 us. libgomp's own 300,000 looks are
// milliseconds, spent on a partner that cannot run while the CPU is taken (docs/adr/0018).
#if defined(__x86_64__)
char g_spins[] = "GOMP_SPINCOUNT=1000";
#else
char g_spins[] = "GOMP_SPINCOUNT=20000";  // no pause that takes its time
#endif

std::string_view name_of(const char* entry) {
  const std::string_view text(entry);
  return text.substr(0, text.find('='));
}

// Binding (libgomp pins the first thread to one CPU before main, and then sees only that one), nested parallelism,
// and what oneDNN does beside computing: text on stdout, dumps, times of its own, other arithmetic. The names of
// instruction sets stay, and are in the report; so does what a profiler needs to read generated code.
bool is_ignored(std::string_view name) {
  for (const std::string_view one : {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY",
                                     "KMP_HW_SUBSET", "OMP_MAX_ACTIVE_LEVELS", "OMP_NESTED", "OMP_DISPLAY_AFFINITY"}) {
    if (name == one) return true;
  }
  for (const std::string_view prefix : {"ONEDNN_", "DNNL_"}) {
    if (!name.starts_with(prefix)) continue;
    name.remove_prefix(prefix.size());
    return name != "MAX_CPU_ISA" && name != "CPU_ISA_HINTS" && !name.starts_with("JIT_PROFILE");
  }
  return false;
}

// Takes the ignored variables away; the place of the NULL behind those that stay.
char** without_ignored(char** variables) {
  char** kept = variables;
  for (char** one = variables; *one != nullptr; ++one) {
    const std::string_view name = name_of(*one);
    if (!is_ignored(name)) {
      *kept++ = *one;
    } else if (g_environment.count < g_environment.ignored.size()) {
      g_environment.ignored[g_environment.count++] = *one;
    }
  }
  for (char** one = kept; *one != nullptr; ++one) *one = nullptr;
  return kept;
}

#if defined(__GLIBC__) && !defined(KVCAST_SANITIZED)

// Before the constructors of shared libraries, in which libgomp reads its variables and binds this thread. The array
// cannot grow here: without a free place behind its end the last variable lends its own until main().
void before_libraries(int /*argc*/, char** /*argv*/, char** variables) {
  bool freed = false;
  for (char** one = variables; *one != nullptr; ++one) freed = freed || is_ignored(name_of(*one));
  char** end = without_ignored(variables);
  bool told = false;
  char** lender = nullptr;
  for (char** one = variables; *one != nullptr; ++one) {
    const std::string_view name = name_of(*one);
    told = told || name == "GOMP_SPINCOUNT" || name == "OMP_WAIT_POLICY";
    if (!name.starts_with("OMP_") && !name.starts_with("GOMP_")) lender = one;
  }
  if (told) return;
  if (freed) {
    *end = g_spins;
  } else if (lender != nullptr) {
    g_environment.lent = lender;
    g_environment.owner = *lender;
    *lender = g_spins;
  }
}

[[gnu::section(".preinit_array"), gnu::used]] void (*const g_before_libraries)(int, char**, char**) = before_libraries;

#endif

}  // namespace

void settle_environment() {
  // A library may have moved the array.
  for (char** one = environ; g_environment.owner != nullptr && *one != nullptr; ++one) {
    if (*one == g_spins) *one = g_environment.owner;
  }
  without_ignored(environ);
}

std::string ignored_variables() {
  std::string names;
  for (std::size_t i = 0; i < g_environment.count; ++i) {
    names += (names.empty() ? "" : ", ") + std::string(name_of(g_environment.ignored[i]));
  }
  return names;
}

}  // namespace kvcast::cli
