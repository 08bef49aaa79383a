// Whether the workers keep up with the arrivals: in an overloaded fleet every percentile only reflects the simulated
// duration. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kvcast::traffic {

/// A part of a run.
struct LoadWindow {
  double seconds = 0;
  std::int64_t arrivals = 0;
  double service_s = 0;  ///< mean worker time per request
  double in_system = 0;  ///< mean number waiting or served
};

/// The load of a run, from the first counted request to the last arrival.
struct Load {
  std::int64_t workers = 1, batch_max = 1;
  double seconds = 0;
  std::int64_t arrivals = 0;
  double service_s = 0;                         ///< mean worker time per request
  double arrival_cv2 = 1, service_cv2 = 1;      ///< squared coefficients of variation of gaps and service times
  std::int64_t waiting_first = 0, waiting = 0;  ///< at the beginning, at the end
  bool stopped = false;                         ///< the run was aborted: too many requests waiting
  std::vector<LoadWindow> windows;              ///< in order, about equally long
};

struct Saturation {
  bool saturated = false;
  bool unclear = false;                 ///< undecided: too few requests, or too close to capacity
  std::string text;                     ///< its signs; empty: the workers keep up
  double offered_load = 0;              ///< arrivals/s x mean service time / workers
  std::optional<double> offered_error;  ///< standard error of it, from the windows; nullopt: too few
  bool stopped = false;
  bool brief = false;  ///< load + 3 standard errors exceeds 1; for replications: in more than half of them
};

/// Offered load from which no run is steady: a queue forgets its beginning in about (1 + cv²)/(1 - load)² services,
/// 10^6 and more here, and waits 1/(1 - load) services.
inline constexpr double kFullLoad = 0.999;

/// Any one of three signs is enough:
/// - offered load at least kFullLoad, over 8 windows and more;
/// - more requests waiting at the end than a fleet that just keeps up would leave. Its queue is a reflected random
/// walk,
///   |N(0, n(ca² + cs²))| after n requests (heavy traffic; Kingman 1962, Iglehart and Whitt 1970): 3 of 1000 such
///   fleets exceed three standard deviations, and none with spare capacity;
/// - the number in the system rises over the windows (least squares, one-sided 99.9%, with as many degrees of freedom
/// as
///   the lag-1 correlation of the residuals leaves) while the last quarter of the windows reaches kFullLoad. Without
///   the latter condition a morning's rising load would count.
/// A burst that drains shows none of them. Unclear when load + 3 standard errors exceeds 1 (equivalently, when the run
/// is shorter than about nine times the queue's relaxation time), or with fewer than 8 windows.
Saturation judge(const Load& load);

/// All replications together: saturated when one was aborted, when more than half are, or when their mean load is at
/// least kFullLoad.
Saturation judge(const std::vector<Saturation>& replications);

}  // namespace kvcast::traffic
