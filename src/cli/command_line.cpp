#include "command_line.h"

#include <algorithm>
#include <map>

#include "kvcast/kvcast.h"

namespace kvcast::cli {
namespace {

/// The names of "On stdout: table, json, csv [table]": those between `before` and the bracket of the default.
std::vector<std::string> listed(const std::string& doc, const std::string& before) {
  if (!doc.starts_with(before)) return {};
  std::vector<std::string> names = {""};
  for (const char c : doc.substr(before.size(), doc.find(" [") - before.size())) {
    if (c == ',') {
      names.emplace_back();
    } else if (c != ' ') {
      names.back() += c;
    }
  }
  return names;
}

/// By flag, the values that the lists of the library allow, or the usual ones.
std::map<std::string, Choices> known_choices() {
  std::map<std::string, Choices> known;
  std::vector<std::string> paths;
  for (const FieldInfo& field : config_fields()) {
    paths.push_back(field.path + "=");
    const std::size_t dash = field.flags.find("--");
    if (dash == std::string::npos) continue;
    known[field.flags.substr(dash)].values = field.choices;
    known[field.flags.substr(dash)].list = field.type == "text list";
  }
  known["--set"].values = std::move(paths);
  known["--isa"].values = isa_names();
  known["--isa"].values.insert(known["--isa"].values.begin(), "auto");
  for (const SchemeInfo& scheme : schemes()) known["--scheme"].values.push_back(scheme.name);
  known["--budget"].values = {"20s", "1min", "5min", "30min"};
  known["--order"].values = names_of<ServeOrder>();
  known["--find"].values = names_of<FindTarget>();
  known["--policy"].values = cache_policies();
  known["--timestamps"].values = timestamp_units();
  known["--spread-timestamps"].values = timestamp_spreads();
  known["--across"].values = across_fields();
  return known;
}

/// By the name of the value, as help shows it: "PRESET|FILE", "DIR".
Choices named_choices(const std::string& value) {
  Choices choices;
  choices.presets = value == "PRESET" || value == "PRESET|FILE";
  choices.folders = value == "DIR";
  choices.files = value == "FILE" || value == "PRESET|FILE" || value == "PATH" || value == "A" || value == "B";
  if (value == "SHELL") choices.values = completion_shells();
  return choices;
}

OptionInfo option_info(const CLI::Option& option, const std::map<std::string, Choices>& known) {
  OptionInfo info;
  for (const std::string& name : option.get_snames()) info.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) info.names.push_back("--" + name);
  info.doc = option.get_description();
  std::replace(info.doc.begin(), info.doc.end(), '\n', ' ');
  if (option.get_items_expected_max() == 0) return info;
  info.value = option.get_type_name();
  info.choices = named_choices(info.value);
  for (const std::string& name : info.names) {
    if (const auto found = known.find(name); found != known.end()) {
      info.choices.values = found->second.values;
      info.choices.list = found->second.list;
    }
    if (name == "--format") info.choices.values = listed(info.doc, "On stdout: ");
    if (name == "--to") {
      info.choices.values = listed(info.doc, "Formats: ");
      info.choices.list = true;
    }
  }
  return info;
}

CommandInfo command_info(const CLI::App& command, const std::map<std::string, Choices>& known) {
  CommandInfo info;
  info.name = command.get_name();
  info.doc = command.get_description();
  info.footer = command.get_footer();
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) {
      info.options.push_back(option_info(*option, known));
      continue;
    }
    info.takes_words = true;
    const Choices choices = named_choices(option->get_name(true));
    if (!choices.values.empty()) info.choices.values = choices.values;
    info.choices.presets = info.choices.presets || choices.presets;
    info.choices.files = info.choices.files || choices.files;
    info.choices.folders = info.choices.folders || choices.folders;
  }
  for (const CLI::App* inner : command.get_subcommands([](const CLI::App*) { return true; })) {
    info.commands.push_back(command_info(*inner, known));
  }
  return info;
}

}  // namespace

std::vector<CommandInfo> command_line(const CLI::App& app) { return command_info(app, known_choices()).commands; }

std::vector<std::string> flags_of(const CLI::App& command) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

}  // namespace kvcast::cli
