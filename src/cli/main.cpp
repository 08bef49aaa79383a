// The program: parses the command line, runs one subcommand, maps every error to an exit code and one line.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "command_line.h"
#include "common.h"
#include "environment.h"
#include "kvcast/suggest.h"

namespace kvcast::cli {
namespace {

std::string version_text() {
  const ToolInfo tool = tool_info();
  std::string libraries;
  for (const auto& [name, version] : tool.dependencies) {
    libraries += fmt::format("{}{} {}", libraries.empty() ? "" : ", ", name, version);
  }
  return fmt::format("kvcast {} (commit {}, {}, {})\n{}", tool.version, tool.git_commit, tool.compiler, tool.build_type,
                     libraries);
}

// "kvcast run" for the subcommand that was being parsed.
std::string command_name(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return chosen.empty() ? "kvcast" : "kvcast " + chosen.back()->get_name();
}

// Hides the rarer options, to keep --help on one screen. Returns the line that points to them; empty when none is
// hidden.
std::string without_more_options(const CLI::App& app) {
  bool any = false;
  for (CLI::App* command : app.get_subcommands()) {
    const auto more = [](const CLI::Option* option) { return option->get_group() == kMoreOptions; };
    for (CLI::Option* option : command->get_options(more)) any = command->remove_option(option) || any;
  }
  return any ? fmt::format("\n{} --help-all lists the other options.\n", command_name(app)) : "";
}

// --help-all works everywhere; --help does not list it where both print the same.
void add_help_all(CLI::App& app) {
  if (app.get_help_all_ptr() == nullptr) app.set_help_all_flag("--help-all", "Print all options and exit")->group("");
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) add_help_all(*command);
}

// CLI11's message, improved: it reports a mistyped subcommand as missing, and suggests no correction for an unknown
// flag.
std::string problem_of(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  const std::vector<std::string> unread = chosen.empty() ? app.remaining() : chosen.back()->remaining(true);
  if (unread.empty()) return error.what();
  std::string word = unread.front();
  std::vector<std::string> names;
  if (chosen.empty()) {
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(command->get_name());
    }
  } else {
    names = flags_of(*chosen.back());
    word = word.substr(0, word.find('='));
  }
  const std::string problem =
      chosen.empty() ? fmt::format("'{}' is not a subcommand or flag", unread.front()) : std::string(error.what());
  const std::string suggestion = did_you_mean(word, names);
  return suggestion.empty() ? problem : fmt::format("{}; {}", problem, suggestion);
}

int parse_and_execute(int argc, char** argv) {
  CLI::App app("How much faster a transformer ranks N candidates that share one user's KV cache, and how many fit.",
               "kvcast");
  app.get_formatter()->column_width(31);
  app.set_version_flag("--version", version_text, "Version, build and libraries");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  kvcast run                      measure the preset `default`\n"
      "  kvcast run seed --budget 150s   measure a larger shape for 150 seconds\n"
      "  kvcast run --help               list the options of a subcommand");
  // The subcommands, in the order of help.
  std::vector<std::unique_ptr<Command>> commands;
  commands.push_back(make_run_command(app));
  commands.push_back(make_fit_command(app));
  commands.push_back(make_size_command(app));
  commands.push_back(make_simulate_command(app));
  commands.push_back(make_replay_command(app));
  commands.push_back(make_report_command(app));
  commands.push_back(make_compare_command(app));
  commands.push_back(make_merge_command(app));
  commands.push_back(make_verify_command(app));
  commands.push_back(make_presets_command(app));
  commands.push_back(make_info_command(app));
  commands.push_back(make_completion_command(app));
  commands.push_back(make_man_command(app));
  add_help_all(app);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help and --version
      std::ostringstream out, unused;
      const std::string more = error.get_name() == "CallForHelp" ? without_more_options(app) : "";
      app.exit(error, out, unused);
      write_stdout(out.str() + more);
      return kExitOk;
    }
    print_error(fmt::format("{}; see {} --help", problem_of(app, error), command_name(app)));
    return kExitUsage;
  }
  for (const auto& command : commands) {
    if (command->chosen()) return command->execute();
  }
  return kExitBug;
}

}  // namespace
}  // namespace kvcast::cli

int main(int argc, char** argv) {
  using namespace kvcast::cli;
  settle_environment();
  try {
    reserve_standard_streams();
    install_signal_handlers();
    return parse_and_execute(argc, argv);
  } catch (const kvcast::ConfigError& error) {
    print_error(error.what());
    return kExitUsage;
  } catch (const ClosedPipe&) {
    return kExitSignal + SIGPIPE;
  } catch (const kvcast::IoError& error) {
    print_error(error.what());
    return kExitIo;
  } catch (const kvcast::CheckError& error) {
    // Stopped before anything was measured: not a failed check.
    if (pending_signal() != 0) {
      print_error("interrupted");
      return kExitSignal + pending_signal();
    }
    print_error(error.what());
    return kExitCheck;
  } catch (const std::bad_alloc&) {
    print_error("out of memory: choose a smaller shape or -N, or set --max-memory to this process's limit");
    return kExitUsage;
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::resource_unavailable_try_again) {
      print_error(fmt::format("bug: {}", error.what()));
      return kExitBug;
    }
    print_error(
        "the system refuses to start more threads: lower --threads or --workers, or raise ulimit -u or the cgroup's "
        "pids.max");
    return kExitUsage;
  } catch (const std::exception& error) {
    print_error(fmt::format("bug: {}", error.what()));
  } catch (...) {
    print_error("bug: an unknown exception");
  }
  return kExitBug;
}
