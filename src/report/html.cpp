// report.html: one file with the reports and what is said of them as JSON, the page's own script and Chart.js. Charts
// are made in the page from the reports, all else from the documents.
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
#include "report/layout.h"
#include "report/page/page.h"
#include "report/render/document_json.h"
#include "report/shape.h"
#include "report/text.h"
#include "report/views/run.h"

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

/// "L=64/128, d=32, layers=2, fp32": what the cases have; many values as a count.
std::string shapes_text(const std::vector<Case>& cases) {
  constexpr std::size_t kShown = 4;
  std::vector<std::string> parts;
  for (const char* field : {"history_length", "dim", "heads", "layers", "dtype", "kv_dtype"}) {
    std::vector<std::string> values;
    for (const Case& one : cases) {
      if (!one.shape || (field == std::string("kv_dtype") && one.shape->kv_dtype == one.shape->dtype)) continue;
      const std::string words = shape_words(*one.shape, field);
      if (std::find(values.begin(), values.end(), words) == values.end()) values.push_back(words);
    }
    if (values.empty()) continue;
    std::string text = values.front();
    for (std::size_t i = 1; i < std::min(values.size(), kShown); ++i)
      text += "/" + values[i].substr(values[i].find('=') + 1);
    if (values.size() > kShown) text += "/... (" + integer(static_cast<std::int64_t>(values.size())) + ")";
    parts.push_back(text);
  }
  return one_line(join(parts, ", "));
}

/// What was measured, sized or simulated, and on what.
std::string subject(const Report& report) {
  std::vector<std::string> parts;
  if (report.machine) {
    parts.push_back(one_line(report.machine->cpu_model) + ", " + one_line(report.machine->isa) + ", " +
                    counted(report.machine->threads, "CPU"));
  } else if (!report.cases.empty()) {
    parts.emplace_back("timings from elsewhere");
  }
  if (const std::string shapes = shapes_text(report.cases); !shapes.empty()) parts.push_back(shapes);
  if (report.traffic) {
    parts.push_back(integer(report.traffic->requests) + " requests of " + integer(report.traffic->users) + " users, " +
                    one_line(report.traffic->workload));
  }
  return parts.empty() ? "from r alone" : join(parts, " · ");
}

/// The ceiling of each fit of a case, by scheme.
Json ceilings(const Case& one) {
  Json result = Json::object();
  for (const Fit& fit : one.fits) result[valid_utf8(fit.scheme)] = ceiling(fit);
  return result;
}

std::string named_json(const std::string& name, const std::string& title, const std::string& compared,
                       const Report& report) {
  Json rest = {{"name", valid_utf8(name)},         {"title", valid_utf8(title)},
               {"compared", valid_utf8(compared)}, {"subject", valid_utf8(subject(report))},
               {"ceilings", Json::array()},        {"document", document_json(report_document(report))}};
  for (const Case& one : report.cases) rest["ceilings"].push_back(ceilings(one));
  std::string text = rest.dump();
  text.pop_back();
  return text + ", \"report\": " + render_json(report) + "}";
}

std::string data_json(const std::string& reports) {
  return "{\"r_design_note\": " + Json(kDesignNoteR).dump() + ", \"reports\": [" + reports + "]}";
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

std::string render_html(const Report& report) { return page_of(data_json(named_json("", "", "", report))); }

}  // namespace report

std::string render_page(const std::vector<NamedReport>& reports) {
  const std::vector<std::string> titles = report::titles_of(reports);
  std::string data;
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const NamedReport& one = reports[i];
    data += (data.empty() ? "" : ",\n") + report::named_json(one.name, titles[i], one.compared, one.report);
  }
  return report::page_of(report::data_json(data));
}

}  // namespace kvcast
