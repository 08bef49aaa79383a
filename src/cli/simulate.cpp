// kvcast simulate: the requests of a log on a fleet, in virtual time.
#include <memory>
#include <optional>
#include <string>

#include "kvcast/words.h"
#include "terminal.h"
#include "traffic_arguments.h"

namespace kvcast::cli {
namespace {

class SimulateCommand : public Command {
 public:
  explicit SimulateCommand(CLI::App& app)
      : Command(app.add_subcommand("simulate", "Latency, throughput and cache hits of a log on a fleet")),
        format_(*app_, format_names(traffic_formats())),
        force_(*app_) {
    app_->add_option("PATH", options_.report, "Timings: folder, report.json, samples.csv, your own CSV, or -")
        ->option_text(" ");
    traffic_.attach(*app_, true);
    const auto add = [&](const char* flag, auto& value, const char* type, const char* doc) {
      return app_->add_option(flag, value, doc)->type_name(type);
    };
    const auto more = [&](const char* flag, auto& value, const char* type, const char* doc) {
      add(flag, value, type, doc)->group(kMoreOptions);
    };
    add("--workers", options_.server.workers, "N", "Requests served at a time, each by the run's threads [1]");
    more("--order", order_, "NAME", "Who is served first: fifo, shortest [fifo]");
    add("--batch", options_.server.batch_max, "N", "Most requests that are served together [1]");
    more("--batch-window", batch_window_, "TIME", "A free worker waits this long for more of them [0]");
    add("--find", find_, "NAME", "What just meets --p99: qps, candidates, workers, cache [nothing]");
    more("--replications", options_.replications, "N", "Independent simulations, for the intervals [10]");
    more("--threads", options_.threads, "N", "That they run on; the numbers do not depend on it [all CPUs]");
    more("--scheme", options_.scheme, "NAME", "Scheme of PATH [shared]");
    more("--layers", options_.layers, "M", "Of several shapes in PATH [most]");
    more("--shape", options_.shape, "PRESET|FILE", "Shape of timings that do not tell it");
    add("--service", service_, "TIME", "Instead of PATH: every request takes this");
    add("--token-time", token_, "TIME", "And this per history token that is not cached");
    add("--candidate-time", candidate_, "TIME", "And this per candidate");
    add("--token-bytes", token_bytes_, "BYTES", "Keys and values of a token, with constant times");
    more("--tail", tail_, "X", "P99 over mean of the service time [that of the timings; 1, constant]");
    more("--write-trace", write_trace_, "FILE", "Also the requests themselves, as a trace");
    add("-o,--output", output_, "DIR", "Folder for report.json, traffic.csv, report.html, ...");
    app_->add_flag("--extrapolate", options_.extrapolate, "Also take N beyond 4 times the largest measured one");
    app_->add_flag("-q,--quiet", quiet_, "No names of written files on stderr");
    app_->footer(
        "Exit 4 when the workers fall behind, --p99 is not met, or --find finds nothing.\n"
        "Examples:\n"
        "  kvcast simulate out --trace log.csv --candidates 200 --workers 4 --cache 8GiB --p99 50ms\n"
        "  kvcast simulate out --qps 500 --history 300 --candidates 100 --p99 50ms --find workers\n"
        "  kvcast simulate --service 5ms --qps 150 --history 1 --candidates 1");
  }

  int execute() override {
    format_.check();
    force_.check(output_);
    if (output_ && output_->empty()) throw ConfigError("--output", "the folder has no name", "such as -o out");
    if (write_trace_ && write_trace_->empty()) throw ConfigError("--write-trace", "the file has no name", "log.csv");
    TrafficOptions options = options_;
    options.server.order = one_of<ServeOrder>("--order", order_);
    if (find_) options.find = one_of<FindTarget>("--find", *find_);
    options.workload = traffic_.workload();
    if (options.report == "-" && options.workload.trace == "-") {
      throw ConfigError("--trace", "standard input has the timings", "one of the two in a file");
    }
    options.columns = traffic_.timing_columns();
    options.cache = traffic_.cache();
    options.p99_s = traffic_.p99_s();
    options.warm_up = traffic_.warm_up();
    if (batch_window_) options.server.batch_window_s = parse_seconds(*batch_window_, "--batch-window");
    if (service_) options.service_s = parse_seconds(*service_, "--service");
    if (token_) options.token_s = parse_seconds(*token_, "--token-time");
    if (candidate_) options.candidate_s = parse_seconds(*candidate_, "--candidate-time");
    if (token_bytes_) options.token_bytes = static_cast<double>(parse_size(*token_bytes_, "--token-bytes"));
    if (tail_) options.tail = parse_tail(*tail_);
    Progress progress(quiet_);
    const Report report = simulate(options, progress.observer());
    if (write_trace_) write_trace(options.workload, *write_trace_, progress.observer());
    progress.finish();
    print_report(report, render_traffic(report, format_.name(), has_colour(Stream::out), format_.details()), false,
                 output_, quiet_);
    if (traffic_holds(*report.traffic)) return kExitOk;
    print_error(traffic_answer(*report.traffic));
    return kExitCheck;
  }

 private:
  FormatOption format_;
  ForceOption force_;
  TrafficArguments traffic_;
  TrafficOptions options_;
  std::string order_ = to_string(ServeOrder::fifo);
  std::optional<std::string> find_, batch_window_, service_, token_, candidate_, token_bytes_, tail_, write_trace_,
      output_;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> make_simulate_command(CLI::App& app) { return std::make_unique<SimulateCommand>(app); }

}  // namespace kvcast::cli
