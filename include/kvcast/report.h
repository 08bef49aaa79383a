// What came out. Plain data under the contract `kvcast.report/2` (docs/design.md); unknown is nullopt, never 0.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvcast/config.h"
#include "kvcast/cost_model.h"
#include "kvcast/estimate.h"
#include "kvcast/execution.h"
#include "kvcast/sizing.h"
#include "kvcast/timing_id.h"
#include "kvcast/traffic.h"

namespace kvcast {

inline constexpr const char* kReportSchema = "kvcast.report/2";

struct ToolInfo {
  std::string version, git_commit, compiler, build_type;
  std::vector<std::pair<std::string, std::string>> dependencies;  ///< name, version
};

struct MachineInfo {
  std::string cpu_model, isa, dense_isa;  ///< isa: the SIMD target that kernels run on; dense_isa: the dense library's
  std::int64_t threads = 0;               ///< CPUs this process may use
  std::optional<std::int64_t> memory_bytes;
  std::optional<double> peak_gflops;       ///< fp32 FMA over the run's threads, measured
  std::optional<double> bf16_peak_gflops;  ///< bf16 dot product over them, where the CPU and the ISA in use have it
  std::optional<double> read_gb_per_s;     ///< DRAM read over the run's threads, measured
};

/// The shape of a case, and what of its run decides the work.
struct CaseShape : Shape {
  std::string dtype, kv_dtype;
  std::int64_t threads = 0;
  std::string mask;
  bool trim = true;

  bool operator==(const CaseShape&) const = default;
};

/// How a point's time was obtained.
enum class Status {
  measured,      ///< every candidate of the point ran inside the timer
  assembled,     ///< one prefill per round serves every N; scoring pass timed at this N
  extrapolated,  ///< timed on fewer candidates and multiplied
  skipped,       ///< could not run; `reason` says why
};
template <>
struct Names<Status> {
  static constexpr std::pair<Status, std::string_view> all[] = {{Status::measured, "measured"},
                                                                {Status::assembled, "assembled"},
                                                                {Status::extrapolated, "extrapolated"},
                                                                {Status::skipped, "skipped"}};
};

/// Why a measurement ended.
enum class StoppedBy {
  unknown,
  precision,  ///< every speed-up is as precise as was wanted
  budget,
  rounds,  ///< as many as there are at most
  interrupt,
  end,  ///< of a log that is replayed
};
template <>
struct Names<StoppedBy> {
  static constexpr std::pair<StoppedBy, std::string_view> all[] = {
      {StoppedBy::unknown, ""},      {StoppedBy::precision, "precision"}, {StoppedBy::budget, "budget"},
      {StoppedBy::rounds, "rounds"}, {StoppedBy::interrupt, "interrupt"}, {StoppedBy::end, "end"}};
};

/// One raw timing.
struct Sample {
  std::int64_t candidates = 0;  ///< N of the point
  TimingId scheme;
  std::int64_t round = 0;
  Status status = Status::measured;
  double measured_seconds = 0;  ///< time of `measured_candidates` candidates (for assembled: prefill + scoring)
  std::int64_t measured_candidates = 0;
  std::optional<double> prefill_s, scoring_s;  ///< nullopt for schemes without a prefill
  double canary_ratio = 1;  ///< speed of the FMA canary beside this timing over the upper quartile of the run's
  std::optional<double> canary_gflops{};  ///< that speed itself, the slowest beside this timing
};

struct ErrorPair {
  double max_abs = 0;  ///< max |difference|
  double max_rel = 0;  ///< max |difference| / max |reference| over the candidate's vector
};

/// Equality of one scheme's outputs, against float64 and against naive.
struct SchemeEquivalence {
  std::string scheme;
  std::optional<ErrorPair> vs_reference;  ///< at `reference_shape`
  std::optional<ErrorPair> vs_naive;      ///< at the full shape
  std::optional<double> top_k_overlap;    ///< of the candidates scored by the readout vector, against naive, in [0,1]
  std::optional<double> kendall_tau;
  /// The same against the ranking by float64, of the first Equivalence::ranked_candidates at `reference_shape`.
  std::optional<double> reference_top_k_overlap, reference_kendall_tau;
  bool agrees = false;
  /// As vs_reference, with everything in fp32, where the run's types are not: their rounding can hide a lost key.
  std::optional<ErrorPair> vs_reference_fp32{};
};

/// Every layer of naive at the full shape, judged by float64 from the layer's own inputs (docs/model.md §7).
struct LayerSamples {
  std::int64_t layers = 0;   ///< all of the shape
  std::int64_t outputs = 0;  ///< positions whose outputs were recomputed, of all layers together
  std::int64_t keys = 0;     ///< positions whose K and V were recomputed, of all layers together
  double error = 0;          ///< the largest, in units of what rounding explains: above 1 is a fault
  std::string where;         ///< "V at position 4,096 of layer 3"
  bool agrees = false;
};

struct Equivalence {
  bool shareable = false;
  std::int64_t checked_candidates = 0;              ///< compared with naive
  std::optional<std::int64_t> judged_candidates{};  ///< compared with float64 too
  std::int64_t ranked_candidates = 0;               ///< ranked by float64 too; 0 where sharing is not valid
  std::optional<double> tolerance_reference;        ///< absolute, at reference_shape
  std::optional<double> tolerance_naive;            ///< absolute, at the full shape
  std::optional<double> bound_reference;            ///< absolute, what naive itself is held to against float64
  std::optional<double> tolerance_fp32{};           ///< of vs_reference_fp32; nullopt where the run is in fp32
  std::int64_t top_k = 0;
  std::string reference_shape;             ///< "full" or "L=…, layers=…": where float64 was run
  std::optional<LayerSamples> layers;      ///< null in a report that is older than these samples
  std::vector<SchemeEquivalence> schemes;  ///< one per scheme that ran
  bool agrees = false;
};

/// What the last timing of a scheme at one N left behind, judged when all was timed. Its outputs were spoilt before it,
/// so a pass that left work out has none.
struct TimedOutputs {
  std::string scheme;           ///< as it was timed: "shared", "shared+head", "head"
  std::int64_t candidates = 0;  ///< in the pass that was timed
  std::string what;             ///< "outputs", or "scores" of the ranking head
  std::int64_t user = 0;        ///< of the users that --cold rotates through; 0: the first, or the only one
  std::int64_t judged = 0;      ///< candidates that were compared, first and last of the pass among them
  std::int64_t worst = 0;       ///< of them, the one with the largest error, counted from 0
  double max_abs = 0;           ///< its error
  double allowed = 0;
  std::string against;  ///< who computed the same before anything was timed: "naive", another scheme; "float64"
  bool agrees = false;
};

/// Error that sharing would make under a mask that cannot share.
struct StaleError {
  std::vector<ErrorPair> kv_per_layer;  ///< stale K,V against true K,V, per layer
  ErrorPair output;
  std::string read_at;               ///< "candidate" or "last position"
  std::string shape;                 ///< "full" or "L=…, layers=…": where it was computed
  std::int64_t candidates = 0;       ///< each error is the largest of so many
  std::int64_t worst_candidate = 0;  ///< whose output has it
};

struct SecondsSummary {
  double median = 0;
  std::optional<Interval> ci95;
  std::int64_t samples = 0;
};

/// One scheme at one N.
struct SchemePoint : HowRun {
  std::string scheme;
  Status status = Status::measured;
  std::optional<std::string> reason;      ///< why skipped
  std::optional<SecondsSummary> seconds;  ///< for all N candidates
  std::optional<std::int64_t> measured_candidates;
  std::optional<double> prefill_s, scoring_s;  ///< medians
  std::optional<double> requests_per_s, candidates_per_s;
  std::optional<double> flops, gflops_per_s, peak_fraction, time_over_minimum;
  std::optional<std::int64_t> kv_bytes;
  std::optional<Estimate> speedup;                       ///< over naive; absent for naive
  std::optional<double> improvement, predicted_speedup;  ///< predicted by a fit that left this N out
  /// Over `shared` at this N: what a cache kept since an earlier request gains on top. cached and append only.
  std::optional<Estimate> gain_over_shared;
};

struct Point {
  std::int64_t candidates = 0;
  std::vector<SchemePoint> schemes;
};

/// A constant of a cost model.
struct FittedParameter {
  std::string name, symbol, unit;  ///< symbol: what it is called in the formula
  double value = 0;
};

/// How far a model is from one measured N, percent of the speed-up: 100 (modelled/observed - 1).
struct ModelResidual {
  std::int64_t candidates = 0;
  std::optional<double> pct;      ///< of the model fitted to every N
  std::optional<double> loo_pct;  ///< of the model fitted without this N
};

/// A cost model of the list in src/analysis/forms, fitted to one scheme.
struct FittedModel {
  std::string name;  ///< "one-parameter", "affine", ...
  /// Of the speed-up, of its limit and of the N with 90% of it, in N and the symbols of its parameters.
  std::string formula, limit, for_90;
  std::vector<FittedParameter> parameters;
  std::optional<Estimate> marginal_r;      ///< cost of one more candidate over a naive one, where N is large
  std::optional<double> max_residual_pct;  ///< largest |pct|
  std::optional<double> loo_error_pct;     ///< RMS of loo_pct
  std::vector<ModelResidual> residuals;    ///< ascending N

  /// Value by symbol; nullopt when there is none.
  std::optional<double> parameter(const std::string& symbol) const;
};

/// Speed-up over naive that was measured at one N.
struct ObservedSpeedup {
  std::int64_t candidates = 0;
  Estimate speedup;
};

/// What a model says of one point.
struct Prediction {
  std::optional<std::int64_t> history_length, layers;  ///< nullopt: those of the case
  std::int64_t candidates = 0;
  /// What was measured at this N, where it was; else what `by` says, with an interval for the fit's own uncertainty and
  /// its error at points left out. nullopt: unknown, for `reason`.
  std::optional<Estimate> speedup;
  std::optional<double> naive_seconds, scheme_seconds;  ///< for all N candidates
  Source source = Source::unknown;  ///< measured (this point is in the data), interpolated or extrapolated
  std::string by;                   ///< what said it: "timings", "interpolation", "surface" or the name of a model
  std::optional<double> held_out_error_pct;  ///< RMS error of that model at points left out
  std::string reason{};                      ///< why nothing is said of this N; empty where something is
};

/// What the r that one N implies is made of: r_N = (N/S - 1)/(N - 1). The parts without the head add up to it.
struct RShare {
  std::int64_t candidates = 0;
  double r = 0;                       ///< implied by this N
  double arithmetic = 0;              ///< FLOPs of a candidate at the speed of many
  std::optional<double> weights, kv;  ///< streaming the weights once per pass, reading the cached keys and values
  std::optional<double> head;         ///< on top of r: a ranking head per candidate; nullopt when none was timed
  double overhead = 0;                ///< what is left: fixed cost per pass, and a prefill unlike naive's share
};
struct Explanation {
  double r_design_note = kDesignNoteR;  ///< the design note's figure
  std::vector<RShare> shares;           ///< ascending N > 1
  std::string basis;                    ///< "surface": coefficients fitted over a grid; "rates": measured machine rates
};

/// Names in place of a preferred model: no model describes the timings; too few N to tell.
inline constexpr const char *kNoModel = "neither", *kUntested = "untested";

/// Fit of one sharing scheme against naive.
struct Fit {
  std::string scheme;
  std::optional<Estimate> r;
  std::optional<double> rho, r_flops, r_squared;
  /// Limit of the speed-up by the model in use; nullopt where no model holds, where the cost of one more candidate is
  /// not known to a factor of two, and where a speed-up was measured beyond it.
  std::optional<double> asymptote;
  std::optional<std::int64_t> candidates_for_90;  ///< N with 90% of it; nullopt: beyond known_to
  /// Largest N that anything is said of: four times the largest measured one, or that one where no model holds or where
  /// the time does not grow up to it. nullopt: nothing is fitted.
  std::optional<std::int64_t> known_to;
  std::vector<FittedModel> models;        ///< in the order of the list; the first gives r
  std::string preferred;                  ///< name of a model, "neither" or "untested"
  std::int64_t rounds = 0;                ///< whole rounds used
  std::int64_t excluded_pairs = 0;        ///< pairs left out for their canary
  std::optional<double> lack_of_fit_pct;  ///< spread of the N about the one-parameter law beyond their noise
  bool identifiable = false;  ///< these N tell what the model in use says of one more candidate from 0 and its double
  std::string verdict;        ///< one sentence: which model describes the timings, if any, and whether r is known
  std::string next;           ///< one sentence: what to measure next; empty when nothing is missing
  std::vector<std::string> slowdowns;     ///< where sharing is slower than naive, and by how much
  std::vector<ObservedSpeedup> observed;  ///< ascending N
  std::vector<Prediction> predictions;    ///< where asked for
  std::optional<Explanation> explanation;

  /// By name; null when it was not fitted.
  const FittedModel* model(const std::string& name) const;
  /// What describes the speed-ups, and so speaks of N that were not measured: the preferred model, the first where none
  /// could be tested; null where none does.
  const FittedModel* in_use() const;
};

/// A model of the list with its formulas and parameters, their values unknown: NaN. Without a name where there is none.
FittedModel unfitted_model(const std::string& name);
/// Speed-up at N by a fitted model. Errors: none; NaN for a model that this version does not have.
double modelled_speedup(const FittedModel& model, double candidates);

/// Whole run against composition at one N.
struct CompositionCheck {
  std::string scheme;
  std::int64_t candidates = 0;
  Estimate ratio;  ///< whole / assembled (sharing) or whole / scaled (naive) time, per round
  bool agrees = false;
};

/// Where the time of one pass goes.
struct ProfileStep {
  std::string name;
  double seconds = 0;  ///< median over the repeats
  double share = 0;    ///< of the pass
};
struct Profile {
  std::string scheme, pass;     ///< pass: "prefill", "scoring" or "forward"
  std::int64_t candidates = 0;  ///< in the pass
  double seconds = 0;           ///< of the pass, median
  std::int64_t dispatches = 0;  ///< parallel regions and products that were started
  double dispatch_seconds = 0;  ///< that many times an empty region, measured; it is inside the steps
  std::vector<ProfileStep> steps;
};

/// The fastest of the micro-batches that `packed` was swept over, at one N.
struct BestMicroBatch {
  std::int64_t candidates = 0, micro_batch = 0;
  std::string scheme;        ///< its row
  double slowest_ratio = 1;  ///< time of the slowest over its
};

/// One scheme timed under two names in the same run.
struct SelfCheck {
  std::string scheme;
  std::optional<std::int64_t> candidates;  ///< nullopt: all N together
  Estimate ratio;                          ///< time under the second name over the first, per round
  std::optional<Interval> simultaneous;    ///< 95% for all intervals of the check together
  bool contains_one = false;               ///< the simultaneous interval holds 1
};

/// Memory that a scheme took when it was made: its buffers and caches, without weights and tokens.
struct ResidentMemory {
  std::string scheme;
  std::int64_t candidates = 0;      ///< N that it was made for
  std::int64_t resident_bytes = 0;  ///< growth of the process's resident set, measured
  std::int64_t planned_bytes = 0;   ///< computed from the shape
  std::int64_t kv_bytes = 0;        ///< of them, keys and values; computed
};

struct Case {
  std::optional<CaseShape> shape;  ///< nullopt: timings from elsewhere that do not tell
  /// Where this case was measured, when a merged report has cases of several machines.
  std::optional<MachineInfo> machine;
  std::optional<Equivalence> equivalence;
  std::vector<TimedOutputs> after_timing;  ///< empty when nothing was timed here
  std::vector<Point> points;
  std::vector<Fit> fits;
  std::vector<CompositionCheck> composition;
  std::vector<BestMicroBatch> micro_batches;  ///< when more than one was asked for
  std::vector<Profile> profiles;              ///< when asked for
  std::vector<SelfCheck> self_check;          ///< when asked for
  std::vector<ResidentMemory> memory;         ///< of every scheme that ran
  std::vector<Sample> samples;                ///< raw; written to samples.csv, not to report.json
};

struct Warning {
  std::string code, text, advice;
};

/// What the machine did while it was measured.
struct Conditions {
  std::int64_t rounds = 0;  ///< whole rounds
  StoppedBy stopped_by = StoppedBy::unknown;
  double measured_s = 0;                    ///< wall time of the rounds, over all parts of a resumed run
  double warm_up_s = 0;                     ///< not recorded, before the first round
  bool steady = false;                      ///< the warm-up ended because times no longer fell
  std::int64_t resumed = 0;                 ///< of them, those that an earlier process of the same run measured
  std::optional<double> steal_pct;          ///< of the CPUs' time, taken by the hypervisor
  std::optional<double> foreign_cpu_pct;    ///< of the CPUs' time, taken by other processes
  std::optional<double> canary_spread_pct;  ///< 90th over 10th percentile of the canary's speed, less 1
  std::optional<double> drift_pct;          ///< largest significant trend of a speed-up from first to last round
  std::optional<double> outlier_pct;        ///< ratios far outside the spread of their point
};

/// One coefficient of a pass's time, seconds per unit.
struct SurfaceTerm {
  std::string pass;  ///< "naive", "prefill" or "scoring"
  /// "dense FLOPs", "attention FLOPs", "weight bytes", "KV bytes", "bytes beyond cache", "team layers", "pass"
  std::string name;
  std::string unit;             ///< of what it multiplies: "FLOP", "B", "1"
  double seconds_per_unit = 0;  ///< not negative
  double largest_share = 0;     ///< of the time of the pass, where it is largest
};
/// A point that a fit of the surface did not see.
struct HeldOut {
  std::int64_t history_length = 0, layers = 0, candidates = 0;
  std::string scheme;
  double predicted_s = 0, measured_s = 0, error_pct = 0;
};
struct HoldoutErrors {
  std::string left_out;  ///< "points": single (L, N, layers) at random; "shapes": a whole (L, layers) at a time
  std::int64_t points = 0;
  double median_pct = 0, p90_pct = 0, max_pct = 0;  ///< of the absolute error of the time
};
/// Time of naive and of one sharing scheme over L, N and layers; docs/method.md.
struct Surface {
  std::string scheme;
  std::vector<SurfaceTerm> terms;
  std::optional<double> cache_bytes;  ///< effective cache, where the data show one
  std::int64_t min_history = 0, max_history = 0, min_layers = 0, max_layers = 0, min_candidates = 0,
               max_candidates = 0;          ///< of the data
  std::int64_t shapes = 0;                  ///< distinct (L, layers) of the data
  std::optional<double> speedup_log_error;  ///< RMS of ln(predicted/measured speed-up) over shapes left out
  std::vector<HoldoutErrors> errors;
  std::vector<HeldOut> held_out;        ///< of the random points
  std::vector<Prediction> predictions;  ///< where asked for
};

/// Throughput that a ranking head loses to the sequence model before it, measured at one N.
struct Degradation {
  std::optional<std::int64_t> history_length, layers;  ///< nullopt: timings that do not tell
  std::int64_t candidates = 0;
  std::string scheme;                ///< that ran the sequence model
  Status status = Status::measured;  ///< of the timing with the sequence model
  double head_s = 0;                 ///< the head alone, for all N candidates, median
  double with_s = 0;                 ///< sequence model and head, likewise
  Estimate drop;                     ///< 1 - head/with, per round, in [0,1)
  /// What the rules of docs/model.md §3 make of naive's measured drop and this scheme's measured speed-up.
  std::optional<double> drop_design_note, drop_exact;
};

/// The part of a grid that a run measured: index of count, from 1.
struct Shard {
  std::int64_t index = 1, count = 1;
};

struct Report {
  ToolInfo tool;
  std::optional<MachineInfo> machine;  ///< nullopt: timings from elsewhere
  std::optional<Config> config;        ///< likewise
  std::optional<Shard> shard;          ///< nullopt: the whole grid
  std::optional<Conditions> conditions;
  std::vector<Case> cases;
  std::vector<Surface> surfaces;         ///< of every fitted scheme, over a grid that has enough shapes
  std::vector<Degradation> degradation;  ///< where the config has a head
  std::optional<Sizing> sizing;          ///< where it was asked for
  std::optional<Traffic> traffic;        ///< of a simulation or a replay
  std::vector<Warning> warnings;
};

/// One point of two reports. Ratios are B over A; above 1 is worse for times, better for speed-ups.
struct ComparedPoint {
  std::optional<CaseShape> shape;  ///< of A where both have the point, as the scheme is
  std::int64_t candidates = 0;
  std::string scheme;
  std::string in_a, in_b;  ///< what differs, in words, where that was asked for: "bf16", "layers=4", a scheme
  std::optional<Estimate> time_ratio;        ///< seconds
  std::optional<Estimate> normalised_ratio;  ///< time x FMA peak of its own run: the machine's state taken out
  std::optional<Estimate> speedup_ratio;     ///< absent for naive
  bool regression = false, improvement = false;
  std::string missing_in;  ///< "A" or "B"; empty when both have it
};
struct Comparison {
  std::string across;  ///< what may differ: "schemes", "shape" or a field of it; empty: nothing
  double threshold = 0;
  std::vector<std::string> differences;  ///< of machine, tool and config, in words
  std::vector<std::string> doubts;       ///< what is asked of the timings of A or B before any of this is believed
  std::vector<ComparedPoint> points;
  bool regression = false;  ///< never across something: another type or scheme is no run that became slower
};

}  // namespace kvcast
