#include "base/parallel.h"

#include <omp.h>

namespace kvcast {
namespace detail {

void parallel_for(int threads, std::int64_t tasks, TaskFunction function, const void* closure) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (std::int64_t task = 0; task < tasks; ++task) function(closure, task, omp_get_thread_num());
}

void on_each_thread(int threads, TaskFunction function, const void* closure) {
#pragma omp parallel num_threads(threads)
  {
    const LibraryThreads alone(1);
    function(closure, 0, omp_get_thread_num());
  }
}

}  // namespace detail

LibraryThreads::LibraryThreads(int threads) : previous_(omp_get_max_threads()) { omp_set_num_threads(threads); }
LibraryThreads::~LibraryThreads() { omp_set_num_threads(previous_); }

}  // namespace kvcast
