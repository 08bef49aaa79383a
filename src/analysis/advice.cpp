#include "analysis/advice.h"

#include <cmath>

#include "kvcast/cost_model.h"

namespace kvcast::analysis {
namespace {

// A whole number that rounding has carried over by the last bit is that number.
constexpr double kAdviceRounding = 1e-9;

struct Situation {
  const char* name;
  std::int64_t least;
  std::optional<std::int64_t> most;
  const char* advice;
};

const std::vector<Situation>& situations() {
  static const std::vector<Situation> list = {
      {"one candidate", 1, 1, "not applicable"},
      {"small pool", 5, 10, "medium"},
      {"standard re-ranking", 50, 100, "strongly recommended"},
      {"large scale", 200, std::nullopt, "best"},
      {"single-item ranking", 1, 1, "cannot be improved"},
      {"recall merging", 10, 50, "fits well"},
      {"re-ranking queue", 50, 200, "fits well"},
      {"search page", 100, 100, "strongly recommended"},
  };
  return list;
}

}  // namespace

std::string grade(double improvement) {
  // To rounding: N = 1 is no gain, whatever the last bit says.
  if (improvement >= 0.845) return "best";
  if (improvement >= 0.8) return "strong";
  if (improvement >= 0.6) return "medium";
  return improvement > kAdviceRounding ? "little" : "none";
}

std::vector<SizingAdvice> advice(const SizingProblem& problem, std::optional<double> limit) {
  const auto improvement_at = [&](std::int64_t n) -> std::optional<double> {
    return n <= problem.known_to ? std::optional(1 - 1 / problem.speedup(n)) : std::nullopt;
  };
  std::vector<SizingAdvice> rows;
  for (const Situation& situation : situations()) {
    SizingAdvice row;
    row.situation = situation.name;
    row.min_candidates = situation.least;
    row.max_candidates = situation.most;
    row.design_note_advice = situation.advice;
    const auto least = static_cast<double>(situation.least);
    row.design_note_improvement.lo = improvement(least, kDesignNoteR);
    row.design_note_improvement.hi =
        situation.most ? improvement(static_cast<double>(*situation.most), kDesignNoteR) : 1 - kDesignNoteR;
    const auto lo = improvement_at(situation.least);
    const auto hi = situation.most ? improvement_at(*situation.most)
                    : limit        ? std::optional(1 - 1 / *limit)
                                   : improvement_at(kMaxCandidates);
    if (lo && hi) {
      row.improvement = Interval{*lo, *hi};
      const std::string low = grade(*lo), high = grade(*hi);
      row.grade = low == high ? low : low + " to " + high;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

double speedup_needed(double naive_drop, double target_drop) {
  return cost_ratio_of_drop(naive_drop) / cost_ratio_of_drop(target_drop);
}

std::optional<std::int64_t> candidates_for_speedup(double needed, double r) {
  if (!(needed * r < 1)) return std::nullopt;
  const double candidates = std::ceil(needed * (1 - r) / (1 - needed * r) * (1 - kAdviceRounding));
  if (candidates > static_cast<double>(kMaxCandidates)) return std::nullopt;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(candidates));
}

DropTarget drop_target(const std::string& name, double naive_drop, double target_drop, const SizingProblem& problem,
                       std::optional<std::int64_t> expected, const Source& source) {
  DropTarget target;
  target.name = name;
  target.naive_drop = naive_drop;
  target.target_drop = target_drop;
  target.speedup_needed = speedup_needed(naive_drop, target_drop);
  target.end_to_end = (1 - target_drop) / (1 - naive_drop);
  target.min_candidates = *candidates_for_speedup(target.speedup_needed, 0);
  target.largest_r = 1 / target.speedup_needed;
  target.candidates = smallest(
      problem, [&](std::int64_t n) { return problem.speedup(n) >= target.speedup_needed * (1 - kAdviceRounding); });
  target.design_note_candidates = candidates_for_speedup(target.speedup_needed, kDesignNoteR);
  target.reached = target.candidates && (!expected || *target.candidates <= *expected);
  target.source = source;
  return target;
}

std::vector<DropReach> drop_reach(const DropTarget& target) {
  std::vector<DropReach> rows;
  for (const double r : {0.0, 0.01, 0.02, 0.05, 0.1, kDesignNoteR}) {
    rows.push_back({target.name, r, candidates_for_speedup(target.speedup_needed, r), Source::computed});
  }
  return rows;
}

}  // namespace kvcast::analysis
