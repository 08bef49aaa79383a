// kvcast fit: fit and predict from timings that are there already.
#include <memory>
#include <optional>
#include <string>

#include "common.h"

namespace kvcast::cli {
namespace {

class FitCommand : public Command {
 public:
  explicit FitCommand(CLI::App& app)
      : Command(app.add_subcommand("fit", "Fit r to timings of a file and predict, without measuring")),
        format_(*app_, format_names()),
        force_(*app_) {
    app_->add_option("PATH", path_, "Folder, report.json, samples.csv, journal, your own CSV, or - (stdin)")
        ->required()
        ->option_text(" ");
    app_->add_option("-N,--candidates", candidates_, "N to predict: 200,500 or 1-1024*2")->type_name("LIST");
    app_->add_option("-L,--history", history_, "Also predict at these L; needs a grid")->type_name("LIST");
    app_->add_option("--layers", layers_, "Also predict at these layers; needs a grid")->type_name("LIST");
    holdout_option_ = app_->add_option("--holdout", holdout_, "Leave this share of the grid's points out [0.25]")
                          ->type_name("X")
                          ->expected(0, 1);
    app_->add_flag("--extrapolate", extrapolate_, "Predict beyond 4 times the largest measured N too");
    app_->add_option("--seed", seed_, "Which points are left out [1]")->type_name("N");
    app_->add_option("--columns", columns_, "Of your own CSV: candidates=n,naive=full_ms,shared=cached_ms")
        ->type_name("MAP");
    app_->add_option("-o,--output", output_, "Folder for report.json, samples.csv, ...")->type_name("DIR");
    app_->add_flag("-q,--quiet", quiet_, "No names of written files on stderr");
    app_->footer(
        "A CSV of your own has the columns candidates, naive_seconds and shared_seconds, each row a round.\n"
        "Names tell other units: naive_ms, shared_us.\n"
        "Examples:\n"
        "  kvcast fit out -N 200,1000\n"
        "  kvcast fit mine.csv --format json\n"
        "  kvcast fit grid -L 128-2048*2 --layers 8 -N 100 --holdout 0.25");
  }

  int execute() override {
    format_.check();
    force_.check(output_, {path_});
    FitOptions options;
    if (candidates_) options.candidates = parse_list(*candidates_, "--candidates");
    if (history_) options.history_length = parse_list(*history_, "--history");
    if (layers_) options.layers = parse_list(*layers_, "--layers");
    if (holdout_option_->count() > 0) {
      options.holdout = holdout_.empty() ? kHoldout : parse_fraction(holdout_, "--holdout");
    }
    if (seed_ < 0) throw ConfigError("--seed", "'" + std::to_string(seed_) + "' is too small", "at least 0");
    options.seed = static_cast<std::uint64_t>(seed_);
    options.extrapolate = extrapolate_;
    if (columns_) options.columns = parse_columns(*columns_, kTimingRoles, "--columns");
    const Report report = fit(path_, options);
    print_report(report, render(report, format_.name(), has_colour(Stream::out), format_.details()),
                 format_.name() == "table", output_, quiet_);
    return exit_code(report);
  }

 private:
  static constexpr double kHoldout = 0.25;
  FormatOption format_;
  ForceOption force_;
  CLI::Option* holdout_option_ = nullptr;
  std::string path_, holdout_;
  std::optional<std::string> candidates_, history_, layers_, columns_, output_;
  std::int64_t seed_ = 1;
  bool quiet_ = false, extrapolate_ = false;
};

}  // namespace

std::unique_ptr<Command> make_fit_command(CLI::App& app) { return std::make_unique<FitCommand>(app); }

}  // namespace kvcast::cli
