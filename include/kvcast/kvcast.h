// Entry functions: one per stage or command. Nothing here prints or exits.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvcast/columns.h"
#include "kvcast/config.h"
#include "kvcast/cost_model.h"
#include "kvcast/error.h"
#include "kvcast/report.h"

namespace kvcast {

/// CPUs this process may use and memory it may take (MemAvailable, limits of its cgroups and of its address space).
HostLimits host_limits();

/// Version, commit, compiler and linked libraries.
ToolInfo tool_info();

/// CPU, ISA, memory; with `threads` > 0 also the measured FMA peak and DRAM read rate on that many threads (~0.7 s).
/// Errors: ConfigError when that many threads cannot run here.
MachineInfo machine_info(std::int64_t threads);

/// SIMD targets that this build has and this CPU can run, best first: what run.isa may be, besides "auto".
std::vector<std::string> isa_names();
/// Makes kernels and dense products run on this target. To be called once, before any work of this process.
/// Errors: ConfigError when the name is none of isa_names(), or work has been done already.
void select_isa(const std::string& name);

/// What a safetensors file says of its model, as JSON text for parse_config: the sizes that follow from its tensors,
/// and the model and seed of the config that it was exported with. heads: those that will be used where the file does
/// not say. Errors: ConfigError, IoError.
std::string imported_config(const std::string& file, std::int64_t heads = ModelConfig{}.heads);
/// Reads every value that this config takes from its imported file. What is to be said of it: what was assumed, and
/// tensors that nothing reads. Errors: ConfigError naming a tensor and the place of what is not finite; IoError.
std::vector<Warning> check_import(const Config& config);

/// One line of the scheme list.
struct SchemeInfo {
  std::string name, doc;
  bool shares;  ///< reuses the history across candidates, so needs a mask under which that is valid
};
std::vector<SchemeInfo> schemes();

/// What a run does beside measuring its plan.
struct RunOptions {
  std::optional<Shard> shard;
  bool self_check = false;     ///< every scheme also under a second name: the ratio of the two must be 1
  std::string journal_folder;  ///< where every round is kept as soon as it is over; empty = nowhere
};
/// What will be measured, in what way, and what it should cost.
struct PlannedPoint {
  std::int64_t case_index = 0;  ///< into Plan::cases
  TimingId scheme;
  std::int64_t candidates = 0;
  Status status = Status::measured;
  std::int64_t measured_candidates = 0;
  double estimated_s = 0;  ///< of this point in one round
  std::string reason;      ///< why skipped
};
/// One shape of the grid.
struct PlannedCase {
  std::int64_t history_length = 0, layers = 0;
  std::int64_t batch = 0;                   ///< cases of one batch are in memory together and share their rounds
  double setup_s = 0, round_s = 0;          ///< estimates; a round without its whole check
  double check_s = 0;                       ///< of the whole check in one round
  std::int64_t memory_bytes = 0;            ///< estimated
  std::int64_t whole_check_candidates = 0;  ///< N also run whole to check compositions; 0 = none needed
};
struct Plan {
  std::vector<PlannedCase> cases;    ///< those of grid(), or the part of them that a shard measures
  std::vector<PlannedPoint> points;  ///< by case, N, then scheme
  std::int64_t batches = 1;
  double setup_s = 0, round_s = 0, check_s = 0;  ///< estimates, sums over the cases
  double total_s = 0;                            ///< of the command
  std::int64_t rounds = 0;                       ///< estimated rounds within the budget
  std::int64_t min_rounds = 3;
  std::int64_t max_rounds = 0;
  std::int64_t memory_bytes = 0;        ///< estimated peak
  std::int64_t whole_check_rounds = 0;  ///< rounds in which the whole checks are run
};
/// Pure. Errors: ConfigError when the mask cannot share and a sharing scheme is asked for, or when weights and one
/// naive candidate do not fit max_memory.
/// A shard is a part of the grid: its cases are dealt by their work, the same on every machine.
Plan make_plan(const Config& config, const MachineInfo& machine, const RunOptions& options = {});

/// What a long command tells its caller. All callbacks may be empty; they run on the calling thread.
struct Observer {
  std::function<void(const std::string& stage)> on_stage;  ///< "weights", "checks", "warm-up", ...
  std::function<void(double fraction, double eta_s, const std::string& current)> on_progress;  ///< while measuring
  /// While a log is read; share: nullopt where its length is not known.
  std::function<void(const std::string& file, std::optional<double> share)> on_read;
  std::function<bool()> stop_requested;  ///< polled between samples
};

struct RunResult {
  Report report;
  bool interrupted = false;   ///< stop_requested said so; the report holds what was measured
  bool checks_passed = true;  ///< equality and composition
  std::string failure;        ///< one line when a check failed
};
/// Checks equality, warms up, measures by the plan, fits. The main job. `machine` and `plan` are those of this machine
/// and config; --budget counts from the call less what finding them out took. A journal is closed, not removed:
/// discard_journal() once the report is written.
/// Errors: ConfigError; CheckError when nothing could be measured; IoError when the journal cannot be written.
RunResult run(const Config& config, const MachineInfo& machine, const Plan& plan, const RunOptions& options,
              const Observer& observer);

/// An unfinished run, from its journal.
struct Unfinished {
  Config config;
  Plan plan;
  RunOptions options;
  MachineInfo machine;
  std::int64_t rounds = 0;
  double measured_s = 0;
};
/// Errors: IoError; ConfigError when there is nothing to resume, when another process is at it, or when the build
/// differs from the one that began it. Does no work, so that select_isa() may follow.
Unfinished read_unfinished(const std::string& folder);
/// Errors: ConfigError when `machine` is not the one that began it.
void refuse_other_machine(const Unfinished& unfinished, const MachineInfo& machine);
/// Takes up a run where its journal ends. Errors: those of run().
RunResult resume(const Unfinished& unfinished, const MachineInfo& machine, const Observer& observer);
/// The report is written, so that the journal has done its work. Errors: none; what cannot be removed stays.
void discard_journal(const std::string& folder);

struct FitOptions {
  std::vector<std::int64_t> candidates;              ///< N to predict
  std::vector<std::int64_t> history_length, layers;  ///< of the predictions by the surface; empty = those measured
  std::optional<double> holdout;                     ///< share of the points of a grid that is left out, in (0, 1)
  std::uint64_t seed = 1;                            ///< of which
  bool extrapolate = false;                          ///< predict also beyond four times the largest measured N
  ColumnNames columns;                               ///< of a CSV of your own
};
/// Fits anew, without measuring: samples.csv, report.json (with the samples.csv beside it), a folder that has them,
/// a journal, or a CSV of your own with the columns candidates, naive_seconds, shared_seconds (or others: columns).
/// Errors: IoError; ConfigError naming file, line, column and value.
Report fit(const std::string& path, const FitOptions& options);

/// One report of the shards of a grid. Errors: IoError; ConfigError when configs, versions or shards do not fit
/// together: an overlap, a gap, an unfinished part.
Report merge(const std::vector<std::string>& folders);

struct CompareOptions {
  double threshold = 0.05;   ///< how much slower is a regression
  bool any_machine = false;  ///< compare although the machines differ
  std::string across;  ///< points that differ in this alone: "schemes", "shape" or a field of it; empty: in nothing
};
/// Report A (before) against B (after). With `across` b may be a, or empty: what one report has, against each other.
/// Errors: IoError; ConfigError when the machines differ, nothing is in both, nothing differs in `across`, or more
/// does.
Comparison compare(const std::string& a, const std::string& b, const CompareOptions& options);
/// What a comparison says, in a sentence.
std::string comparison_answer(const Comparison& comparison);
/// table, json, csv or md. colour, details: as below. Errors: ConfigError when the format is unknown.
std::string render(const Comparison& comparison, const std::string& format, bool colour = false, bool details = false);

/// Sizes the queue from timings (whatever fit() reads), or from options.r with an empty path. The report is that of
/// fit(), with its sizing; without timings it holds nothing else. Pure but for reading.
/// Errors: IoError; ConfigError naming the flag where a budget needs what neither timings nor options tell.
Report size(const std::string& path, const SizingOptions& options);
/// The answer in a sentence.
std::string sizing_answer(const Sizing& sizing);

/// Simulates requests on a fleet whose service times come from a report (whatever fit() reads) or from constants. The
/// report holds its traffic and nothing else of that report. Pure but for reading; the numbers do not depend on
/// threads. Errors: IoError; ConfigError naming file and line, or the flag.
Report simulate(const TrafficOptions& options, const Observer& observer = {});
/// The requests of a workload as a trace. Errors: those of simulate().
void write_trace(const WorkloadOptions& workload, const std::string& path, const Observer& observer = {});
/// Serves requests on this machine's engine and simulates the same ones with times of the very passes that they take.
/// The report holds both and how they differ. Errors: those of simulate() and run().
Report replay(const Config& config, const ReplayRequest& request, const Observer& observer);
/// The answer in a sentence.
std::string traffic_answer(const Traffic& traffic);
/// Whether the figures are the program's, the workers keep up, what was searched for was found, and the P99 asked for
/// is shown to be met.
bool traffic_holds(const Traffic& traffic);

struct SkippedScheme {
  std::string scheme, reason;
};
/// Outputs that an imported file holds, against those of naive here.
struct StoredOutputs {
  std::string name;             ///< "outputs.reference"
  std::int64_t candidates = 0;  ///< the first ones of the file that were compared
  ErrorPair error;
  double largest = 0, allowed = 0;  ///< |element| of those stored; of error.max_abs
  bool agrees = false;
  std::string why_not;  ///< why they were not compared; else empty
};
/// What the file's own outputs are off by, and what was assumed of its model; empty when none is. warnings: the notes
/// on the import.
std::string disagreement(const std::vector<StoredOutputs>& stored, const std::vector<Warning>& warnings);
struct VerifyResult {
  CaseShape shape;
  MachineInfo machine;
  std::vector<Warning> warnings;
  Equivalence equivalence;
  std::optional<StaleError> stale;    ///< set when the mask cannot share
  std::vector<StoredOutputs> stored;  ///< of an imported file
  std::int64_t candidates = 0;
  std::vector<SkippedScheme> skipped;  ///< schemes of the list that were not compared, and why
  bool interrupted = false;            ///< stop_requested said so; the rest is incomplete
};
/// Errors of every scheme of the list against float64 and naive, on as many candidates (4 to 64) as the shape allows;
/// of `config` it reads the model, types, append, threads, seed, trim and max_memory. Under a mask that cannot share,
/// the error sharing would make. export_file: when not empty, writes the safetensors case of docs/model.md. Errors:
/// ConfigError, IoError; CheckError when no sharing scheme fits the memory.
VerifyResult verify(const Config& config, const std::string& export_file, const Observer& observer);

/// Names of the formats that render() knows, in list order: "table", "json", "csv", "samples.csv", "md", "html".
struct FormatInfo {
  std::string name;  ///< as for --format
  std::string file;  ///< file name written under -o; empty when only for stdout
  std::string doc;
};
std::vector<FormatInfo> formats();
/// Those of render_sizing(): "table", "json" (the whole report), "csv", "md".
std::vector<FormatInfo> sizing_formats();

/// Those of render_traffic(): "table", "json" (the whole report), "csv", "md".
std::vector<FormatInfo> traffic_formats();

/// The report in one format. Of a table: what answers first, on one screen, or with `details` all of it; colour: what
/// stands out has ANSI colours, and no column moves. No other format heeds either. Pure. Errors: ConfigError when the
/// format is unknown.
std::string render(const Report& report, const std::string& format, bool colour = false, bool details = false);
/// The sizing of a report that has one. Likewise.
std::string render_sizing(const Report& report, const std::string& format, bool colour = false, bool details = false);
/// The traffic of a report that has some. Likewise.
std::string render_traffic(const Report& report, const std::string& format, bool colour = false, bool details = false);
/// A proof as "table" or "json". Likewise.
std::string render(const VerifyResult& result, const std::string& format, bool colour = false, bool details = false);

/// comparison_answer() of two reports across the one field that they differ in; empty where there is none, more than
/// one, or the two cannot be compared. Errors: IoError.
std::string difference_in_words(const std::string& a, const std::string& b);

/// A report under the name that a page calls it by where nothing tells it from the others.
struct NamedReport {
  std::string name;
  Report report;
  std::string compared{};  ///< with the first, in words; empty: nothing is said
};
/// One self-contained HTML page of several reports, laid over each other, each titled by what it differs in: shape or
/// schemes. Pure. Of one it is render(report, "html") but for the name.
std::string render_page(const std::vector<NamedReport>& reports);

/// A report as it was written: a folder's report.json, or the file. Neither measures nor fits. Errors: IoError;
/// ConfigError naming file, place and value.
Report load_report(const std::string& path);

/// Files by name with their contents into `folder` (made if missing), each to a temporary name and renamed, so that all
/// of them are there or none. Returns the paths. Errors: IoError.
std::vector<std::string> write_files(const std::vector<std::pair<std::string, std::string>>& files,
                                     const std::string& folder);

/// Writes every format that has a file into `folder` (made if missing), each to a temporary name and renamed.
/// Returns the paths. Errors: IoError.
std::vector<std::string> write_report(const Report& report, const std::string& folder);

}  // namespace kvcast
