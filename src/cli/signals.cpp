// What SIGINT, SIGTERM and SIGHUP do: end the command at once, or where it has something to save, soon.
#include <pthread.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <string>
#include <string_view>

#include "common.h"
#include "kvcast/temporary.h"

namespace kvcast::cli {
namespace {

// How long a command may take to notice the signal, save and end before this handler ends it. Users, timeout(1) and
// Kubernetes expect the first signal to do.
constexpr suseconds_t kPatienceUs = 800'000;
constexpr time_t kPatienceS = 1;

// A signal handler can reach nothing else.
std::atomic<int> g_signal{0};
std::atomic<bool> g_saving{false};
std::array<char, 4096> g_journal{};  // path; empty without one
std::array<char, 4096> g_hint{};
pthread_t g_main;
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void say(std::string_view text) {
  [[maybe_unused]] const ssize_t lost = ::write(STDERR_FILENO, text.data(), text.size());
}

[[noreturn]] void leave() {
  remove_temporaries();
  if (::isatty(STDERR_FILENO) == 1) say("\r\x1b[K");  // a bar may be there
  say("kvcast: interrupted");
  if (g_saving && g_journal[0] != '\0' && ::access(g_journal.data(), F_OK) == 0) say(g_hint.data());
  say("\n");
  ::_exit(kExitSignal + g_signal);
}

extern "C" void heed_signal(int signal) {
  // On the thread that writes files, so that none is begun between the clearing away and the end.
  if (::pthread_equal(::pthread_self(), g_main) == 0) {
    ::pthread_kill(g_main, signal);
    return;
  }
  if (signal == SIGALRM) {
    if (g_signal != 0) leave();
    return;
  }
  const bool first = g_signal == 0;
  if (first) g_signal = signal;
  if (!first || !g_saving) leave();
  const itimerval patience{{0, 0}, {kPatienceS, kPatienceUs}};
  ::setitimer(ITIMER_REAL, &patience, nullptr);
}

template <std::size_t size>
void keep(const std::string& text, std::array<char, size>& where) {
  where[text.copy(where.data(), size - 1)] = '\0';
}

}  // namespace

void install_signal_handlers() {
  g_main = ::pthread_self();
  struct sigaction action = {};
  sigfillset(&action.sa_mask);
  action.sa_handler = heed_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGALRM}) ::sigaction(signal, &action, nullptr);
  // A terminal that goes away ends a run as SIGTERM does; nohup says that it shall not.
  struct sigaction before = {};
  if (::sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) {
    ::sigaction(SIGHUP, &action, nullptr);
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit becomes a write error, too
}

int pending_signal() { return g_signal.load(); }

SavesOnSignal::SavesOnSignal(const std::string& journal, const std::string& hint) {
  keep(journal, g_journal);
  keep(hint, g_hint);
  g_saving = true;
}
SavesOnSignal::~SavesOnSignal() { g_saving = false; }

}  // namespace kvcast::cli
