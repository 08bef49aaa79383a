#include "analysis/plausibility.h"

#include <cmath>
#include <cstdint>
#include <map>
#include <utility>

#include "analysis/composition.h"
#include "base/text.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

// Exponents of N. A batch of which a request's fixed part is 15 times one candidate's still grows with 0.2 over
// N=1..10.
constexpr double kNoGrowth = 0.05, kFalls = -0.15, kGoesOnFalling = -0.1;
// Below, a batch may well hide a candidate.
constexpr double kMinRange = 8;
// Of the time at the least N, at the largest.
constexpr double kFallsTo = 0.67;
// Beyond 2 it is no noise, and a scheme that does not share has no reason to be slower than naive by as much.
constexpr double kFarBelow = 0.5;
// Naive over N times the scheme at the least N, where both do the same work. A poor naive may be several times slower.
constexpr double kFarAbove = 20;

using Medians = std::map<std::int64_t, double>;

Medians medians_of(const TimingTable& table, const std::string& scheme) {
  Medians medians;
  const auto found = table.find(TimingId(scheme));
  if (found == table.end()) return medians;
  for (const auto& [n, point] : found->second) {
    std::vector<double> seconds;
    for (const auto* timings : {&point.whole, &point.assembled}) {
      for (const Timing& timing : *timings) {
        // Extrapolated times grow with N because they were made to.
        if (timing.measured_candidates == n) seconds.push_back(timing.seconds);
      }
    }
    if (!seconds.empty()) medians[n] = median(std::move(seconds));
  }
  return medians;
}

/// Least squares in logs; from the second N on where `first` is left out.
double exponent(const Medians& times, bool with_first) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const auto& [candidates, seconds] : times) {
    if (!with_first && candidates == times.begin()->first) continue;
    const double log_n = std::log(static_cast<double>(candidates)), log_t = std::log(seconds);
    n += 1;
    x += log_n;
    y += log_t;
    xx += log_n * log_n;
    xy += log_n * log_t;
  }
  return (n * xy - x * y) / (n * xx - x * x);
}

std::string shown(double seconds) {
  const double scale = seconds >= 1 ? 1 : seconds >= 1e-3 ? 1e3 : seconds >= 1e-6 ? 1e6 : 1e9;
  return format_significant(seconds * scale, 3) + (scale == 1     ? " s"
                                                   : scale == 1e3 ? " ms"
                                                   : scale == 1e6 ? " us"
                                                                  : " ns");
}

std::string course(const std::string& scheme, const Medians& times) {
  return scheme + " takes " + shown(times.begin()->second) + " at N=" + std::to_string(times.begin()->first) + " and " +
         shown(times.rbegin()->second) + " at N=" + std::to_string(times.rbegin()->first);
}

}  // namespace

std::optional<Implausible> implausible(const TimingTable& table, const std::string& scheme) {
  const Medians naive = medians_of(table, kBaseline), shared = medians_of(table, scheme);
  if (naive.size() < 2 || shared.size() < 2) return std::nullopt;
  const auto range = [](const Medians& times) {
    return static_cast<double>(times.rbegin()->first) / static_cast<double>(times.begin()->first);
  };
  const bool flat = range(naive) >= kMinRange && exponent(naive, true) <= kNoGrowth;
  const bool falls = exponent(shared, true) <= kFalls && shared.rbegin()->second <= kFallsTo * shared.begin()->second &&
                     (shared.size() == 2 || exponent(shared, false) <= kGoesOnFalling);
  const std::string per_request = "a request does not get cheaper with more candidates, and a time covers all N: ";
  if (flat && !falls && exponent(shared, true) > -kFalls) {
    return Implausible{Implausible::Kind::not_whole_requests, course(kBaseline, naive) + ", " + course(scheme, shared),
                       "naive computes the history for every candidate: are the columns swapped, or are these rates?"};
  }
  if (flat || falls) {
    return Implausible{
        Implausible::Kind::not_whole_requests,
        (flat ? course(kBaseline, naive) : "") + (flat && falls ? ", " : "") + (falls ? course(scheme, shared) : ""),
        per_request + "are these per candidate, or rates?"};
  }
  const auto [least, naive_s] = *naive.begin();
  if (const auto at_least = shared.find(least);
      at_least != shared.end() && naive_s > kFarAbove * static_cast<double>(least) * at_least->second) {
    return Implausible{Implausible::Kind::units,
                       "naive takes " + shown(naive_s) + " at N=" + std::to_string(least) + ", " + scheme + " " +
                           shown(at_least->second),
                       "for naive, N candidates cost about N requests of one: are the columns in different units?"};
  }
  const std::int64_t most = naive.rbegin()->first;
  const auto at_most = shared.find(most);
  if (at_most == shared.end() || !(naive.rbegin()->second < kFarBelow * at_most->second)) return std::nullopt;
  return Implausible{Implausible::Kind::swapped,
                     scheme + " takes " + format_significant(at_most->second / naive.rbegin()->second, 2) +
                         " times as long as naive at N=" + std::to_string(most),
                     "are the columns swapped or in different units, or does it run candidates one by one?"};
}

std::string faster_than_possible(const Report& report) {
  double least = kMinOverMinimum;
  std::string which;
  for (const Case& one : report.cases) {
    const std::optional<MachineInfo>& machine = one.machine ? one.machine : report.machine;
    if (!machine) continue;
    const bool bf16 = one.shape && one.shape->dtype == "bf16";
    if (bf16 && machine->dense_isa.find("amx") != std::string::npos) continue;
    for (const Point& point : one.points) {
      for (const SchemePoint& scheme : point.schemes) {
        if (!scheme.time_over_minimum || !(*scheme.time_over_minimum < least)) continue;
        least = *scheme.time_over_minimum;
        const double peak = *scheme.gflops_per_s * least;
        which = in_quotes(scheme.scheme) + " at N=" + std::to_string(point.candidates) + " took " +
                format_significant(least, 2) + " of the minimum time its arithmetic takes at " +
                format_significant(peak, 3) + " GFLOP/s";
      }
    }
  }
  return which;
}

}  // namespace kvcast::analysis
