// kvcast replay: the requests of a log on this machine's engine, against their simulation.
#include <memory>
#include <optional>
#include <string>

#include "terminal.h"
#include "traffic_arguments.h"

namespace kvcast::cli {
namespace {

class ReplayCommand : public Command {
 public:
  explicit ReplayCommand(CLI::App& app)
      : Command(app.add_subcommand("replay", "Serve your traffic on this machine and compare its simulation")),
        format_(*app_, format_names(traffic_formats())),
        force_(*app_) {
    app_->add_option("-o,--output", output_, "Write report.json, traffic.csv, report.html, ... to this folder")
        ->type_name("DIR");
    app_->add_flag("-q,--quiet", quiet_, "No progress and no file names on stderr");
    app_->add_option("--workers", request_.workers, "Requests served in parallel, each on --threads [1]")
        ->type_name("N");
    app_->add_flag("--closed-loop", request_.closed_loop, "Send the next request as soon as a worker is free");
    for (const char* const name : {"--force", "--details"}) app_->get_option(name)->group(kMoreOptions);  // one screen
    traffic_.attach(*app_);
    // Lengths and N come from the requests; one seed draws everything.
    arguments_.attach(*app_, {"model.history_length", "model.token_merge", "model.query_tokens", "model.import",
                              "model.head_width",     "model.head_layers", "run.candidates",     "run.schemes",
                              "run.cached",           "run.append",        "run.micro_batch",    "run.seed",
                              "sweep.history_length", "sweep.layers",      "run.workers",        "sweep.workers",
                              "sweep.threads",        "run.cpus",          "measure.precision",  "measure.cold",
                              "measure.profile",      "measure.pin"});
    app_->footer(
        "Exit 4 when the workers fall behind, or --p99 is not met.\n"
        "Examples:\n"
        "  kvcast replay --qps 40 --history 300 --candidates 100 --users 500 --cache 1GiB --budget "
        "1min\n"
        "  kvcast replay seed --layers 4 --trace log.csv --candidates 100 --closed-loop");
  }

  int execute() override {
    format_.check();
    force_.check(output_);
    if (output_ && output_->empty()) throw ConfigError("--output", "the folder has no name", "such as -o out");
    ReplayRequest request = request_;
    request.workload = traffic_.workload();
    request.cache = traffic_.cache();
    request.p99_s = traffic_.p99_s();
    request.warm_up = traffic_.warm_up();
    Config config = arguments_.load(host_limits());
    config.run.seed = static_cast<std::int64_t>(request.workload.seed);
    select_isa(config.run.isa);
    // Before the work: it must not be lost to a folder that cannot be written.
    std::unique_ptr<OutputFolder> folder;
    if (output_) folder = std::make_unique<OutputFolder>(*output_);
    if (!quiet_) write_ignored_variables();
    const SavesOnSignal saves;
    Progress progress(quiet_);
    const Report report = replay(config, request, progress.observer());
    progress.finish();
    print_report(report, render_traffic(report, format_.name(), has_colour(Stream::out), format_.details()), false,
                 output_, quiet_);
    if (folder) folder->keep();
    if (pending_signal() != 0) {
      print_error("interrupted; the report covers the requests served so far");
      return kExitSignal + pending_signal();
    }
    const Traffic& traffic = *report.traffic;
    // The model's fault, not the user's.
    if (!quiet_) {
      for (const ReplayComparison& row : traffic.replay) {
        if (!row.within) write_stderr("kvcast: the simulated " + row.name + " is off by more than its tolerance\n");
      }
    }
    if (traffic_holds(traffic)) return kExitOk;
    print_error(traffic_answer(traffic));
    return kExitCheck;
  }

 private:
  ConfigArguments arguments_;
  FormatOption format_;
  ForceOption force_;
  TrafficArguments traffic_;
  ReplayRequest request_;
  std::optional<std::string> output_;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> make_replay_command(CLI::App& app) { return std::make_unique<ReplayCommand>(app); }

}  // namespace kvcast::cli
