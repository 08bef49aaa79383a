// kvcast run: plan, measure, report.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "common.h"
#include "kvcast/words.h"

namespace kvcast::cli {
namespace {

std::string rounds_text(std::int64_t rounds) { return fmt::format("{} round{}", rounds, rounds == 1 ? "" : "s"); }

const PlannedCase& case_of(const Plan& plan, const PlannedPoint& point) {
  return plan.cases[static_cast<std::size_t>(point.case_index)];
}

std::string plan_text(const Plan& plan, const Config& config, Stream stream) {
  std::vector<std::vector<std::string>> rows;
  for (const PlannedPoint& point : plan.points) {
    const bool skipped = point.status == Status::skipped;
    const PlannedCase& one = case_of(plan, point);
    rows.push_back({std::to_string(one.history_length), std::to_string(one.layers), std::to_string(point.candidates),
                    point.scheme.text(), to_string(point.status),
                    skipped ? "-" : std::to_string(point.measured_candidates),
                    skipped ? "-" : human_seconds(point.estimated_s), point.reason});
  }
  std::string out = text_table({"L", "layers", "N", "scheme", "status", "measured N", "per round", ""}, rows,
                               {false, false, false, true, true, false, false, true}, stream);
  if (plan.cases.size() > 1) {
    out += fmt::format("{} shapes, {} points", plan.cases.size(), plan.points.size());
    if (plan.batches > 1) {
      out +=
          fmt::format(", measured in {} parts, one after the other: they do not fit in memory together", plan.batches);
    }
    out += "\n";
  }
  std::set<std::int64_t> checked;
  for (const PlannedPoint& point : plan.points) {
    if (point.whole_s > 0) checked.insert(point.candidates);
  }
  if (!checked.empty()) {
    out +=
        fmt::format("N = {} also run whole in the first {} ({} each), to check the extrapolated and assembled times\n",
                    fmt::join(checked, ", "), rounds_text(std::min(plan.rounds, plan.whole_check_rounds)),
                    human_seconds(plan.check_s));
  }
  out +=
      fmt::format("estimate: {} setup + {} of {} = {} of a budget of {}; peak memory {}", human_seconds(plan.setup_s),
                  rounds_text(plan.rounds), human_seconds(plan.round_s), human_seconds(plan.total_s),
                  human_seconds(config.measure.budget_s), human_bytes(plan.memory_bytes));
  if (config.measure.max_memory_bytes > 0) {
    out += fmt::format(" of {}", human_bytes(config.measure.max_memory_bytes));
  }
  return out +
         "\nEstimated from FLOPs; the run first times one pass of each scheme, then plans its rounds from that.\n";
}

std::string plan_json(const Plan& plan) {
  JsonWriter json;
  json.begin_object().begin_list("points");
  for (const PlannedPoint& point : plan.points) {
    const bool skipped = point.status == Status::skipped;
    const PlannedCase& one = case_of(plan, point);
    json.begin_object().field("history_length", one.history_length).field("layers", one.layers);
    json.field("candidates", point.candidates).field("scheme", point.scheme.text());
    json.field("status", to_string(point.status));
    json.field("measured_candidates", skipped ? std::nullopt : std::optional(point.measured_candidates));
    json.field("estimated_s", skipped ? std::nullopt : std::optional(point.estimated_s));
    json.field("whole_s", point.whole_s > 0 ? std::optional(point.whole_s) : std::nullopt);
    json.field("reason", point.reason.empty() ? std::nullopt : std::optional(point.reason)).end_object();
  }
  json.end_list().begin_list("cases");
  for (const PlannedCase& one : plan.cases) {
    json.begin_object().field("history_length", one.history_length).field("layers", one.layers);
    json.field("batch", one.batch).field("setup_s", one.setup_s).field("round_s", one.round_s);
    json.field("check_s", one.check_s).field("memory_bytes", one.memory_bytes).end_object();
  }
  json.end_list()
      .field("batches", plan.batches)
      .field("setup_s", plan.setup_s)
      .field("round_s", plan.round_s)
      .field("rounds", plan.rounds);
  json.field("check_s", plan.check_s).field("total_s", plan.total_s).field("memory_bytes", plan.memory_bytes);
  json.field("whole_check_rounds", plan.whole_check_rounds);
  return json.end_object().str();
}

// "2/8" as typed after --shard.
Shard parse_shard(const std::string& text) {
  Shard shard;
  const char* const end = text.data() + text.size();
  const auto index = std::from_chars(text.data(), end, shard.index);
  bool good = index.ec == std::errc() && index.ptr != end && *index.ptr == '/';
  if (good) {
    const auto count = std::from_chars(index.ptr + 1, end, shard.count);
    good = count.ec == std::errc() && count.ptr == end && shard.count >= 1 && shard.index >= 1 &&
           shard.index <= shard.count;
  }
  if (!good) throw ConfigError("--shard", "'" + text + "' is not i/n", "allowed: 1/n to n/n, such as 2/8");
  return shard;
}

class RunCommand : public Command {
 public:
  explicit RunCommand(CLI::App& app)
      : Command(app.add_subcommand("run", "Measure the speed-up of sharing at each N, and fit r")),
        format_(*app_, format_names()),
        force_(*app_) {
    app_->add_option("-o,--output", output_, "Write report.json, samples.csv, ... to this folder")->type_name("DIR");
    app_->add_option("--resume", resume_, "Resume the interrupted run in DIR")->type_name("DIR");
    app_->add_option("--shard", shard_, "Measure part i of n of the grid; kvcast merge joins the parts")
        ->type_name("i/n");
    app_->add_flag("--self-check", self_check_, "Time every scheme under two names; exit 4 when they differ")
        ->group(kMoreOptions);
    app_->add_flag("--dry-run", dry_run_, "Print the plan and its cost; measure nothing");
    app_->add_flag("-q,--quiet", quiet_, "No plan and no progress on stderr");
    arguments_.attach(*app_);
    app_->footer(
        "Examples:\n"
        "  kvcast run -L 128,256,512 --layers 2,4 --budget 2min -o grid\n"
        "  kvcast run seed --dry-run");
  }

  int execute() override {
    format_.check();
    if (output_ && output_->empty()) throw ConfigError("--output", "the folder has no name", "such as -o out");
    if (resume_) return resume_run();
    if (!dry_run_) force_.check(output_);
    RunOptions options;
    if (shard_) options.shard = parse_shard(*shard_);
    options.self_check = self_check_;
    const Config config = arguments_.load(host_limits());
    select_isa(config.run.isa);
    if (!quiet_) write_ignored_variables();
    // A plan at assumed rates refuses what cannot run before measuring the rates allocates anything.
    make_plan(config, machine_info(0), options);
    if (dry_run_) return print_plan(config, options);

    // Before any folder is made.
    const MachineInfo machine = machine_info(busy_cpus(config));
    const Plan plan = make_plan(config, machine, options);
    std::unique_ptr<OutputFolder> folder;
    if (output_) {
      folder = std::make_unique<OutputFolder>(*output_);
      options.journal_folder = *output_;
    }
    if (!quiet_) write_stderr(plan_text(plan, config, Stream::err));
    return report(folder.get(), output_,
                  [&](const Observer& observer) { return run(config, machine, plan, options, observer); });
  }

 private:
  int resume_run() {
    if (resume_->empty()) throw ConfigError("--resume", "the folder has no name", "such as --resume out");
    if (output_ || shard_ || self_check_ || dry_run_) {
      throw ConfigError("--resume", "the run resumes with the options it began with",
                        "without --output, --shard, --self-check and --dry-run");
    }
    const Unfinished unfinished = read_unfinished(*resume_);
    select_isa(unfinished.config.run.isa);
    if (!quiet_) write_ignored_variables();
    refuse_other_machine(unfinished, machine_info(0));
    arguments_.refuse_unless_like(unfinished.config, *resume_, host_limits());
    if (!quiet_) {
      write_stderr(fmt::format("{}: resuming after {} of {} ({} measured)\n", one_line(*resume_),
                               rounds_text(unfinished.rounds), rounds_text(unfinished.plan.rounds),
                               human_seconds(unfinished.measured_s)));
    }
    const MachineInfo machine = machine_info(busy_cpus(unfinished.config));
    return report(nullptr, resume_, [&](const Observer& observer) { return resume(unfinished, machine, observer); });
  }

  // Runs, then writes and prints the result.
  template <typename Measure>
  int report(OutputFolder* folder, const std::optional<std::string>& output, const Measure& measure) const {
    const std::string go_on = output ? "; kvcast run --resume " + one_line(*output) + " continues it" : "";
    const SavesOnSignal saves(output ? (std::filesystem::path(*output) / "journal.jsonl").string() : "", go_on);
    Progress progress(quiet_);
    const RunResult result = measure(progress.observer());
    progress.finish();

    // Files first: they must not be lost when stdout is.
    std::vector<std::string> paths;
    const std::string text = render(result.report, format_.name(), has_colour(Stream::out), format_.details());
    if (output) {
      try {
        paths = write_report_files(result.report, *output, text);
      } catch (const IoError& error) {
        namespace fs = std::filesystem;
        std::error_code unknown;
        if (!fs::exists(fs::path(*output) / "journal.jsonl", unknown)) throw;
        throw IoError(error.what(), "free some space, then kvcast run --resume " + *output + " writes the files");
      }
      if (folder != nullptr) folder->keep();
      // An interrupted run keeps its journal, to be resumed from.
      if (!result.interrupted) discard_journal(*output);
    }
    write_stdout(text);
    if (!quiet_) {
      write_paths(paths);
      // The table shows them itself.
      if (format_.name() != "table") write_warnings(result.report.warnings);
    }
    if (pending_signal() != 0) {
      print_error("interrupted; the report covers the rounds measured so far" + go_on);
      return kExitSignal + pending_signal();
    }
    if (!result.checks_passed) {
      print_error(no_result(result.report).empty() ? "check failed: " + result.failure : result.failure);
      return kExitCheck;
    }
    return kExitOk;
  }

  int print_plan(const Config& config, const RunOptions& options) const {
    if (format_.name() != "table" && format_.name() != "json") {
      throw ConfigError("--format", "'" + format_.name() + "' cannot show a plan", "with --dry-run: table, json");
    }
    const std::vector<Warning> notes = check_import(config);
    const Plan plan = make_plan(config, machine_info(busy_cpus(config)), options);
    write_stdout(format_.name() == "json" ? plan_json(plan) : plan_text(plan, config, Stream::out));
    if (!quiet_) write_warnings(notes);
    return kExitOk;
  }

  ConfigArguments arguments_;
  FormatOption format_;
  ForceOption force_;
  std::optional<std::string> output_, resume_, shard_;
  bool self_check_ = false;
  bool dry_run_ = false;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> make_run_command(CLI::App& app) { return std::make_unique<RunCommand>(app); }

}  // namespace kvcast::cli
