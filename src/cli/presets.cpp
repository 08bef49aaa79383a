// kvcast presets: the shapes built into the binary.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "common.h"

namespace kvcast::cli {
namespace {

class PresetsCommand : public Command {
 public:
  explicit PresetsCommand(CLI::App& app) : Command(app.add_subcommand("presets", "List the built-in presets")) {
    show_ = app_->add_subcommand("show", "Print one preset as JSON");
    show_->add_option("PRESET", name_, "Preset name")->required()->option_text(" ");
    app_->footer(
        "Examples:\n"
        "  kvcast presets\n"
        "  kvcast presets show default > mine.json");
  }

  int execute() override {
    if (show_->parsed()) {
      write_stdout(find(name_).json);
      return kExitOk;
    }
    std::vector<std::vector<std::string>> rows;
    for (const PresetInfo& preset : presets()) rows.push_back({preset.name, preset.comment});
    write_stdout(text_table({"name", "source"}, rows, {true, true}));
    return kExitOk;
  }

 private:
  static const PresetInfo& find(const std::string& name) {
    std::string names;
    for (const PresetInfo& preset : presets()) {
      if (preset.name == name) return preset;
      names += (names.empty() ? "" : ", ") + preset.name;
    }
    throw ConfigError(fmt::format("'{}'", name), "unknown preset", "presets: " + names);
  }

  CLI::App* show_;
  std::string name_;
};

}  // namespace

std::unique_ptr<Command> make_presets_command(CLI::App& app) { return std::make_unique<PresetsCommand>(app); }

}  // namespace kvcast::cli
