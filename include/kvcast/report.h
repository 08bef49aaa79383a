// What came out. Plain data under the contract `kvcast.report/1` (docs/design.md); unknown is nullopt, never 0.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvcast/config.h"

namespace kvcast {

inline constexpr const char* kReportSchema = "kvcast.report/1";

struct Interval {
  double lo = 0, hi = 0;
};
/// A value with its 95% interval where one could be formed.
struct Estimate {
  double value = 0;
  std::optional<Interval> ci95;
};

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

struct Shape {
  std::int64_t history_length = 0, dim = 0, heads = 0, kv_heads = 0, layers = 0, ffn_factor = 0;
  std::int64_t token_merge = 1, candidate_from_layer = 0;
  std::optional<std::int64_t> query_tokens;  ///< nullopt: all go on
  std::string dtype, kv_dtype;
  std::int64_t threads = 0;
  std::string mask;
  bool trim = true;
};

/// How a point's time was obtained.
enum class Status {
  measured,  ///< every candidate of the point ran inside the timer
  composed,  ///< one history pass per round serves every N; candidate pass timed at this N
  scaled,    ///< timed on fewer candidates and multiplied
  skipped,   ///< could not run; `reason` says why
};
std::string to_string(Status status);

/// One raw timing.
struct Sample {
  std::int64_t candidates = 0;  ///< N of the point
  std::string scheme;
  std::int64_t round = 0;
  Status status = Status::measured;
  double measured_seconds = 0;  ///< time of `measured_candidates` candidates (for composed: user + fusion)
  std::int64_t measured_candidates = 0;
  std::optional<double> user_seconds, fusion_seconds;  ///< nullopt for schemes without a history pass
  double canary_ratio = 1;  ///< speed of the FMA canary beside this timing over the upper quartile of the run's
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
};

struct Equivalence {
  bool shareable = false;
  std::int64_t checked_candidates = 0;
  std::int64_t ranked_candidates = 0;         ///< ranked by float64 too; 0 where sharing is not valid
  std::optional<double> tolerance_reference;  ///< absolute, at reference_shape: 4 x naive's own max_abs there
  std::optional<double> tolerance_naive;      ///< absolute, at the full shape
  std::optional<double> bound_reference;      ///< absolute, what naive itself is held to against float64
  std::int64_t top_k = 0;
  std::string reference_shape;             ///< "full" or "L=…, layers=…": where float64 was run
  std::vector<SchemeEquivalence> schemes;  ///< one per scheme that ran
  bool agrees = false;
};

/// Error that sharing would make under a mask that cannot share.
struct StaleError {
  std::vector<ErrorPair> kv_per_layer;  ///< stale K,V against true K,V, per layer
  ErrorPair output;
  std::string read_at;  ///< "candidate" or "last position"
};

struct SecondsSummary {
  double median = 0;
  std::optional<Interval> ci95;
  std::int64_t samples = 0;
};

/// One scheme at one N.
struct SchemePoint {
  std::string scheme;
  Status status = Status::measured;
  std::optional<std::string> reason;      ///< why skipped
  std::optional<std::string> form;        ///< naive: how it used the threads
  std::optional<SecondsSummary> seconds;  ///< for all N candidates
  std::optional<std::int64_t> measured_candidates;
  std::optional<double> user_seconds, fusion_seconds;  ///< medians
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

struct AffineFit {
  double user_s = 0;             ///< a, seconds per request
  double candidate_s = 0;        ///< b, seconds per candidate
  double naive_candidate_s = 0;  ///< c, seconds per naive candidate
};

/// Fit of one sharing scheme against naive.
struct Fit {
  std::string scheme;
  std::optional<Estimate> r;
  std::optional<double> rho, r_flops, asymptote, r_squared, max_residual_pct;
  std::optional<AffineFit> affine;
  std::optional<double> affine_max_residual_pct;
  std::optional<double> loo_error_pct, affine_loo_error_pct;  ///< leave-one-N-out RMS error of the speed-up
  std::string preferred;                                      ///< "one-parameter", "affine" or "untested"
  std::int64_t rounds = 0;                                    ///< whole rounds used
  std::int64_t excluded_pairs = 0;                            ///< pairs left out for their canary
};

/// Whole run against composition at one N.
struct CompositionCheck {
  std::string scheme;
  std::int64_t candidates = 0;
  Estimate ratio;  ///< whole / composed (sharing) or whole / scaled (naive) time, per round
  bool agrees = false;
};

/// Where the time of one pass goes.
struct ProfileStep {
  std::string name;
  double seconds = 0;  ///< median over the repeats
  double share = 0;    ///< of the pass
};
struct Profile {
  std::string scheme, pass;     ///< pass: "history", "candidates" or "forward"
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

struct Case {
  Shape shape;
  std::optional<Equivalence> equivalence;
  std::vector<Point> points;
  std::vector<Fit> fits;
  std::vector<CompositionCheck> composition;
  std::vector<BestMicroBatch> micro_batches;  ///< when more than one was asked for
  std::vector<Profile> profiles;              ///< when asked for
  std::vector<Sample> samples;                ///< raw; written to samples.csv, not to report.json
};

struct Warning {
  std::string code, text, advice;
};

struct Report {
  ToolInfo tool;
  MachineInfo machine;
  Config config;
  std::vector<Case> cases;
  std::vector<Warning> warnings;
};

}  // namespace kvcast
