#include "base/parallel.h"

#include <omp.h>

#ifdef __linux__
#include <sched.h>
#endif

#include <atomic>
#include <cstddef>
#include <exception>

namespace kvcast {
namespace detail {
namespace {

// An exception may not leave an OpenMP region: the first one is kept and thrown again behind it.
class Rescue {
 public:
  void run(TaskFunction function, const void* closure, std::int64_t task, int thread) noexcept {
    try {
      function(closure, task, thread);
    } catch (...) {
#pragma omp critical(kvcast_rescue)
      if (!error_) error_ = std::current_exception();
    }
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::exception_ptr error_;
};

}  // namespace

void parallel_for(int threads, std::int64_t tasks, TaskFunction function, const void* closure) {
  Rescue rescue;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (std::int64_t task = 0; task < tasks; ++task) rescue.run(function, closure, task, omp_get_thread_num());
  rescue.rethrow();
}

void on_each_thread(int threads, TaskFunction function, const void* closure) {
  Rescue rescue;
#pragma omp parallel num_threads(threads)
  {
    const LibraryThreads alone(1);
    // The team may come out smaller than asked for (OMP_THREAD_LIMIT): everyone's part is still done.
    for (int thread = omp_get_thread_num(); thread < threads; thread += omp_get_num_threads()) {
      rescue.run(function, closure, 0, thread);
    }
  }
  rescue.rethrow();
}

}  // namespace detail

bool pin_threads([[maybe_unused]] int threads, [[maybe_unused]] const std::vector<int>& cpus) {
#ifdef __linux__
  std::atomic<bool> all = true;
#pragma omp parallel num_threads(threads)
  {
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpus[thread]), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0 || omp_get_num_threads() != threads) all = false;
  }
  return all;
#else
  return false;
#endif
}

LibraryThreads::LibraryThreads(int threads) : previous_(omp_get_max_threads()) { omp_set_num_threads(threads); }
LibraryThreads::~LibraryThreads() { omp_set_num_threads(previous_); }

}  // namespace kvcast
