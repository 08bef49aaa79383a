#include "report/views/sizing.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
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

Cell source_cell(Source source) { return text_cell(to_string(source)); }

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
  std::string note;
  for (const BudgetInfo& one : sizing_budgets()) {
    const bool stated = std::any_of(sizing.budgets.begin(), sizing.budgets.end(),
                                    [&](const SizingBudget& row) { return row.name == one.name; });
    if (stated && *one.below != '\0') note += (note.empty() ? "" : "; ") + std::string(one.below);
  }
  const std::string at = sizing.expected_candidates
                             ? "used at N=" + integer(std::max<std::int64_t>(1, *sizing.expected_candidates))
                             : "used";
  return {
      "",
      {{"budget"}, number_head("limit"), number_head(at), number_head("headroom"), number_head("N by it alone"), {""}},
      rows_of(sizing.budgets,
              [&](const SizingBudget& row) {
                const auto headroom =
                    row.headroom_pct ? std::optional(*row.headroom_pct / 100) : std::optional<double>();
                return std::vector<Cell>{text_cell(shown_name(row.name)),
                                         amount_cell(row.limit, row.unit),
                                         amount_cell(row.used, row.unit),
                                         share_cell(headroom, 1),
                                         limit_cell(sizing.known_to, row.expected_candidates),
                                         row.binding ? text_cell("binds", Emphasis::strong) : Cell{}};
              }),
      note};
}

/// What each budget allows, were there no other.
Table budgets_alone(const Sizing& sizing) {
  return {"budgets, each alone",
          {{"budget"}, number_head("limit"), number_head("expected N"), number_head("conservative N"), {"source"}},
          rows_of(sizing.budgets, [&](const SizingBudget& row) {
            return std::vector<Cell>{text_cell(shown_name(row.name)), amount_cell(row.limit, row.unit),
                                     limit_cell(sizing.known_to, row.expected_candidates),
                                     conservative_cell(sizing, row, sizing.known_to), source_cell(row.source)};
          })};
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
  constexpr std::size_t kShown = 6;
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
  const std::vector<SizingPoint> rows = telling_points(sizing);
  const auto any = [&](const auto& has) { return std::any_of(rows.begin(), rows.end(), has); };
  const bool timed = any([](const SizingPoint& row) { return row.scheme_s.has_value(); });
  const bool drop = any([](const SizingPoint& row) { return row.drop_exact.has_value(); });
  Table table{"", {number_head("N"), number_head("speed-up"), number_head("improvement")}, {}};
  if (timed) {
    for (const char* name : {"time", "P99", "naive P99"}) table.heads.push_back(number_head(name));
  }
  if (drop) {
    table.heads.push_back(number_head("naive", "drop with"));
    table.heads.push_back(number_head("sharing", "drop with"));
  }
  table.heads.push_back({"source"});
  table.rows = rows_of(rows, [&](const SizingPoint& row) {
    std::vector<Cell> cells = {count_cell(row.candidates), factor_cell(row.speedup), share_cell(row.improvement, 1)};
    if (timed) {
      cells.push_back(seconds_cell(row.scheme_s));
      cells.push_back(seconds_cell(row.p99_s));
      cells.push_back(seconds_cell(row.naive_p99_s));
    }
    if (drop) {
      cells.push_back(share_cell(row.drop_naive, 1));
      cells.push_back(share_cell(row.drop_exact, 1));
    }
    cells.push_back(source_cell(row.source));
    if (row.candidates == sizing.expected_candidates) cells.front().emphasis = Emphasis::strong;
    return cells;
  });
  return table;
}

Table changes(const Sizing& sizing) {
  return {sizing.changes.empty() || sizing.changes.front().suffices ? "what would make it feasible, each alone"
                                                                    : "what would make it feasible, all together",
          {{"change"}, number_head("now"), number_head("needed")},
          rows_of(sizing.changes, [](const SizingChange& row) {
            return std::vector<Cell>{text_cell(change_text(row)), amount_cell(row.from, row.unit),
                                     amount_cell(enough(row), row.unit)};
          })};
}

Table alternatives(const Sizing& sizing) {
  return {"alternatives under the same budgets",
          {{"change"}, number_head("expected N"), {"source"}},
          rows_of(sizing.alternatives, [&](const SizingAlternative& row) {
            return std::vector<Cell>{text_cell(row.change), limit_cell(sizing.known_to, row.expected_candidates),
                                     source_cell(row.source)};
          })};
}

Table inputs(const Sizing& sizing) {
  return {"sensitivity: expected N with one input 10% lower or higher",
          {{"input"},
           number_head("value"),
           {"95% interval"},
           {"source"},
           number_head("N at -10%"),
           number_head("N at +10%")},
          rows_of(sizing.inputs,
                  [&](const SizingInput& row) {
                    const auto then = [&](const std::optional<std::int64_t>& candidates) {
                      return row.name == "min_improvement" ? count_cell(candidates, "never")
                                                           : limit_cell(sizing.known_to, candidates);
                    };
                    return std::vector<Cell>{text_cell(shown_name(row.name)),
                                             amount_cell(row.value, row.unit),
                                             amount_interval_cell(row.ci95, row.unit),
                                             source_cell(row.source),
                                             then(row.candidates_less),
                                             then(row.candidates_more)};
                  }),
          sizing.min_improvement ? "of the minimum improvement: the smallest N that is worth it" : ""};
}

Table speedups(const Sizing& sizing) {
  return {"speed-up by N",
          {number_head("N"),
           number_head("speed-up"),
           {"95% interval"},
           number_head("improvement"),
           number_head("next candidate adds"),
           {"source"}},
          rows_of(sizing.points, [](const SizingPoint& row) {
            return std::vector<Cell>{count_cell(row.candidates),
                                     factor_cell(row.speedup, 4),
                                     interval_cell(row.speedup, 4),
                                     share_cell(row.improvement, 2),
                                     factor_cell(std::optional(row.marginal_speedup), 4),
                                     source_cell(row.source)};
          })};
}

Table drops(const Sizing& sizing) {
  Table table{"throughput drop by N",
              {number_head("N"),
               number_head("naive", "drop with"),
               number_head("design note's rule", "drop with sharing"),
               number_head("exact", "drop with sharing"),
               {"source"}},
              {},
              drop_known(sizing)};
  for (const SizingPoint& row : sizing.points) {
    if (!sizing.points.front().drop_naive) break;
    table.rows.push_back({count_cell(row.candidates), share_cell(row.drop_naive, 2),
                          share_cell(row.drop_design_note, 2), share_cell(row.drop_exact, 2), source_cell(row.source)});
  }
  return table;
}

Table times(const Sizing& sizing) {
  Table table{"time of a request by N",
              {number_head("N"),
               number_head("mean", "sharing"),
               number_head("P99", "sharing"),
               number_head("P99, conservative", "sharing"),
               number_head("utilisation", "sharing"),
               number_head("mean", "naive"),
               number_head("P99", "naive"),
               number_head("utilisation", "naive"),
               {"source"}},
              {},
              "P99 includes queueing where a rate is given; -: no steady state"};
  for (const SizingPoint& row : sizing.points) {
    if (!sizing.points.front().scheme_s) break;
    table.rows.push_back({count_cell(row.candidates), seconds_cell(row.scheme_s), seconds_cell(row.p99_s),
                          seconds_cell(row.p99_conservative_s), share_cell(row.utilisation, 1),
                          seconds_cell(row.naive_s), seconds_cell(row.naive_p99_s),
                          share_cell(row.naive_utilisation, 1), source_cell(row.source)});
  }
  return table;
}

Table memory_by_n(const Sizing& sizing) {
  Table table{
      "memory of the process by N (computed)",
      {number_head("N"), number_head(sizing.scheme), number_head("one cache per candidate"), number_head("naive")},
      {}};
  for (const SizingPoint& row : sizing.points) {
    if (!sizing.points.front().memory_bytes) break;
    table.rows.push_back({count_cell(row.candidates), bytes_cell(row.memory_bytes), bytes_cell(row.copies_memory_bytes),
                          bytes_cell(row.naive_memory_bytes)});
  }
  return table;
}

Table caches(const Sizing& sizing, const Report& report) {
  std::string note;
  for (const Case& one : report.cases) {
    if (!one.shape || one.shape->history_length != sizing.history_length || one.shape->layers != sizing.layers)
      continue;
    std::string measured;
    for (const ResidentMemory& row : one.memory) {
      measured += (measured.empty() ? "" : ", ") + one_line(row.scheme) + " " + bytes(row.resident_bytes) +
                  " (computed: " + bytes(row.planned_bytes) + ", of it keys and values " + bytes(row.kv_bytes) +
                  ") at N = " + integer(row.candidates);
    }
    if (!measured.empty()) note = "resident memory measured when each scheme was made: " + measured;
  }
  const std::string copies = sizing.memory.empty() ? "" : " at N = " + integer(sizing.memory.front().candidates);
  return {"keys and values of one user (computed; the first row is as it is)",
          {{"type"},
           number_head("KV heads"),
           number_head("one cache for all N"),
           number_head("users in a GiB"),
           number_head("one cache per candidate" + copies),
           number_head("naive: one layer")},
          rows_of(sizing.memory,
                  [](const SizingMemory& row) {
                    return std::vector<Cell>{text_cell(row.kv_dtype),
                                             count_cell(row.kv_heads),
                                             bytes_cell(std::optional(row.user_bytes)),
                                             number_cell(row.users_per_gib, 4),
                                             bytes_cell(std::optional(row.copies_bytes)),
                                             bytes_cell(std::optional(row.naive_bytes))};
                  }),
          note};
}

Table returns(const Sizing& sizing) {
  std::string note;
  if (sizing.knee_candidates) {
    note = "knee at N = " + integer(*sizing.knee_candidates) +
           ": candidates take as long as the history; beyond it 1% more of them gain less than 0.5%";
  }
  return {"where returns diminish",
          {number_head("share" + (sizing.limit ? " of " + factor(*sizing.limit, 2) : " of the limit")),
           number_head("from N"), number_head("speed-up"), number_head("improvement")},
          rows_of(sizing.fractions,
                  [](const SizingFraction& row) {
                    return std::vector<Cell>{share_cell(row.fraction, 0), count_cell(row.candidates),
                                             factor_cell(row.speedup, 2), share_cell(row.improvement, 2)};
                  }),
          note};
}

Table advice(const Sizing& sizing) {
  return {"the design note's advice against this r",
          {{"situation"},
           number_head("N"),
           {"advice"},
           number_head("at r = 0.15", "improvement"),
           number_head("here", "improvement"),
           {"grade"}},
          rows_of(sizing.advice, [](const SizingAdvice& row) {
            std::string range = integer(row.min_candidates);
            if (!row.max_candidates) range += "+";
            if (row.max_candidates && *row.max_candidates != row.min_candidates) {
              range += "-" + integer(*row.max_candidates);
            }
            Cell here;
            here.text = row.improvement ? from_to(*row.improvement) : "-";
            if (row.improvement) here.value = *row.improvement;
            return std::vector<Cell>{text_cell(row.situation),
                                     {range},
                                     text_cell(row.seed_advice),
                                     {from_to(row.seed_improvement), row.seed_improvement, "0..1"},
                                     here,
                                     text_cell(row.grade)};
          })};
}

Table targets(const Sizing& sizing) {
  std::vector<std::string> reach;
  for (const DropTarget& target : sizing.drop_targets) {
    std::vector<std::string> by_r;
    for (const DropReach& row : sizing.drop_reach) {
      if (row.target != target.name) continue;
      by_r.push_back("r=" + significant(row.r, 2) + " " + (row.candidates ? integer(*row.candidates) : "never"));
    }
    if (!by_r.empty()) reach.push_back(one_line(target.name) + ": " + join(by_r, "; "));
  }
  return {
      "from one throughput drop to another",
      {{"target"},
       {"drop"},
       number_head("speed-up needed"),
       number_head("end to end"),
       number_head("max r"),
       number_head("N at r = 0"),
       number_head("N at r = 0.15"),
       number_head("N here"),
       {"reached"}},
      rows_of(sizing.drop_targets,
              [](const DropTarget& row) {
                return std::vector<Cell>{
                    text_cell(row.name),
                    {share(row.naive_drop, 1) + " to " + share(row.target_drop, 1)},
                    factor_cell(std::optional(row.speedup_needed), 2),
                    factor_cell(std::optional(row.end_to_end), 2),
                    number_cell(row.largest_r, 3, "ratio"),
                    count_cell(row.min_candidates),
                    count_cell(row.seed_candidates, "never"),
                    count_cell(row.candidates, "never"),
                    {row.reached ? "yes" : "no", row.reached, {}, row.reached ? Emphasis::none : Emphasis::warning}};
              }),
      reach.empty() ? "" : "N that a target takes by r: " + join(reach, ". ")};
}

Table frontier(const Sizing& sizing, const std::string& axis, const std::string& against, const char* head) {
  std::vector<SizingFrontier> rows;
  for (const SizingFrontier& row : sizing.frontiers) {
    if (row.axis == axis) rows.push_back(row);
  }
  const bool drop = std::any_of(rows.begin(), rows.end(), [](const auto& row) { return row.drop_naive.has_value(); });
  Table table{"N against " + against,
              {number_head(head), number_head("expected N"), number_head("conservative N"), number_head("speed-up")},
              {}};
  if (drop) {
    table.heads.push_back(number_head("naive", "drop with"));
    table.heads.push_back(number_head("sharing", "drop with"));
  }
  table.heads.push_back({"source"});
  table.rows = rows_of(rows, [&](const SizingFrontier& row) {
    std::vector<Cell> cells = {amount_cell(row.at, row.unit), limit_cell(row.known_to, row.expected_candidates),
                               conservative_cell(sizing, row, row.known_to), factor_cell(row.speedup, 2)};
    if (drop) {
      cells.push_back(share_cell(row.drop_naive, 2));
      cells.push_back(share_cell(row.drop_shared, 2));
    }
    cells.push_back(source_cell(row.source));
    return cells;
  });
  return table;
}

Table parameters(const Sizing& sizing) {
  return {"what another model or machine would change, largest first",
          {{"parameter"},
           number_head("from"),
           number_head("to"),
           number_head("expected N"),
           number_head("change"),
           {"source"}},
          rows_of(sizing.parameters, [&](const SizingParameter& row) {
            const auto change = row.change_pct ? std::optional(*row.change_pct / 100) : std::optional<double>();
            return std::vector<Cell>{text_cell(row.name),   text_cell(row.from),
                                     text_cell(row.to),     limit_cell(sizing.known_to, row.expected_candidates),
                                     share_cell(change, 1), source_cell(row.source)};
          })};
}

bool has_rate(const Sizing& sizing) {
  return std::any_of(sizing.budgets.begin(), sizing.budgets.end(),
                     [](const SizingBudget& row) { return row.name == "qps"; });
}

Table fleet(const Sizing& sizing) {
  const bool cost = std::any_of(sizing.fleet.begin(), sizing.fleet.end(),
                                [](const auto& row) { return row.cost_per_million.has_value(); });
  Table table{has_rate(sizing) ? "fleet for the request rate" : "cost of requests",
              {number_head("N"),
               {"scheme"},
               number_head("workers"),
               number_head("cores"),
               number_head("machines"),
               number_head("utilisation")},
              {},
              has_rate(sizing) ? "-: no number of workers meets the latency; a machine is one like the measured one"
                               : "no rate is given: machines like the measured one at full load, queueing ignored"};
  if (cost) table.heads.push_back(number_head("cost per million requests"));
  table.heads.push_back({"source"});
  table.rows = rows_of(sizing.fleet, [&](const SizingFleet& row) {
    std::vector<Cell> cells = {count_cell(row.candidates), text_cell(row.scheme),    count_cell(row.workers),
                               count_cell(row.cores),      count_cell(row.machines), share_cell(row.utilisation, 1)};
    if (cost) cells.push_back(number_cell(row.cost_per_million, 4));
    cells.push_back(source_cell(row.source));
    return cells;
  });
  return table;
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
  Section first{"queue size", false, {}};
  for (const std::string& caveat : sizing.caveats) {
    first.blocks.push_back(Notice{Emphasis::warning, "", sentence(one_line(caveat)), ""});
  }
  first.blocks.push_back(Text{"sized", subject(sizing), Emphasis::faint});
  for (Table table : {budgets(sizing), points(sizing)}) {
    if (!table.rows.empty()) first.blocks.push_back(std::move(table));
  }
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
  details(returns(sizing));
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
