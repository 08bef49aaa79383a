// Clustering of long times: many slow requests in one bad minute of a worker carry the information of one.
#pragma once

#include <cstdint>
#include <vector>

#include "traffic/latency_histogram.h"

namespace kvcast::traffic {

/// Counts of a run divided into spells, parts that each begin in the same state of the system. For each bucket of
/// times: the requests, the spells whose longest time is there, and the growth of the square of a spell's requests
/// beyond it. 20 kB for any number of spells.
class Spells {
 public:
  Spells();
  /// A request of the current spell.
  void add(double seconds) noexcept;
  /// Ends the spell; ignored without a request.
  void end() noexcept;
  /// Adds the counts of another run; the last spell of both must have ended.
  void add(const Spells& other) noexcept;

  /// Requests beyond a time per independent one, at least 1: E[m²]/E[m] of the requests m that a spell has beyond it,
  /// and at least what the number of those spells implies. Their m vary as much as those of a reflected Brownian motion
  /// above a level, E[m²]/E[m]² = 4, or not at all where each has one. Without this minimum, a run with only small
  /// spells would suggest that no larger ones exist.
  double requests_per_event(double seconds) const noexcept;

 private:
  using Buckets = TimeBuckets<4>;
  struct Sums {
    double requests = 0, spells = 0, squares = 0;
  };

  std::vector<Sums> sums_;
  std::vector<std::int64_t> here_;  ///< of the current spell
  std::size_t least_, most_ = 0;    ///< its buckets
};

}  // namespace kvcast::traffic
