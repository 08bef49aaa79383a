// kvcast man: the manual page, made from the parser's own options.
#include <fmt/format.h>

#include <cctype>
#include <memory>
#include <string>
#include <vector>

#include "command_line.h"
#include "common.h"

namespace kvcast::cli {
namespace {

/// Escaped for roff: hyphens and backslashes print as themselves, and no line is taken for a request.
std::string roff(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      if ((c == '.' || c == '\'') && (result.empty() || result.back() == '\n')) result += "\\&";
      result += c;
    }
  }
  return result;
}

std::string command_section(const CommandInfo& command) {
  std::string text = ".SS kvcast " + roff(command.name) + "\n" + roff(command.doc) + ".\n";
  for (const OptionInfo& option : command.options) {
    std::string names;
    for (const std::string& name : option.names) names += (names.empty() ? "" : ", ") + roff(name);
    text += ".TP\n\\fB" + names + "\\fR" + (option.value.empty() ? "" : " \\fI" + roff(option.value) + "\\fR") + "\n" +
            roff(option.doc) + "\n";
  }
  if (!command.footer.empty()) text += ".PP\n.nf\n" + roff(command.footer) + "\n.fi\n";
  return text;
}

class ManCommand : public Command {
 public:
  explicit ManCommand(CLI::App& app) : Command(app.add_subcommand("man", "Print the manual page")), root_(app) {
    app_->footer(
        "Examples:\n"
        "  kvcast man | man -l -");
  }
  int execute() override {
    write_stdout(man_page(command_line(root_), tool_info().version));
    return kExitOk;
  }

 private:
  const CLI::App& root_;
};

}  // namespace

std::string man_page(const std::vector<CommandInfo>& commands, const std::string& version) {
  std::string text = fmt::format(".TH KVCAST 1 \"\" \"kvcast {}\" \"User Commands\"\n", roff(version));
  text +=
      ".SH NAME\nkvcast \\- how many candidates fit when they share one user's KV cache\n"
      ".SH SYNOPSIS\n\\fBkvcast\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n"
      ".SH DESCRIPTION\n"
      "Measures on this CPU how much faster a transformer ranks N candidates that share one user's KV cache, and "
      "answers how many fit a latency, memory and rate budget.\n"
      ".SH COMMANDS\n";
  for (const CommandInfo& command : commands) text += command_section(command);
  text +=
      ".SH EXIT STATUS\n"
      ".TP\n0\nok\n.TP\n2\nbad usage or configuration\n.TP\n3\ninput or output failed\n"
      ".TP\n4\na check failed, a run got slower, or no N meets the budgets\n.TP\n70\na bug\n"
      ".TP\n128+n\nstopped by signal n; finished rounds are saved\n"
      ".SH ENVIRONMENT\n.TP\nNO_COLOR\nset and not empty: no colours; output that is not a terminal never has any\n";
  return text;
}

std::unique_ptr<Command> make_man_command(CLI::App& app) { return std::make_unique<ManCommand>(app); }

}  // namespace kvcast::cli
