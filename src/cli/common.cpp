#include "common.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <utility>

#include "environment.h"
#include "kvcast/temporary.h"
#include "kvcast/words.h"

namespace kvcast::cli {
namespace {

// How help shows the value of a field.
std::string value_name(const std::string& type) {
  if (type == "int") return "N";
  if (type == "int list" || type == "text list") return "LIST";
  if (type == "time") return "TIME";
  if (type == "bytes") return "SIZE";
  if (type == "number") return "X";
  return "NAME";
}

std::string join(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ", ") + item;
  return out;
}

bool write_all(std::FILE* stream, std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stream) == text.size() && std::fflush(stream) == 0;
}

}  // namespace

void ConfigArguments::attach(CLI::App& app, std::vector<std::string> unused) {
  command_ = app.get_name();
  unused_ = std::move(unused);
  app.set_help_all_flag("--help-all", "Print all options and exit");
  app.add_option("PRESET|FILE", source_, "Preset name or config file [default]")->option_text(" ");
  app.add_option(
         "--set",
         [this](const CLI::results_t& results) {
           assignments_.push_back(parse_set(results.back()));
           return true;
         },
         "Any config field, as in --set model.dim=512")
      ->type_name("PATH=VALUE")
      ->trigger_on_parse();
  for (const FieldInfo& field : config_fields()) {
    if (field.flags.empty() || is_unused(field.path)) continue;
    CLI::Option* option = add_field_option(app, field);
    if (field.advanced) option->group(kMoreOptions);
  }
}

bool ConfigArguments::is_unused(const std::string& path) const {
  return std::find(unused_.begin(), unused_.end(), path) != unused_.end();
}

void ConfigArguments::attach_field(CLI::App& app, const std::string& path) {
  for (const FieldInfo& field : config_fields()) {
    if (field.path == path) add_field_option(app, field);
  }
}

CLI::Option* ConfigArguments::add_field_option(CLI::App& app, const FieldInfo& field) {
  const std::string name = field.flags.substr(field.flags.rfind(',') + 1);
  // trigger_on_parse calls back at every occurrence, which keeps the order of the command line.
  if (field.type == "bool") {
    const std::string value = name.starts_with("--no-") ? "false" : "true";
    const std::string doc = value == "false" ? "Turn off: " + field.doc : field.doc;
    return app
        .add_flag_function(
            field.flags,
            [this, path = field.path, value, name](std::int64_t) {
              assignments_.push_back({path, value, name});
            },
            doc)
        ->disable_flag_override()
        ->trigger_on_parse();
  }
  // The few texts have their choices in the help; a long list goes on a line of its own.
  const bool short_list = field.allowed.size() < 40;
  const std::string choices = field.type != "text" ? "" : (short_list ? ": " : ":\n") + field.allowed;
  return app
      .add_option(
          field.flags,
          [this, path = field.path, name](const CLI::results_t& results) {
            assignments_.push_back({path, results.back(), name});
            return true;
          },
          fmt::format("{}{} [{}]", field.doc, choices, field.default_value))
      ->type_name(value_name(field.type))
      ->trigger_on_parse();
}

Config ConfigArguments::load(const HostLimits& host) const {
  for (const Assignment& assignment : assignments_) {
    if (is_unused(assignment.path)) {
      throw ConfigError(assignment.origin, fmt::format("{} does not use it", command_), "");
    }
  }
  // A file of weights brings its own shape where nothing else does.
  for (auto last = assignments_.rbegin(); last != assignments_.rend(); ++last) {
    if (last->path != "model.import" || last->value.empty()) continue;
    std::int64_t heads = ModelConfig{}.heads;
    for (const Assignment& assignment : assignments_) {
      const std::string& text = assignment.value;
      if (assignment.path == "model.heads") std::from_chars(text.data(), text.data() + text.size(), heads);
    }
    // Also beside a preset: a broken file shows at once.
    const std::string brought = imported_config(last->value, heads);
    if (!source_) return parse_config(brought, last->value, assignments_, host);
    break;
  }
  return load_config(source_.value_or("default"), assignments_, host);
}

void ConfigArguments::refuse_unless_like(const Config& begun, const std::string& folder, const HostLimits& host) const {
  if (!source_ && assignments_.empty()) return;
  // Without PRESET|FILE only what is named counts.
  const Config wanted = source_ ? load(host) : parse_config(config_to_json(begun), folder, assignments_, host);
  const std::vector<ConfigDifference> differences = config_differences(begun, wanted);
  if (differences.empty()) return;
  const auto& [path, in_begun, in_wanted] = differences.front();
  const std::string name = path.substr(path.rfind('.') + 1);
  throw ConfigError(
      "--resume " + folder,
      fmt::format("was begun with \"{}\": {}, the command line says \"{}\": {}", name, in_begun, name, in_wanted),
      "leave the config out: --resume takes that of the folder");
}

FormatOption::FormatOption(CLI::App& app, std::vector<std::string> names) : names_(std::move(names)) {
  app.add_option("--format", name_, fmt::format("On stdout: {} [table]", join(names_)))->type_name("NAME");
  app.add_flag("--details", details_, "Show everything, not only what answers first");
}

void FormatOption::check() const {
  if (details_ && name_ != "table") {
    throw ConfigError("--details", "'" + one_line(name_) + "' leaves nothing out", "only with --format table");
  }
  if (std::find(names_.begin(), names_.end(), name_) != names_.end()) return;
  throw ConfigError("--format", fmt::format("'{}' is unknown", name_), "allowed: " + join(names_));
}

ForceOption::ForceOption(CLI::App& app) {
  app.add_flag("--force", force_, "Write to a folder that holds a finished result");
}

void ForceOption::check(const std::optional<std::string>& folder, const std::vector<std::string>& sources) const {
  namespace fs = std::filesystem;
  if (force_ || !folder) return;
  std::error_code ignored;
  // An unfinished run is refused by its journal, which --resume needs.
  if (!fs::exists(fs::path(*folder) / "report.json", ignored) ||
      fs::exists(fs::path(*folder) / "journal.jsonl", ignored)) {
    return;
  }
  const auto is_source = [&](const std::string& source) {
    const fs::path path(source);
    if (fs::is_directory(path, ignored)) return fs::equivalent(path, *folder, ignored);
    const fs::path own = path.has_parent_path() ? path.parent_path() : fs::path(".");
    const bool of_result = path.filename() == "report.json" || path.filename() == "samples.csv";
    return of_result && fs::equivalent(own, *folder, ignored);
  };
  if (std::any_of(sources.begin(), sources.end(), is_source)) return;
  throw ConfigError("--output", "'" + *folder + "' holds a finished result, report.json",
                    "another folder, or --force to write over it");
}

std::vector<std::string> format_names(const std::vector<FormatInfo>& infos) {
  std::vector<std::string> names;
  for (const FormatInfo& info : infos) names.push_back(info.name);
  return names;
}

OutputFolder::OutputFolder(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::path prefix;
  // Level by level, to know which ones were not there before.
  for (const fs::path& part : fs::path(path)) {
    prefix /= part;
    const bool made = fs::create_directory(prefix, error);
    if (error) throw IoError(path, "cannot be made a folder: " + error.message());
    if (!made) continue;
    created_.push_back(prefix.string());
    temporary_.push_back(temporary_folder(prefix.string()));
  }
  if (::access(path.c_str(), W_OK | X_OK) != 0) throw IoError(path, std::strerror(errno));
}

OutputFolder::~OutputFolder() {
  // One that is not empty stays, and so does a file that somebody put in the folder's place.
  for (auto folder = created_.rbegin(); folder != created_.rend(); ++folder) ::rmdir(folder->c_str());
}

void write_stdout(std::string_view text) {
  errno = 0;
  if (write_all(stdout, text)) return;
  if (errno == EPIPE) throw ClosedPipe();
  throw IoError("stdout", errno == 0 ? "cannot be written" : std::strerror(errno));
}

void write_stderr(std::string_view text) { static_cast<void>(write_all(stderr, text)); }

void write_ignored_variables() {
  const std::string names = ignored_variables();
  if (names.empty()) return;
  write_stderr("kvcast: " + names + ": without effect here" +
               (names.find("OMP_P") != std::string::npos || names.find("AFFINITY") != std::string::npos
                    ? "; --pin ties threads to CPUs\n"
                    : "\n"));
}

void write_warnings(const std::vector<Warning>& warnings) {
  for (auto warning = warnings.begin(); warning != warnings.end(); ++warning) {
    const auto alike = [&](const Warning& other) { return !other.code.empty() && other.code == warning->code; };
    if (std::any_of(warnings.begin(), warning, alike)) continue;
    const auto more = std::count_if(std::next(warning), warnings.end(), alike);
    // A report that is read back may say anything.
    write_stderr(coloured("warning: ", Colour::yellow) +
                 one_line(warning->text + (more > 0 ? fmt::format(" ({} more like it)", more) : "") +
                          (warning->advice.empty() ? "" : "; " + warning->advice)) +
                 "\n");
  }
}

void write_paths(const std::vector<std::string>& paths) {
  namespace fs = std::filesystem;
  std::vector<std::string> names;
  for (const std::string& path : paths) {
    if (fs::path(path).parent_path() != fs::path(paths.front()).parent_path()) break;
    names.push_back(fs::path(path).filename().string());
  }
  if (paths.size() > 1 && names.size() == paths.size()) {
    const fs::path all = fs::path(paths.front()).parent_path() / ("{" + fmt::format("{}", fmt::join(names, ",")) + "}");
    write_stderr("wrote " + one_line(all.string()) + "\n");
    return;
  }
  for (const std::string& path : paths) write_stderr("wrote " + one_line(path) + "\n");
}

void print_error(std::string_view message) {
  write_stderr(fmt::format("{}{}\n", coloured("kvcast: ", Colour::red), one_line(message)));
}

std::vector<std::string> write_report_files(const Report& report, const std::string& folder, const std::string& text) {
  try {
    return write_report(report, folder);
  } catch (const IoError&) {
    try {
      write_stdout(text);
    } catch (const ClosedPipe&) {  // the lost files are what to speak of
    }
    throw;
  }
}

void print_report(const Report& report, const std::string& text, bool has_warnings,
                  const std::optional<std::string>& output, bool quiet) {
  std::vector<std::string> paths;
  if (output) {
    if (output->empty()) throw ConfigError("--output", "the folder has no name", "such as -o out");
    OutputFolder folder(*output);
    paths = write_report_files(report, *output, text);
    folder.keep();
  }
  write_stdout(text);
  if (quiet) return;
  write_paths(paths);
  if (!has_warnings) write_warnings(report.warnings);
}

int exit_code(const Report& report) {
  const std::string none = no_result(report);
  if (none.empty()) return kExitOk;
  print_error(none);
  return kExitCheck;
}

void reserve_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) != -1) continue;
    // open() returns the lowest free number, which is `stream`. Read-only, so that writing to it fails as it should.
    if (::open("/dev/null", O_RDONLY) != stream) return;
  }
}

double parse_tail(const std::string& text) {
  const double tail = parse_number(text, "--tail");
  return tail == 1 ? std::nextafter(1.0, 2.0) : tail;
}

std::string human_seconds(double seconds) {
  if (!std::isfinite(seconds)) return "-";
  // Three digits, but never an exponent.
  const auto in = [seconds](double unit, const char* name) {
    const double value = seconds / unit;
    return value >= 999.5 ? fmt::format("{:.0f} {}", value, name) : fmt::format("{:.3g} {}", value, name);
  };
  if (seconds >= 7200) return in(3600, "h");
  if (seconds >= 120) return in(60, "min");
  if (seconds >= 1 || seconds == 0) return in(1, "s");
  if (seconds >= 1e-3) return in(1e-3, "ms");
  return in(1e-6, "us");
}

std::string human_bytes(std::int64_t bytes) {
  constexpr std::array<const char*, 7> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.4g} {}", value, kUnits[unit]);
}

std::string text_table(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows,
                       const std::vector<bool>& left, Stream stream) {
  std::vector<std::size_t> widths;
  for (std::size_t column = 0; column < head.size(); ++column) {
    std::size_t width = head[column].size();
    for (const auto& row : rows) width = std::max(width, row[column].size());
    widths.push_back(width);
  }
  const auto line_of = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      if (column > 0) line += "  ";
      const bool last = column + 1 == row.size();
      if (left[column]) {
        line += last ? row[column] : fmt::format("{:<{}}", row[column], widths[column]);
      } else {
        line += fmt::format("{:>{}}", row[column], widths[column]);
      }
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  };
  std::string out = coloured(line_of(head), Colour::bold, stream) + "\n";
  for (const auto& row : rows) out += line_of(row) + "\n";
  return out;
}

namespace {

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

JsonWriter& JsonWriter::field(std::string_view key, std::string_view text) { return item(key, json_string(text)); }

JsonWriter& JsonWriter::field(std::string_view key, double value) {
  return item(key, std::isfinite(value) ? fmt::format("{}", value) : "null");
}

JsonWriter& JsonWriter::item(std::string_view key, std::string_view raw) {
  if (!empty_) out_ += ',';
  if (depth_ > 0) out_ += "\n" + std::string(2 * depth_, ' ');
  if (!key.empty()) out_ += json_string(key) + ": ";
  out_ += raw;
  empty_ = false;
  return *this;
}

JsonWriter& JsonWriter::begin(std::string_view key, char bracket) {
  item(key, std::string(1, bracket));
  ++depth_;
  empty_ = true;
  return *this;
}

JsonWriter& JsonWriter::end(char bracket) {
  --depth_;
  if (!empty_) out_ += "\n" + std::string(2 * depth_, ' ');
  out_ += bracket;
  empty_ = false;
  return *this;
}

}  // namespace kvcast::cli
