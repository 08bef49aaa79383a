// The command line as data, read off the parser: the source of completions, the man page and suggestions.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace kvcast::cli {

/// What a word of the command line may be. Completion offers `values`, then presets, files or folders.
struct Choices {
  std::vector<std::string> values;
  bool list = false;  ///< several of `values`, with commas between
  bool presets = false, files = false, folders = false;
};
struct OptionInfo {
  std::vector<std::string> names;  ///< "-N", "--candidates"
  std::string value;               ///< "LIST"; empty for a flag
  std::string doc;
  Choices choices;  ///< of the value
};
struct CommandInfo {
  std::string name, doc, footer;
  bool takes_words = false;  ///< has positionals
  Choices choices;           ///< of every positional
  std::vector<OptionInfo> options;
  std::vector<CommandInfo> commands;  ///< "show" of "presets"
};

/// Every subcommand in the order of help.
std::vector<CommandInfo> command_line(const CLI::App& app);
/// The long flags of a command, such as "--budget".
std::vector<std::string> flags_of(const CLI::App& command);

/// The shells with a completion script: "bash", "zsh", "fish".
std::vector<std::string> completion_shells();
/// The completion script for one of them. Errors: ConfigError for another shell.
std::string completion_script(const std::vector<CommandInfo>& commands, const std::string& shell);
/// The manual in roff, section 1.
std::string man_page(const std::vector<CommandInfo>& commands, const std::string& version);

}  // namespace kvcast::cli
