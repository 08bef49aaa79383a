// kvcast run: plan, measure, report.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common.h"
#include "terminal.h"

namespace kvcast::cli {
namespace {

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const FormatInfo& format : formats()) names.push_back(format.name);
  return names;
}

std::string rounds_text(std::int64_t rounds) { return fmt::format("{} round{}", rounds, rounds == 1 ? "" : "s"); }

std::string plan_text(const Plan& plan, const Config& config) {
  std::vector<std::vector<std::string>> rows;
  for (const PlannedPoint& point : plan.points) {
    const bool skipped = point.status == Status::skipped;
    rows.push_back({std::to_string(point.candidates), point.scheme, to_string(point.status),
                    skipped ? "-" : std::to_string(point.measured_candidates),
                    skipped ? "-" : human_seconds(point.estimated_s), point.reason});
  }
  std::string out = text_table({"N", "scheme", "status", "measured N", "per round", ""}, rows,
                               {false, true, true, false, false, true});
  if (plan.cases.front().whole_check_candidates > 0) {
    out += fmt::format("N = {} is also run whole in the first {} ({} each), to check composed and scaled times\n",
                       plan.cases.front().whole_check_candidates,
                       rounds_text(std::min(plan.rounds, plan.whole_check_rounds)), human_seconds(plan.check_s));
  }
  out +=
      fmt::format("estimate: {} setup + {} of {} = {} of a budget of {}; peak memory {}", human_seconds(plan.setup_s),
                  rounds_text(plan.rounds), human_seconds(plan.round_s), human_seconds(plan.total_s),
                  human_seconds(config.measure.budget_s), human_bytes(plan.memory_bytes));
  if (config.measure.max_memory_bytes > 0) {
    out += fmt::format(" of {}", human_bytes(config.measure.max_memory_bytes));
  }
  return out + "\n";
}

std::string plan_json(const Plan& plan) {
  JsonWriter json;
  json.begin_object().begin_list("points");
  for (const PlannedPoint& point : plan.points) {
    const bool skipped = point.status == Status::skipped;
    json.begin_object().field("candidates", point.candidates).field("scheme", point.scheme);
    json.field("status", to_string(point.status));
    json.field("measured_candidates", skipped ? std::nullopt : std::optional(point.measured_candidates));
    json.field("estimated_s", skipped ? std::nullopt : std::optional(point.estimated_s));
    json.field("reason", point.reason.empty() ? std::nullopt : std::optional(point.reason)).end_object();
  }
  json.end_list().field("setup_s", plan.setup_s).field("round_s", plan.round_s).field("rounds", plan.rounds);
  json.field("check_s", plan.check_s).field("total_s", plan.total_s).field("memory_bytes", plan.memory_bytes);
  json.field("whole_check_candidates", plan.cases.front().whole_check_candidates);
  json.field("whole_check_rounds", plan.whole_check_rounds);
  return json.end_object().str();
}

class RunCommand : public Command {
 public:
  explicit RunCommand(CLI::App& app)
      : Command(app.add_subcommand("run", "Measure naive against shared and fit r")), format_(*app_, format_names()) {
    app_->add_option("-o,--output", output_, "Folder for report.json, samples.csv, ...")->type_name("DIR");
    app_->add_flag("--dry-run", dry_run_, "Print the plan and its cost, measure nothing");
    app_->add_flag("-q,--quiet", quiet_, "No plan and no progress on stderr");
    arguments_.attach(*app_);
    app_->footer(
        "Examples:\n"
        "  kvcast run -L 512 -d 128 --layers 2 -N 1-64*2 --budget 20s -o out\n"
        "  kvcast run seed --dry-run");
  }

  int execute() override {
    format_.check();
    if (output_ && output_->empty()) throw ConfigError("--output", "the folder has no name", "such as -o out");
    const Config config = arguments_.load(host_limits());
    select_isa(config.run.isa);
    // A plan at assumed rates refuses what cannot run before measuring the rates allocates anything.
    make_plan(config, machine_info(0));
    if (dry_run_) return print_plan(config);

    // Before any folder is made.
    const MachineInfo machine = machine_info(config.run.threads);
    const Plan plan = make_plan(config, machine);
    std::unique_ptr<OutputFolder> folder;
    if (output_) folder = std::make_unique<OutputFolder>(*output_);
    if (!quiet_) write_stderr(plan_text(plan, config));

    Progress progress(quiet_);
    Observer observer;
    observer.on_stage = [&](const std::string& stage) { progress.stage(stage); };
    observer.on_progress = [&](double fraction, double eta_s, const std::string& current) {
      progress.update(fraction, eta_s, current);
    };
    observer.stop_requested = [] { return pending_signal() != 0; };
    const RunResult result = run(config, machine, plan, {}, observer);
    progress.finish();

    // Files first: they must not be lost when stdout is.
    std::vector<std::string> paths;
    if (folder != nullptr) {
      paths = write_report(result.report, *output_);
      folder->keep();
    }
    write_stdout(render(result.report, format_.name()));
    if (!quiet_) {
      for (const std::string& path : paths) write_stderr("wrote " + path + "\n");
      // The table says them itself.
      for (const Warning& warning : format_.name() == "table" ? std::vector<Warning>() : result.report.warnings) {
        const std::string advice = warning.advice.empty() ? "" : "; " + warning.advice;
        write_stderr("warning: " + warning.text + advice + "\n");
      }
    }
    if (pending_signal() != 0) {
      print_error("interrupted; what was measured so far is reported");
      return kExitSignal + pending_signal();
    }
    if (!result.checks_passed) {
      print_error("check failed: " + result.failure);
      return kExitCheck;
    }
    return kExitOk;
  }

 private:
  int print_plan(const Config& config) const {
    if (format_.name() != "table" && format_.name() != "json") {
      throw ConfigError("--format", "'" + format_.name() + "' cannot show a plan", "with --dry-run: table, json");
    }
    const Plan plan = make_plan(config, machine_info(config.run.threads));
    write_stdout(format_.name() == "json" ? plan_json(plan) : plan_text(plan, config));
    return kExitOk;
  }

  ConfigArguments arguments_;
  FormatOption format_;
  std::optional<std::string> output_;
  bool dry_run_ = false;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> make_run_command(CLI::App& app) { return std::make_unique<RunCommand>(app); }

}  // namespace kvcast::cli
