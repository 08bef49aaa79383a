// report.html as text: one self-contained file that data cannot break out of. What it draws: tests/browser.
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

#include "catch.h"
#include "fixed_report.h"
#include "kvcast/kvcast.h"
#include "report/conclusion.h"
#include "report/page/page.h"
#include "report/render/document_json.h"
#include "report/views/run.h"
#include "small_report.h"

namespace kvcast::report {
namespace {

constexpr const char* kHostile = "</script><script>alert(1)</script><!--<script>@JS@";

std::string without(std::string text, const std::string& part) {
  const std::size_t at = text.find(part);
  REQUIRE(at != std::string::npos);
  return text.erase(at, part.size());
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

std::string data_of(const std::string& page) {
  const std::string open = "id=\"data\">";
  const std::size_t from = page.find(open) + open.size();
  return page.substr(from, page.find("</script>", from) - from);
}

std::string file(const std::string& path) {
  std::ifstream in(std::string(KVCAST_SOURCE_DIR) + "/" + path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("the page holds its parts as they are in the tree", "[report]") {
  CHECK(page_parts().html == file("src/report/page/page.html"));
  CHECK(page_parts().css == file("src/report/page/page.css"));
  for (const char* name : {"base", "sections", "charts", "what_if", "page"}) {
    CHECK(page_parts().js.find(file("src/report/page/" + std::string(name) + ".js")) != std::string::npos);
  }
  const std::string page = render(small_report(), "html");
  for (const std::string* part : {&page_parts().css, &page_parts().js, &page_parts().chart_js}) {
    CHECK(page.find(*part) != std::string::npos);
  }
  CHECK(page_parts().chart_js.find("Released under the MIT License") != std::string::npos);
  CHECK(page.find("Permission is hereby granted") != std::string::npos);
  for (const char* mark : {"@CSS@", "@DATA@", "@CHART@"}) CHECK(page.find(mark) == std::string::npos);
}

TEST_CASE("the page refers to nothing outside of itself", "[report]") {
  // Chart.js names its home in its notices, once each; it was looked at for the rest by tests/browser.
  const std::string page = without(render(golden::fixed_report(), "html"), page_parts().chart_js);
  CHECK(page.find("http://") == std::string::npos);
  CHECK(page.find("https://") == std::string::npos);
  CHECK(page.find("default-src 'none'") != std::string::npos);
  const std::string& html = page_parts().html;
  for (const char* part : {"src=", "<link", "<iframe", "@import", "<base"}) CHECK(html.find(part) == std::string::npos);
  CHECK(page_parts().css.find("url(") == std::string::npos);
  CHECK(page_parts().chart_js.find("sourceMappingURL") == std::string::npos);
  for (const char* part : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch("}) {
    CHECK(page_parts().js.find(part) == std::string::npos);
  }
}

TEST_CASE("no text of a report ends the script that holds it", "[report]") {
  Report report = small_report();
  report.warnings.push_back({kHostile, kHostile, kHostile});
  report.tool.version = kHostile;
  if (!report.machine) report.machine.emplace();
  report.machine->cpu_model = kHostile;
  const std::string page = render_page({{kHostile, report}, {"b", small_report()}});
  CHECK(count(page, "<script") == 3);
  CHECK(count(page, "</script>") == 3);
  const std::string data = data_of(page);
  CHECK(data.find('<') == std::string::npos);
  const auto read = nlohmann::json::parse(data).at("reports");
  REQUIRE(read.size() == 2);
  CHECK(read[0].at("name") == kHostile);
  CHECK(read[0].at("report").at("machine").at("cpu_model") == kHostile);
}

TEST_CASE("the page has the report as report.json has it, and what is said of it", "[report]") {
  const Report report = golden::fixed_report();
  const auto data = nlohmann::json::parse(data_of(render(report, "html")));
  CHECK(data.at("r_design_note") == kDesignNoteR);
  const auto& read = data.at("reports");
  REQUIRE(read.size() == 1);
  CHECK(read[0].at("report") == nlohmann::json::parse(render(report, "json")));
  CHECK(read[0].at("document") == nlohmann::json::parse(document_json(report_document(report)).dump()));
  CHECK_FALSE(read[0].at("document").at("answer").get<std::string>().empty());
  REQUIRE(read[0].at("ceilings").size() == report.cases.size());
  const Fit& fit = report.cases[0].fits[0];
  CHECK(read[0].at("ceilings")[0].at(fit.scheme) == ceiling(fit));
  CHECK(nlohmann::json::parse(data_of(render_page({}))).at("reports").empty());
}

TEST_CASE("the head of the page names the machine and the shape", "[report]") {
  const auto subject = [](const Report& report) {
    return nlohmann::json::parse(data_of(render(report, "html"))).at("reports")[0].at("subject").get<std::string>();
  };
  Report report = small_report();
  report.machine.emplace();
  report.machine->cpu_model = "A CPU\n";
  report.machine->isa = "AVX2";
  report.machine->threads = 2;
  REQUIRE(report.cases[0].shape);
  const std::string length = std::to_string(report.cases[0].shape->history_length);
  CHECK(subject(report).find("A CPU , AVX2, 2 CPUs") == 0);
  CHECK(subject(report).find("L=" + length + ", ") != std::string::npos);
  CHECK(subject(report).find("layers=4, fp32") != std::string::npos);
  report.cases.push_back(report.cases[0]);
  report.cases[1].shape->history_length = 512;
  CHECK(subject(report).find("L=" + length + "/512, ") != std::string::npos);
  CHECK(subject(Report{}) == "from r alone");
}

TEST_CASE("reports are called by what they differ in", "[report]") {
  const auto titles = [](const std::vector<Report>& reports) {
    std::vector<NamedReport> named;
    for (const Report& one : reports) named.push_back({"name", one});
    std::vector<std::string> found;
    const auto data = nlohmann::json::parse(data_of(render_page(named)));
    for (const auto& one : data.at("reports")) found.push_back(one.at("title"));
    return found;
  };
  using Titles = std::vector<std::string>;
  const Report plain = small_report();
  CHECK(titles({plain}) == Titles{""});
  CHECK(titles({plain, plain}) == Titles{"", ""});
  // The type of the cache goes with that of everything else.
  Report other = plain;
  other.cases[0].shape->dtype = other.cases[0].shape->kv_dtype = "bf16";
  CHECK(titles({plain, other}) == Titles{"fp32", "bf16"});
  CHECK(titles({plain, other, other}) == Titles{"fp32", "bf16", "bf16"});
  other.cases[0].shape->layers = 2;
  CHECK(titles({plain, other}) == Titles{"layers=4, fp32", "layers=2, bf16"});
  // A grid by its values.
  other = plain;
  other.cases.push_back(other.cases[0]);
  other.cases[1].shape->history_length = 512;
  CHECK(titles({plain, other}) == Titles{"L=256", "L=256/512"});
  // By schemes where the shapes are the same; not beside what has neither.
  other = plain;
  small_shared(other).scheme = "packed";
  CHECK(titles({plain, other}) == Titles{"shared", "packed"});
  other.cases.clear();
  CHECK(titles({plain, other}) == Titles{"", ""});
}

TEST_CASE("a name that is no UTF-8 is made so", "[report]") {
  const auto read = nlohmann::json::parse(data_of(render_page({{"a\xff", small_report()}}))).at("reports");
  CHECK(read[0].at("name") == "a\xef\xbf\xbd");
}

}  // namespace kvcast::report
