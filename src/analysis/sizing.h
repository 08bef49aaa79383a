// The largest queue that meets its budgets: a problem in plain numbers and functions, and its solution. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/sizing.h"

namespace kvcast::analysis {

/// N beyond which nothing is called a limit.
inline constexpr std::int64_t kMaxCandidates = 1'000'000'000;

/// Workers beyond which there is no answer to anybody.
inline constexpr std::int64_t kMaxWorkers = 100'000;

/// A function of N: the value of the first of `candidates` that is not below N, beyond them the last. Empty: unknown.
struct Steps {
  std::vector<std::int64_t> candidates;  ///< ascending
  std::vector<double> values;            ///< one each
  explicit operator bool() const { return !values.empty(); }
  double operator()(std::int64_t n) const;
};

/// Time of a request with N candidates.
struct ServiceModel {
  double prefill_s = 0;                              ///< once per request, whatever N
  std::function<double(std::int64_t)> candidates_s;  ///< beyond it for N candidates
  /// N that were measured, ascending: candidates_s may fall from one to the next, by noise, and nowhere else. Empty:
  /// nowhere.
  std::vector<std::int64_t> measured;
  bool straight = true;  ///< between two of them candidates_s is a line in N; else its log in ln N
  std::optional<double>
      candidate_s;     ///< where candidates_s, beyond `measured`, is candidate_s·N + block_s·ceil(N/block)
  double block_s = 0;  ///< each walk through the layers beyond its candidates
  std::int64_t block = 1;
  Steps half;                           ///< half-width of the 95% interval of ln(time); empty: unknown
  std::vector<double> residuals = {1};  ///< timings over the model's time, ascending, equally likely
  double mean_residual() const;
  double seconds(std::int64_t candidates) const { return prefill_s + candidates_s(candidates); }
};

/// A line in N through 0.
std::function<double(std::int64_t)> per_candidate(double seconds);
/// Makes the time of a model prefill_s + candidate_s·N + block_s·ceil(N/block).
void set_line(ServiceModel& service, double prefill_s, double candidate_s, double block_s = 0, std::int64_t block = 1);

/// Bytes of one process. worker: of one worker for requests of up to N candidates; does not fall with N.
struct MemoryModel {
  double weights = 0;
  std::function<double(std::int64_t)> worker;
  double user = 0;  ///< keys and values of one user that are kept between requests
};

/// What is known, and the limits that are stated.
struct SizingProblem : SizingLimits {
  ServiceModel service;
  std::function<double(std::int64_t)> naive_s;  ///< naive's time for all N candidates, in the unit of service
  /// Throughput over naive's. By the fit of ratios, which pairs of rounds know better than two times apart.
  std::function<double(std::int64_t)> speedup;
  std::optional<MemoryModel> memory;

  std::optional<double> min_improvement;
  std::int64_t workers = 1;
  std::int64_t users_cached = 0;
  std::int64_t known_to = kMaxCandidates;  ///< largest N that anything is known of
};

/// Makes prefill, candidates and naive this many times as long; speed-ups follow.
void scale_times(SizingProblem& problem, double user, double candidates, double naive);

/// Mean service time in seconds: the model's time and the mean of its residuals. conservative: at the slow end of the
/// 95% interval of the time.
double mean_seconds(const SizingProblem& problem, std::int64_t candidates, bool conservative = false);
double utilisation(const SizingProblem& problem, std::int64_t candidates);
double bytes_of(const SizingProblem& problem, std::int64_t candidates);

struct Budget;  // an entry of budgets/budget.h

/// Largest N by one stated budget; 0: not even one candidate; known_to: at least that many; kMaxCandidates: no limit.
/// By bisection between the measured N, the largest stretch first: within a stretch no budgeted quantity falls with N.
std::int64_t largest(const SizingProblem& problem, const Budget& budget, bool conservative);
/// Smallest N up to known_to for which `holds`; nullopt: none. Within a stretch between measured N, `holds` must stay
/// true once true; across stretches it may change.
std::optional<std::int64_t> smallest(const SizingProblem& problem, const std::function<bool(std::int64_t)>& holds);

struct Solution {
  std::int64_t expected = kMaxCandidates;
  std::optional<std::int64_t> conservative;  ///< nullopt: no interval is known
  const Budget* binding = nullptr;           ///< gives the smallest N; null: none limits it
  std::optional<std::int64_t> least;         ///< smallest N with min_improvement; nullopt: not asked for, or none
  bool feasible = true;                      ///< 1 <= expected, and least <= expected where it was asked for
};
/// expected and conservative: the smallest of largest() over the stated budgets, known_to without any.
Solution solve(const SizingProblem& problem);

/// Fewest workers with which N candidates meet the budgets that rest on times; nullopt: no number does.
std::optional<std::int64_t> fewest_workers(const SizingProblem& problem, std::int64_t candidates);

}  // namespace kvcast::analysis
