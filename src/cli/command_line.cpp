#include "command_line.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "kvcast/kvcast.h"

namespace kvcast::cli {
namespace {

/// Names that stand between commas, each a word; empty where the text is a sentence.
std::vector<std::string> listed(const std::string& text) {
  std::vector<std::string> names;
  std::string name;
  const auto word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.'; };
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] != ',') {
      name += text[i];
      continue;
    }
    name.erase(0, name.find_first_not_of(' '));
    if (name.empty() || !std::all_of(name.begin(), name.end(), word)) return {};
    names.push_back(std::move(name));
    name.clear();
  }
  return names.size() > 1 ? names : std::vector<std::string>();
}

/// By flag, what its value may be, from the field table and the lists.
std::map<std::string, std::vector<std::string>> known_values() {
  std::map<std::string, std::vector<std::string>> known;
  for (const FieldInfo& field : config_fields()) {
    const std::size_t dash = field.flags.find("--");
    if (dash == std::string::npos || field.type != "text") continue;
    if (auto names = listed(field.allowed); !names.empty()) known[field.flags.substr(dash)] = std::move(names);
  }
  for (const SchemeInfo& scheme : schemes()) known["--schemes"].push_back(scheme.name);
  for (const SchemeInfo& scheme : schemes()) known["--scheme"].push_back(scheme.name);
  return known;
}

OptionInfo option_info(const CLI::Option& option, const std::map<std::string, std::vector<std::string>>& known) {
  OptionInfo info;
  for (const std::string& name : option.get_snames()) info.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) info.names.push_back("--" + name);
  if (option.get_items_expected_max() > 0) info.value = option.get_type_name();
  info.doc = option.get_description();
  for (const std::string& name : info.names) {
    if (const auto found = known.find(name); found != known.end()) info.values = found->second;
  }
  // "On stdout: table, json, csv [table]"
  const std::size_t colon = info.doc.find(": "), bracket = info.doc.find(" [");
  if (info.values.empty() && colon != std::string::npos && bracket != std::string::npos && bracket > colon) {
    info.values = listed(info.doc.substr(colon + 2, bracket - colon - 2));
  }
  return info;
}

}  // namespace

std::vector<CommandInfo> command_line(const CLI::App& app) {
  const auto known = known_values();
  std::vector<CommandInfo> commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    CommandInfo info;
    info.name = command->get_name();
    info.doc = command->get_description();
    info.footer = command->get_footer();
    for (const CLI::Option* option : command->get_options()) {
      if (option->get_positional()) {
        info.positional = option->get_name(true);
        info.takes_preset = info.positional.find("PRESET") != std::string::npos;
      } else {
        info.options.push_back(option_info(*option, known));
      }
    }
    commands.push_back(std::move(info));
  }
  return commands;
}

std::vector<std::string> flags_of(const CLI::App& command) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

}  // namespace kvcast::cli
