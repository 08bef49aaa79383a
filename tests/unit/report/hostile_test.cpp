// Text from outside in every format: whatever a report says, it stays text. tests/browser opens the page, and
// tests/cli/hostile_test.py the workbook.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/text.h"
#include "catch.h"
#include "fixed_report.h"
#include "input/csv.h"
#include "input/report.h"
#include "kvcast/kvcast.h"
#include "report/csv.h"
#include "report/format.h"

namespace kvcast::report {
namespace {

using Json = nlohmann::json;

// What counts at the beginning of a text alone; the others in one text for each who would act on it.
std::vector<std::string> hostile_texts() {
  return {"=1+1",
          "+1+1",
          "-1+1",
          "@SUM(A1)",
          "\t=1",
          "\r\n=1",
          "=HYPERLINK(\"http://x.example\")|' /C calc'!A0",
          " a,b;c\"d\" ",
          "</script><script>alert(1)</script><!--<script>--><img src=x onerror=alert(1)></style></title>&lt;b>",
          "# a | b \\| c \\ `code` ``![x](http://x.example/y.png)[x](javascript:alert(1))[x]: http://x ![x][x]\\](x)",
          "\x1b[31mred\x1b[0m\x1b]8;;http://x\x07link\x1b]8;;\x07\xc2\x9b"
          "31m\xe2\x80\xae"
          "txt\xe2\x81\xa6\xd8\x9c\xe2\x80\xa8\xe2\x80\xa9two\nlines\r\nand\rmore\v\f\x01\x02\x06\x7f",
          std::string("nul\0nul", 7) + "_x0041_\xef\xbf\xbe%s%n{}{0}",
          "__proto__",
          std::string(3000, 'x')};
}

/// `json` with the text in place of every text that the reader takes as it comes, and in front of every scheme's name.
Json spoilt(const Json& json, const std::string& text, const std::string& name = "", bool in_config = false) {
  if (json.is_string()) {
    // Texts of a closed set are refused where they are read.
    const bool closed = name == "status" || name == "execution" || name == "stopped_by" || name == "order" ||
                        name == "what" || name.ends_with("source");
    const bool fixed = name == "schema" || closed || (in_config && name != "comment" && name != "import");
    return fixed ? json : Json(text);
  }
  if (json.is_array()) {
    Json result = Json::array();
    for (const Json& item : json) result.push_back(spoilt(item, text, name, in_config));
    return result;
  }
  if (!json.is_object()) return json;
  Json result = Json::object();
  for (const auto& [key, value] : json.items()) {
    const bool named = name == "schemes" || name == "fits" || name == "dependencies";
    result[named ? text + key : key] = spoilt(value, text, key, in_config || key == "config");
  }
  return result;
}

Report hostile_report(const std::string& text) {
  static const Json clean = Json::parse(render_json(golden::fixed_report()));
  return input::read_report_json(spoilt(clean, text).dump(), "hostile");
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// Nothing that a terminal acts on but line ends. Said here again, apart from the code that is checked.
void check_terminal(const std::string& text) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  std::string bad;
  for (const std::string& line : lines_of(text)) {
    bool acts = std::any_of(line.begin(), line.end(), control);
    for (const char* mark : {"\xc2\x9b", "\xe2\x80\xae", "\xe2\x81\xa6", "\xd8\x9c", "\xe2\x80\xa8", "\xe2\x80\xa9"}) {
      acts = acts || line.find(mark) != std::string::npos;
    }
    if (acts) bad = line;
  }
  CHECK(bad == "");
}

void check_markdown(const std::string& text) {
  check_terminal(text);
  for (const char* part : {"<", "](", "][", "]:", "`"}) {
    CAPTURE(part);
    CHECK(text.find(part) == std::string::npos);
  }
  // Every row of a table has the cells of its head.
  std::size_t columns = 0;
  for (const std::string& line : lines_of(text)) {
    if (!line.starts_with('|')) columns = 0;
    if (!line.starts_with('|')) continue;
    const auto bars = static_cast<std::size_t>(std::count(line.begin(), line.end(), '|'));
    if (columns == 0) columns = bars;
    CHECK(bars == columns);
  }
}

bool is_number(const std::string& cell) {
  try {
    std::size_t used = 0;
    (void)std::stod(cell, &used);
    return used == cell.size();
  } catch (const std::exception&) {
    return false;
  }
}

void check_csv(const std::string& text) {
  CHECK(is_utf8(text));
  std::size_t formulas = 0, ragged = 0;
  const input::CsvTable table = input::parse_csv(text, "csv");
  REQUIRE_FALSE(table.heading.names.empty());
  for (const input::CsvRow& row : table.rows) {
    ragged += row.cells.size() == table.heading.names.size() ? 0 : 1;
    for (const auto& cell : row.cells) {
      const bool begins = !cell.empty() && std::string("=+-@\t\r\n").find(cell.front()) != std::string::npos;
      formulas += begins && !is_number(std::string(cell)) ? 1 : 0;
    }
  }
  CHECK(formulas == 0);
  CHECK(ragged == 0);
}

void check_page(const std::string& page) {
  CHECK(count(page, "<script") == 3);
  CHECK(count(page, "</script>") == 3);
  CHECK(count(page, "<!--") == 1);  // our own
  const std::string open = "id=\"data\">";
  const std::size_t from = page.find(open) + open.size();
  const std::string data = page.substr(from, page.find("</script>", from) - from);
  CHECK(data.find('<') == std::string::npos);
  CHECK_NOTHROW(Json::parse(data));
}

void check(const std::string& format, const std::string& text) {
  if (format == "table") {
    check_terminal(text);
  } else if (format == "md") {
    check_markdown(text);
  } else if (format == "csv" || format == "samples.csv") {
    check_csv(text);
  } else if (format == "json") {
    CHECK_NOTHROW(Json::parse(text));
  } else if (format == "html") {
    check_page(text);
  } else if (format == "xlsx") {
    CHECK(text.starts_with("PK"));
  } else {
    FAIL_CHECK("nobody says what is safe in " << format);
  }
}

}  // namespace

TEST_CASE("whatever a report says stays text in every format", "[report][hostile]") {
  for (const std::string& text : hostile_texts()) {
    const Report report = hostile_report(text);
    CAPTURE(printable(text));
    CHECK(report.warnings.front().text == text);
    CHECK(report.sizing->notes.front() == text);
    CHECK(report.traffic->workload == text);
    for (const auto* list : {&format_list(), &sizing_format_list(), &traffic_format_list()}) {
      for (const Format& format : *list) {
        CAPTURE(format.name, list - &format_list());
        // A workbook takes a while, and tests/cli/hostile_test.py reads it.
        if (format.name == std::string("xlsx") && text.front() != '=') continue;
        check(format.name, list == &format_list()          ? render(report, format.name, false)
                           : list == &sizing_format_list() ? render_sizing(report, format.name, false)
                                                           : render_traffic(report, format.name, false));
      }
    }
    check_terminal(render_sizing(report, "table", false, true));
    check_terminal(render_traffic(report, "table", false, true));
    // The colours are ours alone.
    for (const bool details : {false, true}) {
      std::string coloured = render(report, "table", true, details);
      for (const char* code : {"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m"}) {
        for (std::size_t at = 0; (at = coloured.find(code, at)) != std::string::npos;) {
          coloured.erase(at, std::string(code).size());
        }
      }
      check_terminal(coloured);
      CHECK(coloured == render(report, "table", false, details));
    }
    check_page(render_page({{text, report}, {text, report}}));
  }
}

TEST_CASE("a comparison of reports with hostile names is plain text", "[report][hostile]") {
  for (const std::string& text : hostile_texts()) {
    Comparison comparison;
    comparison.differences = comparison.doubts = {text};
    ComparedPoint point;
    point.scheme = text;
    comparison.points = {point};
    CAPTURE(printable(text));
    for (const char* format : {"table", "json", "csv", "md"}) check(format, render(comparison, format));
    check_terminal(render(comparison, "table", false, true));
  }
}

TEST_CASE("a proof with hostile names is plain text", "[report][hostile]") {
  for (const std::string& text : hostile_texts()) {
    VerifyResult result;
    result.shape.mask = result.shape.dtype = result.machine.isa = result.machine.dense_isa = text;
    result.warnings = {{text, text, text}};
    result.skipped = {{text, text}};
    result.stored = {{text, 1, {}, 1, 1, false, text}, {text, 1, {}, 1, 1, false, ""}};
    result.stale = StaleError{{{}}, {}, text, text};
    result.equivalence.reference_shape = text;
    result.equivalence.schemes.emplace_back().scheme = text;
    result.equivalence.layers = LayerSamples{1, 1, 1, 1, text, false};
    CAPTURE(printable(text));
    for (const char* format : {"table", "json"}) check(format, render(result, format));
  }
}

}  // namespace kvcast::report
