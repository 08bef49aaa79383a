// How many candidates a request may have: the budgets, and the answer with its reasons (docs/method.md §22).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcast/columns.h"
#include "kvcast/estimate.h"
#include "kvcast/source.h"

namespace kvcast {

/// One limit for each budget of src/analysis/budgets; an unset one constrains nothing.
struct SizingLimits {
  std::optional<double> p99_s;           ///< P99 latency, queueing included
  std::optional<double> memory_bytes;    ///< of one process: weights, workers, cached users
  std::optional<double> requests_per_s;  ///< target rate, random arrivals
};

/// How a budget is given and shown; only analysis knows how much of it N candidates use.
struct BudgetInfo {
  const char* name;        ///< in reports; with "--" in front, its flag
  const char *type, *doc;  ///< of the flag
  const char* unit;        ///< of the limit
  /// Parses what was typed into that unit. Errors: ConfigError naming `origin`.
  double (*parse)(const std::string& text, const std::string& origin);
  std::optional<double> SizingLimits::*limit;
  bool timed = true;                        ///< depends on times, which r alone does not give; else only on the shape
  bool floor = false;                       ///< the limit is a minimum, else a maximum
  const char* title;                        ///< for people
  const char* brief = title;                ///< before its limit, in the answer
  const char* one = "one candidate takes";  ///< introduces the value that misses the limit
  const char *against = title, *head = brief;  ///< in charts against N; the column's head
  const char* below = "";                      ///< note under the table of budgets

  std::string flag() const { return "--" + std::string(name); }
};
/// All budgets in display order; of two that give the same N, the first binds.
const std::vector<BudgetInfo>& sizing_budgets();
/// By name; null when there is none.
const BudgetInfo* find_budget(const std::string& name);

/// Budgets, and what a report does not contain.
struct SizingOptions : SizingLimits {
  std::string scheme = "shared";
  std::optional<std::int64_t> history_length, layers;  ///< which shape; nullopt: the report's largest
  std::vector<std::int64_t> candidates;                ///< N to show beside the answer

  /// Requests served in parallel, each on the run's threads; nullopt: as measured.
  std::optional<std::int64_t> workers;
  std::int64_t users_cached = 0;          ///< users whose KV cache is kept between requests
  std::optional<double> min_improvement;  ///< minimum 1 - 1/speedup that is worth it, in (0,1)
  std::optional<double> drop;             ///< throughput that naive costs the ranker, in (0,1); nullopt: measured
  std::optional<double> target_drop;      ///< what it may cost with sharing, in (0,1)
  std::optional<double> price_per_hour;   ///< of one machine, any currency

  std::optional<double> r;                  ///< instead of a report
  std::optional<double> naive_candidate_s;  ///< naive's time of one candidate, with r
  double tail = 1;                          ///< P99 over mean of the service time, with r; 1: constant
  std::string shape;                        ///< preset or file with the shape, where the measurements record none
  bool extrapolate = false;                 ///< also answer beyond four times the largest measured N
  ColumnNames columns;                      ///< of a CSV of your own
};

/// An input of the answer, and N when that input is 10% less or more. Whole numbers change by at least 1.
struct SizingInput {
  std::string name, unit;
  double value = 0;
  std::optional<Interval> ci95;
  Source source = Source::unknown;
  /// The expected N in that case (for min_improvement the smallest N); nullopt: no limit, or never.
  std::optional<std::int64_t> candidates_less, candidates_more;
};

/// One budget on its own.
struct SizingBudget {
  std::string name, unit;  ///< as BudgetInfo
  double limit = 0;
  std::optional<double> used;          ///< at the expected N; for a floor, what is available
  std::optional<double> headroom_pct;  ///< of the limit, left over at the expected N
  std::optional<std::int64_t> expected_candidates,
      conservative_candidates;  ///< largest N by it alone; nullopt: any, or unknown
  bool feasible = true;         ///< allows at least one candidate
  bool binding = false;
  Source source = Source::unknown;
};

/// A change that helps to meet the budgets, smallest first; relative to the current value.
struct SizingChange {
  std::string input, unit;
  double from = 0, to = 0;
  bool suffices = true;  ///< on its own; the changes that do not suffice are needed together
};

struct SizingPoint {
  std::int64_t candidates = 0;
  Source source = Source::unknown;
  Estimate speedup;
  double improvement = 0;                   ///< 1 - 1/speedup
  double marginal_speedup = 0;              ///< S(N+1) - S(N)
  std::optional<double> scheme_s, naive_s;  ///< mean service time
  std::optional<double> p99_s, p99_conservative_s,
      naive_p99_s;  ///< with the wait where there is a rate; nullopt: unbounded
  std::optional<double> utilisation, naive_utilisation;
  /// Of all workers at the largest rate that meets the P99; nullopt: no P99 is asked for, or no rate meets it.
  std::optional<double> max_requests_per_s, max_candidates_per_s;
  std::optional<std::int64_t> memory_bytes, copies_memory_bytes, naive_memory_bytes;
  std::optional<double> drop_naive, drop_design_note, drop_exact;
};

/// N at which a share of the largest speed-up is reached.
struct SizingFraction {
  double fraction = 0;
  std::optional<std::int64_t> candidates;
  std::optional<double> speedup, improvement;
  Source source = Source::unknown;
};

/// A band or scenario of the design note, with its r and with this one.
struct SizingAdvice {
  std::string situation;
  std::int64_t min_candidates = 1;
  std::optional<std::int64_t> max_candidates;  ///< nullopt: open
  std::string design_note_advice;
  Interval design_note_improvement;     ///< at r = 0.15, at the two ends
  std::optional<Interval> improvement;  ///< here; nullopt where some of these N are beyond what is known
  std::string grade;                    ///< of the improvement here; empty where it is unknown
  Source source = Source::unknown;      ///< of the improvement here
};

/// What reducing one throughput drop to another takes (docs/model.md §3).
struct DropTarget {
  std::string name;
  double naive_drop = 0, target_drop = 0;
  double speedup_needed = 0, end_to_end = 0;
  std::int64_t min_candidates = 0;                     ///< at r = 0
  double largest_r = 0;                                ///< at any N
  std::optional<std::int64_t> candidates;              ///< here; nullopt: never
  std::optional<std::int64_t> design_note_candidates;  ///< at r = 0.15
  bool reached = false;                                ///< by the expected N; without one at some N
  Source source = Source::unknown;
};
/// N that the target needs at one r.
struct DropReach {
  std::string target;
  double r = 0;
  std::optional<std::int64_t> candidates;  ///< nullopt: never
  Source source = Source::unknown;
};

/// Keys and values of one user.
struct SizingMemory {
  std::string kv_dtype;
  std::int64_t kv_heads = 0;
  std::int64_t user_bytes = 0;  ///< one shared cache
  double users_per_gib = 0;
  std::int64_t copies_bytes = 0;  ///< a copy per candidate
  std::int64_t candidates = 0;    ///< N of the copies
  std::int64_t naive_bytes = 0;   ///< largest layer of one sequence
  Source source = Source::unknown;
};

/// The answer as one input varies.
struct SizingFrontier {
  std::string axis, unit;  ///< "history_length", or a budget's
  double at = 0;
  std::optional<std::int64_t> expected_candidates,
      conservative_candidates;                    ///< 0: not one; nullopt: no limit, or unknown
  std::optional<std::int64_t> known_to;           ///< as Sizing::known_to
  std::optional<double> speedup;                  ///< at the expected N
  std::optional<double> drop_naive, drop_shared;  ///< at the expected N, exact algebra
  Source source = Source::unknown;
};

/// N for another value of a parameter.
struct SizingParameter {
  std::string name, from, to;
  std::optional<std::int64_t> expected_candidates;
  std::optional<double> change_pct;  ///< of the expected N
  Source source = Source::unknown;
};

/// Another way to spend the same budgets.
struct SizingAlternative {
  std::string change;
  std::optional<std::int64_t> expected_candidates;  ///< 0: not one; nullopt: no limit
  Source source = Source::unknown;
};

/// The fleet for a request rate at one N.
struct SizingFleet {
  std::int64_t candidates = 0;
  std::string scheme;
  std::optional<std::int64_t> workers, cores, machines;  ///< nullopt: no number of workers meets the latency
  std::optional<double> utilisation;
  std::optional<double> cost_per_million;  ///< requests
  Source source = Source::unknown;
};

/// The numbers for another program to repeat the sizing at one history length with the same formulas.
struct SizingModel {
  std::optional<std::int64_t> history_length, layers;
  Source source = Source::unknown;
  /// Measured times of a request, and speed-ups, at these N. Between them times, and naive candidates N/S, are linear
  /// in N, or where no model describes them log-log linear; beyond them the lines below, scaled to meet the outermost.
  /// Empty: only the lines.
  std::vector<double> measured_candidates, measured_s, measured_speedup;
  bool straight = true, speedup_straight = true;
  double prefill_s = 0, candidate_s = 0;  ///< of the time of a request; naive candidates where times are unknown
  double naive_candidate_s = 0;           ///< naive's time of one more candidate
  std::optional<double> block_s;          ///< beyond it for every block of candidates that is begun; nullopt: none
  std::optional<std::int64_t> block_candidates;
  std::optional<double> speedup_user, speedup_candidate;  ///< of the fit's S = N/(a/c + b/c N), at the sized shape
  /// Half-widths of ln(time): that of the first of half_candidates which is not below N, the last one beyond. Empty:
  /// unknown.
  std::vector<double> half_candidates, half;
  double weights_bytes = 0, user_kv_bytes = 0;
  /// Bytes of a worker at these N, linear between and beyond. Empty: unknown.
  std::vector<double> worker_candidates, worker_bytes;
  /// As Sizing::residuals, where this shape was timed on its own. Empty: those of the sizing.
  std::vector<double> residuals;
};

struct Sizing {
  bool feasible = true;  ///< an N meets every budget and is worth it
  std::string doubt;     ///< what is asked of the timings before the answer is believed; empty: nothing
  std::string scheme;
  std::optional<std::int64_t> history_length, layers;
  std::optional<std::int64_t> expected_candidates, conservative_candidates;  ///< nullopt: no limit, or unknown
  /// Largest N that anything is known of. A expected N, conservative N or N of a row that equals it means "at least".
  std::optional<std::int64_t> known_to;
  std::optional<double> min_improvement;        ///< asked for
  std::optional<std::int64_t> min_candidates;   ///< smallest N worth it; nullopt: not asked for, or never
  std::string binding;                          ///< budget that gives expected_candidates; empty: none
  Source source = Source::unknown;              ///< of the time at the expected N
  std::optional<double> limit;                  ///< largest speed-up; nullopt: none known
  std::optional<std::int64_t> knee_candidates;  ///< candidates take as long as the history
  std::optional<Estimate> drop;                 ///< throughput that naive costs the ranker
  Source drop_source = Source::unknown;  ///< Source::measured with a ranking head, or Source::assumed; empty: not known
  std::vector<std::string> caveats;      ///< what the answer needs and the machine does not have; under it
  std::vector<std::string> notes;        ///< what is assumed or left out
  std::vector<SizingChange> changes;     ///< where it is infeasible
  std::vector<SizingBudget> budgets;
  std::vector<SizingInput> inputs;
  std::vector<SizingPoint> points;
  std::vector<SizingFraction> fractions;
  std::vector<SizingAdvice> advice;
  std::vector<DropTarget> drop_targets;
  std::vector<DropReach> drop_reach;
  std::vector<SizingMemory> memory;
  std::vector<SizingFrontier> frontiers;
  std::vector<SizingParameter> parameters;
  std::vector<SizingAlternative> alternatives;
  std::vector<SizingFleet> fleet;
  std::vector<double> residuals;    ///< timings over the time of the model, ascending, equally likely
  std::vector<SizingModel> models;  ///< by history length; the sized one among them
};

}  // namespace kvcast
