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
        format_(*app_, {"table", "json", "csv"}) {
    app_->add_option("A", a_, "Before: folder, report.json, samples.csv, or a CSV of your own")
        ->required()
        ->option_text(" ");
    app_->add_option("B", b_, "After")->required()->option_text(" ");
    app_->add_option("--threshold", threshold_, "How much slower is a regression [5%]")->type_name("X");
    app_->add_flag("--any-machine", any_machine_, "Compare although the machines differ");
    app_->footer(
        "A point is a regression when its time, with the CPU's clock taken out, or its speed-up is worse by\n"
        "more than the threshold and its 95% interval says that it is no chance.\n"
        "Examples:\n"
        "  kvcast compare before after\n"
        "  kvcast compare before after --threshold 2% --format csv");
  }

  int execute() override {
    format_.check();
    CompareOptions options;
    options.threshold = parse_fraction(threshold_, "--threshold");
    options.any_machine = any_machine_;
    const Comparison comparison = compare(a_, b_, options);
    write_stdout(render(comparison, format_.name(), has_colour(Stream::out)));
    return comparison.regression ? kExitCheck : kExitOk;
  }

 private:
  FormatOption format_;
  std::string a_, b_, threshold_ = "5%";
  bool any_machine_ = false;
};

}  // namespace

std::unique_ptr<Command> make_compare_command(CLI::App& app) { return std::make_unique<CompareCommand>(app); }

}  // namespace kvcast::cli
