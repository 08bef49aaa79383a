// Timings that cannot be what they are taken for: the time of a whole request, by column.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "kvcast/report.h"

namespace kvcast::analysis {

/// What is wrong with timings, beside numbers that are read all right.
struct Implausible {
  enum class Kind {
    not_whole_requests,  ///< naive does not grow with N, or the scheme falls: times per candidate, or rates
    swapped,             ///< the scheme is far slower than naive at the largest N
    units,               ///< naive takes many times N requests of the scheme
  };
  Kind kind = Kind::not_whole_requests;
  std::string problem, question;  ///< what is seen, and what it may come from
};

/// Of naive and of `scheme`, by the medians of their times at each N; nothing where both may be what they should be.
/// Honest timings may be flat where a batch or the weights hide what a candidate costs, and may fall where the first of
/// them ran cold; so naive must not grow over a factor of 8 in N at least, or the scheme must fall by a third and go on
/// falling. Pure.
std::optional<Implausible> implausible(const TimingTable& table, const std::string& scheme);

/// "'shared' at N=10 took 0.1 of the least time that its arithmetic takes at 131 GFLOP/s": the point furthest below
/// kMinOverMinimum, by the median that is reported; empty when there is none. Without a peak nothing can be said, nor
/// of bf16 where the dense library has instructions (AMX) that the peak was not measured with. Pure.
std::string faster_than_possible(const Report& report);
/// Of time_over_minimum. No sound run came below 1.07; a clock that rises between peak and passes is within this.
inline constexpr double kMinOverMinimum = 0.95;

}  // namespace kvcast::analysis
