#include "analysis/reshape.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <set>

namespace kvcast::analysis {
namespace {

using OfCandidates = std::function<double(std::int64_t)>;

/// Half-widths of two sources at every N at which one of them steps, made to not fall with N: at another shape nothing
/// was measured that is better known than what lies before it. Unknown where either is.
Steps together(const Steps& a, const Steps& b, const std::function<double(double, double)>& join) {
  double widest = 0;
  Steps steps;
  if (!a || !b) return steps;
  std::set<std::int64_t> counts(a.candidates.begin(), a.candidates.end());
  counts.insert(b.candidates.begin(), b.candidates.end());
  for (const std::int64_t n : counts) {
    steps.candidates.push_back(n);
    steps.values.push_back(widest = std::max(widest, join(a(n), b(n))));
  }
  return steps;
}

OfCandidates times(const OfCandidates& old, double factor) {
  return [old, factor](std::int64_t n) { return factor * old(n); };
}

}  // namespace

SizingProblem anchored(const SizingProblem& own, const ServiceFit& here, const ServiceFit& there, std::int64_t at) {
  SizingProblem problem = own;
  problem.service = there.service;
  problem.service.residuals = own.service.residuals;
  problem.service.half =
      together(own.service.half, there.service.half, [](double a, double b) { return std::hypot(a, b); });
  problem.naive_s = there.naive_s;
  const double factor = own.service.seconds(at) / here.service.seconds(at);
  scale_times(problem, factor, factor, own.naive_s(at) / here.naive_s(at));
  problem.speedup = times(there.speedup, own.speedup(at) / here.speedup(at));
  return problem;
}

SizingProblem between(const SizingProblem& a, const SizingProblem& b, double weight) {
  const auto way = [weight](const OfCandidates& from, const OfCandidates& to) -> OfCandidates {
    return [from, to, weight](std::int64_t n) { return std::pow(from(n), 1 - weight) * std::pow(to(n), weight); };
  };
  const auto whole = [](const ServiceModel& service) -> OfCandidates {
    return [service](std::int64_t n) { return service.seconds(n); };
  };
  SizingProblem problem = a;
  problem.service = {};
  problem.service.candidates_s = way(whole(a.service), whole(b.service));
  problem.service.half =
      together(a.service.half, b.service.half, [](double of_a, double of_b) { return std::max(of_a, of_b); });
  problem.service.residuals = a.service.residuals;
  std::set_union(a.service.measured.begin(), a.service.measured.end(), b.service.measured.begin(),
                 b.service.measured.end(), std::back_inserter(problem.service.measured));
  problem.known_to = std::min(a.known_to, b.known_to);
  problem.naive_s = way(a.naive_s, b.naive_s);
  problem.speedup = way(a.speedup, b.speedup);
  return problem;
}

}  // namespace kvcast::analysis
