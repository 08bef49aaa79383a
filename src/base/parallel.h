// The only place that opens OpenMP regions.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "base/stop.h"

namespace kvcast {

namespace detail {
using TaskFunction = void (*)(const void* closure, std::int64_t task, int thread);
void parallel_for(int threads, std::int64_t tasks, TaskFunction function, const void* closure);
void on_each_thread(int threads, TaskFunction function, const void* closure);
}  // namespace detail

/// Runs body(task, thread) for task in [0, tasks), tasks handed out in order to `threads` threads, thread in
/// [0, threads). Does not allocate; exceptions of body are rethrown on the caller's thread. With one thread it is a
/// plain loop, so it may be called from inside a task of an outer parallel_for. Skips the remaining tasks once
/// stopping().
template <typename Body>
void parallel_for(int threads, std::int64_t tasks, const Body& body) {
  if (threads == 1 || tasks <= 1) {
    for (std::int64_t task = 0; task < tasks && !stopping(); ++task) body(task, 0);
    return;
  }
  detail::parallel_for(
      threads, tasks,
      [](const void* closure, std::int64_t task, int thread) { (*static_cast<const Body*>(closure))(task, thread); },
      &body);
}

/// Runs body(thread) once for each thread in [0, threads), concurrently as far as there are OpenMP threads. Inside,
/// OpenMP reports a thread count of 1 to libraries, which keeps each thread to itself.
template <typename Body>
void on_each_thread(int threads, const Body& body) {
  detail::on_each_thread(
      threads, [](const void* closure, std::int64_t, int thread) { (*static_cast<const Body*>(closure))(thread); },
      &body);
}

/// Why `threads` threads cannot run in parallel here; empty when they can. Call before the first region of a size:
/// OpenMP ends the process when it cannot start a thread, and silently runs fewer under some settings. Starts the
/// threads once, with stacks as large as OpenMP's, and ends them.
std::string team_problem(int threads);

/// Pins thread t of `threads` to CPU cpus[t] for the life of the process. cpus: at least `threads`.
/// False when the system refuses or cannot.
bool pin_threads(int threads, const std::vector<int>& cpus);

/// Sets the thread count that libraries on the same OpenMP runtime (oneDNN) see on this thread; restores on exit.
class LibraryThreads {
 public:
  explicit LibraryThreads(int threads);
  ~LibraryThreads();
  LibraryThreads(const LibraryThreads&) = delete;
  LibraryThreads& operator=(const LibraryThreads&) = delete;

 private:
  int previous_;
};

}  // namespace kvcast
