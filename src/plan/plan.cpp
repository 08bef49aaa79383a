#include "plan/plan.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/text.h"

namespace kvcast::plan {
namespace {

std::string gib(double bytes) { return format_significant(bytes / (1024.0 * 1024 * 1024), 3) + " GiB"; }

// What a larger N may be multiplied up from.
bool scalable(const SchemeCost& scheme, std::int64_t n) {
  return scheme.unit > 0 && n > scheme.unit && (scheme.baseline || n % scheme.unit == 0);
}

}  // namespace

Plan build_plan(const Config& config, const Costs& costs) {
  Plan plan;
  plan.min_rounds = kMinRounds;
  plan.max_rounds = kMaxRounds;
  plan.setup_s = costs.setup_s;
  const auto limit = static_cast<double>(config.measure.max_memory_bytes);
  const std::vector<std::int64_t>& counts = config.run.candidates;

  // Memory: the baseline must fit and comes first; the others take what is left, in the order asked for, each up to the
  // largest N that fits.
  double used = costs.fixed_bytes;
  std::vector<std::int64_t> largest(costs.schemes.size(), 0);  // 0 when not even the smallest N fits
  std::vector<double> left(costs.schemes.size(), limit);       // what a scheme found when its turn came
  std::int64_t stored = 0;                                     // candidates that inputs and outputs are kept for
  const auto tokens = [&](std::int64_t n) { return costs.bytes_per_candidate * static_cast<double>(n); };
  for (const bool baseline : {true, false}) {
    for (std::size_t s = 0; s < costs.schemes.size(); ++s) {
      const SchemeCost& scheme = costs.schemes[s];
      if (scheme.baseline != baseline) continue;
      left[s] = limit - used;
      if (baseline && limit > 0 && used + tokens(1) + scheme.bytes(1) > limit) {
        throw ConfigError(
            "/model", "weights and one naive candidate take " + gib(used + tokens(1) + scheme.bytes(1)) + " of memory",
            gib(limit) + " is available (--max-memory); use fewer layers, a smaller dim or a shorter history");
      }
      for (const std::int64_t n : counts) {
        if (limit <= 0 || used + tokens(std::max(stored, n)) + scheme.bytes(n) <= limit) largest[s] = n;
      }
      if (largest[s] > 0) used += scheme.bytes(largest[s]);
      stored = std::max(stored, largest[s]);
    }
  }
  plan.memory_bytes = static_cast<std::int64_t>(used + tokens(stored));

  // Whole rounds if enough of them fit.
  const auto runs = [&](std::size_t s, std::int64_t n) { return n <= largest[s]; };
  double whole_round = 0;
  for (std::size_t s = 0; s < costs.schemes.size(); ++s) {
    for (const std::int64_t n : counts) {
      if (runs(s, n)) whole_round += costs.schemes[s].user_s + costs.schemes[s].candidates_s(n);
    }
  }
  const double available = config.measure.budget_s - costs.setup_s;
  const bool whole = whole_round * static_cast<double>(kWantedRounds) <= available;

  std::int64_t check = 0;
  if (!whole) {
    // The smallest N >= 5 that the baseline runs; a scheme that does not fit there has no such point to check.
    for (const std::int64_t n : counts) {
      bool baseline = false;
      for (std::size_t s = 0; s < costs.schemes.size(); ++s)
        baseline = baseline || (costs.schemes[s].baseline && runs(s, n));
      if (n >= 5 && baseline) {
        check = n;
        break;
      }
    }
  }
  for (std::size_t s = 0; s < costs.schemes.size(); ++s) {
    const SchemeCost& scheme = costs.schemes[s];
    // One history pass serves all composed points of a scheme.
    if (!whole && scheme.user_pass && largest[s] > 0) plan.round_s += scheme.user_s;
    if (check > 0 && runs(s, check)) plan.check_s += scheme.user_s + scheme.candidates_s(check);
  }

  std::set<std::pair<std::size_t, std::int64_t>> timed;  // naive timings: points of one size share theirs
  for (const std::int64_t n : counts) {
    for (std::size_t s = 0; s < costs.schemes.size(); ++s) {
      const SchemeCost& scheme = costs.schemes[s];
      PlannedPoint point;
      point.scheme = scheme.name;
      point.candidates = n;
      point.measured_candidates = n;
      if (!runs(s, n)) {
        point.status = Status::skipped;
        point.measured_candidates = 0;
        point.reason = "needs " + gib(scheme.bytes(n) + tokens(n)) + " of memory beside the rest, " +
                       gib(std::max(0.0, left[s])) + " left";
      } else if (whole) {
        point.estimated_s = scheme.user_s + scheme.candidates_s(n);
      } else if (scheme.user_pass) {
        point.status = Status::composed;
        point.estimated_s = scheme.candidates_s(n);
      } else if (scalable(scheme, n)) {
        point.status = Status::scaled;
        point.measured_candidates = scheme.unit;
        point.estimated_s = scheme.candidates_s(scheme.unit);
      } else {
        point.estimated_s = scheme.candidates_s(n);
      }
      if (whole || scheme.user_pass || timed.insert({s, point.measured_candidates}).second) {
        plan.round_s += point.estimated_s;
      }
      plan.points.push_back(point);
    }
  }

  PlannedCase& only = plan.cases.emplace_back();
  only.history_length = config.model.history_length;
  only.layers = config.model.layers;
  only.setup_s = costs.setup_s;
  only.round_s = plan.round_s;
  only.check_s = plan.check_s;
  only.memory_bytes = plan.memory_bytes;
  only.whole_check_candidates = check;
  const auto rounds_with = [&](double round) {
    return round <= 0 ? kMaxRounds : static_cast<std::int64_t>(std::floor(std::max(0.0, available) / round));
  };
  if (check > 0) {
    // Whole runs beside the composed ones in every round if time allows, else in the first few only.
    const std::int64_t always = rounds_with(plan.round_s + plan.check_s);
    if (always >= kWantedRounds) {
      plan.whole_check_rounds = kMaxRounds;
      plan.rounds = always;
    } else {
      // Rounds beyond the checked ones, or as many checked ones as there is time for.
      plan.whole_check_rounds = kMinRounds;
      const double beyond = available - static_cast<double>(kMinRounds) * (plan.round_s + plan.check_s);
      plan.rounds = beyond >= 0 ? kMinRounds + static_cast<std::int64_t>(beyond / plan.round_s) : always;
    }
  } else {
    plan.rounds = rounds_with(plan.round_s);
  }
  plan.rounds = std::clamp(plan.rounds, std::int64_t{1}, kMaxRounds);
  plan.total_s = plan.setup_s + static_cast<double>(plan.rounds) * plan.round_s +
                 static_cast<double>(std::min(plan.rounds, plan.whole_check_rounds)) * plan.check_s;
  return plan;
}

}  // namespace kvcast::plan
