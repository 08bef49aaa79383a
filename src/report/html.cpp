// report.html: one file with the reports as JSON, the page's own script and Chart.js. What it shows is made in the
// page.
#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "kvcast/kvcast.h"
#include "report/conclusion.h"
#include "report/format.h"
#include "report/json.h"
#include "report/page/page.h"
#include "report/shape.h"
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

std::string named_json(const std::string& name, const std::string& title, const std::string& compared,
                       const Report& report) {
  return "{\"name\": " + Json(valid_utf8(name)).dump() + ", \"title\": " + Json(valid_utf8(title)).dump() +
         ", \"compared\": " + Json(valid_utf8(compared)).dump() +
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

/// What tells each report from the others: its shapes, else the schemes that not all of them have; empty where nothing
/// does.
std::vector<std::string> titles_of(const std::vector<NamedReport>& reports) {
  std::vector<std::vector<CaseShape>> shapes;
  std::vector<std::vector<std::string>> schemes;
  for (const NamedReport& one : reports) {
    std::vector<CaseShape>& own = shapes.emplace_back();
    std::vector<std::string>& names = schemes.emplace_back();
    for (const Case& each : one.report.cases) {
      if (each.shape) own.push_back(*each.shape);
      for (const Point& point : each.points) {
        for (const SchemePoint& row : point.schemes) {
          if (std::find(names.begin(), names.end(), row.scheme) == names.end()) names.push_back(row.scheme);
        }
      }
    }
  }
  std::vector<std::string> titles = shape_titles(shapes);
  const auto empty = [](const auto& one) { return one.empty(); };
  if (!std::all_of(titles.begin(), titles.end(), empty) || std::any_of(schemes.begin(), schemes.end(), empty)) {
    return titles;
  }
  for (std::size_t i = 0; i < reports.size(); ++i) {
    std::vector<std::string> own = schemes[i];
    std::erase_if(own, [&](const std::string& name) {
      return std::all_of(schemes.begin(), schemes.end(), [&](const std::vector<std::string>& names) {
        return std::find(names.begin(), names.end(), name) != names.end();
      });
    });
    titles[i] = join(own, ", ");
  }
  return titles;
}

}  // namespace

std::string render_html(const Report& report) { return page_of("[" + named_json("", "", "", report) + "]"); }

}  // namespace report

std::string render_page(const std::vector<NamedReport>& reports) {
  const std::vector<std::string> titles = report::titles_of(reports);
  std::string data;
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const NamedReport& one = reports[i];
    data += (data.empty() ? "[" : ",\n") + report::named_json(one.name, titles[i], one.compared, one.report);
  }
  return report::page_of((data.empty() ? "[" : data) + "]");
}

}  // namespace kvcast
