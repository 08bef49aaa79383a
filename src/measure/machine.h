// Facts of this machine, and the yardsticks measured on it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/buffer.h"
#include "kvcast/kvcast.h"

namespace kvcast::measure {

/// CPUs in this process's affinity mask, and the memory still available to it: the minimum of MemAvailable, the rest of
/// its cgroups and the rest of its address space less kCodeBytes. Under a limit of the address space malloc uses a
/// single arena from here on, since each further one reserves 64 MiB of it.
HostLimits probe_limits();

/// Address space of dense products besides their operands: generated code, stacks, memory that malloc cannot give back.
/// oneDNN crashes without it. Measured: up to 50 MiB beyond the plan, for `smoke` and for d = 256 on two threads;
/// larger shapes were not measured, hence three times that.
inline constexpr std::int64_t kCodeBytes = std::int64_t{160} << 20;

/// What is left of a limited address space; -1 without a limit.
std::int64_t address_space_left();

/// Bytes that the memory limits of a cgroup and of those above it leave, v2 and v1; -1 without any. `mounts`:
/// /sys/fs/cgroup. `membership`: /proc/self/cgroup.
std::int64_t cgroup_left(const std::string& mounts, const std::string& membership);

/// FMA speed of one short burst on `threads` threads at once, GFLOP/s. About a millisecond.
double fma_gflops(int threads);

/// The same for bf16 dot products; 0 where there are none.
double bf16_gflops(int threads);

/// The canary beside a timing: the best of three bursts, which ignores a hiccup in one of them.
double canary_gflops(int threads);

/// Pins each thread to its own CPU among those this process may use, one per core before any second thread of a core.
/// False when the system refuses.
bool pin(int threads);

/// Bytes that Evictor holds, for any number of threads: twice the last-level cache where its size is known, within 128
/// to 256 MiB.
std::int64_t eviction_bytes();

/// Empties the caches of all threads by walking through its own memory. Errors of the constructor: std::bad_alloc.
class Evictor {
 public:
  explicit Evictor(int threads);
  void operator()() noexcept;

 private:
  int threads_;
  Buffer<float> memory_;
};

/// CPU time since some start, seconds over the CPUs that this thread may use. nullopt where the system does not
/// report it.
struct CpuTimes {
  double total_s = 0;   ///< busy, idle and stolen
  double busy_s = 0;    ///< of all processes
  double stolen_s = 0;  ///< by the hypervisor
  double own_s = 0;     ///< of this process
};
std::optional<CpuTimes> cpu_times();

/// Resident bytes of this process, after returning freed memory to the system. nullopt where the system does not report
/// it.
std::optional<std::int64_t> resident_bytes();

/// CPU, ISA, memory; the measured peaks (90th percentile of bursts) and DRAM read rate when threads > 0.
MachineInfo probe_machine(std::int64_t threads);

}  // namespace kvcast::measure
