#include "analysis/fit.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "app/analyse.h"
#include "app/surfaces.h"
#include "base/input.h"
#include "base/text.h"
#include "engine/problem.h"
#include "input/measurements.h"
#include "kvcast/kvcast.h"

namespace kvcast {
namespace {

void require_at_least(const std::vector<std::int64_t>& values, std::int64_t least, const char* flag) {
  for (const std::int64_t value : values) {
    if (value >= least) continue;
    throw ConfigError(flag, "'" + std::to_string(value) + "' is too small", "at least " + std::to_string(least));
  }
}

// Of one scheme: every N at every shape.
constexpr std::size_t kMaxPredictions = 1'000'000;

void check(const FitOptions& options) {
  require_at_least(options.candidates, 1, "--candidates");
  require_at_least(options.history_length, 0, "--history");
  require_at_least(options.layers, 1, "--layers");
  // Each is a list of at most 10000 values.
  const std::size_t predictions = std::max<std::size_t>(1, options.candidates.size()) *
                                  std::max<std::size_t>(1, options.history_length.size()) *
                                  std::max<std::size_t>(1, options.layers.size());
  if (predictions > kMaxPredictions) {
    throw ConfigError(!options.history_length.empty() ? "--history" : "--layers",
                      "-N, -L and --layers ask for " + std::to_string(predictions) + " predictions",
                      "at most " + std::to_string(kMaxPredictions));
  }
  if (options.holdout && !(*options.holdout > 0 && *options.holdout < 1)) {
    throw ConfigError("--holdout", "'" + format_significant(*options.holdout, 6) + "' is not a share of the points",
                      "above 0 and below 1, such as 0.25");
  }
}

/// One r at least: a report without any has nothing to say that the samples do not. Where some have one, the others
/// say in their verdict why they have none.
void require_fit(const Report& report, const std::string& path) {
  std::string reason;
  for (const Case& one : report.cases) {
    for (const Fit& fit : one.fits) {
      if (fit.r) return;
      if (reason.empty()) reason = analysis::unfittable(analysis::tabulate(one.samples), fit.scheme);
    }
  }
  if (reason.empty()) reason = "no naive timings beside those of a sharing scheme";
  // What was assumed may be why.
  for (const Warning& warning : report.warnings) {
    const std::size_t taken = warning.text.find("read with ");
    if (warning.code == "read-as" && taken != std::string::npos) reason += " (" + warning.text.substr(taken) + ")";
  }
  throw ConfigError(printable(input_name(path), 200), reason, "measure naive and a sharing scheme at an N above 1");
}

}  // namespace

Report fit(const std::string& path, const FitOptions& options) {
  check(options);
  Report report = input::read_measurements(path, options.columns);
  require_types(report, path);
  if (report.tool.version.empty()) report.tool = tool_info();
  app::analyse(report, options);
  require_fit(report, path);
  const char* const needs = !options.history_length.empty() ? "--history"
                            : !options.layers.empty()       ? "--layers"
                            : options.holdout               ? "--holdout"
                                                            : nullptr;
  if (needs != nullptr && report.surfaces.empty()) {
    std::string why;
    for (const Fit& one : report.cases.front().fits) {
      if (const std::string none = app::why_no_surface(report, one.scheme); !none.empty()) why += "; " + none;
    }
    throw ConfigError(needs,
                      printable(input_name(path), 200) + " has " + std::to_string(report.cases.size()) +
                          (report.cases.size() == 1 ? " shape" : " shapes") +
                          ", too few for a surface over L and layers" + why,
                      "a grid, e.g. from kvcast run -L 128,256,512 --layers 2,4");
  }
  return report;
}

}  // namespace kvcast
