#include "plan/plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "base/text.h"

namespace kvcast::plan {
namespace {

// The ratio of a single round has no interval.
constexpr std::int64_t kFewestChecks = 2;

// What a larger N may be multiplied up from. A pass of many units is as many passes of one.
bool scalable(const Costs& costs, const SchemeCost& scheme, std::int64_t n) {
  const std::int64_t unit = scheme.runs_on ? costs.schemes[*scheme.runs_on].unit : scheme.unit;
  return scheme.unit > 0 && n > scheme.unit && (scheme.baseline || n % unit == 0);
}

// Largest N whose bytes(N), which grows with N, are at most these; 0 when that of 1 is more.
template <typename Bytes>
std::int64_t largest_within(double limit, std::int64_t below, const Bytes& bytes) {
  std::int64_t fits = 0;
  while (below - fits > 1) {
    const std::int64_t middle = fits + (below - fits) / 2;
    (bytes(middle) <= limit ? fits : below) = middle;
  }
  return fits;
}

/// What fits of one case, were it alone.
struct Fitting {
  std::vector<std::int64_t> largest;  ///< N of each scheme; 0 when not even the smallest fits
  std::vector<double> left;           ///< bytes that a scheme found when its turn came
  double bytes = 0;
};

/// The baseline must fit and comes first; the others take what is left, in the order asked for, each up to the largest
/// N that fits.
Fitting fit_memory(const Config& config, const Costs& costs) {
  const auto limit = static_cast<double>(config.measure.max_memory_bytes);
  Fitting fitting;
  fitting.largest.assign(costs.schemes.size(), 0);
  fitting.left.assign(costs.schemes.size(), limit);
  double used = costs.fixed_bytes;
  std::int64_t stored = 0;  // candidates that inputs and outputs are kept for
  const auto tokens = [&](std::int64_t n) { return costs.bytes_per_candidate * static_cast<double>(n); };
  for (const bool baseline : {true, false}) {
    for (std::size_t s = 0; s < costs.schemes.size(); ++s) {
      const SchemeCost& scheme = costs.schemes[s];
      if (scheme.baseline != baseline || !scheme.cannot.empty()) continue;
      fitting.left[s] = limit - used;
      if (const double least = min_bytes(costs); baseline && limit > 0 && least > limit) {
        const std::string which =
            config.sweep.history_length.empty() && config.sweep.layers.empty()
                ? ""
                : "at L=" + std::to_string(costs.history_length) + ", layers=" + std::to_string(costs.layers) + ": ";
        const std::string smaller = costs.what_fits ? costs.what_fits(limit) : "";
        throw ConfigError("/model", which + "weights and one naive candidate take " + gib(least) + " of memory",
                          gib(limit) +
                              " is available (--max-memory); use fewer layers, a smaller dim or a shorter history" +
                              (smaller.empty() ? "" : ", " + smaller));
      }
      for (const std::int64_t n : config.run.candidates) {
        if (limit <= 0 || used + tokens(std::max(stored, n)) + scheme.bytes(n) <= limit) fitting.largest[s] = n;
      }
      if (scheme.runs_on) {
        fitting.largest[s] = std::min(fitting.largest[s], fitting.largest[*scheme.runs_on]);
        fitting.left[s] = fitting.left[*scheme.runs_on];
      }
      if (fitting.largest[s] > 0) used += scheme.bytes(fitting.largest[s]);
      stored = std::max(stored, fitting.largest[s]);
    }
  }
  fitting.bytes = used + tokens(stored);
  return fitting;
}

/// Seconds of a round in which every point of the case is run whole.
double whole_round(const Config& config, const Costs& costs, const Fitting& fitting) {
  double seconds = 0;
  for (std::size_t s = 0; s < costs.schemes.size(); ++s) {
    for (const std::int64_t n : config.run.candidates) {
      if (n <= fitting.largest[s]) seconds += costs.schemes[s].prefill_s + costs.schemes[s].candidates_s(n);
    }
  }
  return seconds;
}

/// The smallest N >= 5 that the baseline runs, 0 without one; a scheme that does not fit there has no such point to
/// check.
std::int64_t check_candidates(const Config& config, const Costs& costs, const Fitting& fitting) {
  for (const std::int64_t n : config.run.candidates) {
    for (std::size_t s = 0; s < costs.schemes.size(); ++s) {
      if (n >= 5 && costs.schemes[s].baseline && n <= fitting.largest[s]) return n;
    }
  }
  return 0;
}

/// Adds the case and its points to the plan.
void add_case(Plan& plan, const Config& config, const Costs& costs, const Fitting& fitting, bool whole) {
  PlannedCase planned;
  planned.history_length = costs.history_length;
  planned.layers = costs.layers;
  planned.setup_s = costs.setup_s;
  planned.memory_bytes = static_cast<std::int64_t>(fitting.bytes);
  const auto runs = [&](std::size_t s, std::int64_t n) { return n <= fitting.largest[s]; };
  const auto tokens = [&](std::int64_t n) { return costs.bytes_per_candidate * static_cast<double>(n); };
  const std::int64_t check = whole ? 0 : check_candidates(config, costs, fitting);
  planned.whole_check_candidates = check;
  for (std::size_t s = 0; s < costs.schemes.size(); ++s) {
    const SchemeCost& scheme = costs.schemes[s];
    // One prefill serves all assembled points of a scheme.
    if (!whole && scheme.has_prefill && fitting.largest[s] > 0) planned.round_s += scheme.prefill_s;
    if (check > 0 && runs(s, check) && !scheme.runs_on)
      planned.check_s += scheme.prefill_s + scheme.candidates_s(check);
  }
  std::set<std::pair<std::size_t, std::int64_t>> timed;  // naive timings: points of one size share theirs
  for (const std::int64_t n : config.run.candidates) {
    for (std::size_t s = 0; s < costs.schemes.size(); ++s) {
      const SchemeCost& scheme = costs.schemes[s];
      PlannedPoint point;
      point.case_index = static_cast<std::int64_t>(plan.cases.size());
      point.scheme = scheme.id;
      point.candidates = n;
      point.measured_candidates = n;
      if (!runs(s, n)) {
        point.status = Status::skipped;
        point.measured_candidates = 0;
        if (!scheme.cannot.empty()) {
          point.reason = scheme.cannot;
          plan.points.push_back(point);
          continue;
        }
        const SchemeCost& holder = scheme.runs_on ? costs.schemes[*scheme.runs_on] : scheme;
        const auto bytes = [&](std::int64_t count) { return holder.bytes(count) + tokens(count); };
        const std::int64_t fits = largest_within(fitting.left[s], n, bytes);
        point.reason = "needs " + gib(bytes(n)) + " of memory besides the rest, " +
                       gib(std::max(0.0, fitting.left[s])) + " left" +
                       (fits > 0 ? ": enough for N = " + std::to_string(fits) : "");
      } else if (whole) {
        point.estimated_s = scheme.prefill_s + scheme.candidates_s(n);
      } else if (scheme.has_prefill) {
        point.status = Status::assembled;
        point.estimated_s = scheme.candidates_s(n);
      } else if (scalable(costs, scheme, n)) {
        point.status = Status::extrapolated;
        point.measured_candidates = scheme.unit;
        point.estimated_s = scheme.candidates_s(scheme.unit);
      } else {
        point.estimated_s = scheme.candidates_s(n);
      }
      if (whole || scheme.has_prefill || timed.insert({s, point.measured_candidates}).second) {
        planned.round_s += point.estimated_s;
      }
      plan.points.push_back(point);
    }
  }
  plan.cases.push_back(planned);
}

/// As few batches as memory allows, in order.
void put_into_batches(Plan& plan, double limit) {
  double used = 0;
  plan.batches = 1;
  for (PlannedCase& one : plan.cases) {
    const auto bytes = static_cast<double>(one.memory_bytes);
    if (limit > 0 && used > 0 && used + bytes > limit) {
      ++plan.batches;
      used = 0;
    }
    used += bytes;
    one.batch = plan.batches - 1;
    plan.memory_bytes = std::max(plan.memory_bytes, static_cast<std::int64_t>(used));
  }
}

}  // namespace

void correct(Costs& costs, const std::map<TimingId, Seen>& seen) {
  for (SchemeCost& scheme : costs.schemes) {
    const auto found = seen.find(scheme.id);
    if (found == seen.end()) continue;
    scheme.prefill_s *= found->second.prefill;
    scheme.candidates_s = [own = scheme.candidates_s, factor = found->second.scoring](std::int64_t n) {
      return factor * own(n);
    };
  }
}

double min_bytes(const Costs& costs) {
  double bytes = costs.fixed_bytes;
  for (const SchemeCost& scheme : costs.schemes) {
    if (scheme.baseline) return bytes + costs.bytes_per_candidate + scheme.bytes(1);
  }
  return bytes;
}

Plan build_plan(const Config& config, const std::vector<Costs>& cases, double start_s) {
  Plan plan;
  plan.min_rounds = kMinRounds;
  plan.max_rounds = kMaxRounds;
  plan.setup_s = start_s;
  std::vector<Fitting> fittings;
  double whole_s = 0;
  for (const Costs& costs : cases) {
    fittings.push_back(fit_memory(config, costs));
    plan.setup_s += costs.setup_s;
    whole_s += whole_round(config, costs, fittings.back());
  }
  const double available = config.measure.budget_s - plan.setup_s;
  const bool whole = whole_s * static_cast<double>(kWantedRounds) <= available;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    add_case(plan, config, cases[i], fittings[i], whole);
    plan.round_s += plan.cases.back().round_s;
    plan.check_s += plan.cases.back().check_s;
  }
  put_into_batches(plan, static_cast<double>(config.measure.max_memory_bytes));

  const auto rounds_with = [&](double round) {
    return round <= 0 ? kMaxRounds : static_cast<std::int64_t>(std::floor(std::max(0.0, available) / round));
  };
  if (plan.check_s > 0) {
    // Whole runs beside the assembled ones in every round if time allows, else in the first few only.
    const std::int64_t always = rounds_with(plan.round_s + plan.check_s);
    if (always >= kWantedRounds) {
      plan.whole_check_rounds = kMaxRounds;
      plan.rounds = always;
    } else {
      // The rounds that make an answer come first, whole runs of what they leave; none where that is less than tells
      // anything.
      const double beside = available - static_cast<double>(kMinRounds) * plan.round_s;
      const auto affordable = static_cast<std::int64_t>(std::max(0.0, beside) / plan.check_s);
      plan.whole_check_rounds = affordable < kFewestChecks ? 0 : std::min(affordable, kMinRounds);
      const double checks = static_cast<double>(plan.whole_check_rounds) * plan.check_s;
      plan.rounds = static_cast<std::int64_t>(std::max(0.0, available - checks) / plan.round_s);
    }
  } else {
    plan.rounds = rounds_with(plan.round_s);
  }
  plan.rounds = std::clamp(plan.rounds, std::int64_t{1}, kMaxRounds);
  plan.total_s = plan.setup_s + static_cast<double>(plan.rounds) * plan.round_s +
                 static_cast<double>(std::min(plan.rounds, plan.whole_check_rounds)) * plan.check_s;
  return plan;
}

std::vector<std::size_t> deal(const std::vector<double>& work, std::int64_t index, std::int64_t count) {
  std::vector<std::size_t> order(work.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return work[a] > work[b]; });
  struct Load {
    std::int64_t cases = 0;
    double work = 0;
  };
  std::vector<Load> loads(static_cast<std::size_t>(count));
  std::vector<std::size_t> mine;
  for (const std::size_t one : order) {
    // Fewest cases among equal work, so that cases without any work are spread too.
    const auto least = std::min_element(loads.begin(), loads.end(), [](const Load& a, const Load& b) {
      return std::pair(a.work, a.cases) < std::pair(b.work, b.cases);
    });
    if (least - loads.begin() == index - 1) mine.push_back(one);
    least->work += work[one];
    ++least->cases;
  }
  std::sort(mine.begin(), mine.end());
  return mine;
}

}  // namespace kvcast::plan
