// The command line as data, read off the parser itself: what completions, the man page and suggestions are made of.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace kvcast::cli {

struct OptionInfo {
  std::vector<std::string> names;  ///< "-N", "--candidates"
  std::string value;               ///< "LIST"; empty for a flag
  std::string doc;
  std::vector<std::string> values;  ///< what the value may be, where that is a short list
};
struct CommandInfo {
  std::string name, doc, footer;
  std::string positional;  ///< "PATH"; empty when there is none
  bool takes_preset = false;
  std::vector<OptionInfo> options;
};

/// Every subcommand in the order of help.
std::vector<CommandInfo> command_line(const CLI::App& app);
/// "--budget" of every option of one of them.
std::vector<std::string> flags_of(const CLI::App& command);

/// Scripts for a shell, "bash", "zsh" or "fish". Errors: ConfigError when there is no such shell.
std::string completion_script(const std::vector<CommandInfo>& commands, const std::string& shell);
/// The manual in roff, section 1.
std::string man_page(const std::vector<CommandInfo>& commands, const std::string& version);

}  // namespace kvcast::cli
