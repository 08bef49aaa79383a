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
/// [0, threads). Does not allocate; what body throws is thrown again by the caller's thread. With one thread it is a
/// plain loop, so it may be called from inside a task of an outer parallel_for. Tasks are left out once stopping().
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

/// Runs body(thread) once for each thread in [0, threads), at the same time as far as the team has threads. Libraries
/// that ask OpenMP for its thread count are told 1 inside, so that each thread works alone.
template <typename Body>
void on_each_thread(int threads, const Body& body) {
  detail::on_each_thread(
      threads, [](const void* closure, std::int64_t, int thread) { (*static_cast<const Body*>(closure))(thread); },
      &body);
}

/// Why teams of `threads` cannot run here; empty when they can. To be asked before the first team of a size: OpenMP
/// ends the process where a thread cannot be made, and runs fewer without a word where it is told to. Makes the threads
/// once, with stacks as large as OpenMP's, and ends them.
std::string team_problem(int threads);

/// Ties thread t of teams of `threads` to CPU cpus[t], for as long as the process lives. cpus: at least `threads`.
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
