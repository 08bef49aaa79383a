// Facts of this machine, and the yardsticks measured on it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/buffer.h"
#include "kvcast/kvcast.h"

namespace kvcast::measure {

/// CPUs in this process's affinity mask, and the memory it may still take: MemAvailable, or what its cgroups or its
/// address space leave where that is less; of an address space less kCodeBytes. Under a limit of the address space
/// malloc keeps to one arena from here on, since each further one reserves 64 MiB of it.
HostLimits probe_limits();

/// Address space that dense products take beside their operands: code made at run time, stacks, what malloc cannot
/// give back. oneDNN does not notice when there is none, and crashes. It took up to 50 MiB beside what was planned for
/// `smoke` and for d = 256 in two threads; larger shapes were not measured, hence three times that.
inline constexpr std::int64_t kCodeBytes = std::int64_t{160} << 20;

/// What is left of the address space, where the process has a limit of it; -1 when it has none.
std::int64_t address_space_left();

/// Bytes that the memory limits of a cgroup and of those above it leave, v2 and v1; -1 without any. `mounts`:
/// /sys/fs/cgroup. `membership`: /proc/self/cgroup.
std::int64_t cgroup_left(const std::string& mounts, const std::string& membership);

/// FMA speed of one short burst on `threads` threads at once, GFLOP/s. About a millisecond.
double fma_gflops(int threads);

/// The same for bf16 dot products; 0 where there are none.
double bf16_gflops(int threads);

/// The canary beside a timing: the best of three bursts, so that a hiccup in one does not speak for the machine.
double canary_gflops(int threads);

/// Ties each thread of the team to a CPU of its own among those that this process may use, whole cores before the
/// second thread of any. False when the system refuses.
bool pin(int threads);

/// Bytes that Evictor keeps, whatever the threads: twice the last-level cache where the system tells its size, 128 to
/// 256 MiB.
std::int64_t eviction_bytes();

/// Empties the caches of all threads by walking through memory of its own. Errors of the constructor: std::bad_alloc.
class Evictor {
 public:
  explicit Evictor(int threads);
  void operator()() noexcept;

 private:
  int threads_;
  Buffer<float> memory_;
};

/// CPU time since some start, seconds over the CPUs that this thread may use. nullopt where the system does not tell.
struct CpuTimes {
  double total_s = 0;   ///< busy, idle and stolen
  double busy_s = 0;    ///< of all processes
  double stolen_s = 0;  ///< by the hypervisor
  double own_s = 0;     ///< of this process
};
std::optional<CpuTimes> cpu_times();

/// Bytes of this process that are in memory now, after what it has freed was given back to the system. nullopt where
/// the system does not tell.
std::optional<std::int64_t> resident_bytes();

/// CPU, ISA, memory; the measured peaks (90th percentile of bursts) and DRAM read rate when threads > 0.
MachineInfo probe_machine(std::int64_t threads);

}  // namespace kvcast::measure
