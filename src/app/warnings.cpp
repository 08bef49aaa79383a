#include <cctype>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "analysis/composition.h"
#include "analysis/conditions.h"
#include "analysis/plausibility.h"
#include "app/analyse.h"
#include "base/input.h"
#include "base/text.h"
#include "equality/after_timing.h"
#include "kvcast/error.h"
#include "kvcast/words.h"
#include "plan/plan.h"

namespace kvcast::app {
namespace {

// Times that are not of whole requests; times in swapped columns; times in different units.
constexpr const char *kNotRequests = "not-requests", *kSwapped = "swapped", *kUnits = "units";
// Percent beyond which a share of the CPUs' time, a spread or a trend is worth a warning.
constexpr double kStolenPct = 1, kForeignPct = 5, kCanarySpreadPct = 5, kOutlierPct = 5;

std::string percent(double value) { return format_significant(value, 2) + "%"; }

/// " at L=…, layers=…" where a report has several cases.
std::string place(const Report& report, const Case& one) {
  if (report.cases.size() < 2 || !one.shape) return "";
  return " (L=" + std::to_string(one.shape->history_length) + ", layers=" + std::to_string(one.shape->layers) + ")";
}

void about_the_end(const Report& report, std::vector<Warning>& warnings) {
  if (!report.conditions || !report.config) return;
  const Conditions& conditions = *report.conditions;
  if (conditions.stopped_by == StoppedBy::interrupt) {
    warnings.push_back({"interrupted",
                        "the run was interrupted after " + std::to_string(conditions.rounds) + " whole rounds",
                        "figures rest on fewer samples than planned; kvcast run --resume continues the run"});
  } else if (conditions.rounds < plan::kMinRounds) {
    warnings.push_back({"few-rounds", "only " + std::to_string(conditions.rounds) + " whole rounds fit the time budget",
                        "raise --budget: with fewer than " + std::to_string(plan::kMinRounds) +
                            " rounds, intervals are wide or missing"});
  } else if (conditions.stopped_by == StoppedBy::budget) {
    warnings.push_back({"precision",
                        "stopped: time budget spent before every speed-up (or time) was known to within " +
                            format_significant(100 * report.config->measure.precision, 3) + "%",
                        "raise --budget or --precision; the intervals show the precision reached"});
  }
}

void about_the_machine(const Report& report, std::vector<Warning>& warnings) {
  std::int64_t slow = 0, samples = 0;
  for (const Case& one : report.cases) {
    samples += static_cast<std::int64_t>(one.samples.size());
    for (const Sample& sample : one.samples) slow += sample.canary_ratio < analysis::kCanaryFloor ? 1 : 0;
  }
  if (slow * 5 > samples) {
    warnings.push_back({"noisy-machine",
                        format_significant(100.0 * static_cast<double>(slow) / static_cast<double>(samples), 3) +
                            "% of the timings ran while the canary was slow",
                        "other work slowed the CPUs; run again when they are free"});
  }
  if (!report.conditions) return;
  const Conditions& conditions = *report.conditions;
  if (conditions.steal_pct.value_or(0) > kStolenPct) {
    warnings.push_back({"cpu-steal", "the hypervisor took " + percent(*conditions.steal_pct) + " of the CPUs' time",
                        "use a machine with dedicated CPUs, or fewer --threads than CPUs"});
  }
  if (conditions.foreign_cpu_pct.value_or(0) > kForeignPct) {
    warnings.push_back({"other-load",
                        "other processes took " + percent(*conditions.foreign_cpu_pct) + " of the CPUs' time",
                        "stop them, or separate kvcast from them with taskset and --pin"});
  }
  if (conditions.canary_spread_pct.value_or(0) > kCanarySpreadPct) {
    warnings.push_back(
        {"frequency", "the CPU clock varied by " + percent(*conditions.canary_spread_pct) + " during the run",
         "trust ratios, not absolute times. A fixed clock (cpupower frequency-set -g performance, no turbo) "
         "narrows both"});
  }
  if (conditions.outlier_pct.value_or(0) > kOutlierPct) {
    warnings.push_back({"outliers",
                        percent(*conditions.outlier_pct) + " of the ratios lie far from the others of their point",
                        "estimates trim the tails; samples.csv has them. --pin helps if threads migrate"});
  }
  if (conditions.drift_pct && report.config &&
      std::abs(*conditions.drift_pct) > 100 * report.config->measure.precision) {
    warnings.push_back(
        {"drift", "the speed-ups drifted by " + percent(*conditions.drift_pct) + " from the first round to the last",
         "the machine has not settled: run again, or raise --budget"});
  }
}

void about_one_case(const Report& report, const Case& one, std::vector<Warning>& warnings) {
  const std::string at = place(report, one);
  for (const CompositionCheck& check : one.composition) {
    if (check.agrees) continue;
    warnings.push_back({"composition",
                        check.scheme + " at N=" + std::to_string(check.candidates) + at + ": the whole run took " +
                            format_significant(check.ratio.value, 4) + " times the sum of its parts",
                        "trust this scheme's figures no further than that; a larger --budget runs more points whole"});
  }
  std::set<std::string> unchecked;
  for (const Sample& sample : one.samples) {
    // After a scheme the head runs in passes of that scheme, which has a check of its own.
    if (sample.scheme.with_head || sample.scheme.alone) continue;
    if (sample.status == Status::assembled || sample.status == Status::extrapolated)
      unchecked.insert(sample.scheme.text());
  }
  for (const CompositionCheck& check : one.composition) unchecked.erase(check.scheme);
  for (const std::string& scheme : unchecked) {
    warnings.push_back(
        {"composition-unchecked",
         scheme + at + ": no N ran whole in two or more rounds, so its assembled or extrapolated times are unchecked",
         "raise --budget, or add a cheap N >= 5"});
  }
  // Only for timings of others: a run of kvcast has the columns right.
  for (const Fit& fit : report.config ? std::vector<Fit>() : one.fits) {
    if (const auto problem = analysis::implausible(analysis::tabulate(one.samples), fit.scheme)) {
      using Kind = analysis::Implausible::Kind;
      const char* const code = problem->kind == Kind::swapped ? kSwapped
                               : problem->kind == Kind::units ? kUnits
                                                              : kNotRequests;
      warnings.push_back({code, problem->problem + at, problem->question});
    }
  }
  for (const Fit& fit : one.fits) {
    if (fit.preferred == kNoModel) warnings.push_back({"no-model", fit.scheme + at + ": " + fit.verdict, fit.next});
    const FittedModel* model = fit.in_use();
    if (model == nullptr || model == &fit.models.front()) continue;
    warnings.push_back(
        {"form",
         fit.scheme + at + ": the " + model->name + " model predicts held-out N better than the one-parameter law",
         "size by its parameters: r alone hides the rest of its cost"});
  }
  for (const SelfCheck& check : one.self_check) {
    if (check.contains_one) continue;
    warnings.push_back({"self-check",
                        check.scheme + at + ": the same scheme timed under two names differs, ratio " +
                            format_significant(check.ratio.value, 4),
                        "trust no ratio of this run to better than that"});
  }
}

}  // namespace

std::optional<Unusable> unusable(const Report& report) {
  for (const Case& one : report.cases) {
    if (const std::string wrong = equality::wrong_after_timing(one.after_timing); !wrong.empty()) {
      return Unusable{wrong + place(report, one),
                      "kvcast or the machine skipped work while the clock ran; please report it with the "
                      "folder of the run"};
    }
  }
  if (const std::string what = analysis::faster_than_possible(report); !what.empty()) {
    return Unusable{what + ": work was skipped, or the peak is wrong",
                    "run again; if it persists, please report it with the folder of the run"};
  }
  if (const std::string who = analysis::interference(report); !who.empty()) {
    return Unusable{who, "run again when the machine is free, or on reserved CPUs (taskset)"};
  }
  return std::nullopt;
}

void refuse_implausible(const Report& report, const std::string& path) {
  for (const Warning& warning : report.warnings) {
    if (warning.code == kNotRequests) throw ConfigError(printable(input_name(path), 200), warning.text, warning.advice);
  }
}

void refresh_warnings(Report& report) {
  static const std::set<std::string> kOurs = {
      kNoResult,    "interrupted", "few-rounds", "precision", "noisy-machine", "cpu-steal",
      "other-load", "frequency",   "outliers",   "drift",     "composition",   "composition-unchecked",
      "form",       "self-check",  "no-model",   kSwapped,    kUnits,          kNotRequests};
  std::vector<Warning> warnings;
  if (const auto fault = unusable(report)) {
    warnings.push_back({kNoResult, "No usable result: " + fault->why, fault->advice});
  }
  about_the_end(report, warnings);
  about_the_machine(report, warnings);
  for (const Case& one : report.cases) about_one_case(report, one, warnings);
  for (Warning& warning : report.warnings) {
    if (!kOurs.contains(warning.code)) warnings.push_back(std::move(warning));
  }
  report.warnings = std::move(warnings);
}

}  // namespace kvcast::app

namespace kvcast {

std::string no_result(const Report& report) {
  for (const Warning& warning : report.warnings) {
    if (warning.code == kNoResult) return one_line(warning.text);
  }
  return "";
}

std::string doubt(const Report& report) {
  for (const Warning& warning : report.warnings) {
    if (warning.code != app::kNotRequests && warning.code != app::kSwapped && warning.code != app::kUnits) continue;
    std::string question = one_line(warning.advice);
    if (!question.empty()) question[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(question[0])));
    return question + (question.empty() ? "" : " ") + one_line(warning.text);
  }
  return "";
}

}  // namespace kvcast
