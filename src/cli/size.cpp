// kvcast size: how many candidates fit the budgets, from timings or from r alone.
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common.h"

namespace kvcast::cli {
namespace {

class SizeCommand : public Command {
 public:
  explicit SizeCommand(CLI::App& app)
      : Command(app.add_subcommand("size", "How many candidates fit latency, memory and rate")),
        format_(*app_, format_names(sizing_formats())),
        force_(*app_) {
    app_->add_option("PATH", path_, "Folder, report.json, samples.csv, journal, your own CSV, or - (stdin)")
        ->option_text(" ");
    const auto text = [&](const std::string& flag, std::optional<std::string>& value, const char* type,
                          const char* doc) { app_->add_option(flag, value, doc)->type_name(type); };
    for (const BudgetInfo& one : sizing_budgets()) text(one.flag(), budgets_[&one], one.type, one.doc);
    app_->add_option("--workers", options_.workers, "Requests served at a time, each by the run's threads [1]")
        ->type_name("N");
    app_->add_option("--users-cached", options_.users_cached, "Users whose cache is kept between requests [0]")
        ->type_name("N");
    text("--min-improvement", min_improvement_, "PCT", "Also the smallest N worth it: 60 is 60% less time than naive");
    text("--drop", drop_, "PCT", "Throughput that naive costs the ranker: 40 [measured, with a head]");
    text("--target-drop", target_drop_, "PCT", "What it may cost with sharing: 6.8");
    text("--price-per-hour", price_, "X", "Of a machine: also the cost of a million requests");
    text("-N,--candidates", candidates_, "LIST", "N to show beside the answer");
    app_->add_flag("--extrapolate", options_.extrapolate, "Answer beyond 4 times the largest measured N too");
    text("-L,--history", history_, "L", "Of several shapes; between them by the surface [largest]");
    text("--layers", layers_, "M", "Likewise [largest]");
    app_->add_option("--scheme", options_.scheme, "Scheme that shares [shared]")->type_name("NAME");
    app_->add_option("--shape", options_.shape, "Shape of timings that do not tell it, or of --r")
        ->type_name("PRESET|FILE");
    text("--r", r_, "X", "Instead of PATH: cost of one more candidate over naive's");
    text("--naive-candidate", naive_candidate_, "TIME", "With --r: naive's mean time of one candidate");
    text("--tail", tail_, "X", "P99 over mean of the service time [that of the timings; 1, constant]");
    text("--columns", columns_, "MAP", "Of your own CSV: candidates=n,naive=full_ms,shared=cached_ms");
    text("-o,--output", output_, "DIR", "Folder for report.json, sizing.csv, sizing.md, ...");
    app_->add_flag("-q,--quiet", quiet_, "No names of written files, no warnings on stderr");
    app_->footer(
        "Exit 4 when no N meets the budgets; the answer says by how much and what would.\n"
        "Examples:\n"
        "  kvcast size out --p99 50ms --memory 8GiB --qps 200 --workers 4 --users-cached 10000\n"
        "  kvcast size mine.csv --p99 20ms --min-improvement 60 --format md\n"
        "  kvcast size --r 0.15 --drop 40");
  }

  int execute() override {
    format_.check();
    force_.check(output_, {path_});
    const Report report = size(path_, options());
    // Beside the table, too: it shows the sizing only.
    print_report(report, render_sizing(report, format_.name(), has_colour(Stream::out), format_.details()), false,
                 output_, quiet_);
    if (report.sizing->feasible) return kExitOk;
    print_error(sizing_answer(*report.sizing));
    return kExitCheck;
  }

 private:
  static std::int64_t one_value(const std::string& text, const char* flag) {
    const auto values = parse_list(text, flag);
    if (values.size() == 1) return values.front();
    throw ConfigError(flag, "'" + text + "' is a list", "one value: a sizing is of one shape");
  }

  SizingOptions options() const {
    SizingOptions options = options_;
    for (const auto& [one, typed] : budgets_) {
      if (typed) options.*one->limit = one->parse(*typed, one->flag());
    }
    if (min_improvement_) options.min_improvement = parse_percent(*min_improvement_, "--min-improvement");
    if (drop_) options.drop = parse_percent(*drop_, "--drop");
    if (target_drop_) options.target_drop = parse_percent(*target_drop_, "--target-drop");
    if (price_) options.price_per_hour = parse_number(*price_, "--price-per-hour");
    if (candidates_) options.candidates = parse_list(*candidates_, "--candidates");
    if (history_) options.history_length = one_value(*history_, "--history");
    if (layers_) options.layers = one_value(*layers_, "--layers");
    if (r_) options.r = parse_fraction(*r_, "--r");
    if (naive_candidate_) options.naive_candidate_s = parse_seconds(*naive_candidate_, "--naive-candidate");
    if (columns_) options.columns = parse_columns(*columns_, kTimingRoles, "--columns");
    if (tail_) options.tail = parse_tail(*tail_);
    return options;
  }

  FormatOption format_;
  ForceOption force_;
  SizingOptions options_;
  std::string path_;
  std::map<const BudgetInfo*, std::optional<std::string>> budgets_;
  std::optional<std::string> min_improvement_, drop_, target_drop_, price_, candidates_, history_, layers_, r_,
      naive_candidate_, tail_, columns_, output_;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> make_size_command(CLI::App& app) { return std::make_unique<SizeCommand>(app); }

}  // namespace kvcast::cli
