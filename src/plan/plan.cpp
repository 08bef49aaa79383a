#include "plan/plan.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace kvcast::plan {
namespace {

std::string gib(double bytes) { return format_significant(bytes / (1024.0 * 1024 * 1024), 3) + " GiB"; }

}  // namespace

Plan build_plan(const Config& config, const Costs& costs) {
  Plan plan;
  plan.min_rounds = kMinRounds;
  plan.max_rounds = kMaxRounds;
  plan.setup_s = costs.setup_s;
  const auto limit = static_cast<double>(config.measure.max_memory_bytes);
  const std::vector<std::int64_t>& counts = config.run.candidates;

  // Memory: naive must fit; the others take what is left, in the order asked for, up to the largest N that fits.
  const double least = costs.fixed_bytes + costs.bytes_per_candidate;
  double used = costs.fixed_bytes;
  std::vector<std::int64_t> largest;  // per scheme; 0 when not even the smallest N fits
  std::int64_t stored = 0;            // candidates that inputs and outputs are kept for
  const auto fits = [&](const SchemeCost& scheme, std::int64_t n) {
    const double tokens = costs.bytes_per_candidate * static_cast<double>(std::max(stored, n));
    return used + tokens + scheme.bytes(n) <= limit;
  };
  for (const SchemeCost& scheme : costs.schemes) {
    if (!scheme.shares && limit > 0 && least + scheme.bytes(1) > limit) {
      throw ConfigError(
          "/model", "weights and one naive candidate take " + gib(least + scheme.bytes(1)),
          gib(limit) + " is available (--max-memory); use fewer layers, a smaller dim or a shorter history");
    }
    std::int64_t most = 0;
    for (const std::int64_t n : counts) {
      if (limit <= 0 || fits(scheme, n)) most = n;
    }
    largest.push_back(most);
    if (most > 0) used += scheme.bytes(most);
    stored = std::max(stored, most);
  }
  plan.memory_bytes = static_cast<std::int64_t>(used + costs.bytes_per_candidate * static_cast<double>(stored));

  // Whole rounds if enough of them fit.
  const auto runs = [&](std::size_t s, std::int64_t n) { return n <= largest[s]; };
  double whole_round = 0;
  bool sharing = false;
  for (std::size_t s = 0; s < costs.schemes.size(); ++s) {
    for (const std::int64_t n : counts) {
      if (runs(s, n)) whole_round += costs.schemes[s].user_s + costs.schemes[s].candidates_s(n);
    }
    sharing = sharing || costs.schemes[s].shares;
  }
  const double available = config.measure.budget_s - costs.setup_s;
  const bool whole = whole_round * static_cast<double>(kWantedRounds) <= available;

  std::int64_t check = 0;
  if (!whole) {
    for (const std::int64_t n : counts) {
      bool everywhere = n >= 5;
      for (std::size_t s = 0; s < costs.schemes.size(); ++s) everywhere = everywhere && runs(s, n);
      if (everywhere) {
        check = n;
        break;
      }
    }
  }
  double check_s = 0;
  if (whole) {
    plan.round_s = whole_round;
  } else {
    bool base_counted = false;
    for (std::size_t s = 0; s < costs.schemes.size(); ++s) {
      const SchemeCost& scheme = costs.schemes[s];
      if (scheme.shares && largest[s] > 0) plan.round_s += scheme.user_s;
      for (const std::int64_t n : counts) {
        if (!runs(s, n)) continue;
        if (scheme.shares || n < costs.scale_candidates) {
          plan.round_s += scheme.candidates_s(n);
        } else if (!base_counted) {
          plan.round_s += scheme.candidates_s(costs.scale_candidates);
          base_counted = true;
        }
      }
      if (check > 0) check_s += scheme.user_s + scheme.candidates_s(check);
    }
  }

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
        point.reason = "needs " + gib(costs.fixed_bytes + scheme.bytes(n)) + " of memory, " + gib(limit) + " available";
      } else if (whole) {
        point.estimated_s = scheme.user_s + scheme.candidates_s(n);
      } else if (scheme.shares) {
        point.status = Status::composed;
        point.estimated_s = scheme.candidates_s(n);
      } else if (n > costs.scale_candidates) {
        point.status = Status::scaled;
        point.measured_candidates = costs.scale_candidates;
        point.estimated_s = scheme.candidates_s(costs.scale_candidates);
      } else {
        point.estimated_s = scheme.candidates_s(n);
      }
      plan.points.push_back(point);
    }
  }

  plan.whole_check_candidates = check;
  const auto rounds_with = [&](double round) {
    return round <= 0 ? kMaxRounds : static_cast<std::int64_t>(std::floor(std::max(0.0, available) / round));
  };
  if (check > 0) {
    // Whole runs beside the composed ones in every round if time allows, else in the first few only.
    const std::int64_t always = rounds_with(plan.round_s + check_s);
    if (always >= kWantedRounds) {
      plan.whole_check_rounds = kMaxRounds;
      plan.rounds = always;
    } else {
      plan.whole_check_rounds = kMinRounds;
      plan.rounds = std::max<std::int64_t>(
          0, static_cast<std::int64_t>(
                 std::floor((available - static_cast<double>(kMinRounds) * check_s) / plan.round_s)));
    }
  } else {
    plan.rounds = rounds_with(plan.round_s);
  }
  plan.rounds = std::clamp(plan.rounds, std::int64_t{1}, kMaxRounds);
  plan.check_s = check_s;
  plan.total_s = plan.setup_s + static_cast<double>(plan.rounds) * plan.round_s +
                 static_cast<double>(std::min(plan.rounds, plan.whole_check_rounds)) * check_s;
  return plan;
}

}  // namespace kvcast::plan
