// What every subcommand shares: the config arguments, output that notices failure, tables and JSON, signals.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kvcast/kvcast.h"
#include "kvcast/words.h"
#include "terminal.h"

namespace kvcast::cli {

// Exit codes of docs/design.md.
inline constexpr int kExitOk = 0;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitIo = 3;
inline constexpr int kExitCheck = 4;
inline constexpr int kExitBug = 70;
inline constexpr int kExitSignal = 128;  ///< plus the signal's number

/// Options that only --help-all shows.
inline constexpr const char* kMoreOptions = "More options";

/// One subcommand. The constructor of each adds it to the app; execute() returns the exit code.
/// Errors of execute(): those of the library; main maps them.
class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}
  virtual ~Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  virtual int execute() = 0;
  bool chosen() const { return app_->parsed(); }

 protected:
  CLI::App* app_;
};

// One per file of this folder.
std::unique_ptr<Command> make_run_command(CLI::App& app);
std::unique_ptr<Command> make_fit_command(CLI::App& app);
std::unique_ptr<Command> make_size_command(CLI::App& app);
std::unique_ptr<Command> make_simulate_command(CLI::App& app);
std::unique_ptr<Command> make_replay_command(CLI::App& app);
std::unique_ptr<Command> make_report_command(CLI::App& app);
std::unique_ptr<Command> make_compare_command(CLI::App& app);
std::unique_ptr<Command> make_merge_command(CLI::App& app);
std::unique_ptr<Command> make_verify_command(CLI::App& app);
std::unique_ptr<Command> make_presets_command(CLI::App& app);
std::unique_ptr<Command> make_info_command(CLI::App& app);
std::unique_ptr<Command> make_completion_command(CLI::App& app);
std::unique_ptr<Command> make_man_command(CLI::App& app);

/// PRESET|FILE, --set and the flags of config_fields(), kept as text in the order of the command line.
class ConfigArguments {
 public:
  /// Adds the positional, --set and a flag for every field that has one; --help-all for the advanced ones. The paths of
  /// `unused` mean nothing to this command: they get no flag, and --set of them is refused. A file or preset may still
  /// hold them.
  void attach(CLI::App& app, std::vector<std::string> unused = {});
  /// Adds the flag of one field only.
  void attach_field(CLI::App& app, const std::string& path);
  /// The config that the arguments name; without PRESET|FILE the preset `default`. Errors: those of load_config();
  /// ConfigError when --set names an unused path.
  Config load(const HostLimits& host) const;
  /// Errors: ConfigError naming the first field that the arguments would give another value than `begun`, the config
  /// of a run that is taken up again from `folder`; nothing where there are no arguments.
  void refuse_unless_like(const Config& begun, const std::string& folder, const HostLimits& host) const;

 private:
  CLI::Option* add_field_option(CLI::App& app, const FieldInfo& field);
  bool is_unused(const std::string& path) const;
  std::optional<std::string> source_;  ///< none: what an imported file brings, or the preset "default"
  std::string command_;
  std::vector<std::string> unused_;
  std::vector<Assignment> assignments_;
};

/// --format of one of `names`, and --details of the table. Errors of check(): ConfigError.
class FormatOption {
 public:
  FormatOption(CLI::App& app, std::vector<std::string> names);
  const std::string& name() const { return name_; }
  bool details() const { return details_; }
  void check() const;

 private:
  std::vector<std::string> names_;
  std::string name_ = "table";
  bool details_ = false;
};

/// --force: a folder that holds a finished result is written to only when asked for.
class ForceOption {
 public:
  explicit ForceOption(CLI::App& app);
  /// To be called before any work. sources: what the command reads; a result may be added to in its own folder.
  /// Errors: ConfigError.
  void check(const std::optional<std::string>& folder, const std::vector<std::string>& sources = {}) const;

 private:
  bool force_ = false;
};

/// Names of formats: of all that a report has, or of those of a sizing.
std::vector<std::string> format_names(const std::vector<FormatInfo>& infos = formats());

/// An output folder made before the work starts, and taken away again unless keep() is called and as far as it is
/// empty. Errors of the constructor: IoError when it cannot be made or written to.
class OutputFolder {
 public:
  explicit OutputFolder(const std::string& path);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  void keep() {
    created_.clear();
    temporary_.clear();
  }

 private:
  std::vector<std::string> created_;  // outermost first
  std::vector<std::shared_ptr<const void>> temporary_;
};

/// Nobody reads stdout any more, as behind `| head`: no error to speak of.
class ClosedPipe {};

/// Writes to stdout and flushes. Errors: ClosedPipe; IoError when bytes are lost otherwise (full disk).
void write_stdout(std::string_view text);
/// Writes to stderr; a lost message is nobody's error.
void write_stderr(std::string_view text);
/// Names the environment variables that have no effect here, on a line of stderr.
void write_ignored_variables();
/// "wrote PATH", of several in one folder "wrote DIR/{a,b}", on a line of stderr.
void write_paths(const std::vector<std::string>& paths);
/// Each kind on a line of stderr, with the number of those that are like it.
void write_warnings(const std::vector<Warning>& warnings);
/// "kvcast: <message>" on one line of stderr, whatever the message contains.
void print_error(std::string_view message);

/// Writes the report's files; the paths. Where that fails `text` goes to stdout, so that what was measured is not lost.
/// Errors: IoError.
std::vector<std::string> write_report_files(const Report& report, const std::string& folder, const std::string& text);

/// Writes the report's files where a folder is given, then prints `text`; the paths and, unless `text` has them, the
/// warnings go to stderr. For commands that measure nothing. Errors: ConfigError when `output` has no name; IoError,
/// and then no folder that was not there before is left.
void print_report(const Report& report, const std::string& text, bool has_warnings,
                  const std::optional<std::string>& output, bool quiet);

/// Of a command that shows a report of timings: kExitCheck, and a line on stderr, where they say nothing.
int exit_code(const Report& report);

/// Opens /dev/null in place of closed standard streams, so that no file of ours takes their numbers.
void reserve_standard_streams();
/// SIGINT, SIGTERM and, unless it is ignored, SIGHUP end the process with 128 + n; no half-written file stays. SIGPIPE
/// and SIGXFSZ become write errors.
void install_signal_handlers();
/// The signal that arrived, 0 when none did.
int pending_signal();

/// While it lives, the first signal is only remembered: the command has something to save and asks pending_signal().
/// The second ends it all the same, and so does the first where the command goes on for almost two seconds; it then
/// says `hint` where the file `journal` is there. One at a time.
class SavesOnSignal {
 public:
  explicit SavesOnSignal(const std::string& journal = "", const std::string& hint = "");
  ~SavesOnSignal();
  SavesOnSignal(const SavesOnSignal&) = delete;
  SavesOnSignal& operator=(const SavesOnSignal&) = delete;
};

/// A value of a closed set by its name. Errors: ConfigError naming the flag and all names.
template <Named E>
E one_of(const std::string& flag, const std::string& name) {
  if (const std::optional<E> value = named<E>(name)) return *value;
  std::string all;
  for (const std::string& one : names_of<E>()) all += (all.empty() ? "" : ", ") + one;
  throw ConfigError(flag, "'" + one_line(name) + "' is unknown", all);
}

/// The value of --tail. 1 comes back as the next number, which is as constant and differs from not being given.
double parse_tail(const std::string& text);

/// 1.25 s, 50 ms: a time for people.
std::string human_seconds(double seconds);
/// 1.5 GiB: a size for people.
std::string human_bytes(std::int64_t bytes);
/// Columns padded to their widest cell, for `stream`. `left` says which columns are text; the last column is never
/// padded, so only its cells may be coloured.
std::string text_table(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows,
                       const std::vector<bool>& left, Stream stream = Stream::out);

/// Writes indented JSON. Numbers that are not finite and empty optionals become null.
class JsonWriter {
 public:
  JsonWriter& begin_object(std::string_view key = "") { return begin(key, '{'); }
  JsonWriter& begin_list(std::string_view key = "") { return begin(key, '['); }
  JsonWriter& end_object() { return end('}'); }
  JsonWriter& end_list() { return end(']'); }
  JsonWriter& null(std::string_view key) { return item(key, "null"); }
  JsonWriter& field(std::string_view key, std::string_view text);
  JsonWriter& field(std::string_view key, const char* text) { return field(key, std::string_view(text)); }
  JsonWriter& field(std::string_view key, const std::string& text) { return field(key, std::string_view(text)); }
  JsonWriter& field(std::string_view key, bool value) { return item(key, value ? "true" : "false"); }
  JsonWriter& field(std::string_view key, std::int64_t value) { return item(key, std::to_string(value)); }
  JsonWriter& field(std::string_view key, double value);
  template <typename T>
  JsonWriter& field(std::string_view key, const std::optional<T>& value) {
    return value ? field(key, *value) : null(key);
  }
  /// The text, with a newline at its end.
  std::string str() const { return out_ + "\n"; }

 private:
  JsonWriter& begin(std::string_view key, char bracket);
  JsonWriter& end(char bracket);
  JsonWriter& item(std::string_view key, std::string_view raw);
  std::string out_;
  std::size_t depth_ = 0;
  bool empty_ = true;  // nothing yet inside the innermost bracket
};

}  // namespace kvcast::cli
