// report.json, and every text that is made of a report that was read.
#include "fuzz/properties.h"
#include "fuzz/target.h"
#include "input/report.h"
#include "kvcast/kvcast.h"

namespace kvcast::fuzz {

void report(std::string_view input) {
  Report report;
  if (!accepted([&] { report = input::read_report_json(std::string(input), "fuzz.json"); })) return;
  const std::string written = render(report, "json");
  require(render(input::read_report_json(written, "what was written"), "json") == written,
          "a report written and read is the same");
  const auto check = [](const std::string& text, const std::string& format) {
    require(is_utf8(text), format + " is text");
  };
  for (const FormatInfo& format : formats()) {
    // A workbook goes through files of libxlsxwriter, a page is the JSON above in 300 KB that never change.
    if (format.name != "xlsx" && format.name != "html") check(render(report, format.name), format.name);
  }
  if (report.sizing) {
    for (const FormatInfo& format : sizing_formats()) check(render_sizing(report, format.name), format.name);
  }
  if (report.traffic) {
    for (const FormatInfo& format : traffic_formats()) check(render_traffic(report, format.name), format.name);
  }
}

}  // namespace kvcast::fuzz
