// How long times come together: the requests beyond a time that are a worker's one bad minute tell as much as one.
#pragma once

#include <cstdint>
#include <vector>

#include "traffic/latency_histogram.h"

namespace kvcast::traffic {

/// Counts of a run that is divided into spells, parts that begin as the system was before: in each bucket of times, how
/// many requests there are, how many spells have their longest time there, and how the square of a spell's requests
/// beyond it grows there. 20 kB, whatever the number of spells.
class Spells {
 public:
  Spells();
  /// A request of the spell that goes on.
  void add(double seconds) noexcept;
  /// The spell ends; nothing when it has no request.
  void end() noexcept;
  /// Those of another run, both with their last spell ended.
  void add(const Spells& other) noexcept;

  /// Requests beyond a time for one that is independent of the others, at least 1: E[m²]/E[m] of the requests m that a
  /// spell has beyond it, and no less than what the number of those spells alone says. Their m vary as much as those of
  /// a reflected Brownian motion above a level, E[m²]/E[m]² = 4, or not at all where each has one. A run that has seen
  /// only small spells would else think that there are no larger ones.
  double requests_per_event(double seconds) const noexcept;

 private:
  using Buckets = TimeBuckets<4>;
  struct Sums {
    double requests = 0, spells = 0, squares = 0;
  };

  std::vector<Sums> sums_;
  std::vector<std::int64_t> here_;  ///< of the spell that goes on
  std::size_t least_, most_ = 0;    ///< its buckets
};

}  // namespace kvcast::traffic
