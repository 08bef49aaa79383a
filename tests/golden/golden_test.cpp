// Every format in the list against its approved file.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "catch.h"
#include "fixed_report.h"
#include "kvcast/kvcast.h"

namespace {

std::string approved_path(const std::string& name) {
  return std::string(KVCAST_SOURCE_DIR) + "/tests/golden/approved/" + name + ".txt";
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The first line in which the two texts differ, with both versions.
std::string first_difference(const std::string& approved, const std::string& rendered) {
  const auto [a, b] = std::mismatch(approved.begin(), approved.end(), rendered.begin(), rendered.end());
  const auto at = static_cast<std::size_t>(a - approved.begin());
  const std::size_t newline = at == 0 ? std::string::npos : approved.rfind('\n', at - 1);
  const std::size_t start = newline == std::string::npos ? 0 : newline + 1;
  const auto line = [start](const std::string& text) { return text.substr(start, text.find('\n', start) - start); };
  return "line " + std::to_string(1 + std::count(approved.begin(), a, '\n')) + "\n  approved: " + line(approved) +
         "\n  rendered: " + line(rendered);
}

void compare_or_update(const std::string& name, const std::string& rendered) {
  const char* update = std::getenv("KVCAST_UPDATE_GOLDEN");
  const std::string path = approved_path(name);
  if (update && std::string(update) == "1") {
    std::ofstream(path, std::ios::binary) << rendered;
    return;
  }
  const std::string approved = contents(path);
  if (approved == rendered) return;
  FAIL_CHECK(path << " is not what is rendered, from " << first_difference(approved, rendered)
                  << "\nIf the change is meant, rewrite the approved files with KVCAST_UPDATE_GOLDEN=1 in the "
                     "environment of this test, and read the diff before you commit it.");
}

}  // namespace

TEST_CASE("every format renders the fixed report as approved", "[golden]") {
  for (const auto& format : kvcast::formats()) {
    if (format.name == "xlsx") continue;  // binary: tests/cli/xlsx_test.py reads it
    // Chart.js and the script of the page, 300 KB that nobody reads in a diff: tests/unit/report/html_test.cpp compares
    // its parts, tests/browser what it shows.
    if (format.name == "html") continue;
    compare_or_update("fixed." + format.name, kvcast::render(kvcast::golden::fixed_report(), format.name));
  }
  compare_or_update("fixed.details", kvcast::render(kvcast::golden::fixed_report(), "table", false, true));
}

TEST_CASE("every format renders the fixed traffic as approved", "[golden]") {
  for (const auto& format : kvcast::traffic_formats()) {
    if (format.name == "json") continue;  // report.json has it
    compare_or_update("traffic." + format.name, kvcast::render_traffic(kvcast::golden::fixed_report(), format.name));
  }
}

TEST_CASE("the first screen of a run alone is as approved", "[golden]") {
  kvcast::Report report = kvcast::golden::fixed_report();
  report.sizing.reset();
  report.traffic.reset();
  report.cases.resize(1);
  compare_or_update("run.table", kvcast::render(report, "table"));
}

TEST_CASE("every format renders the fixed sizing as approved", "[golden]") {
  for (const auto& format : kvcast::sizing_formats()) {
    if (format.name == "json") continue;  // the report's
    compare_or_update("sizing." + format.name, kvcast::render_sizing(kvcast::golden::fixed_report(), format.name));
  }
}

TEST_CASE("the design note's tables come out of r = 0.15 and a drop of 40%", "[golden]") {
  kvcast::SizingOptions options;
  options.r = 0.15;
  options.drop = 0.4;
  const kvcast::Report report = kvcast::size("", options);
  for (const auto& format : kvcast::sizing_formats()) {
    if (format.name == "json") continue;  // holds the build
    compare_or_update("seed." + format.name, kvcast::render_sizing(report, format.name));
  }
}
