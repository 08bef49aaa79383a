#include "report/columns.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "kvcast/words.h"
#include "report/describe.h"

namespace kvcast {

namespace report {
namespace {

// NaN wins in both: a summary must not hide that an output was not a number.
double larger(double a, double b) { return std::isnan(a) || a > b ? a : b; }
double smaller(double a, double b) { return std::isnan(a) || a < b ? a : b; }

/// Largest errors over the schemes, each part on its own.
auto worst(std::optional<ErrorPair> SchemeEquivalence::*member) {
  return [member](const Equivalence& equivalence) {
    std::optional<ErrorPair> result;
    for (const auto& scheme : equivalence.schemes) {
      const auto& errors = scheme.*member;
      if (!errors) continue;
      if (!result) result = ErrorPair{};
      result->max_abs = larger(result->max_abs, errors->max_abs);
      result->max_rel = larger(result->max_rel, errors->max_rel);
    }
    return result;
  };
}

auto smallest(std::optional<double> SchemeEquivalence::*member) {
  return [member](const Equivalence& equivalence) {
    std::optional<double> result;
    for (const auto& scheme : equivalence.schemes) {
      const auto& value = scheme.*member;
      if (value) result = result ? smaller(*result, *value) : *value;
    }
    return result;
  };
}

}  // namespace

const std::vector<Column<ToolInfo>>& tool_columns() {
  using T = ToolInfo;
  static const std::vector<Column<T>> columns = {
      describe<T>("version", "", "version of kvcast", known(&T::version)),
      describe<T>("git_commit", "", "commit that was built", known(&T::git_commit)),
      describe<T>("compiler", "", "compiler and its version", known(&T::compiler)),
      describe<T>("build_type", "", "CMake build type", known(&T::build_type)),
  };
  return columns;
}

const std::vector<Column<MachineInfo>>& machine_columns() {
  using T = MachineInfo;
  static const std::vector<Column<T>> columns = {
      describe<T>("cpu_model", "", "CPU as the system names it", known(&T::cpu_model)),
      describe<T>("isa", "", "SIMD target that the kernels ran on", known(&T::isa)),
      describe<T>("dense_isa", "", "instruction set of the dense library", known(&T::dense_isa)),
      describe<T>("threads", "", "CPUs that the process may use", &T::threads),
      describe<T>("memory_bytes", "bytes", "memory of the machine", &T::memory_bytes),
      describe<T>("peak_gflops", "GFLOP/s", "fp32 FMA peak over the run's threads, measured", &T::peak_gflops),
      describe<T>("bf16_peak_gflops", "GFLOP/s",
                  "bf16 dot product peak over them; null where there is no such instruction", &T::bf16_peak_gflops),
      describe<T>("read_gb_per_s", "GB/s", "DRAM read rate over the run's threads, measured", &T::read_gb_per_s),
  };
  return columns;
}

const std::vector<Column<CaseShape>>& shape_columns() {
  using T = CaseShape;
  static const std::vector<Column<T>> columns = {
      describe<T>("history_length", "tokens", "L, length of the user history", &T::history_length),
      describe<T>("dim", "", "d, width of a token", &T::dim),
      describe<T>("heads", "", "query heads", &T::heads),
      describe<T>("kv_heads", "", "key and value heads", &T::kv_heads),
      describe<T>("layers", "", "transformer layers", &T::layers),
      describe<T>("ffn_factor", "", "FFN width over model width", &T::ffn_factor),
      describe<T>("token_merge", "tokens", "history tokens in one position, of this many times the width",
                  &T::token_merge),
      describe<T>("query_tokens", "positions", "those that go on after the first layer; null: all",
                  unless_zero<T>(&T::query_tokens)),
      describe<T>("candidate_from_layer", "", "first layer that the candidate takes part in", &T::candidate_from_layer),
      describe<T>("dtype", "", "type of weights and activations", &T::dtype),
      describe<T>("kv_dtype", "", "type of cached keys and values", &T::kv_dtype),
      describe<T>("threads", "", "threads of the run", &T::threads),
      describe<T>("mask", "", "layout and attention mask", &T::mask),
      describe<T>("trim", "", "last layer of the history computes keys and values only", &T::trim),
      describe<T>("head_width", "", "width of the ranking head's hidden layers; null: no head",
                  unless_zero<T>(&T::head_width), Role::added),
      describe<T>("head_layers", "", "hidden layers of the ranking head", &T::head_layers, Role::added),
  };
  return columns;
}

const std::vector<Column<Equivalence>>& equivalence_columns() {
  using T = Equivalence;
  using S = SchemeEquivalence;
  static const std::vector<Column<T>> columns = {
      describe<T>("shareable", "", "no history position depends on a candidate, so sharing is valid", &T::shareable),
      describe<T>("checked_candidates", "candidates", "candidates whose outputs were compared with naive's",
                  &T::checked_candidates),
      describe<T>("judged_candidates", "candidates", "of them compared with float64 too, at `reference_shape`",
                  &T::judged_candidates, Role::added),
      describe<T>("vs_reference", "", "errors against float64, worst over the schemes", worst(&S::vs_reference)),
      describe<T>("vs_naive", "", "errors against naive, worst over the schemes", worst(&S::vs_naive)),
      describe<T>("tolerance", "", "largest `vs_reference.max_abs` that agrees (at `reference_shape`)",
                  &T::tolerance_reference),
      describe<T>("tolerance_naive", "", "largest `vs_naive.max_abs` that agrees (at the full shape)",
                  &T::tolerance_naive),
      describe<T>("bound_reference", "", "largest `vs_reference.max_abs` that naive itself may have",
                  &T::bound_reference),
      describe<T>("tolerance_fp32", "", "largest `vs_reference_fp32.max_abs` that agrees", &T::tolerance_fp32,
                  Role::added),
      describe<T>("top_k", "candidates", "k of both overlaps", &T::top_k),
      describe<T>("top_k_overlap", "0..1", "overlap of the top k by readout score with naive's, smallest",
                  smallest(&S::top_k_overlap)),
      describe<T>("kendall_tau", "-1..1", "rank agreement by readout score with naive, smallest",
                  smallest(&S::kendall_tau)),
      describe<T>("ranked_candidates", "candidates", "ranked by float64 too, at `reference_shape`",
                  &T::ranked_candidates),
      describe<T>("reference_top_k_overlap", "0..1", "overlap of the top k with float64's, smallest",
                  smallest(&S::reference_top_k_overlap)),
      describe<T>("reference_kendall_tau", "-1..1", "rank agreement with float64, smallest",
                  smallest(&S::reference_kendall_tau)),
      describe<T>("reference_shape", "", "where float64 ran: `full`, or what was cut down", known(&T::reference_shape)),
      describe<T>("agrees", "", "every scheme is within its tolerances", &T::agrees),
  };
  return columns;
}

const std::vector<Column<LayerSamples>>& layer_sample_columns() {
  using T = LayerSamples;
  static const std::vector<Column<T>> columns = {
      describe<T>("layers", "", "layers that were judged: all of the shape", &T::layers),
      describe<T>("outputs", "", "positions whose outputs were recomputed, of all layers together", &T::outputs),
      describe<T>("keys", "", "positions whose K and V were recomputed, of all layers together", &T::keys),
      describe<T>("error", "", "largest error ÷ what rounding explains; above 1 is a fault", &T::error),
      describe<T>("where", "", "where that was", known(&T::where)),
      describe<T>("agrees", "", "no error is above 1", &T::agrees),
  };
  return columns;
}

const std::vector<Column<SchemeEquivalence>>& scheme_equivalence_columns() {
  using T = SchemeEquivalence;
  static const std::vector<Column<T>> columns = {
      describe<T>("scheme", "", "scheme", &T::scheme, Role::key),
      describe<T>("vs_reference", "", "errors against float64 at `reference_shape`", &T::vs_reference),
      describe<T>("vs_reference_fp32", "", "the same of the scheme in fp32; null in a run that is in fp32",
                  &T::vs_reference_fp32, Role::added),
      describe<T>("vs_naive", "", "errors against naive at the full shape", &T::vs_naive),
      describe<T>("top_k_overlap", "0..1", "overlap of the top k by readout score with naive's", &T::top_k_overlap),
      describe<T>("kendall_tau", "-1..1", "rank agreement by readout score with naive", &T::kendall_tau),
      describe<T>("reference_top_k_overlap", "0..1", "overlap of the top k with float64's",
                  &T::reference_top_k_overlap),
      describe<T>("reference_kendall_tau", "-1..1", "rank agreement with float64", &T::reference_kendall_tau),
      describe<T>("agrees", "", "within the tolerances", &T::agrees),
  };
  return columns;
}

const std::vector<Column<TimedOutputs>>& timed_outputs_columns() {
  using T = TimedOutputs;
  static const std::vector<Column<T>> columns = {
      describe<T>("scheme", "", "scheme as it was timed; `+head`: with the ranking head behind it; `head`: that alone",
                  &T::scheme),
      describe<T>("candidates", "candidates", "in the pass that was timed", &T::candidates),
      describe<T>("what", "", "`outputs`, or `scores` of the ranking head", &T::what),
      describe<T>("user", "", "of the users of `--cold`, from 0", &T::user),
      describe<T>("judged", "candidates", "compared, first and last of the pass among them", &T::judged),
      describe<T>("worst", "", "the one of them with the largest error, from 0", &T::worst),
      describe<T>("max_abs", "", "its error; null when that is not a number", &T::max_abs),
      describe<T>("allowed", "", "largest `max_abs` that agrees", &T::allowed),
      describe<T>("against", "", "who computed the same before anything was timed; of scores `float64`", &T::against),
      describe<T>("agrees", "", "`max_abs` is within `allowed`", &T::agrees),
  };
  return columns;
}

const std::vector<Column<Point>>& point_columns() {
  using T = Point;
  static const std::vector<Column<T>> columns = {
      describe<T>("candidates", "candidates", "N, candidates in the request", &T::candidates),
  };
  return columns;
}

const std::vector<Column<SchemePoint>>& scheme_point_columns() {
  using T = SchemePoint;
  static const std::vector<Column<T>> columns = {
      describe<T>("scheme", "", "scheme", &T::scheme, Role::key),
      describe<T>("status", "", "how the time was obtained", &T::status),
      describe<T>("reason", "", "why skipped", &T::reason),
      describe<T>("execution", "", "how naive used the threads: `within` a candidate or `across` candidates",
                  &T::execution),
      describe<T>("detail", "", "candidates that naive stacks, packed's b_m, append's new tokens", known(&T::detail),
                  Role::added),
      describe<T>("seconds", "s", "time for all N candidates", &T::seconds),
      describe<T>("measured_candidates", "candidates", "candidates inside the timer", &T::measured_candidates),
      describe<T>("prefill_s", "s", "prefill, median", &T::prefill_s),
      describe<T>("scoring_s", "s", "scoring pass, median", &T::scoring_s),
      describe<T>("requests_per_s", "1/s", "requests of N candidates per second", &T::requests_per_s),
      describe<T>("candidates_per_s", "1/s", "candidates per second", &T::candidates_per_s),
      describe<T>("flops", "FLOP", "work of this scheme at this N, 2 per multiply-add", &T::flops),
      describe<T>("gflops_per_s", "GFLOP/s", "rate of that work", &T::gflops_per_s),
      describe<T>("peak_fraction", "0..1", "that rate over the machine's peak, of bf16 when `dtype` is",
                  &T::peak_fraction),
      describe<T>("time_over_minimum", "ratio", "time over the theoretical minimum of this scheme's own work",
                  &T::time_over_minimum),
      describe<T>("kv_bytes", "bytes",
                  "keys and values held (naive and packed: of one layer of one sequence at a time)", &T::kv_bytes),
      describe<T>("speedup", "ratio", "throughput over naive's", &T::speedup, Role::sharing_only),
      describe<T>("improvement", "0..1", "1 - 1/speedup", &T::improvement, Role::sharing_only),
      describe<T>("predicted_speedup", "ratio", "speed-up by a fit that left this N out", &T::predicted_speedup,
                  Role::sharing_only),
      describe<T>("gain_over_shared", "ratio", "throughput over shared's: what a cache from an earlier request gains",
                  &T::gain_over_shared, Role::sharing_only),
  };
  return columns;
}

const std::vector<Column<Report>>& summary_columns() {
  using T = Report;
  static const auto doubts = [](const Report& report) -> std::optional<std::string> {
    std::string text = no_result(report);
    if (text.empty()) text = doubt(report);
    return text.empty() ? std::nullopt : std::optional(std::move(text));
  };
  static const std::vector<Column<T>> columns = {
      describe<T>("doubt", "",
                  "why the figures are not those of the program, or what is asked before they are believed", doubts),
  };
  return columns;
}

const std::vector<Column<Fit>>& fit_columns() {
  using T = Fit;
  static const std::vector<Column<T>> columns = {
      describe<T>("scheme", "", "scheme", &T::scheme, Role::key),
      describe<T>("r", "ratio", "cost of one more candidate over one naive candidate", &T::r),
      describe<T>("rho", "ratio", "cost of one candidate over the prefill, C_f/C_u", &T::rho),
      describe<T>("r_flops", "ratio", "r by counted FLOPs alone", &T::r_flops),
      describe<T>("asymptote", "ratio", "limit of the speed-up by the model in use; null: not known", &T::asymptote),
      describe<T>("candidates_for_90", "candidates", "N with 90% of it", &T::candidates_for_90, Role::added),
      describe<T>("known_to", "candidates", "largest N that anything is said of", &T::known_to, Role::added),
      describe<T>("r_squared", "", "of the speed-ups; near 1 for almost any rising curve", &T::r_squared),
      describe<T>("preferred", "", "model that describes the data, `neither` where none does, or `untested`",
                  known(&T::preferred)),
      describe<T>("rounds", "rounds", "whole rounds used", &T::rounds),
      describe<T>("excluded_pairs", "pairs", "pairs left out because the machine was slow beside them",
                  &T::excluded_pairs),
      describe<T>("lack_of_fit_pct", "%", "spread of the N about the one-parameter law beyond their noise",
                  &T::lack_of_fit_pct),
      describe<T>("identifiable", "", "these N tell the cost of one more candidate from 0 and from its double",
                  &T::identifiable, Role::added),
      describe<T>("verdict", "", "which model describes the timings, if any, and whether r is known",
                  known(&T::verdict)),
      describe<T>("next", "", "what to measure next; null when nothing is missing", known(&T::next)),
      describe<T>("slowdowns", "", "where sharing is slower than naive, and by how much", &T::slowdowns, Role::added),
  };
  return columns;
}

const std::vector<Column<FittedModel>>& fitted_model_columns() {
  using T = FittedModel;
  static const std::vector<Column<T>> columns = {
      describe<T>("model", "", "name in the list of cost models", &T::name),
      describe<T>("formula", "", "of the speed-up, in N and the symbols of the parameters",
                  [](const T& model) { return model.formula; }),
      describe<T>("limit", "", "of its limit", [](const T& model) { return model.limit; }),
      describe<T>("for_90", "", "of the N with 90% of that", [](const T& model) { return model.for_90; }),
      describe<T>("marginal_r", "ratio", "cost of one more candidate over a naive one, where N is large",
                  &T::marginal_r),
      describe<T>("max_residual_pct", "%", "largest residual of the speed-up", &T::max_residual_pct),
      describe<T>("loo_error_pct", "%", "RMS error of the speed-up at the N left out", &T::loo_error_pct),
  };
  return columns;
}

const std::vector<Column<FittedParameter>>& fitted_parameter_columns() {
  using T = FittedParameter;
  static const std::vector<Column<T>> columns = {
      describe<T>("name", "", "name; carries the unit where there is one", &T::name),
      describe<T>("symbol", "", "what the formula calls it", &T::symbol),
      describe<T>("unit", "", "its unit", &T::unit),
      describe<T>("value", "", "its value", &T::value),
  };
  return columns;
}

const std::vector<Column<ModelResidual>>& model_residual_columns() {
  using T = ModelResidual;
  static const std::vector<Column<T>> columns = {
      describe<T>("candidates", "candidates", "N", &T::candidates),
      describe<T>("pct", "%", "modelled over observed speed-up, less 1, fitted to every N", &T::pct),
      describe<T>("loo_pct", "%", "the same, fitted without this N", &T::loo_pct),
  };
  return columns;
}

const std::vector<Column<ObservedSpeedup>>& observed_speedup_columns() {
  using T = ObservedSpeedup;
  static const std::vector<Column<T>> columns = {
      describe<T>("candidates", "candidates", "N", &T::candidates),
      describe<T>("speedup", "ratio", "observed", &T::speedup),
  };
  return columns;
}

const std::vector<Column<Prediction>>& prediction_columns() {
  using T = Prediction;
  static const std::vector<Column<T>> columns = {
      describe<T>("history_length", "tokens", "L; null: that of the case", &T::history_length),
      describe<T>("layers", "", "layers; null: those of the case", &T::layers),
      describe<T>("candidates", "candidates", "N", &T::candidates),
      describe<T>(
          "speedup", "ratio",
          "measured or predicted; then the interval holds the fit's uncertainty and its error at points left out",
          &T::speedup),
      describe<T>("naive_seconds", "s", "of naive for all N candidates", &T::naive_seconds),
      describe<T>("scheme_seconds", "s", "of the scheme for all N candidates", &T::scheme_seconds),
      describe<T>("source", "", "`measured` (the point is in the data), `interpolated` or `extrapolated`", &T::source),
      describe<T>("by", "", "what says it: `timings`, `interpolation`, `surface` or the name of a model",
                  known(&T::by)),
      describe<T>("reason", "", "why nothing is said of this N; null where something is", known(&T::reason),
                  Role::added),
      describe<T>("held_out_error_pct", "%", "RMS error of that model at points left out", &T::held_out_error_pct),
  };
  return columns;
}

const std::vector<Column<Explanation>>& explanation_columns() {
  using T = Explanation;
  static const std::vector<Column<T>> columns = {
      describe<T>("r_design_note", "ratio", "r of the design note", &T::r_design_note),
      describe<T>("basis", "", "`surface` (coefficients fitted over a grid) or `rates` (measured rates of the machine)",
                  &T::basis),
  };
  return columns;
}

const std::vector<Column<RShare>>& r_share_columns() {
  using T = RShare;
  static const std::vector<Column<T>> columns = {
      describe<T>("candidates", "candidates", "N", &T::candidates),
      describe<T>("r", "ratio", "implied by this N", &T::r),
      describe<T>("arithmetic", "ratio", "FLOPs of a candidate at the speed of many", &T::arithmetic),
      describe<T>("weights", "ratio", "streaming the weights once per pass", &T::weights),
      describe<T>("kv", "ratio", "reading the cached keys and values", &T::kv),
      describe<T>("head", "ratio", "on top, not a part of r: a ranking head per candidate; null when none was timed",
                  &T::head),
      describe<T>("overhead", "ratio", "what is left: fixed cost per pass, and a prefill unlike naive's share",
                  &T::overhead),
  };
  return columns;
}

const std::vector<Column<CompositionCheck>>& composition_columns() {
  using T = CompositionCheck;
  static const std::vector<Column<T>> columns = {
      describe<T>("scheme", "", "scheme", &T::scheme),
      describe<T>("candidates", "candidates", "N that also ran whole", &T::candidates),
      describe<T>("ratio", "ratio", "time of the whole run over the assembled (naive: scaled) time", &T::ratio),
      describe<T>("agrees", "", "the two agree within the interval", &T::agrees),
  };
  return columns;
}

const std::vector<Column<BestMicroBatch>>& micro_batch_columns() {
  using T = BestMicroBatch;
  static const std::vector<Column<T>> columns = {
      describe<T>("candidates", "candidates", "N", &T::candidates),
      describe<T>("micro_batch", "candidates", "b_m that was fastest at this N", &T::micro_batch),
      describe<T>("scheme", "", "row that has it", &T::scheme),
      describe<T>("slowest_ratio", "ratio", "time of the slowest b_m over its", &T::slowest_ratio),
  };
  return columns;
}

const std::vector<Column<Profile>>& profile_columns() {
  using T = Profile;
  static const std::vector<Column<T>> columns = {
      describe<T>("scheme", "", "scheme", &T::scheme),
      describe<T>("pass", "", "`prefill`, `scoring` or `forward` (both in one)", &T::pass),
      describe<T>("candidates", "candidates", "candidates in the pass", &T::candidates),
      describe<T>("seconds", "s", "time of the pass, median", &T::seconds),
      describe<T>("dispatches", "", "parallel regions and products started", &T::dispatches),
      describe<T>("dispatch_seconds", "s", "that many times an empty region, measured; inside the steps",
                  &T::dispatch_seconds),
  };
  return columns;
}

const std::vector<Column<ProfileStep>>& profile_step_columns() {
  using T = ProfileStep;
  static const std::vector<Column<T>> columns = {
      describe<T>("name", "", "what was done", &T::name),
      describe<T>("seconds", "s", "time of it in the pass, median", &T::seconds),
      describe<T>("share", "0..1", "of the pass", &T::share),
  };
  return columns;
}

const std::vector<Column<SelfCheck>>& self_check_columns() {
  using T = SelfCheck;
  static const std::vector<Column<T>> columns = {
      describe<T>("scheme", "", "scheme", &T::scheme),
      describe<T>("candidates", "candidates", "N; null: all together", &T::candidates),
      describe<T>("ratio", "ratio", "time under the second name over the first", &T::ratio),
      describe<T>("simultaneous", "ratio", "95% for all intervals of the check together", &T::simultaneous),
      describe<T>("contains_one", "", "the simultaneous interval holds 1", &T::contains_one),
  };
  return columns;
}

const std::vector<Column<ResidentMemory>>& resident_memory_columns() {
  using T = ResidentMemory;
  static const std::vector<Column<T>> columns = {
      describe<T>("scheme", "", "scheme", &T::scheme),
      describe<T>("candidates", "candidates", "N that it was made for", &T::candidates),
      describe<T>("resident_bytes", "bytes", "growth of the process's resident set when it was made, measured",
                  &T::resident_bytes),
      describe<T>("planned_bytes", "bytes", "its buffers and caches, computed from the shape", &T::planned_bytes),
      describe<T>("kv_bytes", "bytes", "of them, keys and values", &T::kv_bytes),
  };
  return columns;
}

const std::vector<Column<Degradation>>& degradation_columns() {
  using T = Degradation;
  static const std::vector<Column<T>> columns = {
      describe<T>("history_length", "tokens", "L", &T::history_length),
      describe<T>("layers", "", "layers", &T::layers),
      describe<T>("candidates", "candidates", "N", &T::candidates),
      describe<T>("scheme", "", "scheme that ran the sequence model", &T::scheme),
      describe<T>("status", "", "how the time with the sequence model was obtained", &T::status),
      describe<T>("head_s", "s", "the ranking head alone, for all N candidates, median", &T::head_s),
      describe<T>("with_s", "s", "sequence model and head, likewise", &T::with_s),
      describe<T>("drop", "0..1", "throughput lost to the sequence model: 1 - head/with, per round", &T::drop),
      describe<T>("drop_design_note", "0..1", "what the design note's rule makes of naive's drop and the speed-up",
                  &T::drop_design_note),
      describe<T>("drop_exact", "0..1", "what exact algebra makes of them", &T::drop_exact),
  };
  return columns;
}

const std::vector<Column<Sample>>& sample_columns() {
  using T = Sample;
  static const std::vector<Column<T>> columns = {
      describe<T>("candidates", "candidates", "N of the point", &T::candidates),
      describe<T>("scheme", "", "scheme", &T::scheme),
      describe<T>("round", "", "round of the schedule", &T::round),
      describe<T>("status", "", "how the time was obtained", &T::status),
      describe<T>("measured_seconds", "s", "time of `measured_candidates` candidates (assembled: prefill + scoring)",
                  &T::measured_seconds),
      describe<T>("measured_candidates", "candidates", "candidates inside the timer", &T::measured_candidates),
      describe<T>("prefill_s", "s", "prefill", &T::prefill_s),
      describe<T>("scoring_s", "s", "scoring pass", &T::scoring_s),
      describe<T>("canary_ratio", "ratio", "speed of the canary beside this timing over the upper quartile of the run",
                  &T::canary_ratio),
      describe<T>("canary_gflops", "GFLOP/s", "that speed itself, the slowest beside this timing", &T::canary_gflops,
                  Role::added),
  };
  return columns;
}

const std::vector<Column<Warning>>& warning_columns() {
  using T = Warning;
  static const std::vector<Column<T>> columns = {
      describe<T>("code", "", "stable name", &T::code),
      describe<T>("text", "", "what was seen", &T::text),
      describe<T>("advice", "", "what to do about it", known(&T::advice)),
  };
  return columns;
}

const std::vector<Column<ComparedPoint>>& compared_point_columns() {
  using T = ComparedPoint;
  static const std::vector<Column<T>> columns = {
      describe<T>("candidates", "candidates", "N", &T::candidates),
      describe<T>("scheme", "", "scheme", &T::scheme),
      describe<T>("time_ratio", "ratio", "time of B over that of A", &T::time_ratio),
      describe<T>("normalised_ratio", "ratio", "the same, each time multiplied by the FMA peak of its own run first",
                  &T::normalised_ratio),
      describe<T>("speedup_ratio", "ratio", "speed-up over naive in B over that in A", &T::speedup_ratio),
      describe<T>("regression", "", "B is slower beyond threshold and interval", &T::regression),
      describe<T>("improvement", "", "B is faster beyond threshold and interval", &T::improvement),
      describe<T>("missing_in", "", "`A` or `B`: the run that lacks the point; null: both have it",
                  known(&T::missing_in)),
      describe<T>("in_a", "", "what differs, with `--across`, as it is in A", known(&T::in_a)),
      describe<T>("in_b", "", "and in B", known(&T::in_b)),
  };
  return columns;
}

const std::vector<Column<Shard>>& shard_columns() {
  using T = Shard;
  static const std::vector<Column<T>> columns = {
      describe<T>("index", "", "which part of the grid was measured, from 1", &T::index),
      describe<T>("count", "", "parts that the grid was cut into", &T::count),
  };
  return columns;
}

const std::vector<Column<Conditions>>& conditions_columns() {
  using T = Conditions;
  static const std::vector<Column<T>> columns = {
      describe<T>("rounds", "rounds", "whole rounds", &T::rounds),
      describe<T>("stopped_by", "", "`precision`, `budget`, `rounds` or `interrupt`", &T::stopped_by),
      describe<T>("measured_s", "s", "wall time of the rounds, over all parts of a resumed run", &T::measured_s),
      describe<T>("warm_up_s", "s", "not recorded, before the first round", &T::warm_up_s),
      describe<T>("steady", "", "the warm-up ended because times no longer fell", &T::steady),
      describe<T>("resumed", "rounds", "of them, those that an earlier process of the same run measured", &T::resumed),
      describe<T>("steal_pct", "%", "of the CPUs' time, taken by the hypervisor", &T::steal_pct),
      describe<T>("foreign_cpu_pct", "%", "of the CPUs' time, taken by other processes", &T::foreign_cpu_pct),
      describe<T>("canary_spread_pct", "%", "90th over 10th percentile of the canary's speed, less 1",
                  &T::canary_spread_pct),
      describe<T>("drift_pct", "%", "largest significant trend of a speed-up from first to last round", &T::drift_pct),
      describe<T>("outlier_pct", "%", "ratios far outside the spread of their point", &T::outlier_pct),
  };
  return columns;
}

const std::vector<Column<Surface>>& surface_columns() {
  using T = Surface;
  static const std::vector<Column<T>> columns = {
      describe<T>("scheme", "", "scheme", &T::scheme),
      describe<T>("cache_bytes", "bytes", "effective cache, where the data show one", &T::cache_bytes),
      describe<T>("min_history", "tokens", "min L of the data", &T::min_history),
      describe<T>("max_history", "tokens", "max L of the data", &T::max_history),
      describe<T>("min_layers", "", "min layers of the data", &T::min_layers),
      describe<T>("max_layers", "", "max layers of the data", &T::max_layers),
      describe<T>("min_candidates", "candidates", "min N of the data", &T::min_candidates),
      describe<T>("max_candidates", "candidates", "max N of the data", &T::max_candidates),
      describe<T>("shapes", "", "distinct (L, layers) of the data", &T::shapes),
      describe<T>("speedup_log_error", "", "RMS of ln(predicted/measured speed-up) over shapes left out",
                  &T::speedup_log_error),
  };
  return columns;
}

const std::vector<Column<SurfaceTerm>>& surface_term_columns() {
  using T = SurfaceTerm;
  static const std::vector<Column<T>> columns = {
      describe<T>("pass", "", "`naive`, `prefill` or `scoring`", &T::pass),
      describe<T>(
          "name", "",
          "`dense FLOPs`, `attention FLOPs`, `weight bytes`, `KV bytes`, `bytes beyond cache`, `team layers` or `pass`",
          &T::name),
      describe<T>("unit", "", "of what the coefficient multiplies: `FLOP`, `B` or `1`", &T::unit),
      describe<T>("seconds_per_unit", "s", "coefficient, not negative", &T::seconds_per_unit),
      describe<T>("largest_share", "0..1", "of the time of the pass, where it is largest", &T::largest_share),
  };
  return columns;
}

const std::vector<Column<HoldoutErrors>>& holdout_errors_columns() {
  using T = HoldoutErrors;
  static const std::vector<Column<T>> columns = {
      describe<T>("left_out", "", "`points`: single (L, N, layers) at random; `shapes`: a whole (L, layers) at a time",
                  &T::left_out),
      describe<T>("points", "", "points left out", &T::points),
      describe<T>("median_pct", "%", "median of the absolute error of the time", &T::median_pct),
      describe<T>("p90_pct", "%", "its 90th percentile", &T::p90_pct),
      describe<T>("max_pct", "%", "its largest", &T::max_pct),
  };
  return columns;
}

const std::vector<Column<HeldOut>>& held_out_columns() {
  using T = HeldOut;
  static const std::vector<Column<T>> columns = {
      describe<T>("history_length", "tokens", "L", &T::history_length),
      describe<T>("layers", "", "layers", &T::layers),
      describe<T>("candidates", "candidates", "N", &T::candidates),
      describe<T>("scheme", "", "scheme", &T::scheme),
      describe<T>("predicted_s", "s", "time by the surface that did not see the point", &T::predicted_s),
      describe<T>("measured_s", "s", "time measured", &T::measured_s),
      describe<T>("error_pct", "%", "100 (predicted/measured - 1)", &T::error_pct),
  };
  return columns;
}

std::vector<std::string> flat_names(const std::string& name, Kind kind) {
  switch (kind) {
    case Kind::interval:
      return {name + "_lo", name + "_hi"};
    case Kind::estimate:
      return {name, name + "_lo", name + "_hi"};
    case Kind::seconds:
      return {name + "_median", name + "_lo", name + "_hi", name + "_samples"};
    case Kind::errors:
      return {name + "_max_abs", name + "_max_rel"};
    case Kind::boolean:
    case Kind::integer:
    case Kind::number:
    case Kind::text:
    case Kind::texts:
    case Kind::numbers:
    case Kind::name:
      break;
  }
  return {name};
}

std::vector<Value> flat_values(Kind kind, const Value& value) {
  const auto end = [](const std::optional<Interval>& interval, double Interval::*member) {
    return interval ? Value(*interval.*member) : Value{};
  };
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) return {join(*texts, "; ")};
  if (const auto* numbers = std::get_if<std::vector<double>>(&value)) {
    std::vector<std::string> items;
    for (const double number : *numbers) items.push_back(format_double(number));
    return {join(items, "; ")};
  }
  if (const auto* interval = std::get_if<Interval>(&value)) return {interval->lo, interval->hi};
  if (const auto* estimate = std::get_if<Estimate>(&value)) {
    return {estimate->value, end(estimate->ci95, &Interval::lo), end(estimate->ci95, &Interval::hi)};
  }
  if (const auto* seconds = std::get_if<SecondsSummary>(&value)) {
    return {seconds->median, end(seconds->ci95, &Interval::lo), end(seconds->ci95, &Interval::hi), seconds->samples};
  }
  if (const auto* errors = std::get_if<ErrorPair>(&value)) return {errors->max_abs, errors->max_rel};
  if (std::holds_alternative<std::monostate>(value)) return std::vector<Value>(flat_names("", kind).size());
  return {value};
}

}  // namespace report
}  // namespace kvcast
