// Samples as the tests of analysis write them down.
#pragma once

#include <cstdint>
#include <string>

#include "kvcast/report.h"

namespace kvcast::testing {

inline Sample row(const std::string& scheme, std::int64_t candidates, std::int64_t round, Status status,
                  double seconds) {
  Sample sample;
  sample.scheme = scheme;
  sample.candidates = sample.measured_candidates = candidates;
  sample.round = round;
  sample.status = status;
  sample.measured_seconds = seconds;
  return sample;
}

}  // namespace kvcast::testing
