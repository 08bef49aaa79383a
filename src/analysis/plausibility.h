// Timings that cannot be what they are taken for: the time of a whole request, by column.
#pragma once

#include <optional>
#include <string>
#include <vector>

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
std::optional<Implausible> implausible(const std::vector<Sample>& samples, const std::string& scheme);

}  // namespace kvcast::analysis
