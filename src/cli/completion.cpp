// kvcast completion: shell completion scripts, made from the parser's own options.
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

std::vector<std::string> words_of(const Choices& choices) {
  std::vector<std::string> words = choices.values;
  if (choices.presets) {
    for (const std::string& name : preset_names()) words.push_back(name);
  }
  return words;
}
std::vector<std::string> names_of_commands(const std::vector<CommandInfo>& commands) {
  std::vector<std::string> names;
  for (const CommandInfo& command : commands) names.push_back(command.name);
  return names;
}

/// The commands of bash that complete a word; ":" where nothing can be offered.
std::string bash_calls(const Choices& choices) {
  std::vector<std::string> calls;
  if (const std::vector<std::string> words = words_of(choices); !words.empty()) {
    calls.push_back((choices.list ? "_kvcast_list " : "_kvcast_words ") + joined(words, " "));
  }
  if (choices.files) calls.emplace_back("_kvcast_paths -f");
  if (choices.folders) calls.emplace_back("_kvcast_paths -d");
  return calls.empty() ? ":" : joined(calls, "; ");
}

/// Adds the cases of a command and of its subcommands, with keys such as "presets show".
void add_bash_cases(const CommandInfo& command, const std::string& key, std::string& values, std::string& words) {
  std::vector<std::string> flags;
  for (const OptionInfo& option : command.options) {
    flags.insert(flags.end(), option.names.begin(), option.names.end());
    if (option.value.empty()) continue;
    std::vector<std::string> patterns;
    for (const std::string& name : option.names) patterns.push_back("'" + key + " " + name + "'");
    values += "    " + joined(patterns, "|") + ") " + bash_calls(option.choices) + "; return ;;\n";
  }
  Choices choices = command.choices;
  for (const CommandInfo& inner : command.commands) {
    choices.values.push_back(inner.name);
    add_bash_cases(inner, key + " " + inner.name, values, words);
  }
  words += "    '" + key + " -') _kvcast_words " + joined(flags, " ") + " ;;\n";
  words += "    '" + key + " ') " + bash_calls(choices) + " ;;\n";
}

std::string bash_script(const std::vector<CommandInfo>& commands) {
  std::string values, words, inner;
  for (const CommandInfo& command : commands) {
    add_bash_cases(command, command.name, values, words);
    for (const CommandInfo& one : command.commands) {
      inner += (inner.empty() ? "" : "|") + ("'" + command.name + " " + one.name + "'");
    }
  }
  return "# bash completion of kvcast, made by: kvcast completion bash\n"
         "# The functions below add to COMPREPLY what may stand where $cur does.\n"
         "_kvcast_words() {\n"
         "  mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -W \"$*\" -- \"$cur\")\n"
         "  [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2> /dev/null\n"
         "}\n"
         "_kvcast_paths() {\n"
         "  compopt -o filenames 2> /dev/null\n"
         "  mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n"
         "}\n"
         "# Items of a list with commas, each once.\n"
         "_kvcast_list() {\n"
         "  local done='' value\n"
         "  [[ $cur == *,* ]] && done=${cur%,*},\n"
         "  for value in \"$@\"; do\n"
         "    [[ ,$done == *,$value,* || $value != \"${cur##*,}\"* ]] || COMPREPLY+=(\"$done$value\")\n"
         "  done\n"
         "  compopt -o nospace 2> /dev/null\n"
         "}\n"
         "_kvcast() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} assigns=''\n"
         "  COMPREPLY=()\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    _kvcast_words " +
         joined(names_of_commands(commands), " ") +
         " --help --version\n"
         "    return\n"
         "  fi\n"
         "  # bash cuts --option=value into three words.\n"
         "  if [[ $cur == = ]]; then\n"
         "    assigns=yes cur=''\n"
         "  elif [[ $prev == = ]]; then\n"
         "    assigns=yes prev=${COMP_WORDS[COMP_CWORD-2]}\n"
         "  fi\n"
         "  if [ \"$COMP_CWORD\" -gt 2 ]; then\n"
         "    case \"$command ${COMP_WORDS[2]}\" in\n"
         "      " +
         inner +
         ") command+=\" ${COMP_WORDS[2]}\" ;;\n"
         "    esac\n"
         "  fi\n"
         "  case \"$command $prev\" in\n" +
         values +
         "  esac\n"
         "  [ -z \"$assigns\" ] || return 0\n"
         "  local kind=''\n"
         "  [[ $cur != -* ]] || kind=-\n"
         "  case \"$command $kind\" in\n" +
         words +
         "  esac\n"
         "}\n"
         "complete -F _kvcast kvcast\n";
}

/// The action of _arguments that completes a word; a space where nothing can be offered.
std::string zsh_action(const Choices& choices) {
  const std::vector<std::string> words = words_of(choices);
  const std::string path = choices.folders ? "_files -/" : choices.files ? "_files" : "";
  if (words.empty()) return path.empty() ? " " : path;
  if (choices.list) return "_values -s , item " + joined(words, " ");
  const std::string list = "(" + joined(words, " ") + ")";
  if (words.front().ends_with('=')) return "compadd -S \"\" - " + joined(words, " ");
  return path.empty() ? list : "{_alternative \"names:name:" + list + "\" \"files:file:" + path + "\"}";
}

std::string zsh_script(const std::vector<CommandInfo>& commands) {
  const auto doc = [](const std::string& text) { return escaped(text, "\\[]:", "\\"); };
  std::string names, cases;
  for (const CommandInfo& command : commands) {
    names += "    " + shell_quoted(command.name + ":" + escaped(command.doc, "\\:", "\\")) + "\n";
    std::vector<std::string> specs;
    for (const OptionInfo& option : command.options) {
      for (const std::string& name : option.names) {
        std::string spec = name;
        if (!option.value.empty()) spec += name.starts_with("--") ? "=" : "+";
        spec += "[" + doc(option.doc) + "]";
        if (!option.value.empty()) spec += ":" + doc(option.value) + ":" + zsh_action(option.choices);
        specs.push_back(shell_quoted(spec));
      }
    }
    Choices rest = command.choices;
    for (const CommandInfo& inner : command.commands) {
      specs.push_back(shell_quoted("1:command:(" + joined(names_of_commands(command.commands), " ") + ")"));
      rest = inner.choices;
    }
    if (command.takes_words || !command.commands.empty()) specs.push_back(shell_quoted("*: :" + zsh_action(rest)));
    cases += "    " + command.name + ")\n      _arguments \\\n        " + joined(specs, " \\\n        ") + " ;;\n";
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
         "if [ \"$funcstack[1]\" = _kvcast ]; then _kvcast \"$@\"; else compdef _kvcast kvcast; fi\n";
}

std::string fish_quoted(const std::string& text) { return "'" + escaped(text, "\\'", "\\") + "'"; }

/// The arguments of `complete` that offer these words, and files where a path is taken.
std::string fish_offer(const Choices& choices) {
  const std::vector<std::string> words = words_of(choices);
  std::string offer = choices.files ? " -F" : " -f";
  std::string list = joined(words, " ");
  if (choices.list) list = "(__kvcast_list " + list + ")";
  if (choices.folders) list += "(__fish_complete_directories (commandline -ct))";
  return list.empty() ? offer : offer + " -a " + fish_quoted(list);
}

void add_fish_lines(const CommandInfo& command, const std::string& condition, std::string& text) {
  const std::string when = "complete -c kvcast -n " + fish_quoted(condition);
  if (command.takes_words) text += when + fish_offer(command.choices) + "\n";
  for (const OptionInfo& option : command.options) {
    text += when;
    for (const std::string& name : option.names) {
      text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    }
    if (!option.value.empty()) text += " -r" + fish_offer(option.choices);
    text += " -d " + fish_quoted(option.doc) + "\n";
  }
  for (const CommandInfo& inner : command.commands) {
    text += when + " -f -a " + inner.name + " -d " + fish_quoted(inner.doc) + "\n";
    add_fish_lines(inner, condition + "; and __fish_seen_subcommand_from " + inner.name, text);
  }
}

std::string fish_script(const std::vector<CommandInfo>& commands) {
  std::string text =
      "# fish completion of kvcast, made by: kvcast completion fish\n"
      "# Items of a list with commas, each once.\n"
      "function __kvcast_list\n"
      "  set -l items (string split , -- (commandline -ct | string replace -r '^--?[^=]*=' ''))\n"
      "  set -e items[-1]\n"
      "  for value in $argv\n"
      "    contains -- $value $items; or string join , -- $items $value\n"
      "  end\n"
      "end\n"
      "complete -c kvcast -f\n";
  for (const CommandInfo& command : commands) {
    text +=
        "complete -c kvcast -f -n __fish_use_subcommand -a " + command.name + " -d " + fish_quoted(command.doc) + "\n";
    add_fish_lines(command, "__fish_seen_subcommand_from " + command.name, text);
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

std::vector<std::string> completion_shells() { return {"bash", "zsh", "fish"}; }

std::string completion_script(const std::vector<CommandInfo>& commands, const std::string& shell) {
  if (shell == "bash") return bash_script(commands);
  if (shell == "zsh") return zsh_script(commands);
  if (shell == "fish") return fish_script(commands);
  throw ConfigError("completion", "'" + shell + "' is not a supported shell", "bash, zsh or fish");
}

std::unique_ptr<Command> make_completion_command(CLI::App& app) { return std::make_unique<CompletionCommand>(app); }

}  // namespace kvcast::cli
