#include "kvcast/error.h"
#include "kvcast/kvcast.h"
#include "report/format.h"

namespace kvcast {
namespace report {

const std::vector<Format>& format_list() {
  static const std::vector<Format> list = {
      {"table", "", "for the terminal", render_table},
      {"json", "report.json", "the whole report under the contract kvcast.report/1, without raw samples", render_json},
      {"csv", "summary.csv", "a row per shape, N and scheme", render_summary_csv},
      {"samples.csv", "samples.csv", "raw timings, a row each", render_samples_csv},
  };
  return list;
}

}  // namespace report

std::vector<FormatInfo> formats() {
  std::vector<FormatInfo> infos;
  for (const auto& format : report::format_list()) infos.push_back({format.name, format.file, format.doc});
  return infos;
}

std::string render(const Report& report, const std::string& format) {
  std::string names;
  for (const auto& known : report::format_list()) {
    if (format == known.name) return known.render(report);
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  }
  throw ConfigError("--format", "unknown format '" + format + "'", "one of " + names);
}

}  // namespace kvcast
