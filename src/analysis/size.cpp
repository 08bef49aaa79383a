#include "analysis/size.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "analysis/advice.h"
#include "analysis/budgets/budget.h"
#include "analysis/composition.h"
#include "analysis/queueing.h"
#include "kvcast/cost_model.h"
#include "statistics/statistics.h"

namespace kvcast::analysis {
namespace {

// What sensitivity moves every input by.
constexpr double kStep = 0.1;
// The published drop that the design note starts from. Source: LONGER, arXiv 2505.04421.
constexpr double kLongerDrop = 0.40, kLongerTarget = 0.068;

/// nullopt for no limit.
std::optional<std::int64_t> or_none(std::int64_t candidates) {
  return candidates >= kMaxCandidates ? std::nullopt : std::optional(candidates);
}
std::optional<std::int64_t> or_none(std::optional<std::int64_t> candidates) {
  return candidates ? or_none(*candidates) : std::nullopt;
}
std::optional<double> finite(double value) { return std::isfinite(value) ? std::optional(value) : std::nullopt; }
std::int64_t whole_bytes(double bytes) { return static_cast<std::int64_t>(std::min(bytes, 9e18)); }

Source source_at(const SizingCase& given, std::int64_t candidates) {
  if (given.source != Source::fitted) return given.source;
  const std::vector<std::int64_t>& measured = given.problem.service.measured;
  if (std::binary_search(measured.begin(), measured.end(), candidates)) return Source::measured;
  const bool inside = given.min_measured <= candidates && candidates <= given.max_measured;
  return !inside ? Source::extrapolated : given.problem.service.straight ? Source::fitted : Source::interpolated;
}

/// Of an answer under another circumstance: what is fitted there is so within the measured N only.
Source source_of(const SizingCase& given, Source there, const std::optional<std::int64_t>& candidates) {
  if (there != Source::fitted || !candidates || *candidates < 1) return there;
  return *candidates <= given.max_measured ? there : Source::extrapolated;
}

/// Of a problem without the budgets that are not asked about.
std::int64_t expected_of(const SizingProblem& problem) { return solve(problem).expected; }

std::vector<SizingBudget> budgets(const SizingCase& given, const Solution& solution) {
  std::vector<SizingBudget> rows;
  const SizingProblem& problem = given.problem;
  for (const Budget& budget : budget_list()) {
    const auto limit = budget.limit(problem);
    if (!limit) continue;
    SizingBudget row;
    row.name = budget.info.name;
    row.unit = budget.info.unit;
    row.limit = *limit;
    const std::int64_t alone = largest(problem, budget, false);
    row.expected_candidates = or_none(alone);
    if (solution.conservative) row.conservative_candidates = or_none(largest(problem, budget, true));
    row.feasible = alone >= 1;
    row.binding = solution.binding == &budget;
    row.source = given.source;
    // Where nothing is known to limit N there is no N to look at.
    if (solution.expected < problem.known_to) {
      const std::int64_t at = std::max<std::int64_t>(1, solution.expected);
      row.used = finite(budget.used(problem, at, false));
      if (row.used) row.headroom_pct = 100 * (budget.info.floor ? *row.used / *limit - 1 : 1 - *row.used / *limit);
      row.source = source_at(given, at);
    }
    if (!budget.info.timed) row.source = Source::computed;
    rows.push_back(std::move(row));
  }
  return rows;
}

/// P99 over mean.
double tail_of(const std::vector<double>& residuals) {
  return quantile_of({}, {1, &residuals}, 0.99) / mean(residuals);
}

/// Residuals with `factor` times their P99 over their mean, as far as that is above 1.
void spread(std::vector<double>& residuals, double factor) {
  const double centre = mean(residuals), tail = tail_of(residuals);
  if (tail <= 1) return;
  const double stretch = std::max(0.0, (factor * tail - 1) / (tail - 1));
  for (double& value : residuals) value = std::max(1e-6 * centre, centre + stretch * (value - centre));
}

double moved(double value, double factor) { return value * factor; }
/// Whole numbers move by at least one.
std::int64_t moved(std::int64_t value, double factor) {
  const double to = static_cast<double>(value) * factor;
  const double whole = factor < 1 ? std::min(std::floor(to), static_cast<double>(value) - 1)
                                  : std::max(std::ceil(to), static_cast<double>(value) + 1);
  return static_cast<std::int64_t>(whole);
}

std::vector<ScalableInput> inputs(const SizingCase& given, std::int64_t at) {
  const SizingProblem& problem = given.problem;
  std::vector<ScalableInput> list;
  const auto add = [&](const char* name, const char* unit, double value, Source source, auto scale) {
    ScalableInput input;
    input.shown.name = name;
    input.shown.unit = unit;
    input.shown.value = value;
    input.shown.source = source;
    input.scale = scale;
    list.push_back(std::move(input));
  };
  for (const Budget& budget : budget_list()) {
    const auto limit = budget.limit(problem);
    if (!limit) continue;
    add(budget.info.name, budget.info.unit, *limit, Source::assumed,
        [&budget](SizingProblem& p, double factor) { p.*budget.info.limit = moved(*budget.limit(p), factor); });
  }
  const bool load = problem.requests_per_s.has_value();
  if (load || (problem.memory_bytes && problem.workers > 1)) {
    add("workers", "", static_cast<double>(problem.workers), Source::assumed,
        [](SizingProblem& p, double factor) { p.workers = std::max<std::int64_t>(1, moved(p.workers, factor)); });
  }
  if (problem.memory_bytes && problem.users_cached > 0) {
    add("users_cached", "users", static_cast<double>(problem.users_cached), Source::assumed,
        [](SizingProblem& p, double factor) { p.users_cached = moved(p.users_cached, factor); });
  }
  if (problem.min_improvement) {
    add("min_improvement", "0..1", *problem.min_improvement, Source::assumed, [](SizingProblem& p, double factor) {
      p.min_improvement = std::min(1 - 1e-9, moved(*p.min_improvement, factor));
    });
  }
  for (const ScalableInput& input : given.inputs) list.push_back(input);
  if (problem.p99_s && problem.service.residuals.size() > 1) {
    add("p99_over_mean", "ratio", tail_of(problem.service.residuals),
        given.source == Source::assumed || given.tail_assumed ? Source::assumed : Source::measured,
        [](SizingProblem& p, double factor) { spread(p.service.residuals, factor); });
  }
  if (problem.memory_bytes && problem.memory) {
    add("weights_bytes", "bytes", problem.memory->weights, Source::computed,
        [](SizingProblem& p, double factor) { p.memory->weights *= factor; });
    add("worker_bytes", "bytes", problem.memory->worker(at), Source::computed, [](SizingProblem& p, double factor) {
      p.memory->worker = [worker = p.memory->worker, factor](std::int64_t n) { return factor * worker(n); };
    });
    if (problem.users_cached > 0) {
      add("user_kv_bytes", "bytes", problem.memory->user, Source::computed,
          [](SizingProblem& p, double factor) { p.memory->user *= factor; });
    }
  }
  return list;
}

std::vector<SizingInput> sensitivity(const SizingCase& given, std::int64_t at) {
  std::vector<SizingInput> rows;
  for (const ScalableInput& input : inputs(given, at)) {
    SizingInput row = input.shown;
    const auto then = [&](double factor) {
      SizingProblem problem = given.problem;
      input.scale(problem, factor);
      const Solution solution = solve(problem);
      return row.name == "min_improvement" ? solution.least : or_none(solution.expected);
    };
    row.candidates_less = then(1 - kStep);
    row.candidates_more = then(1 + kStep);
    rows.push_back(std::move(row));
  }
  return rows;
}

SizingProblem naive_problem(const SizingCase& given) {
  SizingProblem problem = given.problem;
  problem.service = {};
  problem.service.candidates_s = given.problem.naive_s;
  problem.service.measured = given.problem.service.measured;
  problem.service.residuals = given.naive_residuals;
  problem.speedup = [](std::int64_t) { return 1.0; };
  problem.memory = given.naive_memory;
  problem.users_cached = 0;  // nothing of a user is kept
  problem.min_improvement.reset();
  if (!problem.memory) problem.memory_bytes.reset();
  return problem;
}

/// Of all workers together, the largest that meets the P99; nullopt: none does, or none is asked for.
std::optional<double> max_rate(SizingProblem problem, std::int64_t candidates) {
  if (!problem.p99_s) return std::nullopt;
  const double capacity = kMaxUtilisation * static_cast<double>(problem.workers) / mean_seconds(problem, candidates);
  const auto meets = [&](double rate) {
    problem.requests_per_s = rate;
    return meets_p99(problem, candidates);
  };
  double low = 1e-6 * capacity, high = capacity;
  if (!meets(low)) return std::nullopt;
  if (meets(high)) return high;
  while (high - low > 1e-3 * high) {
    const double middle = 0.5 * (low + high);
    (meets(middle) ? low : high) = middle;
  }
  return low;
}

SizingPoint point(const SizingCase& given, std::int64_t candidates) {
  const SizingProblem& problem = given.problem;
  const SizingProblem naive = naive_problem(given);
  SizingPoint row;
  row.candidates = candidates;
  row.source = source_at(given, candidates);
  row.speedup.value = problem.speedup(candidates);
  if (given.speedup_interval) row.speedup.ci95 = given.speedup_interval(candidates);
  row.improvement = 1 - 1 / row.speedup.value;
  row.marginal_speedup = problem.speedup(candidates + 1) - row.speedup.value;
  if (given.timed) {
    row.scheme_s = mean_seconds(problem, candidates);
    row.naive_s = mean_seconds(naive, candidates);
    row.p99_s = finite(p99_seconds(problem, candidates));
    if (problem.service.half) row.p99_conservative_s = finite(p99_seconds(problem, candidates, true));
    row.naive_p99_s = finite(p99_seconds(naive, candidates));
    row.max_requests_per_s = max_rate(problem, candidates);
    if (row.max_requests_per_s) row.max_candidates_per_s = static_cast<double>(candidates) * *row.max_requests_per_s;
    if (problem.requests_per_s) {
      row.utilisation = utilisation(problem, candidates);
      row.naive_utilisation = utilisation(naive, candidates);
    }
  }
  if (problem.memory) row.memory_bytes = whole_bytes(bytes_of(problem, candidates));
  if (given.copies_memory) {
    SizingProblem copies = problem;
    copies.memory = given.copies_memory;
    row.copies_memory_bytes = whole_bytes(bytes_of(copies, candidates));
  }
  if (given.naive_memory) row.naive_memory_bytes = whole_bytes(bytes_of(naive, candidates));
  if (given.drop) {
    row.drop_naive = given.drop->value;
    row.drop_design_note = drop_design_note(given.drop->value, row.speedup.value);
    row.drop_exact = drop_exact(given.drop->value, row.speedup.value);
  }
  return row;
}

std::vector<SizingPoint> points(const SizingCase& given, const Solution& solution) {
  std::set<std::int64_t> counts(given.shown.begin(), given.shown.end());
  for (const auto& n : {or_none(solution.expected), or_none(solution.conservative), solution.least}) {
    if (n && *n >= 1) counts.insert(*n);
  }
  std::vector<SizingPoint> rows;
  for (const std::int64_t n : counts) {
    if (n <= given.problem.known_to) rows.push_back(point(given, n));
  }
  return rows;
}

std::vector<SizingFraction> fractions(const SizingCase& given) {
  std::vector<SizingFraction> rows;
  for (const double fraction : {0.5, 0.8, 0.9, 0.95, 0.99}) {
    SizingFraction row{fraction, {}, {}, {}, source_at(given, kMaxCandidates)};
    if (given.limit) {
      row.candidates = smallest(given.problem, [&](std::int64_t n) {
        return given.problem.speedup(n) >= fraction * *given.limit * (1 - 1e-12);
      });
    }
    if (row.candidates) {
      row.speedup = given.problem.speedup(*row.candidates);
      row.improvement = 1 - 1 / *row.speedup;
      row.source = source_at(given, *row.candidates);
    }
    rows.push_back(row);
  }
  return rows;
}

SizingFrontier frontier(const std::string& axis, const std::string& unit, double at, const SizingProblem& problem,
                        const SizingCase& given) {
  SizingFrontier row;
  row.axis = axis;
  row.unit = unit;
  row.at = at;
  const Solution solution = solve(problem);
  row.expected_candidates = or_none(solution.expected);
  row.conservative_candidates = or_none(solution.conservative);
  row.known_to = or_none(problem.known_to);
  if (row.expected_candidates && *row.expected_candidates >= 1) {
    row.speedup = problem.speedup(*row.expected_candidates);
    row.source = source_at(given, *row.expected_candidates);
  } else {
    row.source = given.source;
  }
  return row;
}

/// A queue that is conservative at a longer history is conservative at a shorter one, whose interval may be wider. The
/// sized length keeps its own, which is the answer. rows: of ascending lengths.
void carry_conservative(std::vector<SizingFrontier>& rows, const std::optional<std::int64_t>& sized) {
  for (std::size_t i = rows.size(); i-- > 1;) {
    SizingFrontier &shorter = rows[i - 1], &longer = rows[i];
    if (!shorter.conservative_candidates || !longer.conservative_candidates) continue;
    if (sized && shorter.at == static_cast<double>(*sized)) continue;
    const std::int64_t carried =
        std::min(*longer.conservative_candidates, shorter.expected_candidates.value_or(kMaxCandidates));
    shorter.conservative_candidates = std::max(*shorter.conservative_candidates, carried);
  }
}

/// Expected and conservative N by history length, and what sharing leaves of naive's drop there.
std::vector<SizingFrontier> by_length(const SizingCase& given, const Solution& solution) {
  std::vector<SizingFrontier> rows;
  const auto limits_time = [&](const Budget& budget) {
    return budget.info.timed && !budget.info.floor && budget.limit(given.problem);
  };
  const bool timed = std::any_of(budget_list().begin(), budget_list().end(), limits_time);
  if (!timed && !given.drop) return rows;  // nothing of it depends on L
  for (const SizingVariant& variant : given.lengths) {
    SizingFrontier row = frontier("history_length", "tokens", variant.at, variant.problem, given);
    row.source = source_of(given, variant.source, row.expected_candidates);
    if (given.drop) {
      // The head is the same at every L, so the drop follows from naive's time.
      const std::int64_t at = or_none(solution.expected).value_or(given.max_measured);
      const auto per_naive = [at](const SizingProblem& p) { return p.naive_s(std::max<std::int64_t>(1, at)); };
      const double added =
          cost_ratio_of_drop(given.drop->value) * per_naive(variant.problem) / per_naive(given.problem);
      row.drop_naive = variant.drop ? *variant.drop : added / (1 + added);
      // Where nothing limits N, at the largest that was measured; where not one candidate fits, nothing is shared.
      if (!row.expected_candidates) row.speedup = variant.problem.speedup(given.max_measured);
      if (row.speedup) row.drop_shared = drop_exact(*row.drop_naive, *row.speedup);
    }
    rows.push_back(std::move(row));
  }
  carry_conservative(rows, given.history_length);
  return rows;
}

std::vector<SizingFrontier> frontiers(const SizingCase& given, const Solution& solution) {
  std::vector<SizingFrontier> rows = by_length(given, solution);
  for (const Budget& budget : budget_list()) {
    std::vector<double> limits;
    if (const auto limit = budget.limit(given.problem)) {
      limits = {*limit / 4, *limit / 2, *limit, 2 * *limit, 4 * *limit};
    } else if (budget.info.floor && given.timed) {
      // More than there is with one candidate cannot be asked for, so the range is known without a limit.
      const double most = budget.used(given.problem, 1, false);
      limits = {most / 20, most / 10, most / 4, most / 2, most};
    }
    for (const double limit : limits) {
      SizingProblem problem = given.problem;
      problem.*budget.info.limit = limit;
      rows.push_back(frontier(budget.info.name, budget.info.unit, limit, problem, given));
    }
  }
  return rows;
}

std::vector<SizingParameter> parameters(const SizingCase& given, const Solution& solution) {
  std::vector<SizingParameter> rows;
  if (solution.expected >= given.problem.known_to) return rows;
  for (const SizingVariant& variant : given.parameters) {
    SizingParameter row{variant.name, variant.from,  variant.to, or_none(expected_of(variant.problem)),
                        {},           variant.source};
    row.source = source_of(given, variant.source, row.expected_candidates);
    if (row.expected_candidates && solution.expected >= 1) {
      row.change_pct =
          100 * (static_cast<double>(*row.expected_candidates) / static_cast<double>(solution.expected) - 1);
    }
    rows.push_back(std::move(row));
  }
  // Most first, however it moves N: a half and a double are as far from 1.
  const auto distance = [&](const SizingParameter& row) {
    if (!row.expected_candidates) return std::numeric_limits<double>::infinity();
    const auto real = [](std::int64_t n) { return std::log(std::max(0.5, static_cast<double>(n))); };
    return std::abs(real(*row.expected_candidates) - real(solution.expected));
  };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const SizingParameter& a, const SizingParameter& b) { return distance(a) > distance(b); });
  return rows;
}

std::vector<SizingAlternative> alternatives(const SizingCase& given, const Solution& solution) {
  std::vector<SizingAlternative> rows;
  if (solution.expected >= given.problem.known_to) return rows;
  const auto add = [&](const std::string& change, const SizingProblem& problem, const Source& source) {
    const auto expected = or_none(expected_of(problem));
    rows.push_back({change, expected, source_of(given, source, expected)});
  };
  add("naive instead of " + given.scheme, naive_problem(given), given.source);
  for (const SizingVariant& variant : given.alternatives) add(variant.name, variant.problem, variant.source);
  if (given.problem.requests_per_s) {
    SizingProblem more = given.problem;
    more.workers *= 2;
    rows.push_back({"twice the workers", or_none(expected_of(more)), Source::assumed});
    SizingProblem less = given.problem;
    *less.requests_per_s /= 2;
    rows.push_back({"half the rate", or_none(expected_of(less)), Source::assumed});
  }
  return rows;
}

SizingFleet fleet_row(const SizingCase& given, const std::string& scheme, const SizingProblem& problem,
                      std::int64_t candidates) {
  SizingFleet row;
  row.candidates = candidates;
  row.scheme = scheme;
  row.source = source_at(given, candidates);
  const std::int64_t threads = given.threads.value_or(1);
  const std::int64_t per_machine = given.cpus ? std::max<std::int64_t>(1, *given.cpus / threads) : 1;
  const double seconds = mean_seconds(problem, candidates);
  if (!problem.requests_per_s) {
    // Without a rate the machines are as busy as they may be.
    row.utilisation = kMaxUtilisation;
    if (given.price_per_hour) {
      row.cost_per_million =
          *given.price_per_hour / 3600 * 1e6 * seconds / (kMaxUtilisation * static_cast<double>(per_machine));
    }
    return row;
  }
  row.workers = fewest_workers(problem, candidates);
  if (!row.workers) return row;
  if (given.threads) row.cores = *row.workers * threads;
  row.machines = (*row.workers + per_machine - 1) / per_machine;
  row.utilisation = *problem.requests_per_s * seconds / static_cast<double>(*row.workers);
  if (given.price_per_hour) {
    row.cost_per_million =
        *given.price_per_hour / 3600 * 1e6 * static_cast<double>(*row.machines) / *problem.requests_per_s;
  }
  return row;
}

std::vector<SizingFleet> fleet(const SizingCase& given, const std::vector<SizingPoint>& shown) {
  std::vector<SizingFleet> rows;
  if (!given.timed || (!given.problem.requests_per_s && !given.price_per_hour)) return rows;
  const SizingProblem naive = naive_problem(given);
  for (const SizingPoint& one : shown) {
    rows.push_back(fleet_row(given, given.scheme, given.problem, one.candidates));
    rows.push_back(fleet_row(given, kBaseline, naive, one.candidates));
  }
  return rows;
}

/// N at which the bytes of a worker are reported: every bend, so that lines between them are exact.
void tell_worker(SizingModel& model, const MemoryModel& memory) {
  // Blocks of candidates end below this; beyond it only inputs and outputs grow.
  constexpr std::int64_t kLast = 2048;
  const auto slope = [&](std::int64_t n) { return memory.worker(n + 1) - memory.worker(n); };
  for (std::int64_t n = 1; n <= kLast; ++n) {
    const bool bends = n > 1 && std::abs(slope(n) - slope(n - 1)) > 1e-6;
    if (n != 1 && n != kLast && n != kLast - 1 && !bends) continue;
    model.worker_candidates.push_back(static_cast<double>(n));
    model.worker_bytes.push_back(memory.worker(n));
  }
}

/// a of the line a + b N which, scaled to meet the last measured N, is the time beyond it. Not the prefill where a
/// measured time is shorter than the line's constant, and not the scaled one of a shape that FLOPs scale.
double line_constant(const ServiceModel& service) {
  if (service.measured.empty()) return service.prefill_s;
  constexpr std::int64_t kFar = 1000;
  const std::int64_t last = service.measured.back();
  const double there = service.seconds(last), added = (service.seconds(last + kFar) - there) / kFar;
  if (!(added > 0)) return service.prefill_s;
  const double constant = *service.candidate_s * (there / added - static_cast<double>(last));
  // The last bits are rounding.
  return std::abs(constant - service.prefill_s) <= 1e-9 * there ? service.prefill_s : constant;
}

SizingModel model_of(const SizingCase& given, const SizingProblem& problem, const Source& source) {
  SizingModel model;
  model.layers = given.layers;
  model.source = source;
  model.prefill_s = line_constant(problem.service);
  model.candidate_s = *problem.service.candidate_s;
  if (problem.service.block_s > 0) {
    model.block_s = problem.service.block_s;
    model.block_candidates = problem.service.block;
  }
  const std::int64_t beyond = given.max_measured;
  model.naive_candidate_s = (problem.naive_s(beyond + 1000) - problem.naive_s(beyond)) / 1000;
  for (const std::int64_t n : problem.service.measured) {
    model.measured_candidates.push_back(static_cast<double>(n));
    model.measured_s.push_back(problem.service.seconds(n));
    model.measured_speedup.push_back(problem.speedup(n));
  }
  model.straight = problem.service.straight;
  model.speedup_straight = given.speedup_straight;
  for (const std::int64_t n : problem.service.half.candidates) model.half_candidates.push_back(static_cast<double>(n));
  model.half = problem.service.half.values;
  if (problem.service.residuals != given.problem.service.residuals) model.residuals = problem.service.residuals;
  if (problem.memory) {
    model.weights_bytes = problem.memory->weights;
    model.user_kv_bytes = problem.memory->user;
    tell_worker(model, *problem.memory);
  }
  return model;
}

/// A service time that is neither a line in N nor one with a cost per block beyond the measured N cannot be reported.
std::vector<SizingModel> models(const SizingCase& given) {
  std::vector<SizingModel> rows;
  const auto add = [&](const SizingProblem& problem, std::optional<std::int64_t> length, const Source& source) {
    if (!problem.service.candidate_s) return;
    rows.push_back(model_of(given, problem, source));
    rows.back().history_length = length;
    if (length != given.history_length || !given.speedup_line) return;
    rows.back().speedup_user = given.speedup_line->user;
    rows.back().speedup_candidate = given.speedup_line->candidate;
  };
  if (given.lengths.empty()) add(given.problem, given.history_length, given.source);
  for (const SizingVariant& variant : given.lengths) {
    add(variant.problem, static_cast<std::int64_t>(variant.at), variant.source);
  }
  return rows;
}

/// Whether an N meets all budgets and is worth it.
bool feasible(const SizingProblem& problem) { return solve(problem).feasible; }

/// The value nearest to `from` on the way to `to` with which `holds`: by bisection on the log. holds(to) must be true.
double nearest(double from, double to, const std::function<bool(double)>& holds) {
  while (std::abs(std::log(to / from)) > 1e-12) {
    const double middle = std::sqrt(from * to);
    (holds(middle) ? to : from) = middle;
  }
  return to;
}

/// The nearest value on the way to `far` that makes the problem feasible; nullopt: none does.
std::optional<SizingChange> change(const SizingProblem& problem, const char* input, const char* unit, double from,
                                   double far, const std::function<void(SizingProblem&, double)>& set) {
  const auto holds = [&](double value) {
    SizingProblem changed = problem;
    set(changed, value);
    return feasible(changed);
  };
  if (!(far > 0 && holds(far))) return std::nullopt;
  return SizingChange{input, unit, from, nearest(from, far, holds), true};
}

/// Likewise of a whole number: the smallest step that does.
std::optional<SizingChange> whole_change(const SizingProblem& problem, const char* input, const char* unit,
                                         std::int64_t SizingProblem::*member, std::int64_t far) {
  const std::int64_t from = problem.*member, most = std::abs(far - from);
  const auto value_of = [&](std::int64_t steps) { return far > from ? from + steps : from - steps; };
  const auto changed_by = [&](std::int64_t steps) {
    SizingProblem changed = problem;
    changed.*member = value_of(steps);
    return changed;
  };
  const auto holds = [&](std::int64_t steps) {
    SizingProblem changed = changed_by(steps);
    // More of it never helps the memory: that is judged at the step that is enough for the rest.
    if (far > from) changed.memory_bytes.reset();
    return feasible(changed);
  };
  if (most == 0 || !holds(most)) return std::nullopt;
  std::int64_t bad = 0, good = most;
  while (good - bad > 1) {
    const std::int64_t middle = bad + (good - bad) / 2;
    (holds(middle) ? good : bad) = middle;
  }
  if (!feasible(changed_by(good))) return std::nullopt;
  return SizingChange{input, unit, static_cast<double>(from), static_cast<double>(value_of(good)), true};
}

/// Each enough alone.
std::vector<SizingChange> single_changes(const SizingProblem& problem) {
  std::vector<SizingChange> rows;
  const auto add = [&](const std::optional<SizingChange>& row) {
    if (row) rows.push_back(*row);
  };
  constexpr double kFar = 1e6;
  for (const Budget& budget : budget_list()) {
    const auto limit = budget.limit(problem);
    if (!limit) continue;
    const double far = budget.info.floor ? *limit / kFar : *limit * kFar;
    add(change(problem, budget.info.name, budget.info.unit, *limit, far,
               [&](SizingProblem& p, double value) { p.*budget.info.limit = value; }));
  }
  if (problem.requests_per_s) {
    add(whole_change(problem, "workers", "", &SizingProblem::workers, std::min(100 * problem.workers, kMaxWorkers)));
  }
  if (problem.memory_bytes) {
    add(whole_change(problem, "workers", "", &SizingProblem::workers, 1));
    add(whole_change(problem, "users_cached", "users", &SizingProblem::users_cached, 0));
  }
  if (problem.min_improvement) {
    add(change(problem, "min_improvement", "0..1", *problem.min_improvement, 1e-6,
               [](SizingProblem& p, double value) { p.min_improvement = value; }));
  }
  return rows;
}

/// Each budget as far as it must go for the N that is wanted.
std::vector<SizingChange> changes_together(const SizingProblem& problem, const Solution& solution) {
  std::vector<SizingChange> rows;
  std::int64_t wanted = solution.least.value_or(1);
  SizingProblem changed = problem;
  if (problem.min_improvement && !solution.least) {
    // Out of reach at any N: half of the largest improvement, which no long queue is needed for.
    const double to = (1 - 1 / problem.speedup(problem.known_to)) / 2;
    if (!(to > 0)) return rows;
    changed.min_improvement = to;
    wanted = *solve(changed).least;
    rows.push_back({"min_improvement", "0..1", *problem.min_improvement, to, false});
  }
  // The rate first, because the P99 depends on it.
  for (const bool floor : {true, false}) {
    for (const Budget& budget : budget_list()) {
      const auto limit = budget.limit(changed);
      if (budget.info.floor != floor || !limit || budget.meets(changed, wanted, false)) continue;
      const double to = budget.used(changed, wanted, false);
      changed.*budget.info.limit = to;
      rows.push_back({budget.info.name, budget.info.unit, *limit, to, false});
    }
  }
  // One that is further away than was looked.
  if (rows.size() == 1) rows.front().suffices = feasible(changed);
  return rows;
}

/// Single changes that make the problem feasible; where there is none, the budgets that must move together.
std::vector<SizingChange> changes(const SizingCase& given, const Solution& solution) {
  if (solution.feasible) return {};
  std::vector<SizingChange> rows = single_changes(given.problem);
  if (rows.empty()) rows = changes_together(given.problem, solution);
  const auto distance = [](const SizingChange& row) {
    return row.to > 0 && row.from > 0 ? std::abs(std::log(row.to / row.from)) : std::numeric_limits<double>::infinity();
  };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const SizingChange& a, const SizingChange& b) { return distance(a) < distance(b); });
  return rows;
}

}  // namespace

Sizing size_case(const SizingCase& given) {
  const SizingProblem& problem = given.problem;
  const Solution solution = solve(problem);
  Sizing sizing;
  sizing.feasible = solution.feasible;
  sizing.scheme = given.scheme;
  sizing.history_length = given.history_length;
  sizing.layers = given.layers;
  sizing.expected_candidates = or_none(solution.expected);
  sizing.conservative_candidates = or_none(solution.conservative);
  sizing.known_to = or_none(problem.known_to);
  sizing.min_improvement = problem.min_improvement;
  sizing.min_candidates = solution.least;
  if (solution.binding != nullptr) sizing.binding = solution.binding->info.name;
  const bool at_some_n = solution.expected >= 1 && solution.expected < problem.known_to;
  sizing.source = at_some_n ? source_at(given, *sizing.expected_candidates) : given.source;
  sizing.limit = given.limit;
  sizing.knee_candidates = smallest(problem, [&](std::int64_t n) {
    return problem.service.candidates_s(n) >= problem.service.prefill_s * (1 - 1e-12);
  });
  sizing.drop = given.drop;
  if (given.drop) sizing.drop_source = given.drop_source;
  sizing.caveats = given.caveats;
  sizing.notes = given.notes;
  sizing.changes = changes(given, solution);
  sizing.budgets = budgets(given, solution);
  sizing.inputs = sensitivity(given, std::clamp<std::int64_t>(solution.expected, 1, given.max_measured));
  sizing.points = points(given, solution);
  sizing.fractions = fractions(given);
  sizing.advice = advice(problem, given.limit);
  for (SizingAdvice& row : sizing.advice) {
    row.source = source_at(given, row.max_candidates.value_or(kMaxCandidates));
  }
  sizing.drop_targets.push_back(
      drop_target("LONGER (published)", kLongerDrop, kLongerTarget, problem, sizing.expected_candidates, given.source));
  if (given.drop && given.target_drop) {
    sizing.drop_targets.push_back(
        drop_target("yours", given.drop->value, *given.target_drop, problem, sizing.expected_candidates, given.source));
  }
  for (DropTarget& target : sizing.drop_targets) {
    target.source = source_of(given, target.source, target.candidates);
    for (DropReach& row : drop_reach(target)) sizing.drop_reach.push_back(std::move(row));
  }
  sizing.memory = given.memory;
  sizing.frontiers = frontiers(given, solution);
  sizing.parameters = parameters(given, solution);
  sizing.alternatives = alternatives(given, solution);
  sizing.fleet = fleet(given, sizing.points);
  sizing.residuals = problem.service.residuals;
  sizing.models = models(given);
  return sizing;
}

}  // namespace kvcast::analysis
