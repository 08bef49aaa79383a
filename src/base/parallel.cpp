#include "base/parallel.h"

#include <fmt/format.h>
#include <omp.h>
#include <pthread.h>

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <latch>
#include <string_view>

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

// OMP_MAX_ACTIVE_LEVELS=0 silently runs every region on one thread. oneDNN deals its work to the number of threads it
// requested, so all but the first share would be skipped. Each thread that opens a region has its own limit.
void allow_teams() {
  if (omp_get_max_active_levels() < 1) omp_set_max_active_levels(1);
}

}  // namespace

void parallel_for(int threads, std::int64_t tasks, TaskFunction function, const void* closure) {
  allow_teams();
  Rescue rescue;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (std::int64_t task = 0; task < tasks; ++task) {
    if (!stopping()) rescue.run(function, closure, task, omp_get_thread_num());
  }
  rescue.rethrow();
}

void on_each_thread(int threads, TaskFunction function, const void* closure) {
  allow_teams();
  Rescue rescue;
#pragma omp parallel num_threads(threads)
  {
    const LibraryThreads alone(1);
    // There may be fewer threads than requested (OMP_THREAD_LIMIT); every part is still done.
    for (int thread = omp_get_thread_num(); thread < threads; thread += omp_get_num_threads()) {
      rescue.run(function, closure, 0, thread);
    }
  }
  rescue.rethrow();
}

}  // namespace detail

namespace {

// Bytes that OMP_STACKSIZE asks for: a number of KiB, or of B, K, M or G. 0 where it says nothing that counts.
// Source: OpenMP 5.0, 6.7.
std::size_t asked_stack() {
  const char* variable = std::getenv("OMP_STACKSIZE");
  if (variable == nullptr) return 0;
  std::string_view text(variable);
  const auto skip = [&] { text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size())); };
  skip();
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return 0;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  skip();
  const std::string_view units = "BKMG";
  const char unit = text.empty() ? 'K' : static_cast<char>(text[0] & ~0x20);
  const std::size_t power = units.find(unit);
  const std::size_t scale = std::size_t{1} << 10 * (power == std::string_view::npos ? 1 : power);
  std::size_t bytes = 0;
  return __builtin_mul_overflow(number, scale, &bytes) ? 0 : bytes;
}

void* wait_for_the_others(void* latch) {
  static_cast<std::latch*>(latch)->wait();
  return nullptr;
}

// Threads that a region of this size gets. Fewer would skip the work that oneDNN deals to the missing ones.
int team_of(int threads) {
  detail::allow_teams();
  int size = 0;
#pragma omp parallel num_threads(threads)
  {
#pragma omp single
    size = omp_get_num_threads();
  }
  return size;
}

}  // namespace

std::string team_problem(int threads) {
  if (omp_get_thread_limit() < threads) return fmt::format("OMP_THREAD_LIMIT is {}", omp_get_thread_limit());
  if (omp_get_dynamic() != 0) return "OMP_DYNAMIC lets OpenMP run fewer";
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes); error != 0) return std::strerror(error);
  if (const std::size_t stack = asked_stack(); stack > 0) pthread_attr_setstacksize(&attributes, stack);
  std::size_t stack = 0;
  pthread_attr_getstacksize(&attributes, &stack);
  // All at once, as in a parallel region.
  std::latch all_made(1);
  std::vector<pthread_t> made;
  made.reserve(static_cast<std::size_t>(threads));
  int error = 0;
  for (int thread = 1; thread < threads && error == 0; ++thread) {
    error = pthread_create(&made.emplace_back(), &attributes, wait_for_the_others, &all_made);
    if (error != 0) made.pop_back();
  }
  const std::size_t count = made.size();
  all_made.count_down();
  for (const pthread_t thread : made) pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  if (error == 0) return team_of(threads) == threads ? "" : "OpenMP starts fewer threads than requested";
  return fmt::format("{}, for thread {} with a stack of {} KiB", std::strerror(error), count + 2, stack >> 10);
}

bool pin_threads([[maybe_unused]] int threads, [[maybe_unused]] const std::vector<int>& cpus) {
#ifdef __linux__
  std::atomic<bool> all = true;
  detail::allow_teams();
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

LibraryThreads::LibraryThreads(int threads) : previous_(omp_get_max_threads()) {
  detail::allow_teams();
  omp_set_num_threads(threads);
}
LibraryThreads::~LibraryThreads() { omp_set_num_threads(previous_); }

}  // namespace kvcast
