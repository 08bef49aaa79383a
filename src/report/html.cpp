// report.html: one file with the reports as JSON, the page's own script and Chart.js. What it shows is made in the
// page.
#include <string>
#include <utility>
#include <vector>

#include "kvcast/kvcast.h"
#include "report/conclusion.h"
#include "report/format.h"
#include "report/json.h"
#include "report/page/page.h"
#include "report/text.h"

namespace kvcast {
namespace report {
namespace {

/// JSON that may stand in a script element: there is no < in it outside of strings, and without one nothing ends the
/// element or opens a comment.
std::string for_script(const std::string& json) {
  std::string text;
  text.reserve(json.size());
  for (const char c : json) {
    if (c == '<') {
      text += "\\u003c";
    } else {
      text += c;
    }
  }
  return text;
}

std::string named_json(const std::string& name, const Report& report) {
  return "{\"name\": " + Json(valid_utf8(name)).dump() +
         ", \"conclusion\": " + Json(valid_utf8(conclusion(report))).dump() + ", \"report\": " + render_json(report) +
         "}";
}

/// Marks are looked for in the page alone, not in what went in before.
std::string page_of(const std::string& data) {
  const PageParts& parts = page_parts();
  const std::pair<std::string, std::string> fillings[] = {
      {"@SCRIPTS@", parts.script_hashes}, {"@STYLE@", parts.style_hash}, {"@CSS@", parts.css},
      {"@DATA@", for_script(data)},       {"@CHART@", parts.chart_js},   {"@JS@", parts.js}};
  std::string page;
  std::size_t from = 0;
  for (const auto& [mark, text] : fillings) {
    const std::size_t at = parts.html.find(mark, from);
    page += parts.html.substr(from, at - from) + text;
    from = at + mark.size();
  }
  return page + parts.html.substr(from);
}

}  // namespace

std::string render_html(const Report& report) { return page_of("[" + named_json("", report) + "]"); }

}  // namespace report

std::string render_page(const std::vector<NamedReport>& reports) {
  std::string data;
  for (const NamedReport& one : reports) {
    data += (data.empty() ? "[" : ",\n") + report::named_json(one.name, one.report);
  }
  return report::page_of((data.empty() ? "[" : data) + "]");
}

}  // namespace kvcast
