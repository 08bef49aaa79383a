// kvcast completion: scripts that complete the command line, made from the parser's own options.
#include <memory>
#include <string>
#include <vector>

#include "command_line.h"
#include "common.h"

namespace kvcast::cli {
namespace {

std::string joined(const std::vector<std::string>& items, const std::string& separator) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : separator) + item;
  return text;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const PresetInfo& preset : presets()) names.push_back(preset.name);
  return names;
}

/// `text` with `escape` in front of every character of `special`.
std::string escaped(const std::string& text, const std::string& special, const std::string& escape) {
  std::string result;
  for (const char c : text) {
    if (special.find(c) != std::string::npos) result += escape;
    result += c;
  }
  return result;
}
/// Between single quotes of a shell.
std::string shell_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string bash_script(const std::vector<CommandInfo>& commands) {
  std::string names, values, flags;
  for (const CommandInfo& command : commands) {
    names += (names.empty() ? "" : " ") + command.name;
    std::vector<std::string> own;
    for (const OptionInfo& option : command.options) {
      own.insert(own.end(), option.names.begin(), option.names.end());
      if (option.values.empty()) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names) patterns.push_back(command.name + "\\ " + name);
      values += "    " + joined(patterns, "|") + ") COMPREPLY=($(compgen -W " +
                shell_quoted(joined(option.values, " ")) + " -- \"$cur\")); return ;;\n";
    }
    flags += "    " + command.name + ") flags=" + shell_quoted(joined(own, " ")) +
             "; presets=" + shell_quoted(command.takes_preset ? joined(preset_names(), " ") : "") + " ;;\n";
  }
  return "# bash completion of kvcast, made by: kvcast completion bash\n"
         "_kvcast() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} flags "
         "presets\n"
         "  COMPREPLY=()\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W " +
         shell_quoted(names + " --help --version") +
         " -- \"$cur\"))\n"
         "    return\n"
         "  fi\n"
         "  case \"$command $prev\" in\n" +
         values +
         "  esac\n"
         "  case \"$command\" in\n" +
         flags +
         "  esac\n"
         "  case \"$cur\" in\n"
         "    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")) ;;\n"
         "    *) COMPREPLY=($(compgen -W \"$presets\" -- \"$cur\") $(compgen -f -- \"$cur\")) ;;\n"
         "  esac\n"
         "}\n"
         "complete -o filenames -F _kvcast kvcast\n";
}

std::string zsh_script(const std::vector<CommandInfo>& commands) {
  const auto doc = [](const std::string& text) { return escaped(text, "\\[]:", "\\"); };
  std::string names, cases;
  for (const CommandInfo& command : commands) {
    names += "    " + shell_quoted(command.name + ":" + escaped(command.doc, "\\:", "\\")) + "\n";
    cases += "    " + command.name + ")\n      _arguments \\\n";
    for (const OptionInfo& option : command.options) {
      for (const std::string& name : option.names) {
        std::string spec = name + "[" + doc(option.doc) + "]";
        if (!option.value.empty()) spec += ":" + doc(option.value) + ":";
        if (!option.values.empty()) spec += "(" + joined(option.values, " ") + ")";
        if (option.value == "DIR") spec += "_files -/";
        cases += "        " + shell_quoted(spec) + " \\\n";
      }
    }
    const std::string rest = command.takes_preset ? "*: :{_alternative \"presets:preset:(" +
                                                        joined(preset_names(), " ") + ")\" \"files:file:_files\"}"
                                                  : "*: :_files";
    cases += "        " + shell_quoted(rest) + " ;;\n";
  }
  return "#compdef kvcast\n# zsh completion of kvcast, made by: kvcast completion zsh\n"
         "_kvcast() {\n"
         "  local -a commands\n"
         "  commands=(\n" +
         names +
         "  )\n"
         "  if (( CURRENT == 2 )); then\n"
         "    _describe command commands\n"
         "    return\n"
         "  fi\n"
         "  local command=$words[2]\n"
         "  (( CURRENT-- ))\n"
         "  shift words\n"
         "  case $command in\n" +
         cases +
         "  esac\n"
         "}\n"
         "_kvcast \"$@\"\n";
}

std::string fish_script(const std::vector<CommandInfo>& commands) {
  const auto fish_quoted = [](const std::string& text) { return "'" + escaped(text, "\\'", "\\") + "'"; };
  std::string text = "# fish completion of kvcast, made by: kvcast completion fish\n";
  for (const CommandInfo& command : commands) {
    text +=
        "complete -c kvcast -f -n __fish_use_subcommand -a " + command.name + " -d " + fish_quoted(command.doc) + "\n";
    const std::string when = "complete -c kvcast -n '__fish_seen_subcommand_from " + command.name + "'";
    if (command.takes_preset) text += when + " -a " + fish_quoted(joined(preset_names(), " ")) + "\n";
    for (const OptionInfo& option : command.options) {
      text += when;
      for (const std::string& name : option.names) {
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (!option.value.empty()) text += " -r";
      if (!option.values.empty()) text += " -f -a " + fish_quoted(joined(option.values, " "));
      text += " -d " + fish_quoted(option.doc) + "\n";
    }
  }
  return text;
}

class CompletionCommand : public Command {
 public:
  explicit CompletionCommand(CLI::App& app)
      : Command(app.add_subcommand("completion", "Print a shell completion script")), root_(app) {
    app_->add_option("SHELL", shell_, "bash, zsh or fish")->required()->option_text(" ");
    app_->footer(
        "Examples:\n"
        "  source <(kvcast completion bash)\n"
        "  kvcast completion fish > ~/.config/fish/completions/kvcast.fish");
  }
  int execute() override {
    write_stdout(completion_script(command_line(root_), shell_));
    return kExitOk;
  }

 private:
  const CLI::App& root_;
  std::string shell_;
};

}  // namespace

std::string completion_script(const std::vector<CommandInfo>& commands, const std::string& shell) {
  if (shell == "bash") return bash_script(commands);
  if (shell == "zsh") return zsh_script(commands);
  if (shell == "fish") return fish_script(commands);
  throw ConfigError("completion", "'" + shell + "' is not a supported shell", "bash, zsh or fish");
}

std::unique_ptr<Command> make_completion_command(CLI::App& app) { return std::make_unique<CompletionCommand>(app); }

}  // namespace kvcast::cli
