// Facts of this machine, and the yardsticks measured on it.
#pragma once

#include <cstdint>

#include "kvcast/kvcast.h"

namespace kvcast::measure {

/// Monotonic seconds.
double now();

/// CPUs in this process's affinity mask and the memory it may still take.
HostLimits probe_limits();

/// FMA speed of one short burst on `threads` threads at once, GFLOP/s. About a millisecond.
double fma_gflops(int threads);

/// The same for bf16 dot products; 0 where there are none.
double bf16_gflops(int threads);

/// The canary beside a timing: the best of three bursts, so that a hiccup in one does not speak for the machine.
double canary_gflops(int threads);

/// CPU, ISA, memory; the measured peaks (90th percentile of bursts) and DRAM read rate when threads > 0.
MachineInfo probe_machine(std::int64_t threads);

}  // namespace kvcast::measure
