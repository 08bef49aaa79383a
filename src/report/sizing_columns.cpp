// The columns of a sizing; how they work is in columns.h.
#include <string>
#include <vector>

#include "base/text.h"
#include "kvcast/kvcast.h"
#include "report/columns.h"
#include "report/describe.h"

namespace kvcast::report {
namespace {

constexpr const char* kSourceDoc = "`measured`, `fitted`, `extrapolated`, `computed` or `assumed`";

/// "`p99`, `memory` or `qps`": the budgets behind `names`, floors first or last.
std::string or_budgets(std::vector<std::string> names, bool floors_first) {
  for (const bool floor : {floors_first, !floors_first}) {
    for (const BudgetInfo& one : sizing_budgets()) {
      if (one.floor == floor) names.push_back(one.name);
    }
  }
  const std::string last = names.back();
  names.pop_back();
  return "`" + join(names, "`, `") + "` or `" + last + "`";
}

}  // namespace

const std::vector<Column<Sizing>>& sizing_columns() {
  using T = Sizing;
  static const std::vector<Column<T>> columns = {
      describe<T>("answer", "", "in a sentence", sizing_answer),
      describe<T>("doubt", "", "what is asked of the timings before the answer is believed; null: nothing",
                  known(&T::doubt), Role::added),
      describe<T>("feasible", "", "an N meets every budget and is worth it", &T::feasible),
      describe<T>("scheme", "", "scheme", &T::scheme),
      describe<T>("history_length", "tokens", "L; null where nothing tells", &T::history_length),
      describe<T>("layers", "", "layers; null where nothing tells", &T::layers),
      describe<T>("expected_candidates", "candidates", "largest N that meets every budget; null: no limit",
                  &T::expected_candidates),
      describe<T>("conservative_candidates", "candidates",
                  "likewise at the slow end of the 95% interval; null: unknown, or, where the expected one is null "
                  "too, no limit",
                  &T::conservative_candidates),
      describe<T>("known_to", "candidates",
                  "largest N that anything is known of: an N that equals it means at least; null: any", &T::known_to,
                  Role::added),
      describe<T>("min_improvement", "0..1", "1 - 1/speedup that N must be worth, if asked for", &T::min_improvement),
      describe<T>("min_candidates", "candidates", "smallest N that is worth it; null: not asked for, or never",
                  &T::min_candidates),
      describe<T>("binding", "", "name of the budget that gives the expected N; null: none", known(&T::binding)),
      describe<T>("source", "", kSourceDoc, &T::source),
      describe<T>("limit", "ratio", "largest speed-up at any N; null: not known", &T::limit),
      describe<T>("knee_candidates", "candidates", "N at which the candidates take as long as the history",
                  &T::knee_candidates),
      describe<T>("drop", "0..1", "throughput that naive costs the ranker; null: not known", &T::drop),
      describe<T>("drop_source", "", "`measured` (with a ranking head) or `assumed`", &T::drop_source),
      describe<T>("residuals", "ratio", "timings over the time of the model, ascending, equally likely", &T::residuals),
      describe<T>("caveats", "", "what the answer needs and the machine does not have", &T::caveats, Role::added),
      describe<T>("notes", "", "what is assumed or left out", &T::notes),
  };
  return columns;
}

const std::vector<Column<SizingChange>>& sizing_change_columns() {
  using T = SizingChange;
  static const std::vector<Column<T>> columns = {
      describe<T>("input", "", "budget or input to change", &T::input),
      describe<T>("unit", "", "of both values", &T::unit),
      describe<T>("from", "", "value now", &T::from),
      describe<T>("to", "", "nearest value with which the budgets can be met", &T::to),
      describe<T>("suffices", "", "alone; else those that do not are needed together", &T::suffices),
  };
  return columns;
}

const std::vector<Column<SizingBudget>>& sizing_budget_columns() {
  using T = SizingBudget;
  static const std::vector<Column<T>> columns = {
      describe<T>("name", "", or_budgets({}, false).c_str(), &T::name),
      describe<T>("unit", "", "of `limit` and `used`", &T::unit),
      describe<T>("limit", "", "stated", &T::limit),
      describe<T>("used", "", "at the expected N (without one at N = 1); of `qps` the rate that could be served",
                  &T::used),
      describe<T>("headroom_pct", "%", "of the limit, left over there", &T::headroom_pct),
      describe<T>("expected_candidates", "candidates", "largest N by this budget alone; 0: not one; null: no limit",
                  &T::expected_candidates),
      describe<T>(
          "conservative_candidates", "candidates",
          "likewise at the slow end of the interval; null: unknown, or, where the expected one is null too, no limit",
          &T::conservative_candidates),
      describe<T>("feasible", "", "one candidate meets it", &T::feasible),
      describe<T>("binding", "", "no other gives a smaller N", &T::binding),
      describe<T>("source", "", kSourceDoc, &T::source),
  };
  return columns;
}

const std::vector<Column<SizingInput>>& sizing_input_columns() {
  using T = SizingInput;
  static const std::vector<Column<T>> columns = {
      describe<T>("name", "", "input", &T::name),
      describe<T>("unit", "", "of the value", &T::unit),
      describe<T>("value", "", "value", &T::value),
      describe<T>("ci95", "", "its 95% interval", &T::ci95),
      describe<T>("source", "", kSourceDoc, &T::source),
      describe<T>("candidates_less", "candidates",
                  "expected N when it is 10% less (of min_improvement the smallest N worth it); null: no limit",
                  &T::candidates_less),
      describe<T>("candidates_more", "candidates", "expected N when it is 10% more; null: no limit",
                  &T::candidates_more),
  };
  return columns;
}

const std::vector<Column<SizingPoint>>& sizing_point_columns() {
  using T = SizingPoint;
  static const std::vector<Column<T>> columns = {
      describe<T>("candidates", "candidates", "N", &T::candidates),
      describe<T>("source", "", kSourceDoc, &T::source),
      describe<T>("speedup", "ratio", "throughput over naive's", &T::speedup),
      describe<T>("improvement", "0..1", "1 - 1/speedup", &T::improvement),
      describe<T>("marginal_speedup", "1/candidate", "S(N+1) - S(N), gained by one more candidate",
                  &T::marginal_speedup),
      describe<T>("scheme_s", "s", "mean service time of a request", &T::scheme_s),
      describe<T>("naive_s", "s", "likewise naive's", &T::naive_s),
      describe<T>("p99_s", "s", "99% of the requests take no longer, waiting included; null: no steady state",
                  &T::p99_s),
      describe<T>("p99_conservative_s", "s", "likewise at the slow end of the interval", &T::p99_conservative_s),
      describe<T>("naive_p99_s", "s", "likewise naive's", &T::naive_p99_s),
      describe<T>("utilisation", "0..1", "of the workers; above 1 they fall behind", &T::utilisation),
      describe<T>("naive_utilisation", "0..1", "likewise with naive", &T::naive_utilisation),
      describe<T>("max_requests_per_s", "1/s", "of all workers, at the largest rate that meets the P99",
                  &T::max_requests_per_s, Role::added),
      describe<T>("max_candidates_per_s", "1/s", "N times that: what the machine scores", &T::max_candidates_per_s,
                  Role::added),
      describe<T>("memory_bytes", "bytes", "weights, workers and cached users", &T::memory_bytes),
      describe<T>("copies_memory_bytes", "bytes", "likewise with a copy of the cache per candidate",
                  &T::copies_memory_bytes),
      describe<T>("naive_memory_bytes", "bytes", "likewise with naive, no cached users", &T::naive_memory_bytes),
      describe<T>("drop_naive", "0..1", "throughput that naive costs the ranker", &T::drop_naive),
      describe<T>("drop_design_note", "0..1", "with sharing, by the design note's rule: drop_naive/speedup",
                  &T::drop_design_note),
      describe<T>("drop_exact", "0..1", "with sharing, by exact algebra", &T::drop_exact),
  };
  return columns;
}

const std::vector<Column<SizingFraction>>& sizing_fraction_columns() {
  using T = SizingFraction;
  static const std::vector<Column<T>> columns = {
      describe<T>("fraction", "0..1", "share of the largest speed-up", &T::fraction),
      describe<T>("candidates", "candidates", "smallest N that reaches it; null: there is no largest speed-up",
                  &T::candidates),
      describe<T>("speedup", "ratio", "at that N", &T::speedup),
      describe<T>("improvement", "0..1", "at that N", &T::improvement),
      describe<T>("source", "", kSourceDoc, &T::source),
  };
  return columns;
}

const std::vector<Column<SizingAdvice>>& sizing_advice_columns() {
  using T = SizingAdvice;
  static const std::vector<Column<T>> columns = {
      describe<T>("situation", "", "band or scenario of the design note", &T::situation),
      describe<T>("min_candidates", "candidates", "its smallest N", &T::min_candidates),
      describe<T>("max_candidates", "candidates", "its largest N; null: open", &T::max_candidates),
      describe<T>("design_note_advice", "", "what the design note says", &T::design_note_advice),
      describe<T>("design_note_improvement", "0..1", "at r = 0.15, at both ends", &T::design_note_improvement),
      describe<T>("improvement", "0..1", "here, at both ends; null: beyond what is known", &T::improvement),
      describe<T>("grade", "", "of the improvement here, on the design note's scale", known(&T::grade)),
      describe<T>("source", "", kSourceDoc, &T::source),
  };
  return columns;
}

const std::vector<Column<DropTarget>>& drop_target_columns() {
  using T = DropTarget;
  static const std::vector<Column<T>> columns = {
      describe<T>("name", "", "whose", &T::name),
      describe<T>("naive_drop", "0..1", "throughput that naive costs the ranker", &T::naive_drop),
      describe<T>("target_drop", "0..1", "what it is to cost with sharing", &T::target_drop),
      describe<T>("speedup_needed", "ratio", "of the sequence model", &T::speedup_needed),
      describe<T>("end_to_end", "ratio", "throughput of the whole ranker, over naive", &T::end_to_end),
      describe<T>("min_candidates", "candidates", "N that it takes at r = 0", &T::min_candidates),
      describe<T>("largest_r", "ratio", "r that can reach it at some N", &T::largest_r),
      describe<T>("candidates", "candidates", "N that it takes here; null: never", &T::candidates),
      describe<T>("design_note_candidates", "candidates", "N that it takes at r = 0.15; null: never",
                  &T::design_note_candidates),
      describe<T>("reached", "", "by the expected N; where nothing limits N, at some N", &T::reached),
      describe<T>("source", "", kSourceDoc, &T::source),
  };
  return columns;
}

const std::vector<Column<DropReach>>& drop_reach_columns() {
  using T = DropReach;
  static const std::vector<Column<T>> columns = {
      describe<T>("target", "", "whose", &T::target),
      describe<T>("r", "ratio", "cost of one more candidate over naive's", &T::r),
      describe<T>("candidates", "candidates", "smallest N that reaches the target; null: never", &T::candidates),
      describe<T>("source", "", kSourceDoc, &T::source),
  };
  return columns;
}

const std::vector<Column<SizingMemory>>& sizing_memory_columns() {
  using T = SizingMemory;
  static const std::vector<Column<T>> columns = {
      describe<T>("kv_dtype", "", "type of cached keys and values", &T::kv_dtype),
      describe<T>("kv_heads", "", "key and value heads", &T::kv_heads),
      describe<T>("user_bytes", "bytes", "keys and values of one user, one cache for all candidates", &T::user_bytes),
      describe<T>("users_per_gib", "1/GiB", "users whose cache fits a GiB", &T::users_per_gib),
      describe<T>("copies_bytes", "bytes", "with a copy per candidate", &T::copies_bytes),
      describe<T>("candidates", "candidates", "N of the copies", &T::candidates),
      describe<T>("naive_bytes", "bytes", "naive: largest layer of one sequence", &T::naive_bytes),
      describe<T>("source", "", kSourceDoc, &T::source),
  };
  return columns;
}

const std::vector<Column<SizingFrontier>>& sizing_frontier_columns() {
  using T = SizingFrontier;
  static const std::vector<Column<T>> columns = {
      describe<T>("axis", "", ("what varies: " + or_budgets({"history_length"}, true)).c_str(), &T::axis),
      describe<T>("unit", "", "of `at`", &T::unit),
      describe<T>("at", "", "its value", &T::at),
      describe<T>("expected_candidates", "candidates", "largest N; 0: not one; null: no limit",
                  &T::expected_candidates),
      describe<T>(
          "conservative_candidates", "candidates",
          "likewise at the slow end of the interval; null: unknown, or, where the expected one is null too, no limit",
          &T::conservative_candidates),
      describe<T>("known_to", "candidates", "largest N that anything is known of there: at least, where N equals it",
                  &T::known_to, Role::added),
      describe<T>("speedup", "ratio", "at the expected N; without a limit at the largest measured", &T::speedup),
      describe<T>("drop_naive", "0..1", "throughput that naive costs the ranker there", &T::drop_naive),
      describe<T>("drop_shared", "0..1", "with sharing at the N of the speed-up, by exact algebra", &T::drop_shared),
      describe<T>("source", "", kSourceDoc, &T::source),
  };
  return columns;
}

const std::vector<Column<SizingParameter>>& sizing_parameter_columns() {
  using T = SizingParameter;
  static const std::vector<Column<T>> columns = {
      describe<T>("name", "", "parameter", &T::name),
      describe<T>("from", "", "value now", &T::from),
      describe<T>("to", "", "other value", &T::to),
      describe<T>("expected_candidates", "candidates", "largest N then; 0: not one; null: no limit",
                  &T::expected_candidates),
      describe<T>("change_pct", "%", "of the expected N", &T::change_pct),
      describe<T>("source", "", kSourceDoc, &T::source),
  };
  return columns;
}

const std::vector<Column<SizingAlternative>>& sizing_alternative_columns() {
  using T = SizingAlternative;
  static const std::vector<Column<T>> columns = {
      describe<T>("change", "", "another way to spend the same budgets", &T::change),
      describe<T>("expected_candidates", "candidates", "largest N then; 0: not one; null: no limit",
                  &T::expected_candidates),
      describe<T>("source", "", kSourceDoc, &T::source),
  };
  return columns;
}

const std::vector<Column<SizingFleet>>& sizing_fleet_columns() {
  using T = SizingFleet;
  static const std::vector<Column<T>> columns = {
      describe<T>("candidates", "candidates", "N", &T::candidates),
      describe<T>("scheme", "", "scheme", &T::scheme),
      describe<T>("workers", "", "requests served at a time; null: no number of workers meets the budgets",
                  &T::workers),
      describe<T>("cores", "", "CPUs that those workers need", &T::cores),
      describe<T>("machines", "", "machines like the measured one that have them", &T::machines),
      describe<T>("utilisation", "0..1", "of the workers", &T::utilisation),
      describe<T>("cost_per_million", "price unit", "of a million requests", &T::cost_per_million),
      describe<T>("source", "", kSourceDoc, &T::source),
  };
  return columns;
}

const std::vector<Column<SizingModel>>& sizing_model_columns() {
  using T = SizingModel;
  static const std::vector<Column<T>> columns = {
      describe<T>("history_length", "tokens", "L; null where nothing tells", &T::history_length),
      describe<T>("layers", "", "layers; null where nothing tells", &T::layers),
      describe<T>("source", "", kSourceDoc, &T::source),
      describe<T>("measured_candidates", "candidates", "N of `measured_s` and `measured_speedup`; none: a + b N is all",
                  &T::measured_candidates, Role::added),
      describe<T>("measured_s", "s", "time of a request as measured at these N", &T::measured_s, Role::added),
      describe<T>("measured_speedup", "ratio", "over naive, likewise", &T::measured_speedup, Role::added),
      describe<T>("straight", "", "between them the time is a line in N; else its log is one in ln N", &T::straight,
                  Role::added),
      describe<T>("speedup_straight", "", "between them N/speed-up is a line in N; else likewise", &T::speedup_straight,
                  Role::added),
      describe<T>("prefill_s", "s",
                  "a of the time a + b N of a request, beyond the measured N scaled to meet the outermost; where times "
                  "are unknown in naive candidates",
                  &T::prefill_s),
      describe<T>("candidate_s", "s", "b of it", &T::candidate_s),
      describe<T>("naive_candidate_s", "s", "naive's time of one more candidate", &T::naive_candidate_s),
      describe<T>("block_s", "s", "beyond a + b N, for every `block_candidates` that are begun; null: none",
                  &T::block_s, Role::added),
      describe<T>("block_candidates", "candidates", "candidates that go through the layers together; null: none",
                  &T::block_candidates, Role::added),
      describe<T>("speedup_user", "",
                  "a/c of the fit's speed-up N/(a/c + b/c N); null at shapes that are not the sized one",
                  &T::speedup_user),
      describe<T>("speedup_candidate", "", "b/c of it", &T::speedup_candidate),
      describe<T>("half_candidates", "candidates", "N of `half`", &T::half_candidates),
      describe<T>("half", "",
                  "half-width of ln(time): that of the first N which is not below, the last one beyond; none: unknown",
                  &T::half),
      describe<T>("weights_bytes", "bytes", "weights", &T::weights_bytes),
      describe<T>("user_kv_bytes", "bytes", "keys and values of a cached user", &T::user_kv_bytes),
      describe<T>("worker_candidates", "candidates", "N of `worker_bytes`", &T::worker_candidates),
      describe<T>("worker_bytes", "bytes", "of a worker, linear between and beyond; none: unknown", &T::worker_bytes),
      describe<T>("residuals", "ratio", "as those of the sizing, where this shape has timings of its own; none: those",
                  &T::residuals, Role::added),
  };
  return columns;
}

}  // namespace kvcast::report
