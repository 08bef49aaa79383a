#include "app/service_costs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "analysis/curve.h"
#include "analysis/service_model.h"
#include "analysis/surface.h"
#include "app/analyse.h"
#include "app/layouts.h"
#include "app/refuse.h"
#include "app/surfaces.h"
#include "base/input.h"
#include "base/text.h"
#include "engine/builtin/schemes/sharing.h"
#include "engine/problem.h"
#include "kvcast/words.h"
#include "report/shape.h"
#include "statistics/statistics.h"

namespace kvcast::app {
namespace {

void require_tail(double tail) {
  if (tail >= 1 && tail < analysis::kMaxTail) return;
  refuse("--tail", "'" + format_significant(tail, 6) + "' is out of range",
         "1 to " + format_significant(analysis::kMaxTail, 6));
}

ServiceCosts constants(const TrafficOptions& options) {
  ServiceCosts costs;
  const double token = options.token_s.value_or(0), candidate = options.candidate_s.value_or(0);
  costs.breakpoints = {{0, 0, options.service_s.value_or(0), candidate},
                       {1, token, options.service_s.value_or(0), candidate}};
  costs.residuals = analysis::lognormal_residuals(options.tail);
  costs.bytes_per_token = options.token_bytes.value_or(0);
  costs.source = Source::assumed;
  costs.basis = "constants";
  if (options.cache.bytes > 0 && !options.token_bytes) {
    refuse("--cache", "fixed times do not give the size of a cached history", "add --token-bytes 8KiB");
  }
  return costs;
}

/// What one measured length tells.
struct MeasuredLength {
  double history_s = 0, candidates_s = 0, candidate_s = 0;
  std::vector<double> curve_candidates, curve;
  std::int64_t max_measured = 0, known_to = 0;
  Config config;
};

/// The measured scoring pass over its line: at every measured N, and so close between them that lines will do.
void take_curve(MeasuredLength& measured, const analysis::ServiceFit& fit) {
  constexpr double kStep = 1.05;
  std::set<std::int64_t> counts(fit.measured.begin(), fit.measured.end());
  for (auto n = static_cast<double>(fit.min_measured); n < static_cast<double>(fit.max_measured);
       n = std::max(n + 1, kStep * n)) {
    counts.insert(static_cast<std::int64_t>(n));
  }
  for (const std::int64_t n : counts) {
    const double line = measured.candidates_s + measured.candidate_s * static_cast<double>(n);
    if (!(line > 0)) continue;
    measured.curve_candidates.push_back(static_cast<double>(n));
    measured.curve.push_back(std::max(0.0, fit.service.seconds(n) - measured.history_s) / line);
  }
}

/// The line of its timings, taken apart by the prefill that was timed on its own.
MeasuredLength measured_length(const Case& one, const analysis::ServiceFit& fit, const std::string& scheme,
                               Config config) {
  MeasuredLength measured;
  measured.config = std::move(config);
  const double one_candidate = fit.service.seconds(1);
  const std::int64_t most = std::max<std::int64_t>(2, fit.max_measured);
  measured.candidate_s = (fit.service.seconds(most) - one_candidate) / static_cast<double>(most - 1);
  const double whole = std::max(0.0, one_candidate - measured.candidate_s);  // of no candidates
  std::vector<double> history;
  for (const Sample& sample : one.samples) {
    if (sample.scheme == scheme && sample.prefill_s) history.push_back(*sample.prefill_s);
  }
  measured.history_s = history.empty() ? whole : std::min(whole, median(std::move(history)));
  measured.candidates_s = whole - measured.history_s;
  measured.max_measured = fit.max_measured;
  measured.known_to = fit.known_to;
  take_curve(measured, fit);
  return measured;
}

double over(double after, double before) { return before > 0 ? after / before : 1; }

Report read(const TrafficOptions& options) {
  FitOptions fitting;
  fitting.columns = options.columns;
  return fit(options.report, fitting);
}

class FromReport {
 public:
  FromReport(const TrafficOptions& options, std::int64_t max_history, std::int64_t max_candidates)
      : options_(options),
        report_(read(options)),
        layout_(choose_layout(report_, options.server.workers)),
        most_(std::max<std::int64_t>(1, max_history)),
        max_candidates_(max_candidates) {
    refuse_implausible(report_, options.report);
    report_ = only(std::move(report_), layout_);
    const SchemeEntry* entry = find_scheme(options.scheme);
    if (entry == nullptr || !entry->shares || !entry->has_prefill) {
      refuse("--scheme", "'" + printable(options.scheme, 60) + "' keeps no KV cache", "shared or shared-copy");
    }
  }

  ServiceCosts costs() {
    take_measured();
    take_surface();
    refuse_unknown();
    take_residuals();
    // By a surface every L has a line of its own; without one the curve of the largest measured L stands for all.
    if (surface_ == nullptr) {
      costs_.curve_candidates = measured_.rbegin()->second.curve_candidates;
      costs_.curve = measured_.rbegin()->second.curve;
    }
    const Config& config = any_config();
    const std::int64_t merge = config.model.token_merge;
    Config one = config;
    one.model.history_length = std::max(merge, config.model.history_length);
    costs_.bytes_per_token =
        static_cast<double>(kv_cache_bytes(work_shape(one))) / static_cast<double>(one.model.history_length);
    for (const std::int64_t length : breakpoint_lengths(most_)) {
      ServiceBreakpoint breakpoint = surface_ ? by_surface(length) : by_flops(length);
      breakpoint.history_length = length;
      // A longer history never takes less; a fit may say so between its data.
      if (!costs_.breakpoints.empty())
        breakpoint.history_s = std::max(breakpoint.history_s, costs_.breakpoints.back().history_s);
      costs_.breakpoints.push_back(breakpoint);
    }
    describe();
    if (const std::int64_t threads = any_config().run.threads; threads > 0) costs_.threads = threads;
    if (report_.machine) costs_.cpus = report_.machine->threads;
    costs_.workers = layout_.workers;
    return costs_;
  }

 private:
  const Config& any_config() const { return measured_.rbegin()->second.config; }

  void take_measured() {
    std::int64_t layers = options_.layers.value_or(0);
    if (layers == 0) {
      for (const Case& one : report_.cases) layers = std::max(layers, one.shape ? one.shape->layers : 1);
    }
    for (const Case& one : report_.cases) {
      if (one.shape && one.shape->layers != layers) continue;
      for (const Fit& found : one.fits) {
        if (found.scheme != options_.scheme || !found.r) continue;
        const auto service = analysis::service_of_fit(analysis::tabulate(one.samples), found, options_.extrapolate);
        if (!service) continue;
        Config config = shape_of(one);
        const std::int64_t length = config.model.history_length;
        measured_.insert_or_assign(length, measured_length(one, *service, options_.scheme, std::move(config)));
      }
    }
    if (measured_.empty()) {
      refuse(options_.layers ? "--layers" : "--scheme",
             printable(input_name(options_.report), 200) + " has no timings of '" + printable(options_.scheme, 60) +
                 "'" + (options_.layers ? " at that number of layers" : ""),
             "kvcast run -L 64,256,1024 measures a grid to simulate with");
    }
    layers_ = any_config().model.layers;
  }

  Config shape_of(const Case& one) const {
    if (one.shape) {
      if (!options_.shape.empty()) refuse("--shape", "the timings record their shape", "only for timings without one");
      return report::config_of(*one.shape);
    }
    if (options_.shape.empty()) {
      refuse("--shape", "the timings do not record their shape, so other history lengths cannot be derived",
             "a preset or file with the shape");
    }
    return load_config(options_.shape, {}, host_limits());
  }

  void take_surface() {
    for (const Surface& surface : report_.surfaces) {
      if (surface.scheme == options_.scheme) surface_ = &surface;
    }
    if (surface_ != nullptr) family_ = surface_family(report_, options_.scheme);
    if (!family_ || !family_->scheme.history) surface_ = nullptr;
  }

  /// No request has more candidates than anything is known of.
  void refuse_unknown() {
    const auto& [length, last] = *measured_.rbegin();
    const std::int64_t most = surface_ != nullptr ? surface_->max_candidates : last.max_measured;
    const std::int64_t known = surface_ == nullptr    ? last.known_to
                               : options_.extrapolate ? analysis::kMaxCandidates
                                                      : analysis::kReach * most;
    if (known < analysis::kMaxCandidates) costs_.known_to = known;
    if (max_candidates_ <= known) return;
    refuse("simulate",
           "requests have up to " + std::to_string(max_candidates_) + " candidates, and " +
               printable(options_.report, 200) + " was measured up to N=" + std::to_string(most),
           known > most
               ? "measure larger N, --candidates up to " + std::to_string(known) + ", or --extrapolate"
               : "measure larger N, or --candidates up to " + std::to_string(known) + ": nothing is known beyond it");
  }

  void take_residuals() {
    if (options_.tail != 1) {
      costs_.residuals = analysis::lognormal_residuals(options_.tail);
      return;
    }
    if (const std::string none = no_result(report_); !none.empty()) {
      throw CheckError(printable(options_.report, 200) + ": " + none +
                       "; measure again, or simulate with the mean times and an assumed tail, --tail 1.3");
    }
    costs_.residuals = pooled_residuals(report_, options_.scheme).scheme;
    if (costs_.residuals.empty()) costs_.residuals = {1};
  }

  /// Whole positions: a history of fewer tokens than are merged into one has none.
  ServiceBreakpoint by_surface(std::int64_t length) const {
    const std::int64_t merge = family_->token_merge, whole = std::max(merge, length / merge * merge);
    const auto at = [&](std::int64_t candidates) {
      return analysis::request_seconds(*surface_, *family_, whole, layers_, candidates);
    };
    ServiceBreakpoint breakpoint;
    if (length == 0) {
      WorkShape shape = family_->shape;
      shape.history_length = 1;
      shape.layers = layers_;
      PassWork pass = family_->scheme.history(shape);
      pass.flops = {};
      breakpoint.history_s = analysis::surface_seconds(*surface_, analysis::kPrefillPass, pass);
    } else {
      breakpoint.history_s = at(1).prefill_s;
    }
    const double one = at(1).candidates_s, many = at(kCandidateBlock).candidates_s;
    breakpoint.candidate_s = std::max(0.0, (many - one) / static_cast<double>(kCandidateBlock - 1));
    breakpoint.candidates_s = std::max(0.0, one - breakpoint.candidate_s);
    return breakpoint;
  }

  /// From the nearest measured length. A pass streams the weights even for a single row, and the scoring pass says
  /// how long that takes.
  ServiceBreakpoint by_flops(std::int64_t length) const {
    const auto above = measured_.lower_bound(length);
    const auto nearest = above == measured_.end() || (above != measured_.begin() &&
                                                      length - std::prev(above)->first < above->first - length)
                             ? std::prev(above)
                             : above;
    const MeasuredLength& from = nearest->second;
    Config to = from.config;
    to.model.history_length = std::max(to.model.token_merge, length / to.model.token_merge * to.model.token_merge);
    const WorkShape before = work_shape(from.config), after = work_shape(to);
    ServiceBreakpoint breakpoint;
    breakpoint.candidates_s = from.candidates_s;
    breakpoint.candidate_s = from.candidate_s * over(candidate_flops(after), candidate_flops(before));
    const double pass = std::min(from.candidates_s, from.history_s);
    breakpoint.history_s = pass;
    if (length > 0) {
      const double work = from.history_s - pass;
      breakpoint.history_s += work * over(history_flops(after), history_flops(before));
    }
    return breakpoint;
  }

  void describe() {
    const std::int64_t least = measured_.begin()->first, longest = measured_.rbegin()->first;
    const std::string lengths = least == longest ? "L=" + std::to_string(least)
                                                 : "L=" + std::to_string(least) + " to " + std::to_string(longest);
    costs_.basis = printable(input_name(options_.report), 200) + ", " + options_.scheme + " at " + lengths + ", " +
                   std::to_string(layers_) + (layers_ == 1 ? " layer, " : " layers, ") +
                   (surface_ != nullptr ? "other lengths from the surface" : "other lengths scaled by FLOPs");
    costs_.doubt = doubt(report_);
    for (const Warning& warning : report_.warnings) {
      if (warning.code == "read-as" || warning.code == kNoResult) {
        costs_.basis += "; " + warning.text + (warning.advice.empty() ? "" : ": " + warning.advice);
      }
    }
    if (surface_ != nullptr) {
      costs_.source = most_ <= surface_->max_history ? Source::fitted : Source::extrapolated;
    } else {
      costs_.source = least == longest ? Source::assumed : most_ <= longest ? Source::fitted : Source::extrapolated;
    }
  }

  const TrafficOptions& options_;
  Report report_;
  Layout layout_;
  std::int64_t most_, max_candidates_, layers_ = 1;
  std::map<std::int64_t, MeasuredLength> measured_;  ///< by history length
  const Surface* surface_ = nullptr;
  std::optional<analysis::SurfaceFamily> family_;
  ServiceCosts costs_;
};

}  // namespace

std::vector<std::int64_t> breakpoint_lengths(std::int64_t most) {
  // A line between two lengths whose ratio is q is above a parabola by at most (q-1)²/(4q) of it.
  constexpr double kStep = 1.065;
  std::vector<std::int64_t> lengths = {0};
  for (std::int64_t length = 1; length < most;) {
    lengths.push_back(length);
    length = std::max(length + 1, static_cast<std::int64_t>(kStep * static_cast<double>(length)));
  }
  lengths.push_back(std::max<std::int64_t>(1, most));
  return lengths;
}

ServiceCosts service_costs(const TrafficOptions& options, std::int64_t max_history, std::int64_t max_candidates) {
  const bool given = options.service_s || options.token_s || options.candidate_s;
  if (!options.report.empty() && given) {
    refuse("simulate", "both a report and fixed times", "either PATH or --service, --token-time, --candidate-time");
  }
  if (!options.report.empty()) {
    if (options.token_bytes) refuse("--token-bytes", "the report's shape already gives it", "only with fixed times");
    require_tail(options.tail);
    return FromReport(options, max_history, max_candidates).costs();
  }
  if (!given) {
    refuse("simulate", "nothing says how long a request takes",
           "a report, or --service, or --token-time and --candidate-time");
  }
  require_tail(options.tail);
  if (!options.columns.empty()) refuse("--columns", "fixed times come from no file", "only with a report");
  if (!options.shape.empty()) refuse("--shape", "fixed times have no shape", "only with a report");
  if (options.layers) refuse("--layers", "fixed times have no shape", "only with a report");
  if (options.scheme != TrafficOptions().scheme) refuse("--scheme", "fixed times have no scheme", "only with a report");
  return constants(options);
}

}  // namespace kvcast::app
