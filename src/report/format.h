// The output formats. A new one is a file with its render function, and its line in formats.cpp.
#pragma once

#include <string>
#include <vector>

#include "kvcast/report.h"
#include "report/render/terminal.h"

namespace kvcast::report {

/// Contract of a comparison as JSON.
inline constexpr const char* kComparisonSchema = "kvcast.comparison/1";

struct Format {
  const char* name;  ///< as for --format
  const char* file;  ///< file name written under -o; empty when only for stdout
  const char* doc;
  /// Pure. Only a terminal has colours and leaves details out.
  std::string (*render)(const Report& report, const Look& look);
};

/// THE list of formats, and those of a sizing and of traffic, whose files are written where a report has one.
const std::vector<Format>& format_list();
const std::vector<Format>& sizing_format_list();
const std::vector<Format>& traffic_format_list();

std::string render_json(const Report& report);
std::string render_summary_csv(const Report& report);
std::string render_samples_csv(const Report& report);
/// Bytes of a workbook, by way of temporary files. Errors: IoError.
std::string render_xlsx(const Report& report);
std::string render_html(const Report& report);
/// Of a report with a sizing.
std::string render_sizing_csv(const Report& report);
/// Of a report with traffic.
std::string render_traffic_csv(const Report& report);

}  // namespace kvcast::report
