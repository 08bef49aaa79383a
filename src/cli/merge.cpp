// kvcast merge: one report of the parts of a grid.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common.h"

namespace kvcast::cli {
namespace {

class MergeCommand : public Command {
 public:
  explicit MergeCommand(CLI::App& app)
      : Command(app.add_subcommand("merge", "Join the folders of run --shard into one report")),
        format_(*app_, format_names()),
        force_(*app_) {
    app_->add_option("DIR", folders_, "Folders of all parts, in any order")->required()->option_text("...");
    app_->add_option("-o,--output", output_, "Folder for report.json, samples.csv, ...")->type_name("DIR");
    app_->add_flag("-q,--quiet", quiet_, "No names of written files on stderr");
    app_->footer(
        "Examples:\n"
        "  kvcast run grid.json --shard 1/2 -o part1      on one machine\n"
        "  kvcast run grid.json --shard 2/2 -o part2      on another\n"
        "  kvcast merge part1 part2 -o grid");
  }

  int execute() override {
    format_.check();
    force_.check(output_);
    const Report report = merge(folders_);
    print_report(report, render(report, format_.name(), has_colour(Stream::out), format_.details()),
                 format_.name() == "table", output_, quiet_);
    return kExitOk;
  }

 private:
  FormatOption format_;
  ForceOption force_;
  std::vector<std::string> folders_;
  std::optional<std::string> output_;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> make_merge_command(CLI::App& app) { return std::make_unique<MergeCommand>(app); }

}  // namespace kvcast::cli
