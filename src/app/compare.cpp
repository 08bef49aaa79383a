#include "analysis/compare.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "app/analyse.h"
#include "base/text.h"
#include "journal/measurements.h"
#include "kvcast/kvcast.h"
#include "kvcast/words.h"

namespace kvcast {
namespace {

Report read(const std::string& path) {
  Report report = journal::read_measurements(path);
  app::analyse(report, {});
  return report;
}

void note_tools(const ToolInfo& a, const ToolInfo& b, std::vector<std::string>& differences) {
  const auto note = [&](const char* what, const std::string& in_a, const std::string& in_b) {
    if (in_a == in_b || in_a.empty() || in_b.empty()) return;
    differences.push_back(std::string(what) + ": '" + in_a + "' in A, '" + in_b + "' in B");
  };
  note("version", a.version, b.version);
  note("commit", a.git_commit, b.git_commit);
  note("compiler", a.compiler, b.compiler);
  note("build type", a.build_type, b.build_type);
  for (const auto& [name, version] : a.dependencies) {
    for (const auto& [other, its_version] : b.dependencies) {
      if (name == other) note(name.c_str(), version, its_version);
    }
  }
}

}  // namespace

Comparison compare(const std::string& a, const std::string& b, const CompareOptions& options) {
  if (!std::isfinite(options.threshold) || options.threshold < 0) {
    throw ConfigError("--threshold", format_significant(options.threshold, 6) + " is no threshold",
                      "at least 0, such as 5%");
  }
  const Report before = read(a), after = read(b);
  const std::string both = printable(a, 200) + " and " + printable(b, 200);
  std::vector<std::string> differences = analysis::machine_differences(before, after);
  if (!differences.empty() && !options.any_machine) {
    throw ConfigError(both, "are of different machines: " + join(differences, ", "),
                      "--any-machine compares them all the same");
  }
  Comparison comparison = analysis::compare(before, after, options.threshold, options.any_machine);
  const auto any = [&](const auto& test) {
    return std::any_of(comparison.points.begin(), comparison.points.end(), test);
  };
  if (!any([](const ComparedPoint& point) { return point.missing_in.empty(); })) {
    throw ConfigError(both, "have no shape, N and scheme in common", "two runs of the same config");
  }
  // A pass would say nothing.
  if (!any([](const ComparedPoint& point) { return point.time_ratio && point.time_ratio->ci95; })) {
    throw ConfigError(both, "have no point with two rounds in each, so nothing can be told from chance",
                      "runs of several rounds, with the samples.csv beside the report.json");
  }
  note_tools(before.tool, after.tool, differences);
  if (before.config && after.config) {
    for (const ConfigDifference& field : config_differences(*before.config, *after.config)) {
      if (field.path != "comment") {
        differences.push_back(field.path + ": " + printable(field.in_a, 200) + " in A, " + printable(field.in_b, 200) +
                              " in B");
      }
    }
  }
  for (const auto& [name, report] : {std::pair("A", &before), std::pair("B", &after)}) {
    if (const std::string none = no_result(*report); !none.empty()) differences.push_back(name + (": " + none));
  }
  comparison.differences = std::move(differences);
  return comparison;
}

}  // namespace kvcast
