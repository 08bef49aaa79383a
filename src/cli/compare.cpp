// kvcast compare: what became slower from one run to another.
#include <memory>
#include <string>

#include "common.h"

namespace kvcast::cli {
namespace {

class CompareCommand : public Command {
 public:
  explicit CompareCommand(CLI::App& app)
      : Command(app.add_subcommand("compare", "Set a run against an earlier one; exit 4 when it is slower")),
        format_(*app_, {"table", "json", "csv", "md"}) {
    app_->add_option("A", a_, "Before: folder, report.json, samples.csv, or a CSV of your own")
        ->required()
        ->option_text(" ");
    app_->add_option("B", b_, "After; with --across it may be left out: within A")->option_text(" ");
    app_->add_option("--across", across_, "Points that differ in this alone: schemes, dtype, threads, L, shape")
        ->type_name("FIELD");
    threshold_option_ =
        app_->add_option("--threshold", threshold_, "How much slower is a regression [5%]")->type_name("X");
    app_->add_flag("--any-machine", any_machine_, "Compare although the machines differ");
    app_->footer(
        "A point is a regression when its time, with the CPU's clock taken out, or its speed-up is worse by\n"
        "more than the threshold and its 95% interval says that it is no chance. With --across nothing is.\n"
        "Examples:\n"
        "  kvcast compare before after\n"
        "  kvcast compare before after --threshold 2% --format csv\n"
        "  kvcast compare fp32 bf16 --across dtype\n"
        "  kvcast compare out --across schemes");
  }

  int execute() override {
    format_.check();
    CompareOptions options;
    options.threshold = parse_fraction(threshold_, "--threshold");
    options.any_machine = any_machine_;
    options.across = across_;
    if (across_.empty() && app_->count("--across") > 0)
      throw ConfigError("--across", "names no field", "such as --across dtype");
    if (!across_.empty() && threshold_option_->count() > 0) {
      throw ConfigError("--threshold", "nothing is a regression across " + across_, "one of the two");
    }
    const Comparison comparison = compare(a_, b_, options);
    write_stdout(render(comparison, format_.name(), has_colour(Stream::out), format_.details()));
    return comparison.regression ? kExitCheck : kExitOk;
  }

 private:
  FormatOption format_;
  CLI::Option* threshold_option_ = nullptr;
  std::string a_, b_, across_, threshold_ = "5%";
  bool any_machine_ = false;
};

}  // namespace

std::unique_ptr<Command> make_compare_command(CLI::App& app) { return std::make_unique<CompareCommand>(app); }

}  // namespace kvcast::cli
