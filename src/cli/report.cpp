// kvcast report: a report in other formats, without measuring or fitting again.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common.h"

namespace kvcast::cli {
namespace {

class ReportCommand : public Command {
 public:
  explicit ReportCommand(CLI::App& app)
      : Command(app.add_subcommand("report", "Write a report in other formats, without measuring again")),
        force_(*app_) {
    app_->add_option("PATH", paths_, "Folders of runs, or report.json; several make one page (--to html)")
        ->required()
        ->option_text("...");
    app_->add_option("--to", to_, "Formats: " + join_names() + "; or table [md]")->type_name("LIST")->delimiter(',');
    app_->add_option("-o,--output", output_, "Folder to write to [that of PATH; for several PATHs: .]")
        ->type_name("DIR");
    app_->add_flag("--details", details_, "With --to table: everything that was computed");
    app_->add_flag("-q,--quiet", quiet_, "No file names on stderr");
    app_->footer(
        "-o - writes one format to stdout.\n"
        "Examples:\n"
        "  kvcast report out --to md,csv\n"
        "  kvcast report out -o -\n"
        "  kvcast report out --to table --details\n"
        "  kvcast report before after --to html -o both");
  }

  int execute() override {
    const bool table = to_ == std::vector<std::string>{"table"};
    if (details_ && !table) throw ConfigError("--details", "a file leaves nothing out", "only with --to table");
    if (table && !output_ && paths_.size() == 1) {
      write_stdout(render(load_report(paths_.front()), "table", has_colour(Stream::out), details_));
      return kExitOk;
    }
    const std::vector<FormatInfo> chosen = chosen_formats();
    const bool several = paths_.size() > 1;
    if (several && (chosen.size() != 1 || chosen.front().name != "html")) {
      throw ConfigError("--to", "several reports make one page only", "--to html");
    }
    std::vector<std::pair<std::string, std::string>> files;
    if (several) {
      std::vector<NamedReport> reports;
      for (const std::string& path : paths_) {
        reports.push_back({path, load_report(path), reports.empty() ? "" : difference_in_words(paths_.front(), path)});
      }
      files.emplace_back(chosen.front().file, render_page(reports));
    } else {
      const Report report = load_report(paths_.front());
      for (const FormatInfo& format : chosen) add_files(report, format, files);
    }
    if (output_ == "-") {
      if (chosen.size() != 1) throw ConfigError("--output", "'-' takes one format", "such as --to md");
      write_stdout(files.front().second);
      return kExitOk;
    }
    force_.check(output_folder(), paths_);
    OutputFolder folder(output_folder());
    const std::vector<std::string> written = write_files(files, output_folder());
    folder.keep();
    if (!quiet_) {
      write_paths(written);
    }
    return kExitOk;
  }

 private:
  /// The file of a format; as CSV what is sized and the traffic have files of their own, and a report that has no cases
  /// only those.
  static void add_files(const Report& report, const FormatInfo& format,
                        std::vector<std::pair<std::string, std::string>>& files) {
    const bool csv = format.name == "csv";
    if (!csv || !report.cases.empty() || !(report.sizing || report.traffic)) {
      files.emplace_back(format.file, render(report, format.name));
    }
    const auto file_of = [&](const std::vector<FormatInfo>& list) {
      return std::find_if(list.begin(), list.end(), [&](const FormatInfo& info) { return info.name == format.name; })
          ->file;
    };
    if (csv && report.sizing) files.emplace_back(file_of(sizing_formats()), render_sizing(report, format.name));
    if (csv && report.traffic) files.emplace_back(file_of(traffic_formats()), render_traffic(report, format.name));
  }

  static std::vector<FormatInfo> with_file() {
    std::vector<FormatInfo> infos;
    for (const FormatInfo& info : formats()) {
      if (!info.file.empty()) infos.push_back(info);
    }
    return infos;
  }
  static std::string join_names() {
    std::string names;
    for (const FormatInfo& info : with_file()) names += (names.empty() ? "" : ", ") + info.name;
    return names;
  }

  std::vector<FormatInfo> chosen_formats() const {
    std::vector<FormatInfo> chosen;
    for (const std::string& name : to_) {
      const auto known = with_file();
      const auto found =
          std::find_if(known.begin(), known.end(), [&](const FormatInfo& info) { return info.name == name; });
      if (found == known.end()) throw ConfigError("--to", "'" + name + "' is unknown", "some of " + join_names());
      chosen.push_back(*found);
    }
    return chosen;
  }

  /// Beside the report; several belong to none of their folders.
  std::string output_folder() const {
    namespace fs = std::filesystem;
    if (output_) {
      if (output_->empty()) throw ConfigError("--output", "the folder has no name", "such as -o out");
      return *output_;
    }
    if (paths_.size() > 1) return ".";
    std::error_code ignored;
    const std::string& path = paths_.front();
    if (fs::is_directory(path, ignored)) return path;
    const fs::path parent = fs::path(path).parent_path();
    return parent.empty() ? "." : parent.string();
  }

  ForceOption force_;
  std::vector<std::string> paths_;
  std::vector<std::string> to_ = {"md"};
  std::optional<std::string> output_;
  bool quiet_ = false, details_ = false;
};

}  // namespace

std::unique_ptr<Command> make_report_command(CLI::App& app) { return std::make_unique<ReportCommand>(app); }

}  // namespace kvcast::cli
