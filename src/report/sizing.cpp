// A sizing: one sequence of sections, for a terminal and as Markdown; and as CSV, a row per number.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kvcast/kvcast.h"
#include "report/columns.h"
#include "report/csv.h"
#include "report/format.h"
#include "report/layout.h"
#include "report/quantities.h"
#include "report/sections.h"

namespace kvcast {
namespace report {
namespace {

constexpr std::size_t kSizingMargin = 14;

// ---- words

std::string time(const std::optional<double>& value) { return value ? seconds(*value) : "-"; }
std::string size_of(const std::optional<std::int64_t>& value) { return value ? bytes(*value) : "-"; }
std::string count(const std::optional<std::int64_t>& value, const char* unknown) {
  return value ? integer(*value) : unknown;
}
/// Of an N that is nullopt where nothing limits it, and the largest known one where nothing is known to.
std::string most(const std::optional<std::int64_t>& known_to, const std::optional<std::int64_t>& candidates) {
  if (candidates && *candidates == 0) return "not one";
  return (candidates && candidates == known_to ? "at least " : "") + count(candidates, "no limit");
}
std::string most(const Sizing& sizing, const std::optional<std::int64_t>& candidates) {
  return most(sizing.known_to, candidates);
}

/// A value in the unit of its row.
std::string amount(double value, const std::string& unit) {
  if (unit == "s") return seconds(value);
  if (unit == "bytes") return bytes(value);
  if (unit == "1/s") return significant(value, 4) + "/s";
  if (unit == "0..1") return share(value, 2);
  if (unit == "ratio") return significant(value, 4);
  return whole(value);
}

/// Of a budget or another input.
std::string shown_name(const std::string& name) {
  if (const BudgetInfo* budget = find_budget(name)) return budget->title;
  static const std::vector<std::pair<std::string, std::string>> names = {
      {"users_cached", "cached users"},
      {"min_improvement", "least improvement"},
      {"prefill_s", "prefill"},
      {"candidate_s", "one more candidate"},
      {"naive_candidate_s", "naive's candidate"},
      {"p99_over_mean", "P99 over mean"},
      {"weights_bytes", "weights"},
      {"worker_bytes", "a worker's memory"},
      {"user_kv_bytes", "a cached user"},
  };
  const auto found = std::find_if(names.begin(), names.end(), [&](const auto& pair) { return pair.first == name; });
  return found == names.end() ? one_line(name) : found->second;
}

/// The stated budgets in front of an answer: "at P99 50.0 ms, memory 8.00 GiB ".
std::string under(const std::vector<SizingBudget>& budgets) {
  std::string text;
  for (const SizingBudget& budget : budgets) {
    const BudgetInfo* known = find_budget(budget.name);
    text += (text.empty() ? "at " : ", ") + (known != nullptr ? known->brief : shown_name(budget.name)) + " " +
            amount(budget.limit, budget.unit);
  }
  return text.empty() ? "" : text + " ";
}

/// Where a change leads to, rounded away from where it starts at the digits that amount() shows: what is shown does.
double enough(const SizingChange& change) {
  double step = 1e-4;  // two decimals of a per cent
  if (change.unit != "0..1") {
    double scale = 1;
    if (change.unit == "s") {
      while (scale > 1e-9 && change.to < scale) scale /= 1000;
    } else if (change.unit == "bytes") {
      while (scale < 1e12 && change.to >= 1024 * scale) scale *= 1024;
    } else if (change.unit != "1/s") {
      return change.to;  // whole
    }
    const int digits = change.unit == "1/s" ? 4 : 3;
    step = scale * std::min(1.0, std::pow(10.0, std::floor(std::log10(change.to / scale)) + 1 - digits));
  }
  // A last bit is no reason for another step.
  const double steps = change.to / step;
  return step * (change.to > change.from ? std::ceil(steps * (1 - 1e-9)) : std::floor(steps * (1 + 1e-9)));
}

std::string change_text(const SizingChange& change) {
  const bool more = change.to > change.from;
  return (more ? "raise " : "lower ") + shown_name(change.input) + " from " + amount(change.from, change.unit) +
         " to " + amount(enough(change), change.unit);
}

/// How one candidate fails a budget. The P99 has no value where the workers fall behind; then the rate fails too.
std::string failure(const SizingBudget& budget, const Sizing& sizing) {
  const BudgetInfo* known = find_budget(budget.name);
  const BudgetInfo info = known != nullptr ? *known : BudgetInfo{};  // a report may be a stranger's
  const double used = *budget.used, over = info.floor ? budget.limit - used : used - budget.limit;
  std::string tail;
  for (const SizingInput& input : sizing.inputs) {
    // Then the tail is what to look at, not the candidates.
    if (budget.name == "p99" && input.name == "p99_over_mean" && input.value >= 2) {
      tail = " (P99 of a service is " + factor(input.value, 1) + " the mean)";
    }
  }
  return shown_name(budget.name) + ": " + info.one + " " + amount(used, budget.unit) + tail + ", " +
         amount(over, budget.unit) + (info.floor ? " short of " : " over ") + amount(budget.limit, budget.unit);
}

/// What is wrong, where nothing is feasible.
std::string failing(const Sizing& sizing) {
  std::string text;
  for (const SizingBudget& budget : sizing.budgets) {
    if (!budget.feasible && budget.used) text += (text.empty() ? "" : "; ") + failure(budget, sizing);
  }
  const bool out_of_reach = sizing.min_improvement && !sizing.min_candidates;
  if (!text.empty() && !out_of_reach) return text;
  const std::string wanted = "an improvement of " + share(sizing.min_improvement.value_or(0), 1);
  if (out_of_reach && sizing.known_to) {
    return (text.empty() ? "" : text + "; ") + wanted + " is not reached up to N = " + integer(*sizing.known_to) +
           ", the largest that is known";
  }
  if (out_of_reach) {
    return (text.empty() ? "" : text + "; ") + wanted + " is out of reach at any N: the largest speed-up is " +
           (sizing.limit ? factor(*sizing.limit, 2) + ", " + share(1 - 1 / *sizing.limit, 1) : "unknown");
  }
  // Of no report of ours, but it may be read.
  if (!sizing.min_candidates) return "no budget is said to fail";
  return wanted + " takes N = " + integer(*sizing.min_candidates) + ", and " + shown_name(sizing.binding) + " allows " +
         most(sizing, sizing.expected_candidates);
}

std::string what_would_do(const std::vector<SizingChange>& changes) {
  if (changes.empty()) return "";
  if (changes.front().suffices) return ". Smallest change: " + change_text(changes.front());
  std::string all;
  for (const SizingChange& change : changes) all += (all.empty() ? "" : ", ") + change_text(change);
  return ". No single change helps; together: " + all;
}

}  // namespace
}  // namespace report

std::string sizing_answer(const Sizing& sizing) {
  using namespace report;
  const std::string doubt = sizing.doubt.empty() ? "" : one_line(sizing.doubt) + ". If the columns are right: ";
  if (!sizing.feasible) {
    return doubt + "infeasible: " + failing(sizing) + what_would_do(sizing.changes);
  }
  std::string text;
  const std::string conservative =
      sizing.conservative_candidates ? " (conservative: " + most(sizing, sizing.conservative_candidates) + ")" : "";
  const bool at_end = sizing.expected_candidates && sizing.expected_candidates == sizing.known_to;
  if (at_end && !sizing.budgets.empty()) {
    text = under(sizing.budgets) + "score at least N = " + integer(*sizing.known_to) + conservative +
           ": no budget is reached up to there; measure larger N to know more";
  } else if (sizing.expected_candidates && !at_end) {
    text = under(sizing.budgets) + "score up to N = " + integer(*sizing.expected_candidates) + conservative + "; " +
           shown_name(sizing.binding) + " binds";
    for (const SizingBudget& budget : sizing.budgets) {
      if (!budget.binding)
        text += ", " + shown_name(budget.name) + " would allow " + most(sizing, budget.expected_candidates);
    }
  } else {
    text = sizing.budgets.empty() ? "no budget is stated, so nothing limits N"
                                  : "no stated budget limits N" + conservative;
    if (at_end) text += " up to N = " + integer(*sizing.known_to) + ", the largest that is known";
    for (const SizingFraction& row : sizing.fractions) {
      if (row.fraction == 0.9 && row.candidates) {
        text += "; 90% of the largest speed-up of " + factor(sizing.limit.value_or(0), 2) +
                " at N = " + integer(*row.candidates);
      }
    }
  }
  if (sizing.min_candidates) {
    text += "; worth it from N = " + integer(*sizing.min_candidates) + " (improvement of " +
            format_significant(100 * sizing.min_improvement.value_or(0), 4) + "%)";
  }
  return doubt + text;
}

namespace report {
namespace {

/// Of two shares.
std::string from_to(const Interval& interval) {
  const std::string low = share(interval.lo, 2), high = share(interval.hi, 2);
  return low == high ? low : low + " to " + high;
}

/// Whether the time has an interval, so that a missing conservative N is one without limit.
bool interval_known(const Sizing& sizing) {
  return std::any_of(sizing.points.begin(), sizing.points.end(),
                     [](const auto& row) { return row.p99_conservative_s; }) ||
         sizing.conservative_candidates.has_value();
}

/// Of a conservative N beside the expected one, which it never exceeds: where that is known, a missing one is unknown.
template <typename Row>
std::string safe_text(const Sizing& sizing, const Row& row, const std::optional<std::int64_t>& known_to) {
  const bool none = !row.expected_candidates && interval_known(sizing);
  return row.conservative_candidates || none ? most(known_to, row.conservative_candidates) : "-";
}

// ---- sections

Section budgets(const Sizing& sizing) {
  const bool none = sizing.expected_candidates == 0;
  std::string below;
  for (const BudgetInfo& one : sizing_budgets()) {
    if (*one.below != '\0') below += (below.empty() ? "" : "; ") + std::string(one.below);
  }
  return section("budgets",
                 {{"", "budget", false},
                  {"", "limit", true},
                  {none ? "at" : "at the", none ? "N = 1" : "expected N", true},
                  {"", "headroom", true},
                  {"N by it alone:", "expected", true},
                  {"", "conservative", true},
                  {"", "source", false},
                  {"", "", false}},
                 rows_of(sizing.budgets,
                         [&](const SizingBudget& row) {
                           return std::vector<std::string>{shown_name(row.name),
                                                           amount(row.limit, row.unit),
                                                           row.used ? amount(*row.used, row.unit) : "-",
                                                           row.headroom_pct ? share(*row.headroom_pct / 100, 1) : "-",
                                                           most(sizing, row.expected_candidates),
                                                           safe_text(sizing, row, sizing.known_to),
                                                           to_string(row.source),
                                                           row.binding ? "binds" : ""};
                         }),
                 below);
}

Section changes(const Sizing& sizing) {
  const bool alone = !sizing.changes.empty() && sizing.changes.front().suffices;
  return section(
      alone ? "what would make it feasible, each alone" : "what would make it feasible, all together",
      {{"", "change", false}, {"", "now", true}, {"", "needed", true}},
      rows_of(sizing.changes, [](const SizingChange& row) {
        return std::vector<std::string>{change_text(row), amount(row.from, row.unit), amount(enough(row), row.unit)};
      }));
}

Section alternatives(const Sizing& sizing) {
  return section("alternatives under the same budgets",
                 {{"", "change", false}, {"", "expected N", true}, {"", "source", false}},
                 rows_of(sizing.alternatives, [&](const SizingAlternative& row) {
                   return std::vector<std::string>{one_line(row.change), most(sizing, row.expected_candidates),
                                                   to_string(row.source)};
                 }));
}

Section inputs(const Sizing& sizing) {
  return section(
      "sensitivity: expected N when one input is 10% less or more (least N for the least improvement)",
      {{"", "input", false},
       {"", "value", true},
       {"", "95% interval", false},
       {"", "source", false},
       {"", "N at -10%", true},
       {"", "N at +10%", true}},
      rows_of(sizing.inputs, [&](const SizingInput& row) {
        const std::string ends =
            row.ci95 ? "[" + amount(row.ci95->lo, row.unit) + ", " + amount(row.ci95->hi, row.unit) + "]" : "-";
        const auto then = [&](const std::optional<std::int64_t>& candidates) {
          return row.name == "min_improvement" ? count(candidates, "never") : most(sizing, candidates);
        };
        return std::vector<std::string>{shown_name(row.name),  amount(row.value, row.unit), ends,
                                        to_string(row.source), then(row.candidates_less),   then(row.candidates_more)};
      }));
}

/// What naive's drop is, where it was measured.
std::string drop_known(const Sizing& sizing) {
  if (!sizing.drop || sizing.drop_source != Source::measured) return "";
  std::string text =
      "naive's drop was measured with the ranking head of the run, at its largest N: " + share(sizing.drop->value, 1);
  if (sizing.drop->ci95) text += ", 95% interval " + from_to(*sizing.drop->ci95);
  return text;
}

/// Speed-ups and drops: one table, or two where the intervals of the speed-ups leave no room.
std::vector<Section> speedups(const Sizing& sizing) {
  const bool drop = !sizing.points.empty() && sizing.points.front().drop_naive.has_value();
  const bool intervals = !sizing.points.empty() && sizing.points.front().speedup.ci95.has_value();
  const auto table = [&](const std::string& title, bool with_speedup, bool with_drop) {
    std::vector<Grid::Head> heads = {{"", "N", true}};
    if (with_speedup) heads.push_back({"", "speed-up", true});
    if (with_speedup && intervals) heads.push_back({"", "95% interval", false});
    if (with_speedup) heads.push_back({"", "improvement", true});
    if (with_speedup) heads.push_back({"next one", "adds", true});
    if (with_drop) {
      heads.push_back({"drop with", "naive", true});
      heads.push_back({"with sharing,", "seed's rule", true});
      heads.push_back({"", "exact", true});
    }
    heads.push_back({"", "source", false});
    const auto row_of = [&](const SizingPoint& row) {
      const int decimals = std::max(3, estimate_decimals(row.speedup, 4));
      std::vector<std::string> cells = {integer(row.candidates)};
      if (with_speedup) cells.push_back(factor(row.speedup.value, decimals));
      if (with_speedup && intervals) cells.push_back(interval(row.speedup, decimals));
      if (with_speedup) cells.push_back(share(row.improvement, 3));
      if (with_speedup) cells.push_back(factor(row.marginal_speedup, 4));
      if (with_drop) {
        cells.push_back(share(row.drop_naive, 2));
        cells.push_back(share(row.drop_design_note, 2));
        cells.push_back(share(row.drop_exact, 2));
      }
      cells.push_back(to_string(row.source));
      return cells;
    };
    return section(title, std::move(heads), rows_of(sizing.points, row_of), with_drop ? drop_known(sizing) : "");
  };
  if (!drop) return {table("speed-up by N", true, false)};
  if (!intervals) return {table("speed-up and throughput drop by N", true, true)};
  return {table("speed-up by N", true, false), table("throughput drop by N", false, true)};
}

Section times(const Sizing& sizing) {
  return section("time of a request by N",
                 {{"", "N", true},
                  {"", "mean", true},
                  {"", "P99", true},
                  {"", "P99, conservative", true},
                  {"utili-", "sation", true},
                  {"naive:", "mean", true},
                  {"", "P99", true},
                  {"utili-", "sation", true},
                  {"", "source", false}},
                 rows_of(sizing.points,
                         [](const SizingPoint& row) {
                           return std::vector<std::string>{integer(row.candidates),   time(row.scheme_s),
                                                           time(row.p99_s),           time(row.p99_conservative_s),
                                                           share(row.utilisation, 1), time(row.naive_s),
                                                           time(row.naive_p99_s),     share(row.naive_utilisation, 1),
                                                           to_string(row.source)};
                         }),
                 "P99 holds the wait for a worker where a rate is given; - is no steady state");
}

Section memory_by_n(const Sizing& sizing) {
  return section("memory of the process by N (computed)",
                 {{"", "N", true}, {"", sizing.scheme, true}, {"a cache per", "candidate", true}, {"", "naive", true}},
                 rows_of(sizing.points, [](const SizingPoint& row) {
                   return std::vector<std::string>{integer(row.candidates), size_of(row.memory_bytes),
                                                   size_of(row.copies_memory_bytes), size_of(row.naive_memory_bytes)};
                 }));
}

Section caches(const Sizing& sizing, const Report& report) {
  std::string below;
  for (const Case& one : report.cases) {
    if (!one.shape || one.shape->history_length != sizing.history_length || one.shape->layers != sizing.layers)
      continue;
    std::string measured;
    for (const ResidentMemory& row : one.memory) {
      measured += (measured.empty() ? "" : ", ") + one_line(row.scheme) + " " + bytes(row.resident_bytes) +
                  " (computed: " + bytes(row.planned_bytes) + ", of it keys and values " + bytes(row.kv_bytes) +
                  ") at N = " + integer(row.candidates);
    }
    if (!measured.empty()) below = "resident memory measured when each scheme was made: " + measured;
  }
  const std::string copies = sizing.memory.empty() ? "" : "N = " + integer(sizing.memory.front().candidates);
  return section("keys and values of one user (computed; first row as it is)",
                 {{"", "type", false},
                  {"KV", "heads", true},
                  {"one cache", "for all N", true},
                  {"users", "in a GiB", true},
                  {"a cache per candidate,", copies, true},
                  {"naive:", "one layer", true}},
                 rows_of(sizing.memory,
                         [](const SizingMemory& row) {
                           return std::vector<std::string>{row.kv_dtype,
                                                           integer(row.kv_heads),
                                                           bytes(row.user_bytes),
                                                           significant(row.users_per_gib, 4),
                                                           bytes(row.copies_bytes),
                                                           bytes(row.naive_bytes)};
                         }),
                 below);
}

Section returns(const Sizing& sizing) {
  std::string below;
  if (sizing.knee_candidates) {
    below = "knee at N = " + integer(*sizing.knee_candidates) +
            ": candidates take as long as the history; from there on 1% more of them gain less than 0.5%";
  }
  const std::string limit = sizing.limit ? "of " + factor(*sizing.limit, 3) : "of the limit";
  return section("where returns diminish",
                 {{"share", limit, true}, {"", "from N", true}, {"", "speed-up", true}, {"", "improvement", true}},
                 rows_of(sizing.fractions,
                         [](const SizingFraction& row) {
                           return std::vector<std::string>{share(row.fraction, 0), count(row.candidates, "-"),
                                                           row.speedup ? factor(*row.speedup, 3) : "-",
                                                           share(row.improvement, 2)};
                         }),
                 below);
}

Section advice(const Sizing& sizing) {
  return section("the design note's advice, and what this r makes of it",
                 {{"", "situation", false},
                  {"", "N", true},
                  {"", "advice", false},
                  {"improvement", "at r = 0.15", true},
                  {"improvement", "here", true},
                  {"", "grade", false}},
                 rows_of(sizing.advice, [](const SizingAdvice& row) {
                   std::string range = integer(row.min_candidates);
                   if (!row.max_candidates) range += "+";
                   if (row.max_candidates && *row.max_candidates != row.min_candidates) {
                     range += "-" + integer(*row.max_candidates);
                   }
                   return std::vector<std::string>{one_line(row.situation),
                                                   range,
                                                   one_line(row.seed_advice),
                                                   from_to(row.seed_improvement),
                                                   row.improvement ? from_to(*row.improvement) : "-",
                                                   row.grade.empty() ? "-" : row.grade};
                 }));
}

Section targets(const Sizing& sizing) {
  std::string below = "N that a target takes by r:";
  for (const DropTarget& target : sizing.drop_targets) {
    below += " " + one_line(target.name) + ":";
    for (const DropReach& row : sizing.drop_reach) {
      if (row.target == target.name)
        below += " r=" + significant(row.r, 2) + " " + count(row.candidates, "never") + ";";
    }
  }
  if (below.back() == ';') below.back() = '.';
  return section("from one throughput drop to another",
                 {{"", "target", false},
                  {"", "drop", false},
                  {"speed-up", "needed", true},
                  {"end to", "end", true},
                  {"r at", "most", true},
                  {"N at", "r = 0", true},
                  {"N at", "r = 0.15", true},
                  {"N", "here", true},
                  {"", "reached", false}},
                 rows_of(sizing.drop_targets,
                         [](const DropTarget& row) {
                           return std::vector<std::string>{
                               one_line(row.name),
                               share(row.naive_drop, 1) + " to " + share(row.target_drop, 1),
                               factor(row.speedup_needed, 3),
                               factor(row.end_to_end, 3),
                               significant(row.largest_r, 4),
                               integer(row.min_candidates),
                               count(row.seed_candidates, "never"),
                               count(row.candidates, "never"),
                               row.reached ? "yes" : "no"};
                         }),
                 below);
}

Section frontier(const Sizing& sizing, const std::string& axis, const std::string& against, const char* head) {
  std::vector<SizingFrontier> rows;
  for (const SizingFrontier& row : sizing.frontiers) {
    if (row.axis == axis) rows.push_back(row);
  }
  const bool drop = std::any_of(rows.begin(), rows.end(), [](const auto& row) { return row.drop_naive.has_value(); });
  std::vector<Grid::Head> heads = {
      {"", head, true}, {"", "expected N", true}, {"", "conservative N", true}, {"", "speed-up", true}};
  if (drop) {
    heads.push_back({"drop with", "naive", true});
    heads.push_back({"with", "sharing", true});
  }
  heads.push_back({"", "source", false});
  return section("N against " + against, std::move(heads), rows_of(rows, [&](const SizingFrontier& row) {
                   std::vector<std::string> cells = {
                       amount(row.at, row.unit), most(row.known_to, row.expected_candidates),
                       safe_text(sizing, row, row.known_to), row.speedup ? factor(*row.speedup, 2) : "-"};
                   if (drop) {
                     cells.push_back(share(row.drop_naive, 2));
                     cells.push_back(share(row.drop_shared, 2));
                   }
                   cells.push_back(to_string(row.source));
                   return cells;
                 }));
}

Section parameters(const Sizing& sizing) {
  return section("what another model or machine would do, most first",
                 {{"", "parameter", false},
                  {"", "from", true},
                  {"", "to", true},
                  {"", "expected N", true},
                  {"", "change", true},
                  {"", "source", false}},
                 rows_of(sizing.parameters, [&](const SizingParameter& row) {
                   return std::vector<std::string>{one_line(row.name),
                                                   one_line(row.from),
                                                   one_line(row.to),
                                                   most(sizing, row.expected_candidates),
                                                   row.change_pct ? share(*row.change_pct / 100, 1) : "-",
                                                   to_string(row.source)};
                 }));
}

Section fleet(const Sizing& sizing) {
  const bool cost = std::any_of(sizing.fleet.begin(), sizing.fleet.end(),
                                [](const auto& row) { return row.cost_per_million.has_value(); });
  std::vector<Grid::Head> heads = {{"", "N", true},     {"", "scheme", false},  {"", "workers", true},
                                   {"", "cores", true}, {"", "machines", true}, {"utili-", "sation", true}};
  if (cost) heads.push_back({"cost per million", "requests", true});
  heads.push_back({"", "source", false});
  const bool rate = std::any_of(sizing.budgets.begin(), sizing.budgets.end(),
                                [&](const SizingBudget& row) { return row.name == "qps"; });
  return section(rate ? "fleet for the rate of requests" : "cost of requests", std::move(heads),
                 rows_of(sizing.fleet,
                         [&](const SizingFleet& row) {
                           std::vector<std::string> cells = {integer(row.candidates),  one_line(row.scheme),
                                                             count(row.workers, "-"),  count(row.cores, "-"),
                                                             count(row.machines, "-"), share(row.utilisation, 1)};
                           if (cost) cells.push_back(significant(row.cost_per_million, 4));
                           cells.push_back(to_string(row.source));
                           return cells;
                         }),
                 rate ? "- is no number of workers that meets the latency; a machine is one like the measured one"
                      : "no rate is given: machines like the measured one, as busy as they may be, whatever the wait");
}

std::vector<Section> sections(const Report& report) {
  const Sizing& sizing = *report.sizing;
  std::vector<Section> all;
  const auto add = [&](Section made) {
    if (!made.grid.empty()) all.push_back(std::move(made));
  };
  add(budgets(sizing));
  add(changes(sizing));
  add(alternatives(sizing));
  if (!sizing.budgets.empty() || sizing.min_improvement) add(inputs(sizing));
  for (Section& one : speedups(sizing)) add(std::move(one));
  const bool timed = !sizing.points.empty() && sizing.points.front().scheme_s.has_value();
  if (timed) add(times(sizing));
  add(returns(sizing));
  add(advice(sizing));
  add(targets(sizing));
  const bool sized = !sizing.points.empty() && sizing.points.front().memory_bytes.has_value();
  if (sized) add(memory_by_n(sizing));
  add(caches(sizing, report));
  add(frontier(sizing, "history_length", "history length", "L"));
  for (const bool of_times : {true, false}) {
    for (const BudgetInfo& one : sizing_budgets()) {
      if (one.timed == of_times) add(frontier(sizing, one.name, one.against, one.head));
    }
  }
  add(parameters(sizing));
  add(fleet(sizing));
  return all;
}

/// What was sized, in a line.
std::string subject(const Report& report) {
  const Sizing& sizing = *report.sizing;
  std::string text = "scheme " + one_line(sizing.scheme);
  if (sizing.history_length) text += ", L=" + integer(*sizing.history_length);
  if (sizing.layers) text += ", layers=" + integer(*sizing.layers);
  text += ", times " + one_line_or_dash(to_string(sizing.source));
  return text;
}

}  // namespace

std::string render_sizing_table(const Report& report) {
  const Sizing& sizing = *report.sizing;
  std::string text =
      emphasised(paragraph("", sentence(sizing_answer(sizing)), 0), sizing.feasible ? Emphasis::strong : Emphasis::bad);
  for (const std::string& caveat : sizing.caveats) {
    text += emphasised(paragraph("", sentence(one_line(caveat)), 0), Emphasis::warning);
  }
  text += emphasised(paragraph("", subject(report), 0), Emphasis::faint);
  text += sections_text(sections(report));
  if (!sizing.notes.empty()) text += "\n";
  for (const std::string& note : sizing.notes) text += paragraph("note", one_line(note), kSizingMargin);
  return text;
}

std::string render_sizing_csv(const Report& report) {
  std::string text = csv_row(quantity_head());
  const std::string whole = "sizing";
  const Sizing& sizing = *report.sizing;
  // What was measured is among the points.
  std::optional<std::int64_t> max_fitted;
  for (const SizingPoint& point : sizing.points) {
    if (point.source == Source::fitted || point.source == Source::measured)
      max_fitted = std::max(max_fitted.value_or(0), point.candidates);
  }
  const auto source_at = [&](const std::optional<std::int64_t>& candidates) {
    if (!max_fitted) return to_string(sizing.source);
    return to_string(candidates && *candidates <= *max_fitted ? Source::fitted : Source::extrapolated);
  };
  // Of numbers that do not come from where the rest of their row does.
  const auto own_source = [&](const std::string& section, const std::string& quantity, const std::string& source) {
    if (quantity.ends_with("_bytes")) return to_string(Source::computed);
    if (quantity == "drop_naive" || (section == whole && quantity == "drop")) {
      return sizing.drop_source == Source::unknown ? source : to_string(sizing.drop_source);
    }
    if (section == whole && quantity == "min_improvement") return to_string(Source::assumed);
    if (section == whole && quantity == "limit") return source_at({});
    if (section == whole && quantity == "knee_candidates") return source_at(sizing.knee_candidates);
    if (section == whole && quantity == "min_candidates") return source_at(sizing.min_candidates);
    if (section == "budgets" && quantity == "limit") return to_string(Source::assumed);
    if (quantity == "seed_improvement") return to_string(Source::assumed);
    return source;
  };
  text += quantity_rows(whole, sizing_columns(), {sizing}, {false, to_string(sizing.source), own_source});
  visit_lists(sizing, [&](const char* name, const auto& columns, const auto& rows) {
    text +=
        quantity_rows(name, columns, rows,
                      {true, to_string(std::string(name) == "changes" ? Source::computed : sizing.source), own_source});
  });
  return text;
}

std::string render_sizing_markdown(const Report& report) {
  const Sizing& sizing = *report.sizing;
  std::string text = "## Queue sizing\n\n**" + sentence(sizing_answer(sizing)) + "**\n\n";
  for (const std::string& caveat : sizing.caveats) text += "**" + sentence(one_line(caveat)) + "**\n\n";
  text += subject(report) + "\n";
  text += sections_markdown(sections(report));
  if (!sizing.notes.empty()) text += "\n### notes\n\n";
  for (const std::string& note : sizing.notes) text += "- " + one_line(note) + "\n";
  return inert(text);
}

}  // namespace report

}  // namespace kvcast
