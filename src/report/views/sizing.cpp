#include "report/views/sizing.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kvcast/kvcast.h"
#include "report/layout.h"
#include "report/views/cells.h"

namespace kvcast {
namespace report {
namespace {

// ---- words

/// An N: nullopt where nothing limits it, "at least" where it is the largest known one.
std::string limit_text(const std::optional<std::int64_t>& known_to, const std::optional<std::int64_t>& candidates) {
  if (!candidates) return "no limit";
  if (*candidates == 0) return "not one";
  return (candidates == known_to ? "at least " : "") + integer(*candidates);
}
Cell limit_cell(const std::optional<std::int64_t>& known_to, const std::optional<std::int64_t>& candidates) {
  return {limit_text(known_to, candidates), candidates ? Value(*candidates) : Value()};
}

/// As the cell of a column.
auto limits(const Sizing& sizing) {
  return [&sizing](const std::optional<std::int64_t>& candidates) { return limit_cell(sizing.known_to, candidates); };
}

/// Of a budget or another input.
std::string shown_name(const std::string& name) {
  if (const BudgetInfo* budget = find_budget(name)) return budget->title;
  static const std::vector<std::pair<std::string, std::string>> names = {
      {"users_cached", "cached users"},
      {"min_improvement", "minimum improvement"},
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
  const std::string before = text.empty() ? "" : text + "; ";
  if (out_of_reach && sizing.known_to) {
    return before + wanted + " is not reached up to N = " + integer(*sizing.known_to) + ", the largest that is known";
  }
  if (out_of_reach) {
    return before + wanted + " is out of reach at any N: the largest speed-up is " +
           (sizing.limit ? factor(*sizing.limit, 2) + ", " + share(1 - 1 / *sizing.limit, 1) : "unknown");
  }
  // Of no report of ours, but it may be read.
  if (!sizing.min_candidates) return "no budget is said to fail";
  return wanted + " takes N = " + integer(*sizing.min_candidates) + ", and " + shown_name(sizing.binding) + " allows " +
         limit_text(sizing.known_to, sizing.expected_candidates);
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
  if (!sizing.feasible) return doubt + "infeasible: " + failing(sizing) + what_would_do(sizing.changes);
  std::string text;
  const std::string conservative =
      sizing.conservative_candidates
          ? " (conservative: " + limit_text(sizing.known_to, sizing.conservative_candidates) + ")"
          : "";
  const bool at_end = sizing.expected_candidates && sizing.expected_candidates == sizing.known_to;
  if (at_end && !sizing.budgets.empty()) {
    text = under(sizing.budgets) + "score at least N = " + integer(*sizing.known_to) + conservative +
           ": no budget is reached up to there; measure larger N to know more";
  } else if (sizing.expected_candidates && !at_end) {
    text = under(sizing.budgets) + "score up to N = " + integer(*sizing.expected_candidates) + conservative + "; " +
           shown_name(sizing.binding) + " binds";
    for (const SizingBudget& budget : sizing.budgets) {
      if (budget.binding) continue;
      text +=
          ", " + shown_name(budget.name) + " would allow " + limit_text(sizing.known_to, budget.expected_candidates);
    }
  } else {
    text = sizing.budgets.empty() ? "no budget is stated, so nothing limits N"
                                  : "no stated budget limits N" + conservative;
    if (at_end) text += " up to N = " + integer(*sizing.known_to) + ", the largest that is known";
    for (const SizingFraction& row : sizing.fractions) {
      if (row.fraction != 0.9 || !row.candidates) continue;
      text += "; 90% of the largest speed-up of " + factor(sizing.limit.value_or(0), 2) +
              " at N = " + integer(*row.candidates);
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
std::string from_to(const Interval& interval, int decimals = 2) {
  const std::string low = share(interval.lo, decimals), high = share(interval.hi, decimals);
  return low == high ? low : low + " to " + high;
}

/// Of a conservative N beside the expected one, which it never exceeds: where that is known, a missing one is unknown;
/// where there is none and the time has an interval, it is without limit.
template <typename Row>
Cell conservative_cell(const Sizing& sizing, const Row& row, const std::optional<std::int64_t>& known_to) {
  const bool interval_known =
      sizing.conservative_candidates || std::any_of(sizing.points.begin(), sizing.points.end(),
                                                    [](const SizingPoint& point) { return point.p99_conservative_s; });
  const bool none = !row.expected_candidates && interval_known;
  return row.conservative_candidates || none ? limit_cell(known_to, row.conservative_candidates) : text_cell("");
}

// ---- tables

Table budgets(const Sizing& sizing) {
  const std::string at = sizing.expected_candidates
                             ? "used at N=" + integer(std::max<std::int64_t>(1, *sizing.expected_candidates))
                             : "used";
  using T = SizingBudget;
  const auto binds = [](const T& row) { return row.binding ? text_cell("binds", Emphasis::strong) : Cell{}; };
  return table_of<T>("", sizing.budgets,
                     {cells<T>("budget", [](const T& row) { return text_cell(shown_name(row.name)); }),
                      cells<T>(
                          "limit", [](const T& row) { return amount_cell(row.limit, row.unit); }, true),
                      cells<T>(
                          at, [](const T& row) { return amount_cell(row.used, row.unit); }, true),
                      numbers<T>("headroom", &T::headroom_pct, kHundredths),
                      numbers<T>("N by it alone", &T::expected_candidates, limits(sizing)), cells<T>("", binds)});
}

/// What each budget allows, were there no other.
Table budgets_alone(const Sizing& sizing) {
  using T = SizingBudget;
  std::string note;
  for (const BudgetInfo& one : sizing_budgets()) {
    const bool stated = std::any_of(sizing.budgets.begin(), sizing.budgets.end(),
                                    [&](const SizingBudget& row) { return row.name == one.name; });
    if (stated && *one.below != '\0') note += (note.empty() ? "" : "; ") + std::string(one.below);
  }
  const auto conservative = [&](const T& row) { return conservative_cell(sizing, row, sizing.known_to); };
  return table_of<T>("budgets, each alone", sizing.budgets,
                     {cells<T>("budget", [](const T& row) { return text_cell(shown_name(row.name)); }),
                      cells<T>(
                          "limit", [](const T& row) { return amount_cell(row.limit, row.unit); }, true),
                      numbers<T>("expected N", &T::expected_candidates, limits(sizing)),
                      cells<T>("conservative N", conservative, true), words("source", &T::source)},
                     note);
}

/// Where naive's drop was measured.
std::string drop_known(const Sizing& sizing) {
  if (!sizing.drop || sizing.drop_source != Source::measured) return "";
  std::string text =
      "naive's drop was measured with the run's ranking head at its largest N: " + share(sizing.drop->value, 1);
  if (sizing.drop->ci95) text += ", 95% interval " + from_to(*sizing.drop->ci95);
  return text;
}

/// What a terminal shows of the points: at most six, with those that the answer names.
std::vector<SizingPoint> telling_points(const Sizing& sizing) {
  constexpr std::size_t kShown = 5;
  std::vector<SizingPoint> shown = sizing.points;
  const auto named = [&](const SizingPoint& row) {
    return row.candidates == sizing.expected_candidates || row.candidates == sizing.min_candidates ||
           row.candidates == sizing.conservative_candidates;
  };
  // The one whose neighbours are closest goes first.
  while (shown.size() > kShown) {
    std::size_t best = 0;
    double least = 0;
    for (std::size_t i = 1; i + 1 < shown.size(); ++i) {
      const double gap = static_cast<double>(shown[i + 1].candidates) / static_cast<double>(shown[i - 1].candidates);
      if (!named(shown[i]) && (best == 0 || gap < least)) best = i, least = gap;
    }
    if (best == 0) break;
    shown.erase(shown.begin() + static_cast<std::ptrdiff_t>(best));
  }
  return shown;
}

/// Speed-up and time of a request, as far as they are known.
Table points(const Sizing& sizing) {
  using T = SizingPoint;
  const std::vector<T> rows = telling_points(sizing);
  const auto candidates = [&](const T& row) {
    Cell cell = count_cell(row.candidates);
    if (row.candidates == sizing.expected_candidates) cell.emphasis = Emphasis::strong;
    return cell;
  };
  std::vector<Col<T>> columns = {cells<T>("N", candidates, true),
                                 cells<T>(
                                     "speed-up", [](const T& row) { return factor_cell(row.speedup); }, true),
                                 numbers<T>("improvement", &T::improvement, shares(1))};
  const auto add = [&](const char* name, std::optional<double> T::*member, const auto& make, const char* group = "") {
    const auto has = [&](const T& row) { return (row.*member).has_value(); };
    if (std::any_of(rows.begin(), rows.end(), has)) columns.push_back(numbers<T>(name, member, make, group));
  };
  add("time", &T::scheme_s, kSeconds);
  add("P99", &T::p99_s, kSeconds);
  add("naive P99", &T::naive_p99_s, kSeconds);
  add("naive", &T::drop_naive, shares(1), "drop with");
  add("sharing", &T::drop_exact, shares(1), "drop with");
  columns.push_back(words("source", &T::source));
  return table_of("", rows, columns);
}

Table changes(const Sizing& sizing) {
  using T = SizingChange;
  const bool alone = sizing.changes.empty() || sizing.changes.front().suffices;
  return table_of<T>(std::string("what would make it feasible, ") + (alone ? "each alone" : "all together"),
                     sizing.changes,
                     {cells<T>("change", [](const T& row) { return text_cell(change_text(row)); }),
                      cells<T>(
                          "now", [](const T& row) { return amount_cell(row.from, row.unit); }, true),
                      cells<T>(
                          "needed", [](const T& row) { return amount_cell(enough(row), row.unit); }, true)});
}

Table alternatives(const Sizing& sizing) {
  using T = SizingAlternative;
  return table_of<T>("alternatives under the same budgets", sizing.alternatives,
                     {words("change", &T::change), numbers<T>("expected N", &T::expected_candidates, limits(sizing)),
                      words("source", &T::source)});
}

Table inputs(const Sizing& sizing) {
  using T = SizingInput;
  const auto then = [&](std::optional<std::int64_t> T::*candidates) {
    return [&sizing, candidates](const T& row) {
      return row.name == "min_improvement" ? count_cell(row.*candidates, "never")
                                           : limit_cell(sizing.known_to, row.*candidates);
    };
  };
  return table_of<T>("sensitivity: expected N with one input 10% lower or higher", sizing.inputs,
                     {cells<T>("input", [](const T& row) { return text_cell(shown_name(row.name)); }),
                      cells<T>(
                          "value", [](const T& row) { return amount_cell(row.value, row.unit); }, true),
                      cells<T>("95% interval", [](const T& row) { return amount_interval_cell(row.ci95, row.unit); }),
                      words("source", &T::source), cells<T>("N at -10%", then(&T::candidates_less), true),
                      cells<T>("N at +10%", then(&T::candidates_more), true)},
                     sizing.min_improvement ? "of the minimum improvement: the smallest N that is worth it" : "");
}

/// The points, where one of their members is known at all.
template <typename Member>
std::vector<SizingPoint> points_with(const Sizing& sizing, Member SizingPoint::*member) {
  return !sizing.points.empty() && sizing.points.front().*member ? sizing.points : std::vector<SizingPoint>();
}

Table speedups(const Sizing& sizing) {
  using T = SizingPoint;
  return table_of<T>(
      "speed-up by N", sizing.points,
      {numbers<T>("N", &T::candidates, kCount),
       cells<T>(
           "speed-up", [](const T& row) { return factor_cell(row.speedup, 4); }, true),
       cells<T>("95% interval", [](const T& row) { return interval_cell(row.speedup, 4); }),
       numbers<T>("improvement", &T::improvement, shares(2)),
       numbers<T>("next candidate adds", &T::marginal_speedup, factors(4)), words("source", &T::source)});
}

Table drops(const Sizing& sizing) {
  using T = SizingPoint;
  return table_of<T>(
      "throughput drop by N", points_with(sizing, &T::drop_naive),
      {numbers<T>("N", &T::candidates, kCount), numbers<T>("naive", &T::drop_naive, shares(2), "drop with"),
       numbers<T>("design note's rule", &T::drop_design_note, shares(2), "drop with sharing"),
       numbers<T>("exact", &T::drop_exact, shares(2), "drop with sharing"), words("source", &T::source)},
      drop_known(sizing));
}

Table times(const Sizing& sizing) {
  using T = SizingPoint;
  return table_of<T>(
      "time of a request by N", points_with(sizing, &T::scheme_s),
      {numbers<T>("N", &T::candidates, kCount), numbers<T>("mean", &T::scheme_s, kSeconds, "sharing"),
       numbers<T>("P99", &T::p99_s, kSeconds, "sharing"),
       numbers<T>("P99, conservative", &T::p99_conservative_s, kSeconds, "sharing"),
       numbers<T>("utilisation", &T::utilisation, shares(1), "sharing"),
       numbers<T>("mean", &T::naive_s, kSeconds, "naive"), numbers<T>("P99", &T::naive_p99_s, kSeconds, "naive"),
       numbers<T>("utilisation", &T::naive_utilisation, shares(1), "naive"),
       numbers<T>("candidates/s", &T::max_candidates_per_s, digits(4, "1/s")), words("source", &T::source)},
      "P99 includes queueing where a rate is given; -: no steady state; candidates/s: of all workers, at the largest "
      "rate that meets the P99");
}

Table memory_by_n(const Sizing& sizing) {
  using T = SizingPoint;
  return table_of<T>("memory of the process by N (computed)", points_with(sizing, &T::memory_bytes),
                     {numbers<T>("N", &T::candidates, kCount), numbers<T>(sizing.scheme, &T::memory_bytes, kBytes),
                      numbers<T>("one cache per candidate", &T::copies_memory_bytes, kBytes),
                      numbers<T>("naive", &T::naive_memory_bytes, kBytes)});
}

Table caches(const Sizing& sizing, const Report& report) {
  using T = SizingMemory;
  std::string note;
  for (const Case& one : report.cases) {
    if (!one.shape || one.shape->history_length != sizing.history_length || one.shape->layers != sizing.layers)
      continue;
    std::vector<std::string> measured;
    for (const ResidentMemory& row : one.memory) {
      measured.push_back(one_line(row.scheme) + " " + bytes(row.resident_bytes) +
                         " (computed: " + bytes(row.planned_bytes) + ", of it keys and values " + bytes(row.kv_bytes) +
                         ") at N = " + integer(row.candidates));
    }
    if (!measured.empty()) note = "resident memory measured when each scheme was made: " + join(measured, ", ");
  }
  const std::string copies = sizing.memory.empty() ? "" : " at N = " + integer(sizing.memory.front().candidates);
  return table_of<T>("keys and values of one user (computed; the first row is as it is)", sizing.memory,
                     {words("type", &T::kv_dtype), numbers<T>("KV heads", &T::kv_heads, kCount),
                      numbers<T>("one cache for all N", &T::user_bytes, kBytes),
                      numbers<T>("users in a GiB", &T::users_per_gib, digits(4, "")),
                      numbers<T>("one cache per candidate" + copies, &T::copies_bytes, kBytes),
                      numbers<T>("naive: one layer", &T::naive_bytes, kBytes)},
                     note);
}

Table returns(const Sizing& sizing) {
  using T = SizingFraction;
  std::string note;
  if (sizing.knee_candidates) {
    note = "knee at N = " + integer(*sizing.knee_candidates) +
           ": candidates take as long as the history; beyond it 1% more of them gain less than 0.5%";
  }
  const std::string of = sizing.limit ? "share of " + factor(*sizing.limit, 2) : "share of the limit";
  return table_of<T>(
      "where returns diminish", sizing.fractions,
      {numbers<T>(of, &T::fraction, shares(0)), numbers<T>("from N", &T::candidates, kCount),
       numbers<T>("speed-up", &T::speedup, factors(2)), numbers<T>("improvement", &T::improvement, shares(2))},
      note);
}

Table advice(const Sizing& sizing) {
  using T = SizingAdvice;
  const auto range = [](const T& row) {
    const bool one = row.max_candidates == row.min_candidates;
    return Cell{integer(row.min_candidates) + (!row.max_candidates ? "+"
                                               : one               ? ""
                                                                   : "-" + integer(*row.max_candidates))};
  };
  const auto ends = [](const std::optional<Interval>& interval) {
    return interval ? Cell{from_to(*interval), *interval, "0..1"} : text_cell("");
  };
  return table_of<T>(
      "the design note's advice against this r", sizing.advice,
      {words("situation", &T::situation), cells<T>("N", range, true), words("advice", &T::design_note_advice),
       numbers<T>("at r = 0.15", &T::design_note_improvement, ends, "improvement"),
       numbers<T>("here", &T::improvement, ends, "improvement"), words("grade", &T::grade)});
}

Table targets(const Sizing& sizing) {
  using T = DropTarget;
  std::vector<std::string> reach;
  for (const T& target : sizing.drop_targets) {
    std::vector<std::string> by_r;
    for (const DropReach& row : sizing.drop_reach) {
      if (row.target != target.name) continue;
      by_r.push_back("r=" + significant(row.r, 2) + " " + (row.candidates ? integer(*row.candidates) : "never"));
    }
    if (!by_r.empty()) reach.push_back(one_line(target.name) + ": " + join(by_r, "; "));
  }
  const auto or_never = [](const std::optional<std::int64_t>& candidates) { return count_cell(candidates, "never"); };
  const auto from_one_to_another = [](const T& row) {
    return Cell{share(row.naive_drop, 1) + " to " + share(row.target_drop, 1)};
  };
  const auto reached = [](const T& row) {
    return Cell{row.reached ? "yes" : "no", row.reached, {}, row.reached ? Emphasis::none : Emphasis::warning};
  };
  return table_of<T>(
      "from one throughput drop to another", sizing.drop_targets,
      {words("target", &T::name), cells<T>("drop", from_one_to_another),
       numbers<T>("speed-up needed", &T::speedup_needed, factors(2)),
       numbers<T>("end to end", &T::end_to_end, factors(2)), numbers<T>("max r", &T::largest_r, digits(3)),
       numbers<T>("N at r = 0", &T::min_candidates, kCount),
       numbers<T>("N at r = 0.15", &T::design_note_candidates, or_never),
       numbers<T>("N here", &T::candidates, or_never), cells<T>("reached", reached)},
      reach.empty() ? "" : "N that a target takes by r: " + join(reach, ". "));
}

Table frontier(const Sizing& sizing, const std::string& axis, const std::string& against, const char* head) {
  using T = SizingFrontier;
  std::vector<T> rows;
  std::copy_if(sizing.frontiers.begin(), sizing.frontiers.end(), std::back_inserter(rows),
               [&](const T& row) { return row.axis == axis; });
  std::vector<Col<T>> columns = {
      cells<T>(
          head, [](const T& row) { return amount_cell(row.at, row.unit); }, true),
      cells<T>(
          "expected N", [](const T& row) { return limit_cell(row.known_to, row.expected_candidates); }, true),
      cells<T>(
          "conservative N", [&](const T& row) { return conservative_cell(sizing, row, row.known_to); }, true),
      numbers<T>("speed-up", &T::speedup, factors(2))};
  if (std::any_of(rows.begin(), rows.end(), [](const T& row) { return row.drop_naive.has_value(); })) {
    columns.push_back(numbers<T>("naive", &T::drop_naive, shares(2), "drop with"));
    columns.push_back(numbers<T>("sharing", &T::drop_shared, shares(2), "drop with"));
  }
  columns.push_back(words("source", &T::source));
  return table_of("N against " + against, rows, columns);
}

Table parameters(const Sizing& sizing) {
  using T = SizingParameter;
  return table_of<T>("what another model or machine would change, largest first", sizing.parameters,
                     {words("parameter", &T::name), words("from", &T::from), words("to", &T::to),
                      numbers<T>("expected N", &T::expected_candidates, limits(sizing)),
                      numbers<T>("change", &T::change_pct, kHundredths), words("source", &T::source)});
}

Table fleet(const Sizing& sizing) {
  using T = SizingFleet;
  std::vector<Col<T>> columns = {
      numbers<T>("N", &T::candidates, kCount),      words("scheme", &T::scheme),
      numbers<T>("workers", &T::workers, kCount),   numbers<T>("cores", &T::cores, kCount),
      numbers<T>("machines", &T::machines, kCount), numbers<T>("utilisation", &T::utilisation, shares(1))};
  const auto priced = [](const T& row) { return row.cost_per_million.has_value(); };
  if (std::any_of(sizing.fleet.begin(), sizing.fleet.end(), priced)) {
    columns.push_back(numbers<T>("cost per million requests", &T::cost_per_million, digits(4, "")));
  }
  columns.push_back(words("source", &T::source));
  const bool rate = std::any_of(sizing.budgets.begin(), sizing.budgets.end(),
                                [](const SizingBudget& row) { return row.name == "qps"; });
  return table_of(rate ? "fleet for the request rate" : "cost of requests", sizing.fleet, columns,
                  rate ? "-: no number of workers meets the latency; a machine is one like the measured one"
                       : "no rate is given: machines like the measured one at full load, queueing ignored");
}

/// What was sized, in a line.
std::vector<std::string> subject(const Sizing& sizing) {
  std::vector<std::string> items = {"scheme " + sizing.scheme};
  if (sizing.history_length) items.push_back("L=" + integer(*sizing.history_length));
  if (sizing.layers) items.push_back("layers=" + integer(*sizing.layers));
  const std::string source = to_string(sizing.source);
  items.push_back("times " + (source.empty() ? "-" : source));
  return items;
}

Chart p99_chart(const Sizing& sizing) {
  Chart chart{"P99 against N", "N", "P99 [s]"};
  Chart::Series sharing{sizing.scheme, {}, false}, naive{"naive", {}, false}, budget{"budget", {}, false};
  for (const SizingPoint& row : sizing.points) {
    const auto n = static_cast<double>(row.candidates);
    if (row.p99_s) sharing.points.emplace_back(n, *row.p99_s);
    if (row.naive_p99_s) naive.points.emplace_back(n, *row.naive_p99_s);
    for (const SizingBudget& one : sizing.budgets) {
      if (one.name == "p99") budget.points.emplace_back(n, one.limit);
    }
  }
  for (Chart::Series& one : std::vector<Chart::Series>{sharing, naive, budget}) {
    if (one.points.size() > 1) chart.series.push_back(std::move(one));
  }
  return chart;
}

}  // namespace

Document sizing_document(const Report& report) {
  const Sizing& sizing = *report.sizing;
  Document document{sentence(sizing_answer(sizing)), sizing.feasible ? Emphasis::strong : Emphasis::bad, {}};
  Section first{"queue sizing", false, {}};
  for (const std::string& caveat : sizing.caveats) {
    first.blocks.push_back(Notice{Emphasis::warning, "", sentence(one_line(caveat)), ""});
  }
  first.blocks.push_back(Text{"sized", subject(sizing), Emphasis::faint});
  for (Table table : {budgets(sizing), points(sizing)}) {
    if (!table.rows.empty()) first.blocks.push_back(std::move(table));
  }
  for (const SizingPoint& row : sizing.points) {
    if (row.candidates != sizing.expected_candidates || !row.max_candidates_per_s) continue;
    first.blocks.push_back(Text{"machine",
                                {"scores up to " + significant(row.max_candidates_per_s, 4) + " candidates/s (" +
                                 rate(*row.max_requests_per_s) + ") within the P99"}});
  }
  // Where nothing limits N, where it stops to pay is what there is to say.
  const bool unlimited = sizing.budgets.empty();
  if (unlimited && !sizing.fractions.empty()) first.blocks.push_back(returns(sizing));
  if (Chart chart = p99_chart(sizing); !chart.series.empty()) first.blocks.push_back(std::move(chart));
  document.sections.push_back(std::move(first));

  const auto details = [&](Table table) {
    const std::string title = std::exchange(table.title, "");
    add_table(document, title, true, std::move(table));
  };
  details(budgets_alone(sizing));
  details(changes(sizing));
  details(alternatives(sizing));
  if (!sizing.budgets.empty() || sizing.min_improvement) details(inputs(sizing));
  details(speedups(sizing));
  details(drops(sizing));
  details(times(sizing));
  if (!unlimited) details(returns(sizing));
  details(advice(sizing));
  details(targets(sizing));
  details(memory_by_n(sizing));
  details(caches(sizing, report));
  details(frontier(sizing, "history_length", "history length", "L"));
  for (const bool of_times : {true, false}) {
    for (const BudgetInfo& one : sizing_budgets()) {
      if (one.timed == of_times) details(frontier(sizing, one.name, one.against, one.head));
    }
  }
  details(parameters(sizing));
  details(fleet(sizing));
  Section notes{"what this rests on", true, {}};
  for (const std::string& note : sizing.notes) notes.blocks.push_back(Text{"note", {one_line(note)}});
  add_section(document, std::move(notes));
  return document;
}

}  // namespace report
}  // namespace kvcast
