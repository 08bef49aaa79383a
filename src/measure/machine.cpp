#include "measure/machine.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/buffer.h"
#include "base/clock.h"
#include "base/parallel.h"
#include "base/text.h"
#include "engine/builtin/kernels/isa.h"
#include "engine/builtin/kernels/machine.h"

namespace kvcast::measure {
namespace {

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first);
}

// Value of the first line "key : value" of a /proc file; empty when there is none.
std::string proc_value(const std::string& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, key.size(), key) != 0) continue;
    if (line.find_first_not_of(" \t", key.size()) != colon) continue;
    return trimmed(line.substr(colon + 1));
  }
  return "";
}

std::int64_t proc_kib(const std::string& key) {
  std::istringstream text(proc_value("/proc/meminfo", key));
  std::int64_t kib = 0;
  return text >> kib ? kib : 0;
}

// A whole number in a file; -1 when it is missing or says "max".
std::int64_t file_number(const std::string& path) {
  std::ifstream in(path);
  std::int64_t value = 0;
  return in >> value ? value : -1;
}

// Value of the line "key value" of a cgroup's memory.stat; 0 when there is none.
std::int64_t cgroup_stat(const std::string& path, const std::string& key) {
  std::ifstream in(path);
  std::string name;
  for (std::int64_t value = 0; in >> name >> value;) {
    if (name == key) return std::max<std::int64_t>(0, value);
  }
  return 0;
}

// What a limit leaves. `used` counts page cache; its inactive part is given back before the limit bites.
std::int64_t left_of(std::int64_t limit, std::int64_t used, std::int64_t reclaimable) {
  return std::clamp<std::int64_t>(limit - used + reclaimable, 0, limit);
}

double read_rate(int threads) {
  // 64 MiB a thread is past any last-level cache slice that one core fills. Many threads share 256 MiB, 4 MiB each at
  // least: a probe must not fill the machine, even if a cache that large would flatter the rate.
  constexpr std::int64_t kMiB = std::int64_t{1} << 20;
  const std::int64_t bytes = std::clamp<std::int64_t>(256 * kMiB / threads, 4 * kMiB, 64 * kMiB);
  const std::int64_t floats = bytes / static_cast<std::int64_t>(sizeof(float));
  std::vector<Buffer<float>> data;
  for (int t = 0; t < threads; ++t) data.emplace_back(floats);
  std::vector<double> rates;
  std::vector<float> sums(static_cast<std::size_t>(threads) * 16);
  for (int repeat = 0; repeat < 4; ++repeat) {
    const double start = clock_seconds();
    on_each_thread(threads, [&](int thread) {
      sums[static_cast<std::size_t>(thread) * 16] = kernels::read_all(data[static_cast<std::size_t>(thread)].span());
    });
    rates.push_back(static_cast<double>(threads) * static_cast<double>(bytes) / (clock_seconds() - start) / 1e9);
  }
  return *std::max_element(rates.begin() + 1, rates.end());
}

}  // namespace

std::int64_t cgroup_left(const std::string& mounts, const std::string& membership) {
  namespace fs = std::filesystem;
  // Names of the files in v2 and v1.
  struct Version {
    const char *mount, *limit, *used, *stat, *reclaimable;
  };
  constexpr Version kUnified{"", "memory.max", "memory.current", "memory.stat", "inactive_file"};
  constexpr Version kMemory{"memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat",
                            "total_inactive_file"};
  std::int64_t least = -1;
  const auto take = [&](const Version& version, const fs::path& group) {
    const std::int64_t limit = file_number(group / version.limit), used = file_number(group / version.used);
    // v1 writes the largest number of pages for no limit.
    if (limit < 0 || used < 0 || limit >= std::int64_t{1} << 60) return;
    const std::int64_t left = left_of(limit, used, cgroup_stat(group / version.stat, version.reclaimable));
    least = least < 0 ? left : std::min(least, left);
  };
  std::ifstream in(membership);
  for (std::string line; std::getline(in, line);) {
    // "0::/a/b" or "4:memory:/a/b".
    const std::size_t name = line.find(':') + 1, path = line.find(':', name) + 1;
    if (name == 0 || path == 0) continue;
    const std::string controllers = "," + line.substr(name, path - 1 - name) + ",";
    const bool unified = controllers == ",,";
    if (!unified && controllers.find(",memory,") == std::string::npos) continue;
    const Version& version = unified ? kUnified : kMemory;
    const fs::path mount = fs::path(mounts) / version.mount;
    // A limit of any group above holds too. In a container the path may be the host's, and only the mount is there.
    fs::path group = mount;
    take(version, group);
    for (const fs::path& part : fs::path(line.substr(path)).relative_path()) take(version, group /= part);
  }
  return least;
}

std::int64_t address_space_left() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return -1;
  const auto bytes =
      static_cast<std::int64_t>(std::min<rlim_t>(limit.rlim_cur, std::numeric_limits<std::int64_t>::max()));
  return left_of(bytes, std::max<std::int64_t>(0, file_number("/proc/self/statm")) * sysconf(_SC_PAGESIZE), 0);
}

HostLimits probe_limits() {
  HostLimits limits;
#ifdef __linux__
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) limits.cpus = CPU_COUNT(&set);
#endif
  if (limits.cpus < 1) limits.cpus = std::max(1u, std::thread::hardware_concurrency());
  limits.available_memory_bytes = proc_kib("MemAvailable") * 1024;
  std::int64_t space = address_space_left();
  if (space >= 0) {
    space = std::max<std::int64_t>(0, space - kCodeBytes);
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 1);
#endif
  }
  for (const std::int64_t left : {cgroup_left("/sys/fs/cgroup", "/proc/self/cgroup"), space}) {
    if (left < 0) continue;
    std::int64_t& least = limits.available_memory_bytes;
    // 0 stands for unknown.
    least = std::max<std::int64_t>(1, least == 0 ? left : std::min(least, left));
  }
  return limits;
}

namespace {

// Speed of `burst` on all threads at once, where `steps` of it do `flops`.
double burst_gflops(int threads, float (*burst)(std::int64_t) noexcept, std::int64_t steps, double flops) {
  // Kept from being optimised away by a store that others could see.
  static std::atomic<float> sink;
  const auto run = [&](std::int64_t count) {
    on_each_thread(threads, [&](int) { sink.store(burst(count), std::memory_order_relaxed); });
  };
  run(1000);  // wakes threads that went to sleep: that is not the machine's speed
  const double start = clock_seconds();
  run(steps);
  return threads * flops / (clock_seconds() - start) / 1e9;
}

// About a millisecond at 1.1 steps per nanosecond and pipe.
constexpr std::int64_t kBurstSteps = 500000;

// Over a quarter of a second: a virtual CPU may stand still for a tenth. An emulated one, where a burst takes seconds,
// is not waited for.
template <typename Measure>
double upper_decile(const Measure& measure) {
  constexpr std::size_t kLeast = 40;
  constexpr double kSeconds = 0.25, kMost = 2.0;
  std::vector<double> bursts;
  const double start = clock_seconds();
  for (double elapsed = 0; elapsed < kSeconds || (bursts.size() < kLeast && elapsed < kMost);
       elapsed = clock_seconds() - start) {
    bursts.push_back(measure());
  }
  std::sort(bursts.begin(), bursts.end());
  return bursts[bursts.size() * 9 / 10];
}

}  // namespace

double fma_gflops(int threads) {
  return burst_gflops(threads, kernels::fma_burst, kBurstSteps, kernels::fma_burst_flops(kBurstSteps));
}

double bf16_gflops(int threads) {
  const double flops = kernels::bf16_dot_burst_flops(kBurstSteps);
  return flops > 0 ? burst_gflops(threads, kernels::bf16_dot_burst, kBurstSteps, flops) : 0;
}

double canary_gflops(int threads) { return std::max({fma_gflops(threads), fma_gflops(threads), fma_gflops(threads)}); }

bool pin([[maybe_unused]] int threads) {
#ifdef __linux__
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return false;
  std::vector<int> first, second;  // of each core
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(static_cast<std::size_t>(cpu), &set)) continue;
    std::ifstream in("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
    std::string siblings;
    const bool told = static_cast<bool>(std::getline(in, siblings));
    (!told || cores.insert(siblings).second ? first : second).push_back(cpu);
  }
  first.insert(first.end(), second.begin(), second.end());
  return static_cast<int>(first.size()) >= threads && pin_threads(threads, first);
#else
  return false;
#endif
}

std::int64_t eviction_bytes() {
  constexpr std::int64_t kLeast = std::int64_t{128} << 20;
#ifdef _SC_LEVEL3_CACHE_SIZE
  // A virtual machine may report all caches of a socket although its cores reach only one.
  return std::clamp<std::int64_t>(2 * sysconf(_SC_LEVEL3_CACHE_SIZE), kLeast, 2 * kLeast);
#else
  return kLeast;
#endif
}

Evictor::Evictor(int threads)
    : threads_(threads), memory_(eviction_bytes() / static_cast<std::int64_t>(sizeof(float))) {}

void Evictor::operator()() noexcept {
  const std::int64_t share = memory_.size() / threads_;
  // Written, not only read, so that what was in the caches cannot stay beside it.
  on_each_thread(threads_, [&](int thread) {
    for (float& value :
         memory_.span().subspan(static_cast<std::size_t>(thread * share), static_cast<std::size_t>(share))) {
      value += 1;
    }
  });
}

std::optional<CpuTimes> cpu_times() {
#ifdef __linux__
  cpu_set_t set;
  CPU_ZERO(&set);
  const bool told = sched_getaffinity(0, sizeof set, &set) == 0;
#else
  const bool told = false;
#endif
  std::ifstream in("/proc/stat");
  // user, nice, system, idle, iowait, irq, softirq, steal; guest time is part of user time.
  std::array<double, 8> ticks{};
  bool any = false;
  for (std::string line; std::getline(in, line) && line.starts_with("cpu");) {
    std::istringstream fields(line.substr(3));
    const bool one = line.size() > 3 && line[3] != ' ';
    std::size_t cpu = 0;
    if (one && !(fields >> cpu)) return std::nullopt;
    // A CPU that this process may use, or all of them where nothing tells.
    if (one != told) continue;
#ifdef __linux__
    if (one && (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &set))) continue;
#endif
    for (double& total : ticks) {
      double value = 0;
      if (!(fields >> value)) return std::nullopt;
      total += value;
    }
    any = true;
  }
  if (!any) return std::nullopt;
  const auto per_s = static_cast<double>(sysconf(_SC_CLK_TCK));
  CpuTimes times;
  for (const double value : ticks) times.total_s += value / per_s;
  times.stolen_s = ticks[7] / per_s;
  times.busy_s = times.total_s - times.stolen_s - (ticks[3] + ticks[4]) / per_s;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return std::nullopt;
  for (const timeval& part : {usage.ru_utime, usage.ru_stime}) {
    times.own_s += static_cast<double>(part.tv_sec) + 1e-6 * static_cast<double>(part.tv_usec);
  }
  return times;
}

std::optional<std::int64_t> resident_bytes() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  // By walking the page tables: the counters of statm and status lag behind by some pages of each thread.
  std::istringstream text(proc_value("/proc/self/smaps_rollup", "Rss"));
  std::int64_t kib = 0;
  if (!(text >> kib)) return std::nullopt;
  return kib * 1024;
}

MachineInfo probe_machine(std::int64_t threads) {
  MachineInfo info;
  info.cpu_model = one_line(proc_value("/proc/cpuinfo", "model name"));  // a hypervisor's words
  if (info.cpu_model.empty()) info.cpu_model = "unknown";
  info.isa = kernels::simd_target();
  info.dense_isa = kernels::dense_isa();
  info.threads = probe_limits().cpus;
  if (const std::int64_t kib = proc_kib("MemTotal"); kib > 0) info.memory_bytes = kib * 1024;
  if (threads > 0) {
    const int team = static_cast<int>(threads);
    info.peak_threads = threads;
    info.peak_gflops = upper_decile([team] { return fma_gflops(team); });
    if (kernels::bf16_dot_burst_flops(1) > 0) {
      info.bf16_peak_gflops = upper_decile([team] { return bf16_gflops(team); });
    }
    info.read_gb_per_s = read_rate(team);
  }
  return info;
}

}  // namespace kvcast::measure
