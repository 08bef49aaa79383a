// Timings that cannot be what they are taken for: the time of a whole request, by column.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// A fault of timings whose numbers are readable.
struct Implausible {
  enum class Kind {
    not_whole_requests,  ///< naive does not grow with N, or the scheme falls: times per candidate, or rates
    swapped,             ///< the scheme is far slower than naive at the largest N
    units,               ///< naive takes many times N requests of the scheme
  };
  Kind kind = Kind::not_whole_requests;
  std::string problem, question;  ///< what the timings show, and a question about its cause
};

/// Judges naive and `scheme` by their median times at each N; nothing where both are plausible. Honest timings may be
/// flat where a batch or the weights hide the cost of a candidate, and may fall where the first one ran cold. A fault
/// therefore takes a naive that does not grow over a factor of at least 8 in N, or a scheme that falls by a third and
/// keeps falling. Pure.
std::optional<Implausible> implausible(const TimingTable& table, const std::string& scheme);

/// "'shared' at N=10 took 0.1 of the minimum time its arithmetic takes at 131 GFLOP/s": the point furthest below
/// kMinOverMinimum, by its median; empty when there is none. Cannot judge without a peak, nor bf16 where the dense
/// library has instructions (AMX) that the peak does not cover. Pure.
std::string faster_than_possible(const Report& report);
/// Of time_over_minimum. No sound run came below 1.07; a clock that rises between peak and passes is within this.
inline constexpr double kMinOverMinimum = 0.95;

}  // namespace kvcast::analysis
