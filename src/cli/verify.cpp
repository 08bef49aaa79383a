// kvcast verify: how far the schemes are from float64 and from naive.
#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common.h"
#include "kvcast/words.h"

namespace kvcast::cli {
namespace {

class VerifyCommand : public Command {
 public:
  explicit VerifyCommand(CLI::App& app)
      : Command(app.add_subcommand("verify", "Check that every scheme computes the same as float64 and as naive")),
        format_(*app_, {"table", "json"}) {
    app_->add_option("--export", export_file_, "Write weights, inputs and outputs to a safetensors file")
        ->type_name("FILE");
    app_->add_flag("-q,--quiet", quiet_, "No progress on stderr");
    // verify compares all schemes on its own choice of candidates and times nothing.
    arguments_.attach(*app_, {"model.head_width", "model.head_layers", "run.candidates", "run.schemes", "run.cached",
                              "run.micro_batch", "run.workers", "run.cpus", "sweep.workers", "sweep.threads",
                              "measure.budget", "measure.precision", "measure.profile", "measure.cold", "measure.pin"});
    app_->footer(
        "Exit 4 when a scheme disagrees, or when the mask rules out sharing (with the error it would cause).\n"
        "Examples:\n"
        "  kvcast verify smoke --export case.safetensors\n"
        "  kvcast verify smoke --mask bidirectional");
  }

  int execute() override {
    format_.check();
    if (export_file_ && export_file_->empty()) throw ConfigError("--export", "the file has no name", "");
    const Config config = arguments_.load(host_limits());
    if (const std::size_t shapes = grid(config).size(); shapes > 1) {
      throw ConfigError("verify", fmt::format("the config is a grid of {} shapes", shapes),
                        "one shape at a time: one value each for -L and --layers");
    }
    select_isa(config.run.isa);
    if (!quiet_) write_ignored_variables();
    Progress progress(quiet_);
    const VerifyResult result = verify(config, export_file_.value_or(""), progress.observer());
    progress.finish();

    write_stdout(render(result, format_.name(), has_colour(Stream::out), format_.details()));
    if (export_file_ && !quiet_) write_paths({*export_file_});
    // The table shows them itself.
    if (format_.name() == "json" && !quiet_) write_warnings(result.warnings);
    if (result.stale) {
      print_error(fmt::format("check failed: mask '{}' cannot share the history", result.shape.mask));
      return kExitCheck;
    }
    if (!result.equivalence.agrees) {
      print_error("check failed: outputs differ: " + disagreement(result.equivalence));
      return kExitCheck;
    }
    if (const std::string failure = disagreement(result.stored, result.warnings); !failure.empty()) {
      print_error("check failed: " + failure);
      return kExitCheck;
    }
    return kExitOk;
  }

 private:
  ConfigArguments arguments_;
  FormatOption format_;
  std::optional<std::string> export_file_;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> make_verify_command(CLI::App& app) { return std::make_unique<VerifyCommand>(app); }

}  // namespace kvcast::cli
