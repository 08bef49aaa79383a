#include "input/measurements.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <system_error>
#include <utility>

#include "base/input.h"
#include "base/text.h"
#include "input/report.h"
#include "input/text/file.h"
#include "input/timings.h"
#include "journal/journal.h"
#include "kvcast/error.h"
#include "kvcast/kvcast.h"
#include "report/shape.h"

namespace kvcast::input {
namespace {

namespace fs = std::filesystem;

bool exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

void require_samples(const Report& report, const std::string& path) {
  const bool any =
      std::any_of(report.cases.begin(), report.cases.end(), [](const Case& c) { return !c.samples.empty(); });
  if (!any) throw ConfigError(printable(input_name(path), 200), "has no timings", "at least one measured round");
}

/// Samples of a samples.csv into the cases of its report.
void attach(Report& report, Report samples, const std::string& samples_path, const std::string& report_path) {
  std::map<std::string, std::size_t> homes;
  for (std::size_t i = 0; i < report.cases.size(); ++i) {
    const auto [known, is_new] = homes.emplace(report::shape_key(report.cases[i].shape), i);
    if (is_new) continue;
    throw ConfigError(report_path + ": /cases/" + std::to_string(i),
                      "has the shape of case " + std::to_string(known->second),
                      "samples.csv identifies cases by their shape");
  }
  for (Case& from : samples.cases) {
    const auto home = homes.find(report::shape_key(from.shape));
    if (home == homes.end()) {
      const std::string shape = !from.shape ? "no shape"
                                            : "L=" + std::to_string(from.shape->history_length) +
                                                  ", layers=" + std::to_string(from.shape->layers) + " of a shape";
      throw ConfigError(samples_path, "has samples of " + shape + " that is not among the cases of " + report_path,
                        "both files from one run");
    }
    report.cases[home->second].samples = std::move(from.samples);
  }
  std::move(samples.warnings.begin(), samples.warnings.end(), std::back_inserter(report.warnings));
}

/// One sample per point that has a time.
void take_medians(Case& one) {
  for (const Point& point : one.points) {
    for (const SchemePoint& scheme : point.schemes) {
      if (!scheme.seconds || !std::isfinite(scheme.seconds->median) || scheme.seconds->median <= 0) continue;
      Sample sample;
      sample.candidates = point.candidates;
      sample.scheme = scheme.scheme;
      sample.status = scheme.status;
      sample.measured_candidates = scheme.measured_candidates.value_or(point.candidates);
      sample.measured_seconds = scheme.seconds->median;
      if (sample.measured_candidates == point.candidates) {
        sample.prefill_s = scheme.prefill_s;
        sample.scoring_s = scheme.scoring_s;
      } else {
        // The point's time is for all N.
        sample.measured_seconds *=
            static_cast<double>(sample.measured_candidates) / static_cast<double>(point.candidates);
      }
      one.samples.push_back(sample);
    }
  }
}

std::string shown(const std::string& path) { return printable(input_name(path), 200); }

Report from_csv(const std::string& path, const ColumnNames& columns = {}) {
  return read_csv(read_file(path), shown(path), columns);
}

Report from_report(const std::string& text, const std::string& path) {
  Report report = read_report_json(text, shown(path));
  const std::string samples = (fs::path(path).parent_path() / "samples.csv").string();
  if (!is_standard_input(path) && exists(samples)) {
    attach(report, from_csv(samples), shown(samples), shown(path));
  } else {
    for (Case& one : report.cases) take_medians(one);
    report.warnings.push_back({"no-samples",
                               shown(path) + " has no samples.csv beside it: only medians, no "
                                             "rounds and so no intervals",
                               "keep samples.csv with report.json"});
  }
  return report;
}

Report from_journal(const std::string& path) {
  if (is_standard_input(path)) throw ConfigError(shown(path), "is a journal", "give its file or folder instead of -");
  const journal::JournalContents run = journal::read_journal(path);
  Report report;
  report.tool = run.head.tool;
  report.machine = run.head.machine;
  report.config = run.head.config;
  report.shard = run.head.shard;
  for (const PlannedCase& planned : run.head.plan.cases) {
    Config one = run.head.config;
    one.sweep = {};
    one.model.history_length = planned.history_length;
    one.model.layers = planned.layers;
    report.cases.emplace_back().shape = report::shape_of(one);
  }
  for (const journal::JournalRound& round : run.rounds) {
    for (const auto& [index, sample] : round.samples) {
      report.cases[static_cast<std::size_t>(index)].samples.push_back(sample);
    }
  }
  report.warnings.push_back({"unfinished-run",
                             shown(path) + ": an unfinished run, " + std::to_string(run.rounds.size()) +
                                 (run.rounds.size() == 1 ? " round" : " rounds") +
                                 (run.torn ? " and a truncated one" : ""),
                             "kvcast run --resume finishes it"});
  return report;
}

Report from_folder(const std::string& folder) {
  const std::string report_path = (fs::path(folder) / "report.json").string(), journal = journal::journal_path(folder),
                    samples = (fs::path(folder) / "samples.csv").string();
  if (exists(report_path)) {
    Report report = from_report(read_file(report_path), report_path);
    if (exists(journal)) {
      report.warnings.push_back({"unfinished-run",
                                 shown(journal) + ": an unfinished run, begun after this report, was "
                                                  "ignored",
                                 "kvcast run --resume finishes it"});
    }
    return report;
  }
  if (exists(journal)) return from_journal(journal);
  if (exists(samples)) return from_csv(samples);
  throw IoError(folder, "has neither report.json nor journal.jsonl nor samples.csv");
}

void refuse_columns(const ColumnNames& columns, const std::string& path) {
  if (columns.empty()) return;
  throw ConfigError("--columns", shown(path) + " is a file of kvcast", "only for a CSV of your own");
}

Report from_text(const std::string& path, const ColumnNames& columns) {
  const std::string text = read_file(path);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') refuse_columns(columns, path);
  if (text.starts_with("{\"schema\":\"kvcast.journal/")) return from_journal(path);
  if (first != std::string::npos && text[first] == '{') return from_report(text, path);
  return read_csv(text, shown(path), columns);
}

Report read(const std::string& path, const ColumnNames& columns) {
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  const std::string ending = fs::path(path).extension().string();
  if (ending == ".csv" && !folder) return from_csv(path, columns);
  if (folder || ending == ".json" || ending == ".jsonl") refuse_columns(columns, path);
  if (folder) return from_folder(path);
  if (ending == ".json") return from_report(read_file(path), path);
  if (ending == ".jsonl") return from_journal(path);
  return from_text(path, columns);
}

}  // namespace

Report read_measurements(const std::string& path, const ColumnNames& columns) {
  Report report = read(path, columns);
  require_samples(report, path);
  return report;
}

}  // namespace kvcast::input

namespace kvcast {

Report load_report(const std::string& path) {
  using namespace input;
  namespace fs = std::filesystem;
  std::error_code ignored;
  const std::string file = fs::is_directory(path, ignored) ? (fs::path(path) / "report.json").string() : path;
  Report report = read_report_json(read_file(file), shown(file));
  if (is_standard_input(path)) return report;
  const std::string samples = (fs::path(file).parent_path() / "samples.csv").string();
  // Without cases (traffic, a sizing from r alone) the file beside it is a head alone.
  if (!report.cases.empty() && exists(samples)) {
    attach(report, from_csv(samples), shown(samples), shown(file));
  }
  return report;
}

}  // namespace kvcast
