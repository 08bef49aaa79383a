#include "analysis/compare.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "app/across.h"
#include "app/analyse.h"
#include "base/text.h"
#include "engine/problem.h"
#include "input/measurements.h"
#include "kvcast/kvcast.h"
#include "kvcast/words.h"

namespace kvcast {
namespace {

Report read(const std::string& path) {
  Report report = input::read_measurements(path);
  require_types(report, path);
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
  const std::string across = options.across.empty() ? "" : app::across_field(options.across);
  const bool alone = !across.empty() && (b.empty() || b == a);
  if (b.empty() && !alone) throw ConfigError("B", "is missing", "the run to compare with, or --across FIELD");
  const Report before = read(a), other = alone ? Report() : read(b);
  const Report& after = alone ? before : other;
  const std::string both =
      alone ? "the shapes of " + printable(a, 200) : printable(a, 200) + " and " + printable(b, 200);
  const std::vector<analysis::CasePair> pairs =
      across.empty() ? analysis::same_shapes(before, after, options.any_machine)
                     : app::pairs_across(before, after, across, options.any_machine, both);
  std::vector<std::string> differences = analysis::machine_differences(before, after, pairs);
  // With other threads a run may have been given other CPUs of the same machine.
  if (across == "threads")
    std::erase_if(differences, [](const std::string& text) { return text.starts_with("CPUs:"); });
  if (!differences.empty() && !options.any_machine) {
    throw ConfigError(both, "are of different machines: " + join(differences, ", "),
                      "--any-machine compares them all the same");
  }
  Comparison comparison = across == "schemes"
                              ? analysis::compare_schemes(before, after, pairs)
                              : analysis::compare(before, after, pairs, options.threshold, across != "threads");
  comparison.across = across;
  const auto any = [&](const auto& test) {
    return std::any_of(comparison.points.begin(), comparison.points.end(), test);
  };
  if (!any([](const ComparedPoint& point) { return point.missing_in.empty(); })) {
    throw ConfigError(
        both, across == "schemes" ? "have no two schemes timed at one N" : "have no shape, N and scheme in common",
        across.empty() ? "two runs of the same config" : "runs with the same N");
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
    if (const std::string question = doubt(*report); !question.empty() && (!alone || *name == 'A')) {
      comparison.doubts.push_back((alone ? "" : std::string(name) + ": ") + question);
    }
  }
  comparison.differences = std::move(differences);
  return comparison;
}

std::string difference_in_words(const std::string& a, const std::string& b) {
  try {
    CompareOptions options;
    options.across = app::field_between(read(a), read(b));
    return options.across.empty() ? "" : comparison_answer(compare(a, b, options));
  } catch (const ConfigError&) {
    return "";
  }
}

}  // namespace kvcast
