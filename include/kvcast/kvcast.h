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

/// SIMD targets that this build has and this CPU can run, best first: the values of run.isa, besides "auto".
std::vector<std::string> isa_names();
/// Makes kernels and dense products run on this target. Call once, before any other work of this process.
/// Errors: ConfigError for a name that is not in isa_names(), or after other work.
void select_isa(const std::string& name);

/// The model of a safetensors file, as JSON text for parse_config: the sizes that follow from its tensors, and the
/// model and seed of the config it was exported with. heads: used where the file does not record them. Errors:
/// ConfigError, IoError.
std::string imported_config(const std::string& file, std::int64_t heads = ModelConfig{}.heads);
/// Reads every value that this config takes from its imported file. Returns notes on assumptions and on unused tensors.
/// Errors: ConfigError naming a tensor and the place of what is not finite; IoError.
std::vector<Warning> check_import(const Config& config);

/// One line of the scheme list.
struct SchemeInfo {
  std::string name, doc;
  bool shares;  ///< reuses the history across candidates, so needs a mask under which that is valid
};
std::vector<SchemeInfo> schemes();

/// Options of a run besides its plan.
struct RunOptions {
  std::optional<Shard> shard;
  bool self_check = false;     ///< every scheme also under a second name: the ratio of the two must be 1
  std::string journal_folder;  ///< where finished rounds are kept; empty = nowhere
};
/// One point of the plan: how it will be measured, and its estimated cost.
struct PlannedPoint {
  std::int64_t case_index = 0;  ///< into Plan::cases
  TimingId scheme;
  std::int64_t candidates = 0;
  Status status = Status::measured;
  std::int64_t measured_candidates = 0;
  double estimated_s = 0;  ///< of this point in one round
  double whole_s = 0;      ///< of its whole run beside that, in the first whole_check_rounds rounds; 0: none
  std::string reason;      ///< why skipped
};
/// One shape of the grid.
struct PlannedCase {
  std::int64_t history_length = 0, layers = 0;
  std::int64_t workers = 1, threads = 0;  ///< of each worker
  std::int64_t batch = 0;                 ///< cases of one batch are in memory together and share their rounds
  double setup_s = 0, round_s = 0;        ///< estimates; a round without its whole runs
  double check_s = 0;                     ///< of the whole runs in one round
  std::int64_t memory_bytes = 0;          ///< estimated
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
  std::int64_t whole_check_rounds = 0;  ///< rounds that include the whole checks
};
/// Pure. Errors: ConfigError when the mask cannot share and a sharing scheme is asked for, or when weights and one
/// naive candidate do not fit max_memory.
/// A shard is a part of the grid; cases are dealt to shards by their work, the same way on every machine.
Plan make_plan(const Config& config, const MachineInfo& machine, const RunOptions& options = {});

/// Progress of a long command. All callbacks may be empty; they run on the calling thread.
struct Observer {
  std::function<void(const std::string& stage)> on_stage;  ///< "preparing weights", "checking outputs", ...
  std::function<void(double fraction, double eta_s, const std::string& current)> on_progress;  ///< while measuring
  /// While a log is read; share: nullopt where its length is not known.
  std::function<void(const std::string& file, std::optional<double> share)> on_read;
  std::function<bool()> stop_requested;  ///< polled between samples
};

struct RunResult {
  Report report;
  bool interrupted = false;   ///< stopped; the report has what was measured
  bool checks_passed = true;  ///< equality and composition
  std::string failure;        ///< one line when a check failed
};
/// Checks equality, warms up, measures by the plan, fits. `machine` and `plan` must belong to this machine and config;
/// --budget counts from the call, less the time that determining them took. The journal is closed, not removed: call
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
/// Errors: IoError; ConfigError when there is nothing to resume, when another process is using it, or when the
/// build differs from the one that began it. Does no work: select_isa() may follow.
Unfinished read_unfinished(const std::string& folder);
/// Errors: ConfigError when the run began on another machine.
void refuse_other_machine(const Unfinished& unfinished, const MachineInfo& machine);
/// Resumes a run where its journal ends. Errors: those of run().
RunResult resume(const Unfinished& unfinished, const MachineInfo& machine, const Observer& observer);
/// Removes the journal, once the report is written. Errors: none; a file that cannot be removed stays.
void discard_journal(const std::string& folder);

struct FitOptions {
  std::vector<std::int64_t> candidates;              ///< N to predict
  std::vector<std::int64_t> history_length, layers;  ///< of the predictions by the surface; empty = those measured
  std::optional<double> holdout;                     ///< share of a grid's points to hold out, in (0, 1)
  std::uint64_t seed = 1;                            ///< of the held-out points
  bool extrapolate = false;                          ///< also predict beyond four times the largest measured N
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
  double threshold = 0.05;   ///< slowdown that counts as a regression
  bool any_machine = false;  ///< compare even if the machines differ
  std::string across;        ///< the one field in which points differ: "schemes", "shape" or a field of it; empty: none
};
/// Report A (before) against B (after). With `across`, b may be a or empty: the points of one report against each
/// other. Errors: IoError; ConfigError when the machines differ, no point is in both, or the points do not differ in
/// exactly `across`.
Comparison compare(const std::string& a, const std::string& b, const CompareOptions& options);
/// Values of CompareOptions::across.
std::vector<std::string> across_fields();
/// The result of a comparison in a sentence.
std::string comparison_answer(const Comparison& comparison);
/// table, json, csv or md. colour, details: as below. Errors: ConfigError when the format is unknown.
std::string render(const Comparison& comparison, const std::string& format, bool colour = false, bool details = false);

/// Sizes the queue from timings (whatever fit() reads), or from options.r with an empty path. The report is that of
/// fit(), with its sizing; without timings it holds nothing else. Pure but for reading.
/// Errors: IoError; ConfigError naming the flag when timings and options together lack what a budget needs.
Report size(const std::string& path, const SizingOptions& options);
/// The answer in a sentence.
std::string sizing_answer(const Sizing& sizing);

/// Simulates requests on a fleet whose service times come from a report (whatever fit() reads) or from constants. The
/// report holds its traffic and nothing else of that report. Pure but for reading; the numbers do not depend on
/// threads. Errors: IoError; ConfigError naming file and line, or the flag.
Report simulate(const TrafficOptions& options, const Observer& observer = {});
/// The requests of a workload as a trace. Errors: those of simulate().
void write_trace(const WorkloadOptions& workload, const std::string& path, const Observer& observer = {});
/// Serves requests on this machine's engine and simulates the same ones with timings of exactly their passes. The
/// report has both and their differences. Errors: those of simulate() and run().
Report replay(const Config& config, const ReplayRequest& request, const Observer& observer);
/// The answer in a sentence.
std::string traffic_answer(const Traffic& traffic);
/// Whether the figures are usable, the workers keep up, the search found a value, and the P99 budget is shown to be
/// met.
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
/// How far the file's own outputs are off, and the assumptions about its model; empty when none are off. warnings: the
/// notes on the import.
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
  bool interrupted = false;            ///< stopped; the rest is incomplete
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

/// The report in one format. A table shows the first screen only, or with `details` all; colour: highlights
/// get ANSI colours, without moving columns. Other formats have neither. Pure. Errors: ConfigError when the
/// format is unknown.
std::string render(const Report& report, const std::string& format, bool colour = false, bool details = false);
/// The sizing of a report that has one. As render().
std::string render_sizing(const Report& report, const std::string& format, bool colour = false, bool details = false);
/// The traffic of a report that has some. As render().
std::string render_traffic(const Report& report, const std::string& format, bool colour = false, bool details = false);
/// A proof as "table" or "json". As render().
std::string render(const VerifyResult& result, const std::string& format, bool colour = false, bool details = false);

/// comparison_answer() of two reports across the one field that they differ in; empty where there is none, more than
/// one, or the two cannot be compared. Errors: IoError.
std::string difference_in_words(const std::string& a, const std::string& b);

/// A report with its fallback name on a page, for when nothing else distinguishes it.
struct NamedReport {
  std::string name;
  Report report;
  std::string compared{};  ///< with the first, in words; empty: not compared
};
/// One self-contained HTML page of several reports, laid over each other, each titled by its difference: shape or
/// schemes. Pure. For a single report it is render(report, "html") except for the name.
std::string render_page(const std::vector<NamedReport>& reports);

/// A report as it was written: a folder's report.json, or the file. Neither measures nor fits. Errors: IoError;
/// ConfigError naming file, place and value.
Report load_report(const std::string& path);

/// Files by name with their contents into `folder` (made if missing), each to a temporary name and renamed, so that all
/// of them appear, or none. Returns the paths. Errors: IoError.
std::vector<std::string> write_files(const std::vector<std::pair<std::string, std::string>>& files,
                                     const std::string& folder);

/// Writes every format that has a file into `folder` (made if missing), each to a temporary name and renamed.
/// Returns the paths. Errors: IoError.
std::vector<std::string> write_report(const Report& report, const std::string& folder);

}  // namespace kvcast
