#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "analysis/summarise.h"
#include "app/analyse.h"
#include "base/text.h"
#include "engine/problem.h"
#include "input/measurements.h"
#include "journal/journal.h"
#include "kvcast/kvcast.h"
#include "report/shape.h"

namespace kvcast {
namespace {

namespace fs = std::filesystem;

struct Part {
  std::string folder;  ///< for messages
  Report report;
};

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string case_name(const Case& one) {
  if (!one.shape) return "a case without a shape";
  return "L=" + std::to_string(one.shape->history_length) + ", layers=" + std::to_string(one.shape->layers);
}

/// Whether the plan has skipped every point of a case, so that it is whole without samples.
bool skipped(const Case& one) {
  if (one.points.empty()) return false;
  for (const Point& point : one.points) {
    for (const SchemePoint& scheme : point.schemes) {
      if (scheme.status != Status::skipped || !scheme.reason || *scheme.reason == analysis::kNotMeasured) return false;
    }
  }
  return true;
}

Part read_part(const std::string& folder) {
  const std::string shown = printable(folder, 200);
  if (is_there(journal::journal_path(folder))) {
    throw ConfigError(shown, "is an unfinished run: its journal.jsonl is still there",
                      "kvcast run --resume " + shown + " finishes it");
  }
  for (const char* name : {"report.json", "samples.csv"}) {
    if (!is_there(fs::path(folder) / name)) throw IoError(shown, std::string("has no ") + name);
  }
  Part part{shown, input::read_measurements(folder)};
  const Report& report = part.report;
  require_types(report, folder);
  if (!report.config || !report.machine) {
    throw ConfigError(shown, "does not record its config and machine", "a folder that kvcast run wrote");
  }
  if (report.conditions && report.conditions->stopped_by == StoppedBy::interrupt) {
    throw ConfigError(shown, "was interrupted, so samples are missing", "measure this part again");
  }
  if (const auto fault = app::unusable(report)) {
    throw CheckError(shown + ": no usable result: " + fault->why + "; measure this part again");
  }
  for (const Case& one : report.cases) {
    if (!one.shape) throw ConfigError(shown, "has a case without a shape", "a folder that kvcast run wrote");
    if (!one.samples.empty() || skipped(one)) continue;
    throw ConfigError(shown, "has no samples of " + case_name(one), "measure this part again");
  }
  return part;
}

void refuse_unlike(const Part& first, const Part& part, const std::string& what, const std::string& in_first,
                   const std::string& here) {
  if (in_first == here) return;
  throw ConfigError(part.folder, what + " " + here + ", but " + in_first + " in " + first.folder,
                    "parts with the same config and build");
}

void refuse_mixed(const Part& first, const Part& part) {
  const ToolInfo &a = first.report.tool, &b = part.report.tool;
  refuse_unlike(first, part, "has version", in_quotes(a.version), in_quotes(b.version));
  refuse_unlike(first, part, "has commit", in_quotes(a.git_commit), in_quotes(b.git_commit));
  refuse_unlike(first, part, "has compiler", in_quotes(a.compiler), in_quotes(b.compiler));
  refuse_unlike(first, part, "has build type", in_quotes(a.build_type), in_quotes(b.build_type));
  for (const ConfigDifference& field : config_differences(*first.report.config, *part.report.config)) {
    refuse_unlike(first, part, "has " + field.path, printable(field.in_a, 200), printable(field.in_b, 200));
  }
}

std::string shard_name(std::int64_t index, std::int64_t count) {
  return std::to_string(index) + "/" + std::to_string(count);
}

void refuse_wrong_shards(const std::vector<Part>& parts) {
  if (parts.size() == 1 && !parts.front().report.shard) return;
  std::map<std::int64_t, std::string> folders;  // by shard
  std::int64_t count = 0;
  for (const Part& part : parts) {
    const std::optional<Shard>& shard = part.report.shard;
    if (!shard) throw ConfigError(part.folder, "is a whole run, not a part", "folders of kvcast run --shard i/n");
    if (count == 0) count = shard->count;
    if (shard->count != count) {
      throw ConfigError(part.folder,
                        "is part " + shard_name(shard->index, shard->count) + ", but " + parts.front().folder +
                            " is one of " + std::to_string(count),
                        "parts of the same --shard i/n");
    }
    const auto [other, fresh] = folders.emplace(shard->index, part.folder);
    if (!fresh) {
      throw ConfigError(part.folder, "overlaps: part " + shard_name(shard->index, count) + ", as " + other->second,
                        "each part once");
    }
  }
  std::vector<std::string> missing;
  for (std::int64_t index = 1; index <= count && missing.size() < 20; ++index) {
    if (!folders.contains(index)) missing.push_back(shard_name(index, count));
  }
  if (missing.empty()) return;
  throw ConfigError(parts.front().folder,
                    std::string("a gap: part") + (missing.size() == 1 ? " " : "s ") + join(missing, ", ") +
                        (missing.size() == 1 ? " is" : " are") + " not among the folders",
                    "every part of the grid");
}

/// The cases of all parts in the order of the grid, each of which must be in one of them.
std::vector<Case> join_cases(std::vector<Part>& parts) {
  std::vector<Case> cases;
  for (const Config& config : grid(*parts.front().report.config)) {
    const CaseShape shape = report::shape_of(config);
    const Part* owner = nullptr;
    for (Part& part : parts) {
      for (Case& one : part.report.cases) {
        if (!one.shape || *one.shape != shape) continue;
        if (owner != nullptr) {
          throw ConfigError(part.folder, "overlaps: has " + case_name(one) + ", as " + owner->folder, "each case once");
        }
        owner = &part;
        one.machine = part.report.machine;
        cases.push_back(std::exchange(one, Case()));
      }
    }
    if (owner == nullptr) {
      Case missing;
      missing.shape = shape;
      throw ConfigError(parts.front().folder, "a gap: " + case_name(missing) + " is in none of the folders",
                        "every case of the grid");
    }
  }
  for (const Part& part : parts) {
    for (const Case& one : part.report.cases) {
      if (one.shape) throw ConfigError(part.folder, "has " + case_name(one) + ", which is not part of its grid", "");
    }
  }
  return cases;
}

std::optional<MachineInfo> join_machines(const std::vector<Part>& parts) {
  const MachineInfo& first = *parts.front().report.machine;
  for (const Part& part : parts) {
    const MachineInfo& machine = *part.report.machine;
    if (machine.cpu_model != first.cpu_model || machine.isa != first.isa || machine.threads != first.threads) {
      return std::nullopt;
    }
  }
  return first;
}

void take_worst(std::optional<double>& worst, const std::optional<double>& value) {
  if (value && (!worst || std::abs(*value) > std::abs(*worst))) worst = value;
}

/// Unknown when a part's are.
std::optional<Conditions> join_conditions(const std::vector<Part>& parts) {
  std::optional<Conditions> joined;
  for (const Part& part : parts) {
    if (!part.report.conditions) return std::nullopt;
    const Conditions& own = *part.report.conditions;
    if (!joined) {
      joined = own;
      continue;
    }
    joined->rounds = std::min(joined->rounds, own.rounds);
    // The whole is as precise as its least precise part.
    if (own.stopped_by == StoppedBy::budget || joined->stopped_by == StoppedBy::precision)
      joined->stopped_by = own.stopped_by;
    joined->measured_s += own.measured_s;
    joined->warm_up_s += own.warm_up_s;
    joined->steady = joined->steady && own.steady;
    joined->resumed += own.resumed;
    take_worst(joined->steal_pct, own.steal_pct);
    take_worst(joined->foreign_cpu_pct, own.foreign_cpu_pct);
    take_worst(joined->canary_spread_pct, own.canary_spread_pct);
    take_worst(joined->drift_pct, own.drift_pct);
    take_worst(joined->outlier_pct, own.outlier_pct);
  }
  return joined;
}

std::vector<Warning> join_warnings(const std::vector<Part>& parts) {
  std::vector<Warning> joined;
  for (const Part& part : parts) {
    for (const Warning& warning : part.report.warnings) {
      const bool known = std::any_of(joined.begin(), joined.end(), [&](const Warning& other) {
        return other.code == warning.code && other.text == warning.text;
      });
      if (!known) joined.push_back(warning);
    }
  }
  return joined;
}

}  // namespace

Report merge(const std::vector<std::string>& folders) {
  if (folders.empty()) throw ConfigError("kvcast merge", "no folder is given", "the folders of all parts");
  std::vector<Part> parts;
  for (const std::string& folder : folders) parts.push_back(read_part(folder));
  for (const Part& part : parts) refuse_mixed(parts.front(), part);
  refuse_wrong_shards(parts);

  Report report;
  report.tool = parts.front().report.tool;
  report.config = parts.front().report.config;
  report.machine = join_machines(parts);
  report.conditions = join_conditions(parts);
  report.warnings = join_warnings(parts);
  report.cases = join_cases(parts);
  app::analyse(report, {});
  return report;
}

}  // namespace kvcast
