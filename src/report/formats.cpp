#include "kvcast/error.h"
#include "kvcast/kvcast.h"
#include "report/format.h"
#include "report/layout.h"

namespace kvcast {
namespace report {

const std::vector<Format>& format_list() {
  static const std::vector<Format> list = {
      {"table", "", "for the terminal", render_table, true},
      {"json", "report.json", "the whole report under the contract kvcast.report/2, without raw samples", render_json},
      {"csv", "summary.csv", "a row per shape, N and scheme", render_summary_csv},
      {"samples.csv", "samples.csv", "raw timings, a row each", render_samples_csv},
      {"md", "report.md", "Markdown, for a pull request", render_markdown},
      {"xlsx", "report.xlsx", "a workbook, with the cost model as formulas and charts", render_xlsx},
      {"html", "report.html", "a page with charts and a what-if panel, self-contained", render_html},
  };
  return list;
}

const std::vector<Format>& sizing_format_list() {
  static const std::vector<Format> list = {
      {"table", "", "for the terminal", render_sizing_table, true},
      {"json", "", "the whole report with its sizing", render_json},
      {"csv", "sizing.csv", "a row per number, each with unit and source", render_sizing_csv},
      {"md", "sizing.md", "Markdown, for a review", render_sizing_markdown},
  };
  return list;
}

const std::vector<Format>& traffic_format_list() {
  static const std::vector<Format> list = {
      {"table", "", "for the terminal", render_traffic_table, true},
      {"json", "", "the whole report with its traffic", render_json},
      {"csv", "traffic.csv", "a row per number, each with unit and source", render_traffic_csv},
      {"md", "traffic.md", "Markdown, for a review", render_traffic_markdown},
  };
  return list;
}

namespace {

std::vector<FormatInfo> infos_of(const std::vector<Format>& list) {
  std::vector<FormatInfo> infos;
  for (const auto& format : list) infos.push_back({format.name, format.file, format.doc});
  return infos;
}

std::string render_as(const std::vector<Format>& list, const Report& report, const std::string& format, bool colour) {
  std::string names;
  for (const auto& known : list) {
    if (format == known.name) return known.emphasises ? shown(known.render(report), colour) : known.render(report);
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  }
  throw ConfigError("--format", "unknown format '" + format + "'", "one of " + names);
}

}  // namespace
}  // namespace report

std::vector<FormatInfo> formats() { return report::infos_of(report::format_list()); }
std::vector<FormatInfo> traffic_formats() { return report::infos_of(report::traffic_format_list()); }
std::vector<FormatInfo> sizing_formats() { return report::infos_of(report::sizing_format_list()); }

std::string render(const Report& report, const std::string& format, bool colour) {
  return report::render_as(report::format_list(), report, format, colour);
}
std::string render_sizing(const Report& report, const std::string& format, bool colour) {
  return report::render_as(report::sizing_format_list(), report, format, colour);
}
std::string render_traffic(const Report& report, const std::string& format, bool colour) {
  return report::render_as(report::traffic_format_list(), report, format, colour);
}

}  // namespace kvcast
