#include "kvcast/error.h"
#include "kvcast/kvcast.h"
#include "report/format.h"
#include "report/render/markdown.h"
#include "report/render/terminal.h"
#include "report/views/run.h"
#include "report/views/sizing.h"
#include "report/views/traffic.h"

namespace kvcast {
namespace report {
namespace {

using View = Document (*)(const Report& report);

template <View view>
std::string table(const Report& report, const Look& look) {
  return render_terminal(view(report), look);
}
/// Of formats that look alike whoever asks.
template <std::string (*render)(const Report& report)>
std::string plain(const Report& report, const Look&) {
  return render(report);
}

}  // namespace

const std::vector<Format>& format_list() {
  static const std::vector<Format> list = {
      {"table", "", "for the terminal", table<report_document>},
      {"json", "report.json", "the whole report under the contract kvcast.report/2, without raw samples",
       plain<render_json>},
      {"csv", "summary.csv", "a row per shape, N and scheme", plain<render_summary_csv>},
      {"samples.csv", "samples.csv", "raw timings, a row each", plain<render_samples_csv>},
      {"md", "report.md", "Markdown, for a pull request",
       [](const Report& report, const Look&) { return render_markdown(report_document(report), "kvcast"); }},
      {"xlsx", "report.xlsx", "a workbook, with the cost model as formulas and charts", plain<render_xlsx>},
      {"html", "report.html", "a page with charts and a what-if panel, self-contained", plain<render_html>},
  };
  return list;
}

const std::vector<Format>& sizing_format_list() {
  static const std::vector<Format> list = {
      {"table", "", "for the terminal", table<sizing_document>},
      {"json", "", "the whole report with its sizing", plain<render_json>},
      {"csv", "sizing.csv", "a row per number, each with unit and source", plain<render_sizing_csv>},
      {"md", "sizing.md", "Markdown, for a review",
       [](const Report& report, const Look&) { return render_markdown(sizing_document(report), "Queue sizing"); }},
  };
  return list;
}

const std::vector<Format>& traffic_format_list() {
  static const std::vector<Format> list = {
      {"table", "", "for the terminal", table<traffic_document>},
      {"json", "", "the whole report with its traffic", plain<render_json>},
      {"csv", "traffic.csv", "a row per number, each with unit and source", plain<render_traffic_csv>},
      {"md", "traffic.md", "Markdown, for a review",
       [](const Report& report, const Look&) { return render_markdown(traffic_document(report), "Traffic"); }},
  };
  return list;
}

namespace {

std::vector<FormatInfo> infos_of(const std::vector<Format>& list) {
  std::vector<FormatInfo> infos;
  for (const auto& format : list) infos.push_back({format.name, format.file, format.doc});
  return infos;
}

std::string render_as(const std::vector<Format>& list, const Report& report, const std::string& format,
                      const Look& look) {
  std::string names;
  for (const auto& known : list) {
    if (format == known.name) return known.render(report, look);
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  }
  throw ConfigError("--format", "unknown format '" + format + "'", "one of " + names);
}

}  // namespace
}  // namespace report

std::vector<FormatInfo> formats() { return report::infos_of(report::format_list()); }
std::vector<FormatInfo> traffic_formats() { return report::infos_of(report::traffic_format_list()); }
std::vector<FormatInfo> sizing_formats() { return report::infos_of(report::sizing_format_list()); }

std::string render(const Report& report, const std::string& format, bool colour, bool details) {
  return report::render_as(report::format_list(), report, format, {colour, details});
}
std::string render_sizing(const Report& report, const std::string& format, bool colour, bool details) {
  return report::render_as(report::sizing_format_list(), report, format, {colour, details});
}
std::string render_traffic(const Report& report, const std::string& format, bool colour, bool details) {
  return report::render_as(report::traffic_format_list(), report, format, {colour, details});
}

}  // namespace kvcast
