#include "analysis/sizing.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "analysis/budgets/budget.h"

namespace kvcast::analysis {
namespace {

using Holds = std::function<bool(std::int64_t)>;

/// The end of the true part of [from, to], from - 1 without one, for what once false stays false. In doubling steps: a
/// limit is mostly near.
std::int64_t last(std::int64_t from, std::int64_t to, const Holds& holds) {
  if (!holds(from)) return from - 1;
  std::int64_t good = from, step = 1;
  while (good < to) {
    const std::int64_t next = to - good > step ? good + step : to;
    if (!holds(next)) {
      std::int64_t bad = next;
      while (bad - good > 1) {
        const std::int64_t middle = good + (bad - good) / 2;
        (holds(middle) ? good : bad) = middle;
      }
      return good;
    }
    good = next;
    step *= 2;
  }
  return good;
}

/// Stretches of [1, known_to] in which nothing that a budget limits falls: up to a measured N, and each measured N on
/// its own, since its interval is narrower than that of the N below it.
std::vector<std::pair<std::int64_t, std::int64_t>> stretches(const SizingProblem& problem) {
  std::vector<std::pair<std::int64_t, std::int64_t>> all;
  std::int64_t from = 1;
  for (const std::int64_t n : problem.service.measured) {
    if (n > problem.known_to) break;
    if (from < n) all.emplace_back(from, n - 1);
    all.emplace_back(n, n);
    from = n + 1;
  }
  if (from <= problem.known_to) all.emplace_back(from, problem.known_to);
  return all;
}

}  // namespace

std::function<double(std::int64_t)> per_candidate(double seconds) {
  return [seconds](std::int64_t candidates) { return seconds * static_cast<double>(candidates); };
}

void scale_times(SizingProblem& problem, double user, double candidates, double naive) {
  const auto scaled = [](std::function<double(std::int64_t)> old, double factor) {
    return [old = std::move(old), factor](std::int64_t n) { return factor * old(n); };
  };
  const ServiceModel before = problem.service;
  problem.service.prefill_s *= user;
  if (problem.service.candidate_s) *problem.service.candidate_s *= candidates;
  problem.service.block_s *= candidates;
  problem.service.candidates_s = scaled(before.candidates_s, candidates);
  problem.naive_s = scaled(problem.naive_s, naive);
  problem.speedup = [old = problem.speedup, before, after = problem.service, naive](std::int64_t n) {
    return old(n) * naive * before.seconds(n) / after.seconds(n);
  };
}

double Steps::operator()(std::int64_t n) const {
  const auto found = std::lower_bound(candidates.begin(), candidates.end(), n);
  return found == candidates.end() ? values.back() : values[static_cast<std::size_t>(found - candidates.begin())];
}

void set_line(ServiceModel& service, double prefill_s, double candidate_s, double block_s, std::int64_t block) {
  service.prefill_s = prefill_s;
  service.candidate_s = candidate_s;
  service.block_s = block_s;
  service.block = block;
  service.candidates_s = [=](std::int64_t n) {
    const std::int64_t blocks = (n + block - 1) / block;
    return candidate_s * static_cast<double>(n) + block_s * static_cast<double>(blocks);
  };
}

double ServiceModel::mean_residual() const {
  return std::accumulate(residuals.begin(), residuals.end(), 0.0) / static_cast<double>(residuals.size());
}

double mean_seconds(const SizingProblem& problem, std::int64_t candidates, bool conservative) {
  const ServiceModel& service = problem.service;
  const double slow = conservative && service.half ? std::exp(service.half(candidates)) : 1.0;
  return service.seconds(candidates) * service.mean_residual() * slow;
}

double utilisation(const SizingProblem& problem, std::int64_t candidates) {
  return problem.requests_per_s.value_or(0) * mean_seconds(problem, candidates) / static_cast<double>(problem.workers);
}

double bytes_of(const SizingProblem& problem, std::int64_t candidates) {
  const MemoryModel& memory = *problem.memory;
  return memory.weights + static_cast<double>(problem.workers) * memory.worker(candidates) +
         static_cast<double>(problem.users_cached) * memory.user;
}

std::int64_t largest(const SizingProblem& problem, const Budget& budget, bool conservative) {
  const auto all = stretches(problem);
  for (auto stretch = all.rbegin(); stretch != all.rend(); ++stretch) {
    const auto [from, to] = *stretch;
    const std::int64_t found = last(from, to, [&](std::int64_t n) { return budget.meets(problem, n, conservative); });
    if (found >= from) return found;
  }
  return 0;
}

std::optional<std::int64_t> smallest(const SizingProblem& problem, const Holds& holds) {
  for (const auto& [from, to] : stretches(problem)) {
    const std::int64_t before = last(from, to, [&](std::int64_t n) { return !holds(n); });
    if (before < to) return before + 1;
  }
  return std::nullopt;
}

Solution solve(const SizingProblem& problem) {
  Solution solution;
  solution.expected = problem.known_to;
  const bool interval = static_cast<bool>(problem.service.half);
  if (interval) solution.conservative = problem.known_to;
  for (const Budget& budget : budget_list()) {
    if (!budget.limit(problem)) continue;
    const std::int64_t expected = largest(problem, budget, false);
    if (expected < solution.expected) {
      solution.expected = expected;
      solution.binding = &budget;
    }
    if (interval) solution.conservative = std::min(*solution.conservative, largest(problem, budget, true));
  }
  if (problem.min_improvement) {
    const double needed = 1 / (1 - *problem.min_improvement);
    // The formula gives 0.6 for N that it should give 0.6 for, to rounding.
    solution.least = smallest(problem, [&](std::int64_t n) { return problem.speedup(n) >= needed * (1 - 1e-12); });
  }
  solution.feasible =
      solution.expected >= 1 && (!problem.min_improvement || (solution.least && *solution.least <= solution.expected));
  return solution;
}

std::optional<std::int64_t> fewest_workers(const SizingProblem& problem, std::int64_t candidates) {
  SizingProblem varied = problem;
  const auto enough = [&](std::int64_t workers) {
    varied.workers = workers;
    return std::all_of(budget_list().begin(), budget_list().end(), [&](const Budget& budget) {
      return !budget.info.timed || !budget.limit(varied) || budget.meets(varied, candidates, false);
    });
  };
  if (!enough(kMaxWorkers)) return std::nullopt;
  return last(1, kMaxWorkers, [&](std::int64_t workers) { return !enough(workers); }) + 1;
}

}  // namespace kvcast::analysis
